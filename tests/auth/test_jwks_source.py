"""The refreshes of a key set: when they happen, and what a failure changes. Time is virtual."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from pushhub.auth import jwks_source
from pushhub.auth.jwks import UNKNOWN_SECONDS, Jwks, JwksError
from pushhub.auth.jwks_source import FIRST_PAUSE, JwksSource, read_jwks
from tests.auth.provider import ED, P256, jwk, key_set
from tests.certificates import certificate
from tests.hub.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

WHERE, INTERVAL = "https://idp.test/jwks", 300.0
ONE, TWO = key_set(jwk(P256, "one")), key_set(jwk(ED, "two"))


class Provider:
    """A provider with a document or an error, and the times of its reads."""

    def __init__(self) -> None:
        self.document: bytes | JwksError = ONE
        self.reads: list[float] = []
        self.begun = 0.0

    async def read(self, where: str) -> bytes:
        assert where == WHERE
        self.reads.append(asyncio.get_running_loop().time() - self.begun)
        if isinstance(self.document, JwksError):
            raise self.document
        return self.document


@pytest.fixture
def idp(monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider()
    monkeypatch.setattr(jwks_source, "read_jwks", provider.read)
    return provider


def lower(low: float, high: float) -> float:
    """The draw of a node that refreshes early."""
    return low


@asynccontextmanager
async def opened(
    idp: Provider, uniform: Callable[[float, float], float] = lower
) -> AsyncIterator[tuple[Jwks, JwksSource]]:
    loop = asyncio.get_running_loop()
    idp.begun = loop.time()
    jwks = Jwks(loop.time, 60)
    source = JwksSource(jwks, WHERE, INTERVAL, uniform)
    await source.open()
    try:
        yield jwks, source
    finally:
        await source.close()


def virtually(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test)


def kids(jwks: Jwks) -> list[str | None]:
    return sorted({key.kid for key in jwks.valid()}, key=str)


def test_keys_are_there_after_open_and_are_read_again(idp: Provider) -> None:
    async def test() -> None:
        async with opened(idp) as (jwks, _):
            assert (kids(jwks), idp.reads) == (["one"], [0])
            assert (len(jwks), jwks.age, jwks.is_pending) == (1, 0, False)
            idp.document = TWO
            await asyncio.sleep(0.8 * INTERVAL - 1)
            assert (len(idp.reads), jwks.age) == (1, 0.8 * INTERVAL - 1)
            await asyncio.sleep(2)
            assert idp.reads == [0, 0.8 * INTERVAL]
            assert kids(jwks) == ["one", "two"], "the former is in its grace"
            assert jwks.age == 1
            await asyncio.sleep(10 * INTERVAL)
        count = len(idp.reads)
        assert count == 14
        assert kids(jwks) == ["two"]
        await asyncio.sleep(10 * INTERVAL)
        assert len(idp.reads) == count, "no read after close"

    virtually(test())


def test_nodes_do_not_refresh_together(idp: Provider) -> None:
    draws: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        draws.append((low, high))
        return (0.8, 0.95, 1.0)[len(draws) - 1]

    async def test() -> None:
        async with opened(idp, draw):
            await asyncio.sleep(2.74 * INTERVAL)
        assert idp.reads == pytest.approx([0, 0.8 * INTERVAL, 1.75 * INTERVAL])
        assert set(draws) == {(0.8, 1.0)}

    virtually(test())


def test_a_failure_leaves_the_keys_and_is_tried_again_with_growing_pauses(idp: Provider) -> None:
    async def test() -> None:
        async with opened(idp) as (jwks, _):
            failed = JwksError("The provider is away.")
            idp.document = failed
            first = 0.8 * INTERVAL
            await asyncio.sleep(first + 1)
            assert kids(jwks) == ["one"]
            assert not jwks.is_pending
            await asyncio.sleep(5 * INTERVAL)
            pauses = [after - before for before, after in pairwise(idp.reads[1:])]
            assert pauses[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
            assert set(pauses[8:]) == {INTERVAL}, "never longer than the interval"
            assert jwks.fetches == {"ok": 1, "failed": len(idp.reads) - 1}
            # A success begins again from the shortest pause.
            idp.document = TWO
            await asyncio.sleep(INTERVAL)
            assert "two" in kids(jwks)
            idp.document, before = failed, len(idp.reads)
            await asyncio.sleep(INTERVAL)
            assert idp.reads[before + 1] - idp.reads[before] == FIRST_PAUSE

    virtually(test())


def test_a_reason_is_logged_once_and_a_change_of_keys_always(idp: Provider) -> None:
    async def test() -> None:
        async with opened(idp):
            for reason in ("It is away.", "It is away.", "Its certificate is not valid."):
                idp.document = JwksError(reason)
                await asyncio.sleep(INTERVAL)
            idp.document = TWO
            await asyncio.sleep(3 * INTERVAL)
            idp.document = JwksError("It is away.")
            await asyncio.sleep(2 * INTERVAL)

    with structlog.testing.capture_logs() as lines:
        virtually(test())
    assert [(line["event"], line.get("error") or line["changes"]) for line in lines] == [
        ("jwks.refreshed", ["The key 'one' came."]),
        ("jwks.failed", "It is away."),
        ("jwks.failed", "Its certificate is not valid."),
        ("jwks.refreshed", ["The key 'two' came.", "The key 'one' left, and is valid for 60 s."]),
        ("jwks.failed", "It is away."),
    ]
    assert {line["where"] for line in lines} == {WHERE}


def test_an_unusable_document_is_a_failure(idp: Provider) -> None:
    async def test() -> None:
        idp.document = b"<html>"
        async with opened(idp) as (jwks, _):
            assert (kids(jwks), jwks.fetches["failed"]) == ([], 1)
            assert jwks.refreshed is None
            idp.document = ONE
            await asyncio.sleep(FIRST_PAUSE + 1)
            assert kids(jwks) == ["one"], "a hub that starts before its provider waits for it"
            assert idp.reads == [0, FIRST_PAUSE]

    virtually(test())


def test_an_unknown_key_is_read_immediately(idp: Provider) -> None:
    async def test() -> None:
        async with opened(idp) as (jwks, _):
            await asyncio.sleep(UNKNOWN_SECONDS)
            idp.document = TWO
            assert jwks.request(), "a refresh is coming"
            assert jwks.is_pending
            await asyncio.sleep(0.001)
            assert kids(jwks) == ["one", "two"]
            assert not jwks.is_pending
            assert idp.reads == [0, UNKNOWN_SECONDS]
            assert not jwks.request(), "once in a while"
            await asyncio.sleep(0.8 * INTERVAL - 1)
            assert len(idp.reads) == 2, "the interval begins with it"
            await asyncio.sleep(2)
            assert len(idp.reads) == 3

    virtually(test())


async def test_a_file_is_a_source_too(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(ONE)
    jwks = Jwks(lambda: 0.0, 60)
    source = JwksSource(jwks, str(path), INTERVAL, lower)
    await source.open()
    await source.close()
    assert repr(jwks) == "<Jwks 1 keys>"


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    file, key = certificate(tmp_path, "idp.test")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    received: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1))

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(JwksError, match=r"The certificate of .* is not valid: self-signed"):
            await read_jwks(f"https://localhost:{port}/jwks")
    assert not received, "the client sent nothing"
