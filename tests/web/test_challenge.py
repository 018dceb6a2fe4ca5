"""What a refusal says beside its status."""

from exai.errors import ScopeMissing, StoreFailed, TooManyAttempts, Unauthenticated
from exai.web.challenge import refusal_headers

METADATA = "http://localhost:8079/.well-known/oauth-protected-resource/mcp"


def test_a_challenge_without_a_token_has_no_error_and_names_the_scope() -> None:
    fault = Unauthenticated("A token is needed.", presented=False)
    assert refusal_headers(fault) == ((b"www-authenticate", b'Bearer realm="exai"'),)
    told = refusal_headers(fault, asks_for=["a", "b"], metadata_url=METADATA)
    value = f'Bearer realm="exai", scope="a b", resource_metadata="{METADATA}"'
    assert told == ((b"www-authenticate", value.encode()),)


def test_a_token_that_is_not_believed_is_an_error_whose_sentence_cannot_leave_its_quotes() -> None:
    fault = Unauthenticated('Not "this", \\one\u2026', presented=True)
    value = b'Bearer realm="exai", error="invalid_token", error_description="Not this, one?"'
    assert refusal_headers(fault) == ((b"www-authenticate", value),)


def test_a_scope_that_is_missing_is_named_alone() -> None:
    fault = ScopeMissing("Needs more.", scope="tools:models tools:search")
    value = b'Bearer realm="exai", error="insufficient_scope", scope="tools:models tools:search", '
    ((name, told),) = refusal_headers(fault, asks_for=["tools:status"])
    assert name == b"www-authenticate"
    assert told.startswith(value)
    assert b"tools:status" not in told


def test_only_who_tried_too_often_gets_retry_after() -> None:
    assert refusal_headers(TooManyAttempts("Later.", retry_after_s=0.2)) == ((b"retry-after", b"1"),)
    assert refusal_headers(StoreFailed("Away.")) == ()
