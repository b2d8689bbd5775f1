"""`pushhub token`: make tokens and check them."""

import asyncio
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import jwt
import orjson
import typer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pushhub.auth.jwks import Jwks, JwksError
from pushhub.auth.jwks_source import read_jwks
from pushhub.auth.revocation import Revocations
from pushhub.auth.tokens import TokenError, TokenKeyError, Tokens
from pushhub.cli.client import secret_of_file
from pushhub.cli.config import Json
from pushhub.cli.flags import ConfigFile, read_settings
from pushhub.cli.key import Patterns
from pushhub.cli.revoke import revoke
from pushhub.cli.terminal import USAGE, fail, say, say_json
from pushhub.log.grant import GrantError, grant_from_claim
from pushhub.settings import Settings
from pushhub.settings.access import HMAC_BYTES

app = typer.Typer(help="Make and check tokens for pages and apps.", no_args_is_help=True)

app.command("revoke", short_help="Revoke tokens or a key.")(revoke)

# As many as a UUID: two tokens never share an id (RFC 7519 §4.1.7).
JTI_BYTES = 16

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command(short_help="Make a token.")
def new(
    read: Patterns = None,
    publish: Patterns = None,
    manage: Patterns = None,
    subject: Annotated[str, typer.Option(help="The subject of the token: its 'sub'.")] = "",
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="The lifetime of the token: 30s, 15m, 1h or 7d.")
    ] = "1h",
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The signing key: a file with an HMAC secret or a private PEM."
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="PUSHHUB_TOKEN_SECRET",
            callback=secret_of_file,
            help="The HMAC secret; safer in the variable, or in the file that "
            "PUSHHUB_TOKEN_SECRET_FILE names, because other users see your commands.",
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a token, signed with the given key, else with the first HMAC key of the settings."""
    lists = {"read": read or [], "publish": publish or [], "manage": manage or []}
    claim = {action: patterns for action, patterns in lists.items() if patterns}
    if not claim:
        fail("The token needs rights, such as --read 'news:*'.", code=USAGE)
    try:
        grant_from_claim(claim)
    except GrantError as error:
        fail(str(error), code=USAGE)
    settings = read_settings(config).settings
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + seconds(expires), "pushhub": claim}
    claims["jti"] = secrets.token_hex(JTI_BYTES)
    if subject:
        claims["sub"] = subject
    if settings.token_audience is not None:
        claims["aud"] = settings.token_audience
    if settings.token_issuer is not None:
        claims["iss"] = settings.token_issuer
    key, algorithm, kid = _signing_key(key_file, secret, settings)
    token = jwt.encode(claims, key, algorithm, {"kid": kid} if kid else None)
    if as_json:
        say_json({"token": token, "claims": claims})
    else:
        say(token)


@app.command()
def check(
    token: Annotated[str, typer.Argument(help="The token; '-' reads it from standard input.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Verify a token as a server with these settings would. Exit code 1: the server rejects it."""
    settings = read_settings(config).settings
    token = (sys.stdin.read() if token == "-" else token).strip()
    jwks = None
    try:
        if settings.token_jwks is not None:
            jwks = Jwks(time.time, settings.token_jwks_grace)
            jwks.replace(asyncio.run(read_jwks(settings.token_jwks)))
    except JwksError as error:
        fail(f"token_jwks: {error}")
    try:
        tokens = Tokens(
            settings.token_keys,
            now=time.time,
            audience=settings.token_audience,
            issuer=settings.token_issuer,
            revocations=Revocations(time.time, settings.token_max_seconds),
            jwks=jwks,
        )
    except TokenKeyError as error:
        fail(str(error), code=USAGE)
    wrong = None
    try:
        tokens.grant(token)
    except TokenError as error:
        wrong = str(error)
    claims = _claims(token)
    if as_json:
        say_json({"ok": wrong is None, "problem": wrong, "claims": claims})
        raise typer.Exit(1 if wrong else 0)
    if claims is not None:
        say(orjson.dumps(claims, option=orjson.OPT_INDENT_2).decode())
    if wrong:
        fail(wrong)
    say("The token is valid.")


def seconds(text: str) -> int:
    """A length of time such as `90`, `30s`, `15m`, `1h` or `7d`, in seconds; at most ten years."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text, re.ASCII)
    length = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < length <= 10 * 366 * 86_400:
        fail(
            f"A time must be a number with s, m, h or d, up to ten years; not {text!r}.", code=USAGE
        )
    return length


def _claims(token: str) -> dict[str, Any] | None:
    """The claims of a token with any signature; None if it is no token."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        orjson.dumps(claims)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return claims


def _signing_key(
    file: Path | None, secret: str | None, settings: Settings
) -> tuple[Any, str, str | None]:
    """The key, its algorithm and its id."""
    if file is not None:
        try:
            material = file.read_bytes().rstrip(b"\r\n")
        except OSError as error:
            fail(f"The key file {file} cannot be read: {error.strerror}.", code=USAGE)
        if b"-----BEGIN " in material:
            return *_private_key(material), None
        return _long_enough(material), "HS256", None
    if secret is not None:
        return _long_enough(secret.encode()), "HS256", None
    for entry in settings.token_keys:
        if entry.algorithm in HMAC_BYTES:
            return entry.material(), entry.algorithm, entry.kid
    fail(
        "The settings have no HMAC token key to sign with. Give --key-file or --secret, or add to "
        'pushhub.toml: [[token_keys]], algorithm = "HS256", and key = the output of '
        "`openssl rand -base64 32`.",
        code=USAGE,
    )


def _long_enough(secret: bytes) -> bytes:
    if len(secret) < HMAC_BYTES["HS256"]:
        fail("An HMAC secret has at least 32 bytes: openssl rand -base64 32", code=USAGE)
    return secret


def _private_key(pem: bytes) -> tuple[Any, str]:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        fail("The key file is no private key as PEM without a password.", code=USAGE)
    match key:
        case rsa.RSAPrivateKey():
            return key, "RS256"
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return key, "ES256"
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return key, "ES384"
        case ed25519.Ed25519PrivateKey():
            return key, "EdDSA"
    fail("The private key's type cannot sign tokens.", code=USAGE)
