"""What a refusal says beside its status."""

from exai.errors import BadArguments, ScopeMissing, StoreFailed, TooManyAttempts, Unauthenticated
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


def test_a_fault_that_passes_says_when_to_ask_again() -> None:
    for fault, seconds in (
        (TooManyAttempts("Later.", retry_after_s=0.2), b"1"),
        (StoreFailed("Away.", retry_after_s=7.4), b"7"),
        (StoreFailed("Away."), b"5"),
    ):
        assert refusal_headers(fault) == ((b"retry-after", seconds),)
    assert refusal_headers(BadArguments("Never.")) == ()
