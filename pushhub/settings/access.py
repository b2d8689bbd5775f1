"""The configured credentials: API keys, and the keys that verify tokens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from pushhub.log.channel import ChannelNameError, Patterns
from pushhub.log.event import check_label
from pushhub.settings.field import ACCESS, setting

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"
]

# An HMAC key shorter than its hash can be guessed offline from one token (RFC 7518 §3.2).
HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}

# A PEM is a few kilobytes; the path of an endless device must not hang the start.
MAX_KEY_FILE_BYTES = 64 * 1024

_KEY_SET = re.compile(
    r"(https?)://([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[\x21-\x22\x24-\x7e]*)?"
)

SHA256_PATTERN = r"^[0-9a-f]{64}$"

LONGEST_TOKEN = (
    "The longest life of a token, from `iat` to `exp`; 0 for no bound. With a bound every token "
    "needs `iat`, and the tokens of a subject can be revoked."
)

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ApiKey(BaseModel):
    """An API key of a back end or an operator. Only the hash of its secret is configured."""

    model_config = _STRICT

    name: Annotated[
        str,
        Field(
            min_length=1, max_length=255, description="The user of the key, for logs and messages."
        ),
    ]
    sha256: Annotated[
        str,
        Field(
            pattern=SHA256_PATTERN,
            description="SHA-256 of the secret, in hexadecimal; `pushhub key new` prints it.",
        ),
    ]
    read: Annotated[list[str], Field(description="Patterns of channels that it may read.")] = []
    publish: Annotated[
        list[str], Field(description="Patterns of channels that it may publish to.")
    ] = []
    manage: Annotated[
        list[str],
        Field(
            description="Patterns of channels that it may delete and list; `*` makes it an admin "
            "key."
        ),
    ] = []

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        return check_label(name, "API key's name")

    @field_validator("read", "publish", "manage")
    @classmethod
    def _patterns(cls, texts: list[str]) -> list[str]:
        try:
            Patterns(texts)
        except ChannelNameError as error:
            raise ValueError(str(error)) from None
        return texts

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if not (self.read or self.publish or self.manage):
            raise ValueError("An API key without read, publish and manage allows nothing.")
        return self


class TokenKey(BaseModel):
    """A key that verifies tokens (JWT). Several keys at a time allow their rotation."""

    model_config = _STRICT

    algorithm: Annotated[
        Algorithm,
        Field(
            description="The algorithm of the tokens' signatures; a token cannot choose another."
        ),
    ]
    key: Annotated[
        SecretStr | None, Field(description="The HMAC secret, or the public key as PEM.")
    ] = None
    key_file: Annotated[
        Path | None,
        Field(description="A file with the same content; relative to the folder of the TOML file."),
    ] = None
    kid: Annotated[
        str | None,
        Field(min_length=1, max_length=255, description="The key's id, as tokens name it."),
    ] = None

    # Part of equality: a reload notices another content of the same file.
    _material: bytes = PrivateAttr(b"")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("A token key has either key or key_file.")
        self._material = material = self._read()
        if b"PRIVATE KEY-----" in material:
            raise ValueError(
                "This is a private key, which belongs to the signer of the tokens; give its public "
                "half (openssl pkey -in private.pem -pubout)."
            )
        pem = b"-----BEGIN " in material
        if least := HMAC_BYTES.get(self.algorithm):
            if pem:
                raise ValueError(
                    f"A PEM is no {self.algorithm} secret: anyone with the public key could sign "
                    "tokens. Name its own algorithm, such as RS256 or ES256."
                )
            if len(material) < least:
                raise ValueError(
                    f"An {self.algorithm} secret has at least {least} bytes, not {len(material)}; "
                    f"make one with: openssl rand -base64 {least}"
                )
        elif not pem:
            raise ValueError(
                f"The key of {self.algorithm} is a public key as PEM (-----BEGIN PUBLIC KEY-----)."
            )
        return self

    @property
    def is_secret(self) -> bool:
        """Whether the key is a secret, which also signs tokens; else it is a public key."""
        return self.algorithm in HMAC_BYTES

    def material(self) -> bytes:
        """The key as bytes: an HMAC secret, or a PEM; the line end of a key file is not part of it.
        The file was read once, at the start or the last reload.
        """
        return self._material

    def _read(self) -> bytes:
        if self.key is not None:
            return self.key.get_secret_value().encode()
        assert self.key_file is not None
        try:
            with self.key_file.open("rb") as file:
                material = file.read(MAX_KEY_FILE_BYTES + 1)
        except OSError as error:
            raise ValueError(
                f"The key file {self.key_file} cannot be read: {error.strerror}."
            ) from None
        if len(material) > MAX_KEY_FILE_BYTES:
            raise ValueError(f"The key file {self.key_file} is larger than a key can be.")
        if material.endswith(b"\n"):
            material = material.removesuffix(b"\n").removesuffix(b"\r")
        return material


class TokenSettings(BaseModel):
    """The settings of tokens and of the keys that verify them; part of `Settings`."""

    token_keys: Annotated[
        list[TokenKey],
        setting(
            ACCESS,
            "The keys that verify tokens (JWT): `algorithm` (HS256, HS384, HS512, RS256, RS384, "
            "RS512, PS256, ES256, ES384 or EdDSA), `key` or `key_file` (an HMAC secret or a public "
            "key as PEM), and `kid`, optional.",
            secret=True,
            max_length=100,
            reload=True,
        ),
    ] = []
    token_audience: Annotated[
        str | None,
        setting(
            ACCESS,
            "The audience that the `aud` of a token must contain.",
            min_length=1,
            reload=True,
        ),
    ] = None
    token_issuer: Annotated[
        str | None,
        setting(
            ACCESS, "The issuer that the `iss` of a token must equal.", min_length=1, reload=True
        ),
    ] = None
    token_max_seconds: Annotated[
        int, setting(ACCESS, LONGEST_TOKEN, unit="s", ge=0, le=31_536_000)
    ] = 0
    token_jwks: Annotated[
        str | None,
        setting(
            ACCESS,
            "The key set (JWKS) of an identity provider: its URL (`https://…`), or a file. Its "
            "keys verify tokens beside `token_keys`; set `token_issuer` and `token_audience`, too.",
            min_length=1,
            max_length=2048,
        ),
    ] = None
    # Providers publish a new key hours before they use it; Auth0's header says 15 s, Keycloak's
    # adapters wait 10 minutes.
    token_jwks_seconds: Annotated[
        int,
        setting(
            ACCESS,
            "The interval at which the key set is read again. A token with an unknown key id also "
            "causes a read, at most every 30 s.",
            unit="s",
            ge=10,
            le=86_400,
        ),
    ] = 600
    # Access tokens live for 5 minutes to a day.
    token_jwks_grace: Annotated[
        int,
        setting(
            ACCESS,
            "The time that a key is still valid after it has left the key set.",
            unit="s",
            ge=0,
            le=604_800,
        ),
    ] = 3600

    @field_validator("token_jwks")
    @classmethod
    def _is_key_set(cls, where: str | None) -> str | None:
        if where is None or "://" not in where:
            if where is not None and "\0" in where:
                raise ValueError("The path of a key set has no NUL.")
            return where
        if not (found := _KEY_SET.fullmatch(where)) or int(found[3] or 1) not in range(1, 65_536):
            raise ValueError("A key set is https://host/path, without a user, or a file.")
        if found[1] == "http" and found[2] not in ("127.0.0.1", "[::1]", "localhost"):
            raise ValueError(
                "A key set comes over https: with http anyone on the way could replace the keys. "
                "Only a provider on this machine may use http."
            )
        return where
