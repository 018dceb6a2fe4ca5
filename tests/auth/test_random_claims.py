"""Claims at random, properly signed: whatever they are, the verifier answers, and believes what the rules say alone."""

import hmac
import json
import math
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from exai.auth.jws import InvalidToken, encoded, take_apart
from exai.auth.scopes import SCOPES
from exai.auth.verifier import Proof, Rule, Verifier
from exai.auth.verifying_key import SharedSecret, VerifyingKey

SECRET = bytes(range(32))
NOW = 1_700_000_000.0
LEEWAY_S = 30.0
REQUIRED = ("iss", "aud", "sub", "jti", "iat", "exp")


async def find_key(_kid: str | None) -> VerifyingKey:
    return SharedSecret(SECRET)


VERIFIER = Verifier(
    tuple(
        Rule(
            name=name,
            issuer=issuer,
            audience="exai",
            algorithms=frozenset({"HS256"}),
            kinds=frozenset({"at+jwt"}),
            find_key=find_key,
            leeway_s=LEEWAY_S,
        )
        for name, issuer in (("exai", "exai"), ("team", "https://login.example"))
    )
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
near_now = st.floats(NOW - 90_000, NOW + 90_000) | st.integers(int(NOW) - 100, int(NOW) + 100)
good = {
    "iss": st.sampled_from(["exai", "https://login.example"]),
    "aud": st.just("exai"),
    "sub": st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=256),
    "jti": st.from_regex(r"[0-9a-f]{16}(\.[0-9a-f]{16})?", fullmatch=True),
    "iat": near_now,
    "exp": near_now,
    "nbf": near_now,
    "scope": st.lists(st.sampled_from(sorted(SCOPES)) | st.text(max_size=5), max_size=4).map(" ".join),
    "typ": st.sampled_from(["Bearer", "ID", "Refresh"]),
}
claims = st.fixed_dictionaries(
    {name: good[name] | anything for name in REQUIRED},
    optional={name: good[name] | anything for name in ("nbf", "scope", "typ")},
)
good_claims = st.fixed_dictionaries(
    {name: good[name] for name in REQUIRED}, optional={name: good[name] for name in ("nbf", "scope", "typ")}
)


def verified(body: str, header: object = None) -> Proof | None:
    head = json.dumps({"alg": "HS256", "typ": "at+jwt"} if header is None else header)
    signed = ".".join(encoded(part.encode("utf-8", "surrogatepass")) for part in (head, body))
    token = f"{signed}.{encoded(hmac.digest(SECRET, signed.encode(), 'sha256'))}"
    try:
        VERIFIER.verify(token, NOW).send(None)  # waits for nothing, so that it needs no loop
    except StopIteration as done:
        proof: Proof = done.value
        return proof
    except InvalidToken:
        return None
    raise AssertionError("it waited for something")


def is_moment(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and 0 <= value < 253_402_300_800


def is_name(value: Any) -> bool:
    return type(value) is str and 1 <= len(value) <= 256 and value.isprintable()


def deserves_belief(body: dict[str, Any]) -> bool:
    """The rules once more, said another way."""
    is_own = body["iss"] == "exai"
    audience, scope, kind = body["aud"], body.get("scope", ""), body.get("typ")
    starts = body.get("nbf", body["iat"])
    return (
        body["iss"] in ("exai", "https://login.example")
        and (
            audience == "exai"
            or (
                not is_own
                and type(audience) is list
                and "exai" in audience
                and all(type(each) is str for each in audience)
            )
        )
        and is_name(body["sub"])
        and not (is_own and ":" in body["sub"])
        and is_name(body["jti"])
        and all(is_moment(value) for value in (body["iat"], body["exp"], starts))
        and max(body["iat"], starts) <= NOW + LEEWAY_S
        and body["iat"] < body["exp"] <= body["iat"] + 86_400
        and (
            scope is None
            or type(scope) is str
            or (type(scope) is list and all(type(s) is str for s in scope))
        )
        and (is_own or type(kind) is not str or kind.lower() not in {"id", "refresh", "logout", "offline"})
    )


@settings(max_examples=400)
@given(claims | good_claims)
@example(dict.fromkeys(REQUIRED, True))
@example(dict.fromkeys(REQUIRED))
def test_what_is_believed_is_what_the_rules_say(body: dict[str, Any]) -> None:
    text = json.dumps(body)
    proof = verified(text)
    if "NaN" in text or "Infinity" in text or len(text) > 5_000:
        return  # not JSON, or longer than a token may be; that neither is believed, the corpus shows
    assert (proof is not None) == deserves_belief(body)
    if proof is not None:
        assert proof.scopes <= SCOPES.keys()
        assert (":" in proof.subject) or body["iss"] == "exai"
        assert proof.credential.expires_at is not None
        assert proof.credential.expires_at - body["exp"] in (0, LEEWAY_S)


@settings(max_examples=200)
@given(anything | st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "b64"]), anything))
def test_no_header_at_random_is_believed_or_breaks_anything(header: object) -> None:
    body = {"iss": "exai", "aud": "exai", "sub": "a", "jti": "b", "iat": NOW - 1, "exp": NOW + 60}
    assert verified(json.dumps(body)) is not None
    assert verified(json.dumps(body), {} if header is None else header) is None


@settings(max_examples=400)
@given(st.text(max_size=60) | st.text("ABCabc019-_.=", max_size=60) | st.binary(max_size=60).map(encoded))
def test_text_at_random_is_taken_apart_or_refused(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}", f"{encoded(text.encode('utf-8', 'surrogatepass'))}.e30.AA"):
        try:
            parts = take_apart(token)
        except InvalidToken:
            continue
        assert isinstance(parts.claims, dict)
