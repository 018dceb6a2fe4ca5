"""GLM's signed tokens verify elsewhere, and are reused until shortly before their end."""

import jwt
import pytest

from exai.errors import StartFault
from exai.providers.glm import SignedTokens
from exai.runtime.clock import ManualClock

KEY = "0123456789abcdef.a-secret-that-is-long-enough-for-hs256"


def test_a_token_verifies_with_another_implementation() -> None:
    clock = ManualClock(wall=1_790_000_000.0)
    scheme, _, token = SignedTokens(KEY, clock).authorization().partition(" ")
    assert scheme == "Bearer"
    claims = jwt.decode(
        token, KEY.partition(".")[2], algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
    )
    now_ms = 1_790_000_000_000
    assert claims == {"api_key": "0123456789abcdef", "timestamp": now_ms, "exp": now_ms + 210_000}
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["sign_type"]) == ("HS256", "SIGN")
    assert "a-secret" not in token


def test_a_token_is_reused_for_three_minutes() -> None:
    clock = ManualClock()
    tokens = SignedTokens(KEY, clock)
    first = tokens.authorization()
    clock.advance(179)
    assert tokens.authorization() == first
    clock.advance(1)
    assert tokens.authorization() != first


@pytest.mark.parametrize("key", ["no-dot", ".secret", "id."])
def test_a_key_without_two_halves_cannot_sign(key: str) -> None:
    with pytest.raises(StartFault) as refused:
        SignedTokens(key, ManualClock())
    assert key not in str(refused.value).replace("id.secret", "")
