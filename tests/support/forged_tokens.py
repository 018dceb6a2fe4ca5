"""Tokens that must not be believed: every one is wrong in one way, and most are signed by the genuine key.

`forged(signer)` makes them for an issuer whose key the test holds: `own_signer` for EXAI's own, from a token and the
data folder. What the signer itself signs, unchanged, must be believed; otherwise a refusal would prove nothing.
"""

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

__all__ = [
    "Forged",
    "PrivateKey",
    "Signer",
    "base64url",
    "forged",
    "own_signer",
    "public_spellings",
    "signature_by",
]

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DAY_S = 86_400.0

Sign = Callable[[bytes], bytes]
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Forged:
    """A token with what is wrong about it."""

    name: str
    token: str


@dataclass(frozen=True)
class Signer:
    """An issuer as its thief knows it."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    """Of a token that is good now; `iat` and `exp` are around the present."""
    sign: Sign
    public: tuple[bytes, ...] = ()
    """Spellings of the public key, which some verifiers took for a secret."""
    is_own: bool = True

    def token(self, header: Any = None, claims: Any = None, sign: Sign | None = None) -> str:
        """A token with these instead of its own; texts go in letter by letter."""
        head = self.header if header is None else header
        body = self.claims if claims is None else claims
        signed = f"{_part(head)}.{_part(body)}".encode()
        return f"{signed.decode()}.{base64url((sign or self.sign)(signed))}"


def base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature_by(key: PrivateKey) -> Sign:
    """Signs as JWS wants it."""

    def sign(signed: bytes) -> bytes:
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(signed)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def public_spellings(key: PrivateKey) -> tuple[bytes, ...]:
    """A key's public half as text and as bytes."""
    public, spki = key.public_key(), serialization.PublicFormat.SubjectPublicKeyInfo
    return (
        public.public_bytes(serialization.Encoding.PEM, spki),
        public.public_bytes(serialization.Encoding.DER, spki),
    )


def own_signer(access_token: str, data_dir: Path) -> Signer:
    """The thief of EXAI's own signing key, with a good token as the pattern."""
    header, claims = (json.loads(_decoded(part)) for part in access_token.split(".")[:2])
    pem = (data_dir / "keys" / f"{header['kid']}.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    return Signer(header, claims, signature_by(key), public_spellings(key))


def forged(signer: Signer) -> list[Forged]:
    """The corpus."""
    found = [
        Forged(f"{family}: {name}", token)
        for family, make in (
            ("form", _forms),
            ("header", _headers),
            ("algorithm", _algorithms),
            ("signature", _signatures),
            ("claims", _claims),
        )
        for name, token in make(signer)
    ]
    assert len({each.name for each in found}) == len(found), "two have one name"
    return found


_Cases = Iterator[tuple[str, str]]


def _forms(signer: Signer) -> _Cases:
    good = signer.token()
    head, body, signature = good.split(".")
    plain = {
        "nothing": "",
        "a word": "x",
        "a space": " ",
        "null": "null",
        "dots": "..",
        "a dot": ".",
        "three dots": "...",
        "a NUL in front": "\0" + good,
        "a NUL at the end": good + "\0",
        "a line feed at the end": good + "\n",
        "a line feed inside": f"{head}.{body}\n.{signature}",
        "a space inside": f"{head}. {body}.{signature}",
        "a tab inside": f"{head}\t.{body}.{signature}",
        "a comma and the token again": f"{good},{good}",
        "quotes": f'"{good}"',
        "twice the scheme": f"Bearer {good}",
        "without its head": f".{body}.{signature}",
        "without its body": f"{head}..{signature}",
        "without its signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.{signature}.{signature}",
        "a dot at the end": f"{good}.",
        "a dot in front": f".{good}",
        "head and body changed over": f"{body}.{head}.{signature}",
        "the head twice": f"{head}.{head}.{signature}",
        "longer than 8 KiB": signer.token(claims={**signer.claims, "pad": "x" * 9_000}),
        "a megabyte": "A" * 2**20,
        "a megabyte of dots": "." * 2**20,
        "a long signature": f"{head}.{body}.{signature}" + "A" * 9_000,
        "upper case": good.upper(),
        "lower case": good.lower(),
        "backwards": good[::-1],
        "as hexadecimal": good.encode().hex(),
        "base64 of it": base64url(good.encode()),
        "percent encoding": good.replace(".", "%2E"),
        "JSON serialisation": json.dumps({"payload": body, "protected": head, "signature": signature}),
        "a wide dot": good.replace(".", "\u3002"),
        "letters of another script": "\u0435" + good[1:],
        "the SQL of a thief": "' OR '1'='1",
        "a path": "../../../../etc/passwd",
        "a template": "{{7*7}}",
        "an API key of nobody": "exk_" + "0" * 16 + "_" + "A" * 43,
        "a refresh token of nobody": "exr_" + "0" * 16 + "_" + "A" * 43,
        "an API key with SQL": "exk_' OR 1=1 --_" + "A" * 43,
        "an API key without its secret": "exk_" + "0" * 16 + "_",
    }
    yield from plain.items()
    for name, part in (("head", 0), ("body", 1), ("signature", 2)):
        parts = good.split(".")
        for what, changed in (
            ("padded", parts[part] + "="),
            ("padded twice", parts[part] + "=="),
            ("with a plus", "+" + parts[part][1:]),
            ("with a slash", "/" + parts[part][1:]),
            ("with a star", "*" + parts[part][1:]),
            ("one letter short", parts[part][:-1]),
            ("one letter long", parts[part] + "A"),
            ("of a length that no bytes have", parts[part] + "A" * ((1 - len(parts[part])) % 4 or 4)),
        ):
            yield f"the {name} {what}", ".".join([*parts[:part], changed, *parts[part + 1 :]])
        if (other := _other_spelling(parts[part])) is not None:
            yield f"the {name} spelled otherwise", ".".join([*parts[:part], other, *parts[part + 1 :]])
    for length in range(10, len(good), max(1, len(good) // 12)):
        yield f"cut after {length}", good[:length]
    for name, text in _TEXTS_THAT_ARE_NO_OBJECT.items():
        yield f"the head is {name}", signer.token(header=text)
        yield f"the body is {name}", signer.token(claims=text)


_TEXTS_THAT_ARE_NO_OBJECT = {
    "nothing": "",
    "a list": "[]",
    "a number": "1",
    "a text": '"x"',
    "true": "true",
    "null": "null",
    "cut": '{"alg":',
    "two objects": "{}{}",
    "with a comment": "{}//",
    "a deep list": "[" * 2_000 + "]" * 2_000,
    "a deep object": '{"a":' * 1_000 + "1" + "}" * 1_000,
    "not UTF-8": b"\xff\xfe{}",
    "UTF-16": "{}".encode("utf-16"),
    "with a byte order mark": b"\xef\xbb\xbf{}",
}


def _headers(signer: Signer) -> _Cases:
    header = dict(signer.header)

    def changed(**fields: Any) -> str:
        return signer.token(header={**header, **fields})

    thief = ec.generate_private_key(ec.SECP256R1())
    numbers = thief.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": base64url(numbers.x.to_bytes(32, "big")),
        "y": base64url(numbers.y.to_bytes(32, "big")),
    }
    stolen = {**header, "alg": "ES256", "jwk": jwk}
    yield "brings its own key", signer.token(header=stolen, sign=signature_by(thief))
    yield (
        "brings its own key without a kid",
        signer.token(header=_without(stolen, "kid"), sign=signature_by(thief)),
    )
    for name, value in (
        ("jwk", jwk),
        ("jku", "https://evil.example/keys"),
        ("jku", "http://127.0.0.1/keys"),
        ("x5u", "https://evil.example/cert"),
        ("x5c", ["MIIB"]),
        ("crit", ["exp"]),
        ("crit", []),
        ("crit", None),
        ("b64", False),
        ("b64", True),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
        ("epk", jwk),
    ):
        yield f"{name} {json.dumps(value)[:40]}", changed(**{name: value})
    yield "unencoded body", signer.token(header={**header, "b64": False, "crit": ["b64"]})
    kinds: tuple[Any, ...] = (
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "id+jwt",
        "exai",
        "",
        0,
        True,
        [],
        ["at+jwt"],
        {},
    )
    for kind in kinds:
        yield f"typ {kind!r}", changed(typ=kind)
    if signer.is_own:
        yield "typ missing", signer.token(header=_without(header, "typ"))
        yield "typ JWT", changed(typ="JWT")
    yield "alg twice", signer.token(header=_doubled(header, "alg", "none"))
    yield "typ twice", signer.token(header=_doubled(header, "typ", "at+jwt"))
    yield "NaN in it", signer.token(header=json.dumps({**header, "n": math.nan}))
    yield "Infinity in it", signer.token(header=json.dumps({**header, "n": math.inf}))
    if "kid" not in header:
        return
    yield "kid missing", signer.token(header=_without(header, "kid"))
    yield "kid twice", signer.token(header=_doubled(header, "kid", header["kid"]))
    for kid in _KIDS:
        yield f"kid {str(kid)[:40]!r} {type(kid).__name__}", changed(kid=kid)
    yield "kid in capitals", changed(kid=header["kid"].upper() + "X")
    yield "kid with a space", changed(kid=header["kid"] + " ")


_KIDS: tuple[Any, ...] = (
    None,
    "",
    " ",
    0,
    1.5,
    True,
    [],
    {},
    "0",
    "unknown",
    "../../../../../../dev/null",
    "/dev/null",
    "/etc/passwd",
    "file:///etc/passwd",
    "https://evil.example/key",
    "' OR '1'='1",
    "x' UNION SELECT 'aaaa' --",
    "x'; DROP TABLE tokens; --",
    "$(id)",
    "| id",
    "{{7*7}}",
    "%00",
    "\0",
    "\ud800",
    "\u202e",
    "k" * 5_000,
    "__proto__",
    "\r\nX-Injected: 1",
)


def _algorithms(signer: Signer) -> _Cases:
    header = dict(signer.header)
    algorithms: tuple[Any, ...] = (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " ",
        "null",
        None,
        0,
        True,
        [],
        ["none"],
        {},
    )
    for alg in algorithms:
        head = {**header, "alg": alg}
        yield f"{alg!r} unsigned", f"{_part(head)}.{_part(signer.claims)}."
        yield f"{alg!r} signed", signer.token(header=head)
    yield "missing", signer.token(header=_without(header, "alg"))
    good = header["alg"]
    others = (
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
    )
    for alg in (
        *others,
        "EdDSA",
        "Ed25519",
        "Ed448",
        "A128KW",
        "dir",
        good.lower() + "x",
        good + " ",
        good + "\0",
    ):
        if alg != good:
            yield f"{alg!r} over the genuine signature", signer.token(header={**header, "alg": alg})
    secrets = {f"public key {number}": key for number, key in enumerate(signer.public)}
    secrets |= {
        "empty": b"",
        "a zero byte": b"\0",
        "32 zero bytes": bytes(32),
        "secret": b"secret",
        "changeme": b"changeme",
        "your-256-bit-secret": b"your-256-bit-secret",
        "the issuer": str(signer.claims["iss"]).encode(),
        "the kid": str(header.get("kid", "kid")).encode(),
        "exai": b"exai",
    }
    for name, secret in secrets.items():
        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            yield (
                f"{alg} with {name} as the secret",
                signer.token(header={**header, "alg": alg}, sign=_hmac(secret, digest)),
            )


def _signatures(signer: Signer) -> _Cases:
    good = signer.token()
    signed, _, text = good.rpartition(".")
    genuine = _decoded(text)

    def with_signature(data: bytes) -> str:
        return f"{signed}.{base64url(data)}"

    for position in range(0, len(genuine), max(1, len(genuine) // 16)):
        broken = bytearray(genuine)
        broken[position] ^= 1 << (position % 8)
        yield f"a bit of byte {position} turned", with_signature(bytes(broken))
    half = len(genuine) // 2
    yield "zeros", with_signature(bytes(len(genuine)))
    yield "ones", with_signature(b"\xff" * len(genuine))
    yield "a zero byte", with_signature(b"\0")
    yield "one byte short", with_signature(genuine[:-1])
    yield "one byte long", with_signature(genuine + b"\0")
    yield "one byte in front", with_signature(b"\0" + genuine)
    yield "a zero byte before its second half", with_signature(genuine[:half] + b"\0" + genuine[half:])
    yield "twice", with_signature(genuine * 2)
    yield "its first half", with_signature(genuine[:half])
    yield "its halves changed over", with_signature(genuine[half:] + genuine[:half])
    yield "backwards", with_signature(genuine[::-1])
    yield "the hash of what is signed", with_signature(hashlib.sha256(signed.encode()).digest())
    yield "of other claims", with_signature(signer.sign(b"other"))
    yield "over the claims alone", with_signature(signer.sign(signed.partition(".")[2].encode()))
    yield "over the decoded claims", with_signature(signer.sign(_decoded(signed.partition(".")[2])))
    order = P256_ORDER.to_bytes(32, "big")
    for name, r, s in (
        ("r zero", bytes(32), genuine[32:64]),
        ("s zero", genuine[:32], bytes(32)),
        ("both the order", order, order),
        ("r the order", order, genuine[32:64]),
        ("both one", bytes(31) + b"\1", bytes(31) + b"\1"),
    ):
        yield name, with_signature(r + s)
    if len(genuine) == 64:
        numbers = (int.from_bytes(part, "big") for part in (genuine[:32], genuine[32:]))
        yield "as DER", with_signature(utils.encode_dss_signature(*numbers))
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65_537, 2_048),
    ):
        yield f"by another {type(key).__name__}", signer.token(sign=signature_by(key))
    other = {**signer.claims, "sub": "root", "scope": "admin"}
    head = good.partition(".")[0]
    yield "of a lesser token on a greater one", f"{head}.{_part(other)}.{text}"


def _claims(signer: Signer) -> _Cases:
    claims = dict(signer.claims)

    def changed(**fields: Any) -> str:
        return signer.token(claims={**claims, **fields})

    for name in ("iss", "aud", "exp", "iat", "sub", "jti"):
        yield f"{name} missing", signer.token(claims=_without(claims, name))
        yield f"{name} twice", signer.token(claims=_doubled(claims, name, claims[name]))
        nothings: tuple[Any, ...] = (None, True, False, [], {}, [None], {"a": 1}, "")
        for nothing in nothings:
            yield f"{name} {nothing!r}", changed(**{name: nothing})
    for name in ("iss", "sub", "jti"):
        others: tuple[Any, ...] = (0, 1, 1.5, -1, ["x"], [claims[name]], {"$ne": ""})
        for other in others:
            yield f"{name} {str(other)[:40]} {type(other).__name__}", changed(**{name: other})
    for name in ("sub", "jti"):
        for what, value in (
            ("with a NUL", "a\0b"),
            ("with a line feed", "a\nb"),
            ("that turns the text around", "a\u202eb"),
            ("with a lone surrogate", "a\ud800"),
            ("with a delete", "a\x7f"),
            ("of 5,000 letters", "a" * 5_000),
        ):
            yield f"{name} {what}", changed(**{name: value})
    yield from _issuers_and_audiences(signer, changed)
    yield from _moments(signer, changed)
    yield from _kinds(signer, changed)


def _kinds(signer: Signer, changed: Callable[..., str]) -> _Cases:
    for value in (1, True, {"a": 1}, [1], [None], [["admin"]]):
        yield f"scope {value!r}", changed(scope=value)
    if signer.is_own:
        for subject in (":", "keycloak:alice", "shared:alice", "a:"):
            yield f"sub {subject!r}", changed(sub=subject)
    else:
        for kind in ("ID", "Refresh", "Logout", "Offline"):
            yield f"typ claim {kind}", changed(typ=kind)
        for name in ("at_hash", "c_hash", "events"):
            yield f"{name} of another kind of token", changed(**{name: "x"})


def _issuers_and_audiences(signer: Signer, changed: Callable[..., str]) -> _Cases:
    issuer, audience = signer.claims["iss"], signer.claims["aud"]
    if isinstance(audience, list):
        audience = audience[0]
    for value in (
        f"{issuer}/",
        f" {issuer}",
        f"{issuer}\0",
        issuer + "x",
        issuer[:-1],
        issuer.upper() + "X",
        "https://evil.example",
        "nobody",
        "local",
        "*",
    ):
        yield f"iss {value!r}", changed(iss=value)
    for value in (
        "other",
        f"{audience}/",
        f" {audience}",
        f"{audience}\0",
        audience + "x",
        audience[:-1],
        audience.upper() + "X",
        "*",
        0,
        ["other"],
        [audience + "x"],
        [[audience]],
        [audience, 1],
        [audience, None],
        {audience: True},
        {"aud": audience},
        f"{audience},other",
    ):
        yield f"aud {value!r}", changed(aud=value)
    if signer.is_own:
        yield "aud a list", changed(aud=[audience])
        yield "aud a list of two", changed(aud=[audience, "other"])


def _moments(signer: Signer, changed: Callable[..., str]) -> _Cases:
    now = float(signer.claims["iat"])
    raw = json.dumps(dict(signer.claims))
    for name in ("exp", "iat", "nbf"):
        for value in (
            str(int(now + 60)),
            "",
            "tomorrow",
            -1,
            -1e30,
            1e30,
            1e300,
            10**400,
            [now + 60],
            {"v": now},
        ):
            yield f"{name} {str(value)[:24]} {type(value).__name__}", changed(**{name: value})
        for literal in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999"):
            claims = {**signer.claims, name: "PUT-HERE"}
            yield (
                f"{name} the constant {literal}",
                signer.token(claims=json.dumps(claims).replace('"PUT-HERE"', literal)),
            )
        if name == "nbf":
            continue
        yield (
            f"{name} with a thousand digits",
            signer.token(claims=raw.replace(json.dumps(signer.claims[name]), "1" + "0" * 1_000, 1)),
        )
    yield "over an hour ago", changed(iat=now - 2 * 3_600, exp=now - 3_600)
    yield "over for two minutes", changed(iat=now - 3_600, exp=now - 120)
    yield "over since 1970", changed(iat=0, exp=1)
    yield "over when it was issued", changed(exp=now)
    yield "over before it was issued", changed(exp=now - 1)
    yield "issued in an hour", changed(iat=now + 3_600, exp=now + 7_200)
    yield "issued in two minutes", changed(iat=now + 120, exp=now + 3_600)
    yield "good from an hour on", changed(nbf=now + 3_600)
    yield "good for a hundred years", changed(exp=now + 100 * 365 * DAY_S)
    yield "good for two years", changed(exp=now + 730 * DAY_S)
    yield "in milliseconds", changed(iat=now * 1_000, exp=(now + 3_600) * 1_000)
    yield "issued in 1970", changed(iat=0)
    if not signer.is_own:
        yield "good for two days", changed(exp=now + 2 * DAY_S)


def _part(value: Any) -> str:
    if isinstance(value, bytes):
        return base64url(value)
    text = value if isinstance(value, str) else json.dumps(dict(value), separators=(",", ":"))
    return base64url(text.encode("utf-8", "surrogatepass"))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _doubled(fields: Mapping[str, Any], name: str, value: Any) -> str:
    """JSON in which a name stands twice."""
    return f"{{{json.dumps(name)}: {json.dumps(value)}, {json.dumps(dict(fields))[1:]}"


def _hmac(secret: bytes, digest: str) -> Sign:
    return lambda signed: hmac.digest(secret, signed, digest)


def _other_spelling(part: str) -> str | None:
    """The same bytes with other bits in the last letter, where that has any to spare."""
    if len(part) % 4 not in {2, 3}:
        return None
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]
