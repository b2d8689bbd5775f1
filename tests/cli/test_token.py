import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.auth.signing import NOW, OTHER_SECRET, SECRET, private_key, public_key, sign
from tests.cli.running import pushhub

HMAC = f"""
[[token_keys]]
algorithm = "HS512"
kid = "2026"
key = "{SECRET.decode()}"
"""


def test_a_new_token_is_good() -> None:
    Path("pushhub.toml").write_text('token_audience = "hub"\ntoken_issuer = "us"\n' + HMAC)
    made = pushhub(
        "token", "new", "--read", "a", "--read", "b*", "--manage", "*", "--subject", "me"
    )
    assert made.exit_code == 0, made.stderr
    checked = pushhub("token", "check", made.stdout.strip(), "--json")
    assert checked.exit_code == 0
    result = json.loads(checked.stdout)
    assert result["ok"] is True
    claims = result["claims"]
    assert claims["pushhub"] == {"read": ["a", "b*"], "manage": ["*"]}
    assert (claims["sub"], claims["aud"], claims["iss"]) == ("me", "hub", "us")
    assert claims["exp"] - claims["iat"] == 3600
    by_hand = pushhub("token", "check", "-", input=made.stdout)
    assert by_hand.stdout.endswith("The token is valid.\n")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("15m", 900), ("2h", 7200), ("7d", 604_800)]
)
def test_how_long_it_is_good(text: str, seconds: int) -> None:
    arguments = ["--read", "a", "--secret", SECRET.decode(), "--expires", text, "--json"]
    claims = json.loads(pushhub("token", "new", *arguments).stdout)["claims"]
    assert claims["exp"] - claims["iat"] == seconds
    assert abs(claims["iat"] - time.time()) < 60


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "EdDSA"])
def test_private_keys_sign_by_their_kind(algorithm: str) -> None:
    Path("private.pem").write_bytes(
        private_key(algorithm).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    Path("public.pem").write_bytes(public_key(algorithm))
    Path("pushhub.toml").write_text(
        f'[[token_keys]]\nalgorithm = "{algorithm}"\nkey_file = "public.pem"\n'
    )
    made = pushhub("token", "new", "--read", "a", "--key-file", "private.pem")
    assert pushhub("token", "check", made.stdout.strip()).exit_code == 0, made.stderr


def test_a_secret_comes_from_a_file_or_the_environment() -> None:
    Path("hub.toml").write_text(HMAC.replace("HS512", "HS256").replace('kid = "2026"', ""))
    Path("secret").write_bytes(SECRET + b"\n")
    of_file = pushhub("token", "new", "--read", "a", "--key-file", "secret")
    of_env = pushhub("token", "new", "--read", "a", PUSHHUB_TOKEN_SECRET=SECRET.decode())
    for made in (of_file, of_env):
        checked = pushhub("token", "check", made.stdout.strip(), "--config", "hub.toml")
        assert checked.exit_code == 0, checked.stderr


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (sign("HS512", exp=int(NOW) - 10**9), "expired at 1995-05-09T06:13:20Z"),
        (sign("HS512", OTHER_SECRET, exp=int(NOW) + 10**9), "signature"),
        (sign("HS512", headers={"kid": "2025"}), "no token key with the id '2025'"),
        (sign("HS256"), "its key is for HS512"),
        ("garbage", "This is neither an API key nor a token"),
        ("phk_" + "x" * 43, "This is an API key; only a token (JWT) can be used here."),
    ],
)
def test_check_explains_invalid_tokens(token: str, told: str) -> None:
    Path("pushhub.toml").write_text(HMAC)
    result = pushhub("token", "check", token)
    assert result.exit_code == 1
    assert told in result.stderr
    as_json = json.loads(pushhub("token", "check", token, "--json").stdout)
    assert as_json["ok"] is False
    assert told in as_json["problem"]
    assert (as_json["claims"] is None) is ("." not in token)


def test_mistakes_are_sentences() -> None:
    secret = ["--secret", SECRET.decode()]
    Path("bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    for arguments, told in (
        (secret, "The token needs rights"),
        (["--read", "a*b", *secret], "before its end"),
        (["--read", "a", "--expires", "soon", *secret], "not 'soon'"),
        (["--read", "a", "--expires", "0", *secret], "not '0'"),
        (["--read", "a", "--secret", "short"], "at least 32 bytes"),
        (["--read", "a", "--key-file", "none"], "cannot be read: No such file"),
        (["--read", "a", "--key-file", "bad.pem"], "no private key"),
        (["--read", "a"], "no HMAC token key to sign with"),
    ):
        result = pushhub("token", "new", *arguments)
        assert result.exit_code == 2
        assert told in result.stderr
