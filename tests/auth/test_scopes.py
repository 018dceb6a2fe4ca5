"""What a caller may do, by the names of its scopes."""

import pytest

from exai.auth.scopes import DEFAULT_SCOPES, SCOPES, known_scopes
from exai.callers import ALL_SCOPES, Caller, Door


@pytest.mark.parametrize("scope", SCOPES)
def test_no_scope_includes_another(scope: str) -> None:
    caller = Caller("someone", Door.HTTP, scopes=frozenset({scope}))
    assert [each for each in SCOPES if caller.may(each)] == [scope]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_local_user_may_do_everything(scope: str) -> None:
    assert Caller.local(Door.STDIO).may(scope)


def test_words_of_others_allow_nothing() -> None:
    assert known_scopes(["openid", "profile", ALL_SCOPES, "", "Admin", "files "]) == frozenset()
    assert known_scopes(["openid", "tools:models"]) == {"tools:models"}
    hash(known_scopes(["files"]))  # callers are looked up by what they are


def test_a_token_whose_maker_named_no_scopes_cannot_administrate() -> None:
    assert SCOPES.keys() >= DEFAULT_SCOPES
    assert not DEFAULT_SCOPES & {"admin", "dashboard", "files", "errors"}
