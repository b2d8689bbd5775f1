"""`pushhub token revoke`, against a real hub."""

import json
import time

import jwt
import pytest

from tests.auth.signing import SECRET
from tests.cli.running import pushhub


def token(**claims: object) -> str:
    return jwt.encode({"exp": int(time.time()) + 60, **claims}, SECRET, "HS256")


def test_a_token_by_its_own_names(hub_url: str) -> None:
    for given, text in ((token(jti="t1"), None), ("-", token(jti="t2") + "\n")):
        done = pushhub("token", "revoke", given, "--url", hub_url, "--json", input=text)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["jti"] in ("t1", "t2")


def test_by_id(hub_url: str) -> None:
    until = str(time.time() + 60)
    done = pushhub("token", "revoke", "--jti", "t3", "--expires-at", until, "--url", hub_url)
    assert (done.exit_code, done.stdout) == (0, "Revoked.\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--subject"),
        (["--jti", "a", "--name", "b"], 2, "one of"),
        (["nonsense"], 2, "not a token"),
        ([token()], 2, "no 'jti'"),
        ([token(jti="t", exp=5)], 2, "expired"),
        (["--subject", "juliet"], 1, "token_max_seconds"),
        (["--name", "nobody"], 1, "no API key 'nobody'"),
    ],
)
def test_what_is_refused(hub_url: str, arguments: list[str], code: int, said: str) -> None:
    done = pushhub("token", "revoke", *arguments, "--url", hub_url)
    assert done.exit_code == code
    assert said in done.stderr
