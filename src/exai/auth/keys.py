"""Pairs of keys that sign and verify: one algorithm per key, which a token never chooses (RFC 8725, 3.1).

It needs 7 MB of cryptography, so what most processes do without is asked of it by a `LaterModule`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from exai.auth.jws import InvalidToken, decoded, encoded
from exai.auth.verifying_key import OwnAlgorithm, VerifyingKey

__all__ = [
    "PrivateKey",
    "from_jwk",
    "from_public_pem",
    "generate",
    "kid_of",
    "load_private",
    "private_pem",
    "public_pem",
    "sign",
    "to_jwk",
]

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_LEAST_RSA_BITS, _MOST_RSA_BITS = 2_048, 8_192
_P256_COORDINATE = 32


@dataclass(frozen=True, slots=True)
class _Es256:
    key: ec.EllipticCurvePublicKey
    algorithm: str = "ES256"

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * _P256_COORDINATE:
            return False
        r, s = (
            int.from_bytes(half, "big")
            for half in (signature[:_P256_COORDINATE], signature[_P256_COORDINATE:])
        )
        try:
            self.key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _EdDsa:
    key: ed25519.Ed25519PublicKey
    algorithm: str = "EdDSA"

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        try:
            self.key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Rs256:
    key: rsa.RSAPublicKey
    algorithm: str = "RS256"

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        try:
            self.key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def generate(algorithm: OwnAlgorithm) -> PrivateKey:
    """Generate a key to sign with."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def sign(key: PrivateKey, kid: str, kind: str, claims: Mapping[str, Any]) -> str:
    """Sign claims as a token."""
    is_curve = isinstance(key, ec.EllipticCurvePrivateKey)
    header = {"alg": "ES256" if is_curve else "EdDSA", "kid": kid, "typ": kind}
    signed = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_P256_COORDINATE, "big") + s.to_bytes(_P256_COORDINATE, "big")
    else:
        signature = key.sign(signed.encode())
    return f"{signed}.{encoded(signature)}"


def private_pem(key: PrivateKey) -> bytes:
    """Encode a private key as PKCS 8, without a password: the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private(pem: bytes) -> PrivateKey | None:
    """Load a key from a file's content; `None` for what EXAI does not sign with."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def public_pem(key: PrivateKey) -> str:
    """Encode the public half of a key."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode("ascii")
    )


def kid_of(public: str) -> str:
    """Derive a key's `kid`: a fingerprint of its public half."""
    return hashlib.sha256(public.encode("ascii")).hexdigest()[:24]


def from_public_pem(pem: str) -> VerifyingKey | None:
    """Load a public key; `None` for what EXAI does not sign with."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return _verifying(key)
    return None


def to_jwk(kid: str, pem: str) -> dict[str, str]:
    """Encode a public key for a JWKS (RFC 7517, RFC 8037)."""
    key = serialization.load_pem_public_key(pem.encode())
    common = {"kid": kid, "use": "sig"}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        x, y = (encoded(number.to_bytes(_P256_COORDINATE, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", **common}
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw), "alg": "EdDSA", **common}


def from_jwk(jwk: Mapping[str, Any]) -> VerifyingKey | None:
    """Load an entry of a JWKS; `None` for one that is broken, weak, private or for another use."""
    if jwk.get("use", "sig") != "sig" or "verify" not in _operations(jwk) or "d" in jwk or "k" in jwk:
        return None
    try:
        key = _public_key(jwk)
    except (KeyError, TypeError, AttributeError, ValueError, InvalidToken, UnsupportedAlgorithm):
        return None
    verifying = None if key is None else _verifying(key)
    if verifying is None or jwk.get("alg", verifying.algorithm) != verifying.algorithm:
        return None
    return verifying


def _operations(jwk: Mapping[str, Any]) -> list[Any]:
    operations = jwk.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _public_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    match jwk.get("kty"), jwk.get("crv"):
        case "EC", "P-256":
            x, y = (decoded(jwk[name]) for name in ("x", "y"))
            if len(x) != _P256_COORDINATE or len(y) != _P256_COORDINATE:
                return None
            point = ec.EllipticCurvePublicNumbers(
                int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
            )
            return point.public_key()
        case "OKP", "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(decoded(jwk["x"]))
        case "RSA", _:
            modulus, exponent = (int.from_bytes(decoded(jwk[name]), "big") for name in ("n", "e"))
            if not _LEAST_RSA_BITS <= modulus.bit_length() <= _MOST_RSA_BITS or not 3 <= exponent < 2**32:
                return None
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        case _:
            return None


def _verifying(key: PublicKey) -> VerifyingKey | None:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _EdDsa(key)
    if isinstance(key, rsa.RSAPublicKey):
        return _Rs256(key)
    return _Es256(key) if isinstance(key.curve, ec.SECP256R1) else None
