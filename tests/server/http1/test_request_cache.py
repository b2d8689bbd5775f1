"""The cache of polls: first lines for all clients, headers for each client."""

import ast
import asyncio
import gc
import inspect
import re
import tracemalloc

import pytest

from pushhub.api import read
from pushhub.http import etag, prefer
from pushhub.server.http1 import request_cache
from pushhub.server.http1.request_cache import (
    GENERATION,
    GENERATION_BYTES,
    MAX_HEADERS_BYTES,
    READ_HEADERS,
    GenerationCache,
)
from tests.server.http1.fuzzing import InProcessServer
from tests.server.http1.table import get

EVENTS = b"/v1/channels/a/events"


def test_two_generations() -> None:
    memory: GenerationCache[int] = GenerationCache(lambda key, value: len(key))
    for _ in range(2):
        memory.put(b"kept", -1)
        memory.put(b"lost", -2)
    for number in range(3 * GENERATION):
        memory.put(b"%d" % number, number)
        memory.put(b"%d" % number, number)
        if number % 1000 == 0:
            assert memory.get(b"kept") == -1
        assert len(memory) <= 2 * GENERATION + 1
    assert memory.get(b"kept") == -1
    assert memory.get(b"lost") is None


def test_a_key_that_comes_once_is_not_cached() -> None:
    memory: GenerationCache[int] = GenerationCache(lambda key, value: len(key))
    for number in range(3 * GENERATION):
        memory.put(b"%d" % number, number)
    assert len(memory) < GENERATION // 2, "but for a few that share a mark"


def test_the_headers_that_a_reading_endpoint_reads() -> None:
    """The endpoint ignores all others; else a client would get a response for another one."""
    headers_read = set()
    for module in (read, prefer, etag):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
                and ast.unparse(node.func.value).endswith("headers")
            ):
                assert isinstance(node.args[0], ast.Constant)
                headers_read.add(node.args[0].value)
    assert headers_read
    assert headers_read <= set(READ_HEADERS)


def test_a_generation_ends_with_its_bytes() -> None:
    memory: GenerationCache[int] = GenerationCache(lambda key, value: len(key) + value)
    most = 0
    for number in range(200):
        for _ in range(2):
            memory.put(b"%d" % number, GENERATION_BYTES // 10)
        most = max(most, len(memory))
        # Reading moves an entry to the young generation, with its bytes.
        memory.get(b"%d" % max(0, number - 9))
        assert len(memory) <= 22
    assert most > 10
    memory.grow(GENERATION_BYTES + 1)
    memory.grow(GENERATION_BYTES + 1)
    assert len(memory) == 0


LONG = b"x" * 7900


def test_one_connection_makes_the_caches_keep_bounded_bytes(
    front: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request comes three times, so that a cache takes it. With smaller generations a few
    hundred requests suffice.
    """
    small = 256 * 1024
    monkeypatch.setattr(request_cache, "GENERATION_BYTES", small)

    async def attack(requests: int) -> None:
        reader, writer = await asyncio.open_connection(*front.address)
        for number in range(requests):
            for _ in range(3):
                writer.write(get(EVENTS + b"?since=now&n=%d&x=%b" % (number, LONG)))
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
        front.taken.clear()
        writer.close()
        await writer.wait_closed()

    front.loop.run_until_complete(attack(5))
    gc.collect()
    tracemalloc.start()
    front.loop.run_until_complete(attack(500))
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    front.close()
    # Two generations of each of two caches.
    assert kept < 2.5 * 2 * small, f"{kept / 2**20:.0f} MiB"


@pytest.fixture
def front() -> InProcessServer:
    return InProcessServer()


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        (get(EVENTS), 2),
        (get(EVENTS + b"?since=now"), 2),
        (get(b"/v1/channels/a"), 2),
        (get(EVENTS + b"?ticket=x"), 3),
        (get(EVENTS, b"Connection: close"), 3),
        (get(EVENTS, version=b"HTTP/1.0"), 3),
        (get(EVENTS).replace(b"GET", b"HEAD", 1), 3),
        (get(EVENTS, b"X: " + b"y" * MAX_HEADERS_BYTES), 3),
        (get(b"http://x" + EVENTS), 3),
        (get(b"/livez"), 3),
        (get(EVENTS) * 2, 6),
    ],
)
def test_which_requests_are_cached(front: InProcessServer, raw: bytes, parsed: int) -> None:
    total = 0
    for _ in range(3):
        front.feed([raw])
        total += len(front.taken)
    front.close()
    assert total == parsed


def test_one_clients_line_with_anothers_headers(front: InProcessServer) -> None:
    """The request is served from the cache, with the right response."""
    for _ in range(2):
        front.feed([get(EVENTS)])
        front.feed([get(b"/v1/channels/b/events", b"X-Two: 2")])
    answer = front.feed([get(EVENTS, b"X-Two: 2")])
    assert not front.taken
    assert answer.startswith(b"HTTP/1.1 200 ")
    front.close()


@pytest.mark.parametrize(
    "raw",
    [
        get(EVENTS)[:-2],
        b"GET /x HTTP/1.1\r\n" + get(EVENTS),
        get(EVENTS).replace(b"\r\n", b"\n", 1),
        get(EVENTS).replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1),
        b"POST" + get(EVENTS)[3:],
        get(EVENTS + b" "),
        get(EVENTS + b"\0"),
        get(EVENTS + b"#x"),
    ],
)
def test_requests_similar_to_cached_ones(front: InProcessServer, raw: bytes) -> None:
    """A server with caches responds as one without."""
    parsing = InProcessServer(caches=False)
    for _ in range(3):
        front.feed([get(EVENTS)])
    ours, theirs = front.feed([raw]), parsing.feed([raw])
    front.close()
    parsing.close()
    assert ours[:12] == theirs[:12]
    assert ours.count(b"HTTP/1.1") == theirs.count(b"HTTP/1.1")
