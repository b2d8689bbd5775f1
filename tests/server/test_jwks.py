"""An identity provider as it is: a real HTTP server with a key set, behind a real hub."""

import asyncio
import json
import signal
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from pushhub.auth.jwks import (
    MAX_JWKS_BYTES,
    MAX_JWKS_KEYS,
    UNKNOWN_SECONDS,
    Jwks,
    JwksError,
    parse_jwks,
)
from pushhub.auth.jwks_source import read_jwks
from pushhub.auth.tokens import KeysPending, TokenError, Tokens
from tests.cli.running import pushhub
from tests.ports import free_port
from tests.serving import Server, events_of, serve

SECONDS = 20.0
RSA = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(private: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    """The public key as providers publish it."""
    public = private.public_key()
    algorithm: Any = RSAAlgorithm
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = ECAlgorithm
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        algorithm = OKPAlgorithm
    entry: dict[str, Any] = {**algorithm.to_jwk(public, as_dict=True), "use": "sig", **members}
    entry.pop("key_ops", None) if "key_ops" not in members else None
    return entry if kid is None else {**entry, "kid": kid}


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def token(private: Any, kid: str | None, algorithm: str = "RS256", **claims: Any) -> str:
    content = {
        "exp": time.time() + 600,
        "iss": "https://idp.test/",
        "aud": "hub",
        "pushhub": {"read": ["*"]},
        **claims,
    }
    return jwt.encode(content, private, algorithm, {"kid": kid} if kid else None)


class Provider:
    """An HTTP server with one document, that counts its requests. It has a thread of its own,
    because a test waits for the start of a hub without its event loop.
    """

    def __init__(self) -> None:
        self.response = b""
        self.requests = 0
        self.stalls = False
        self.port = free_port()
        self._server: socketserver.ThreadingTCPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"

    def serve(self, body: bytes, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        self.response = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def start(self) -> None:
        provider = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass
                provider.requests += 1
                try:
                    self.wfile.write(provider.response)
                    if provider.stalls:
                        self.rfile.read()  # until the client gives up
                except ConnectionError:
                    pass

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Listener(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def provider(body: bytes) -> Iterator[Provider]:
    idp = Provider()
    idp.serve(body)
    idp.start()
    try:
        yield idp
    finally:
        idp.stop()


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


# -- what it may respond ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"garbage", "200 OK", None),
        (b"x" * (MAX_JWKS_BYTES + 1), "200 OK", "larger than"),
        (b"", "500 Oops", "the status 500"),
        (b"", "302 Found", "the status 302"),
    ],
)
async def test_a_bad_response_is_a_sentence(body: bytes, status: str, told: str | None) -> None:
    with provider(b"") as idp:
        idp.serve(body, status)
        if told is None:
            with pytest.raises(JwksError, match="is no key set"):
                parse_jwks(await read_jwks(idp.url))
        else:
            with pytest.raises(JwksError, match=told):
                await read_jwks(idp.url)
        idp.response = b"\x00\x01 no HTTP\r\n\r\n"
        with pytest.raises(JwksError, match="no HTTP response"):
            await read_jwks(idp.url)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
async def test_a_slow_response_ends(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushhub.auth.jwks_source.FETCH_SECONDS", 0.2)
    with provider(b"") as idp:
        idp.response, idp.stalls = start, True
        with pytest.raises(JwksError, match=r"did not respond within 0\.2 s"):
            await read_jwks(idp.url)


async def test_nothing_listens() -> None:
    with pytest.raises(JwksError, match="cannot be reached"):
        await read_jwks(Provider().url)
    with pytest.raises(JwksError, match="cannot be read: No such file"):
        await read_jwks("/nowhere/jwks.json")


def test_keys_that_must_not_verify_are_left_out() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    private = RSAAlgorithm.to_jwk(RSA[0], as_dict=True)
    for bad in (
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "o", "alg": "HS256"},
        jwk(RSA[0], "e", use="enc"),
        jwk(RSA[0], "w", key_ops=["encrypt"]),
        jwk(RSA[0], "h", alg="HS256"),
        jwk(RSA[0], "n", alg="none"),
        jwk(P256, "c", crv="P-384"),
        jwk(weak, "weak"),
        {**private, "kid": "private", "use": "sig"},
        {"kty": ["RSA"], "kid": "x"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "EC", "crv": {}, "x": "a", "y": "b"},
        {**jwk(RSA[0], None), "kid": 7},
    ):
        with pytest.raises(JwksError, match="no public key"):
            parse_jwks(key_set(bad))
        found = parse_jwks(key_set(bad, jwk(RSA[1], "good")))
        assert {key.kid for key in found.values()} == {"good"}
    stated = parse_jwks(key_set(jwk(RSA[0], "k", alg="RS512")))
    assert {key.algorithm for key in stated.values()} == {"RS512"}


@pytest.mark.parametrize("document", [b"[]", b"{}", b'{"keys": 7}', b"[" * 100_000, b"\xff"])
def test_garbage_is_no_key_set(document: bytes) -> None:
    with pytest.raises(JwksError):
        parse_jwks(document)


def test_the_number_of_keys_is_bounded() -> None:
    with pytest.raises(JwksError, match="at most"):
        parse_jwks(key_set(*[jwk(P256, str(i)) for i in range(MAX_JWKS_KEYS + 1)]))


# -- time ------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def test_a_key_that_left_is_valid_for_the_grace() -> None:
    clock = Clock()
    jwks = Jwks(clock, 60)
    calls: list[float] = []
    jwks.on_end = lambda: calls.append(clock.now)
    tokens = Tokens([], now=clock, audience="hub", jwks=jwks)
    jwks.replace(key_set(jwk(RSA[0], "one")))
    grant = tokens.grant(token(RSA[0], "one"))
    told = jwks.replace(key_set(jwk(RSA[1], "two")))
    assert told == ["The key 'two' came.", "The key 'one' left, and is valid for 60 s."]
    clock.now += 59
    tokens.grant(token(RSA[0], "one", sub="another"))
    clock.now += 2
    with pytest.raises(TokenError):
        tokens.grant(token(RSA[0], "one", sub="a third"))
    # The next read counts, whether or not the provider responds.
    jwks.failed()
    assert grant.has_ended(clock.now), "and so do holds and streams"
    assert calls == [clock.now]
    assert tokens.grant(token(RSA[1], "two"))


def test_another_audience_ends_the_grants_and_keeps_the_keys() -> None:
    clock = Clock()
    jwks = Jwks(clock, 60)
    tokens = Tokens([], now=clock, audience="hub", jwks=jwks)
    jwks.replace(key_set(jwk(RSA[0], "one")))
    grant = tokens.grant(token(RSA[0], "one"))
    assert grant.basis is not None
    assert tokens.basis(grant.basis.id) is grant.basis
    tokens.configure([], "hub", "an issuer")
    assert grant.has_ended(clock.now)
    with pytest.raises(KeysPending):
        tokens.basis(grant.basis.id)  # a ticket of the old issuer opens nothing
    assert not tokens.grant(token(RSA[0], "one", iss="an issuer")).has_ended(clock.now)


def test_a_ticket_of_an_unknown_key_causes_a_refresh() -> None:
    jwks = Jwks(Clock(), 60)
    tokens = Tokens([], now=Clock(), jwks=jwks)
    with pytest.raises(KeysPending):
        tokens.basis("unknown")
    jwks.replace(key_set(jwk(RSA[0], "one")))
    jwks.request()
    jwks.replace(key_set(jwk(RSA[0], "one")))
    assert tokens.basis("unknown") is None


def test_a_key_that_comes_back_goes_on() -> None:
    jwks = Jwks(Clock(), 0)
    jwks.replace(key_set(jwk(RSA[0], "one"), jwk(RSA[1], "two")))
    jwks.replace(key_set(jwk(RSA[1], "two")))
    jwks.replace(key_set(jwk(RSA[0], "one")))
    assert [key.kid for key in jwks.valid() if key.algorithm == "RS256"] == ["one"]


def test_unknown_ids_request_one_refresh_in_a_while() -> None:
    clock, wanted = Clock(), []
    jwks = Jwks(clock, 60)
    jwks.on_request = lambda: wanted.append(clock.now)
    tokens = Tokens([], now=clock, audience="hub", jwks=jwks)
    jwks.replace(key_set(jwk(RSA[0], "one")))
    for i in range(50):
        with pytest.raises(KeysPending):
            tokens.grant(token(RSA[1], f"x{i}"))
    assert len(wanted) == 1
    jwks.failed()
    with pytest.raises(TokenError, match="no token key with the id"):
        tokens.grant(token(RSA[1], "x"))
    clock.now += UNKNOWN_SECONDS
    with pytest.raises(KeysPending):
        tokens.grant(token(RSA[1], "x"))
    assert len(wanted) == 2


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
