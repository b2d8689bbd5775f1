"""Keys to sign and verify with, one pair for each algorithm, and tokens made with them."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef" * 4
OTHER_SECRET = b"fedcba9876543210" * 4
ALGORITHMS = [
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256"),
    *("ES256", "ES384", "EdDSA"),
]


@dataclass(frozen=True)
class Key:
    """A key as it is configured."""

    algorithm: str
    data: bytes
    kid: str | None = None

    def material(self) -> bytes:
        return self.data


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def private_key(algorithm: str) -> Any:
    match algorithm[:2]:
        case "HS":
            return SECRET
        case "RS" | "PS":
            return _rsa_key()
        case "ES":
            return ec.generate_private_key(
                ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1()
            )
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public_key(algorithm: str) -> bytes:
    private = private_key(algorithm)
    if isinstance(private, bytes):
        return private
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def sign(
    algorithm: str = "HS256", key: Any = None, headers: dict[str, Any] | None = None, **claims: Any
) -> str:
    """A token that allows to read, good for a minute; a claim that is None is left out."""
    everything = {"exp": int(NOW) + 60, "pushhub": {"read": ["news:*"]}, **claims}
    present = {name: value for name, value in everything.items() if value is not None}
    return jwt.encode(present, key or private_key(algorithm), algorithm, headers)


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A token as an attacker makes it: whatever header, and an HMAC of whatever secret."""
    signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
    return f"{signed}.{_base64(mac)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
