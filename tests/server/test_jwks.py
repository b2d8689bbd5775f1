"""An identity provider as it is: a real HTTP server with a key set, behind a real hub."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from pushhub.auth.jwks import (
    MAX_JWKS_BYTES,
)
from tests.auth.provider import ED, P256, RSA, Provider, jwk, key_set, provider, token
from tests.cli.running import pushhub
from tests.serving import Server, events_of, serve

SECONDS = 20.0


OPTIONS: dict[str, Any] = {
    "dev": False,
    "control": "127.0.0.1:0",
    "token_issuer": "https://idp.test/",
    "token_audience": "hub",
}


async def status(server: Server, text: str) -> int:
    answer = await server.ask("GET", events_of("c"), {"authorization": f"Bearer {text}"})
    return answer.status


async def until(server: Server, text: str, expected: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await status(server, text) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# -- with a hub ------------------------------------------------------------------------------------


async def test_a_provider_verifies_rotates_and_fails() -> None:
    keys = key_set(jwk(RSA[0], "one"), jwk(P256, "ec"), jwk(ED, "ed"))
    with (
        provider(keys) as idp,
        serve("front", token_jwks=idp.url, metrics_public=True, **OPTIONS) as server,
    ):
        assert idp.requests == 1
        for good in (
            token(RSA[0], "one"),
            token(RSA[0], "one", "PS256"),
            token(P256, "ec", "ES256"),
            token(ED, "ed", "EdDSA"),
            token(RSA[0], None),
        ):
            assert await status(server, good) == 200
        for bad in (
            token(RSA[1], "one"),
            token(RSA[0], "one", iss="https://other.test/"),
            token(RSA[0], "one", aud="other"),
            token(RSA[0], "ec"),
        ):
            assert await status(server, bad) == 401
        assert idp.requests == 1, "no such token causes a read"
        assert await server.metric("pushhub_jwks_keys") == 3

        # The provider has a new key, and a token with it comes before the next read.
        idp.serve(key_set(jwk(RSA[1], "two")))
        assert await status(server, token(RSA[1], "two")) in (503, 200)
        await until(server, token(RSA[1], "two"), 200)
        assert idp.requests == 2
        assert await status(server, token(RSA[0], "one", sub="new")) == 200, "in its grace"

        # Unknown key ids do not flood it.
        answers = await asyncio.gather(
            *(status(server, token(RSA[0], f"unknown-{i}")) for i in range(100))
        )
        assert set(answers) == {401}
        assert idp.requests == 2

        # It fails: the keys stay, and the reason is logged once.
        for body in (b"garbage", b"x" * (MAX_JWKS_BYTES + 1)):
            idp.serve(body)
            before = idp.requests
            server.signal(signal.SIGHUP)
            async with asyncio.timeout(SECONDS):
                while idp.requests == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert await status(server, token(RSA[1], "two", sub=body[:5].decode())) == 200
        idp.stop()
        server.signal(signal.SIGHUP)
        assert await status(server, token(RSA[1], "two", sub="down")) == 200
        idp.start()
        assert not [line for line in server.output.lines if "Traceback" in line]


async def test_a_provider_that_is_down_at_the_start_is_no_refusal_to_start() -> None:
    idp = Provider()
    with serve("front", token_jwks=idp.url, **OPTIONS) as server:
        answer = await server.ask(
            "GET", events_of("c"), {"authorization": f"Bearer {token(RSA[0], 'one')}"}
        )
        assert (answer.status, answer.problem) == (503, "keys-pending")
        assert answer.headers["retry-after"] == "1"
        assert "jwks.failed" in str(server.output)
        idp.serve(key_set(jwk(RSA[0], "one")))
        idp.start()
        await until(server, token(RSA[0], "one"), 200)
        idp.stop()


async def test_a_key_set_of_a_file_is_read_again_on_reload(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(jwk(RSA[0], "one")))
    with serve(
        "front",
        token_jwks=str(file),
        dev=False,
        control=OPTIONS["control"],
        token_issuer="https://idp.test/",
        token_audience="hub",
    ) as server:
        assert await status(server, token(RSA[0], "one")) == 200
        file.write_bytes(key_set(jwk(RSA[1], "two")))
        server.signal(signal.SIGHUP)
        await until(server, token(RSA[1], "two"), 200)


# -- commands --------------------------------------------------------------------------------------


def test_doctor_and_check(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(jwk(RSA[0], "one")))
    environ = {"PUSHHUB_TOKEN_JWKS": str(file), "PUSHHUB_STORE": "memory://", "PUSHHUB_PORT": "0"}
    findings = json.loads(pushhub("doctor", "--json", "--dev", **environ).stdout)["findings"]
    [found] = [one for one in findings if one["check"] == "jwks"]
    assert (found["level"], "'one'" in found["sentence"]) == ("ok", True)
    good = token(RSA[0], "one", aud="hub")
    assert pushhub("token", "check", good, **environ, PUSHHUB_TOKEN_AUDIENCE="hub").exit_code == 0
    file.write_text("{}")
    findings = json.loads(pushhub("doctor", "--json", "--dev", **environ).stdout)["findings"]
    [found] = [one for one in findings if one["check"] == "jwks"]
    assert found["level"] == "bad"
    assert pushhub("config", "check", "--dev", **environ).exit_code == 1


@pytest.mark.parametrize(
    ("where", "good"),
    [
        ("https://idp.example.com/realms/a/protocol/openid-connect/certs", True),
        ("http://127.0.0.1:8080/jwks", True),
        ("http://idp.example.com/jwks", False),
        ("https://user:pw@idp.example.com/jwks", False),
        ("https://idp.example.com:99999/", False),
        ("https://idp.example.com/a b", False),
        ("ftp://idp.example.com/", False),
    ],
)
def test_which_urls_may_be_named(where: str, good: bool) -> None:
    told = pushhub("config", "check", "--dev", PUSHHUB_TOKEN_JWKS=where)
    assert (told.exit_code == 0) is good, told.stderr
