"""Requests like those of the table, mutated and split at random: the server responds in HTTP, and
finds the same requests in the bytes as h11, or none.

`scripts/fuzz` does it for as long as one likes; what it finds is kept in `corpus/`.
"""

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushhub.http.sse import RETRIES_MS
from tests.lanes import examples
from tests.server.http1.fuzzing import InProcessServer, h11_requests, mutate, seeds, split
from tests.server.http1.table import CASES, get

SEEDS = seeds()
RETRY = re.compile(rb"retry: ([0-9]+)")


@pytest.fixture(scope="module", params=[True, False], ids=["remembers", "parses"])
def front(request: pytest.FixtureRequest) -> Iterator[InProcessServer]:
    made = InProcessServer(caches=request.param)
    yield made
    made.close()


@pytest.mark.parametrize("raw", SEEDS, ids=range(len(SEEDS)))
def test_corpus(front: InProcessServer, raw: bytes) -> None:
    front.check([raw])


@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64), raw=st.sampled_from(SEEDS))
def test_mutations(front: InProcessServer, seed: int, raw: bytes) -> None:
    chance = random.Random(seed)
    front.check(split(mutate(raw, chance, SEEDS), chance))


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.binary(max_size=300), max_size=4))
def test_bytes(front: InProcessServer, pieces: list[bytes]) -> None:
    front.check(pieces)


def test_the_oracle_sees_a_request_smuggled() -> None:
    """h11 finds a request that a server with another end of the body would not."""
    raw = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello" + get(b"/second")
    assert h11_requests(raw) == [("POST", "/", b"hello"), ("GET", "/second", b"")]


TARGETS = [
    *("/v1/channels/a/events", "/v1/channels/a/events?since=now", "/v1/channels/a", "/v1/channels"),
    *("/v1/channels/a/events?since=earliest&limit=1", "/v1/channels/a/events?since=nonsense"),
    *("/v1/channels/a/events?limit=0", "/v1/channels/%00/events", "/v1/channels/%61/events"),
    *("/v1/channels/$x/events", "/v1/channels/a/events?since=now&since=earliest"),
    *("/v1/channels//events", "/v1/channels/a/events?ticket=x", "/nowhere", "/livez"),
    *("http://x/v1/channels/a/events", "/v1/channels/a/events?since=%ff", "/v1/poll"),
    *("/v1/channels/a/events#x", "/v1/channels/a/events?wait=x"),
]
HEADER_SETS = [
    (),
    (b"Accept: application/json",),
    (b"Origin: https://a.localhost",),
    (b"Origin: https://a.localhost", b"Prefer: wait=0"),
    (b"If-None-Match: *",),
    (b"Connection: close",),
    (b"Connection: Keep-Alive",),
    (b"Content-Length: 0",),
    (b"Authorization: Bearer x",),
    (b"X: " + b"y" * 3000,),
    (b"Last-Event-ID: nonsense",),
    (b"Accept: text/event-stream", b"Connection: close"),
]


@pytest.mark.slow
def test_the_cache_changes_no_response() -> None:
    """Each set of headers with each URL, three times, on a server with caches and on one without.
    Each stream still draws its own time for a reconnect.
    """
    front, parsing = InProcessServer(), InProcessServer(caches=False)
    drawn: set[int] = set()
    for _ in range(3):
        for headers in HEADER_SETS:
            pieces = [get(target.encode(), *headers) for target in TARGETS]
            for piece in (*pieces, *pieces[:2]):
                remembered = answer(front, piece)
                drawn.update(map(int, RETRY.findall(remembered)))
                assert plain(remembered) == plain(answer(parsing, piece)), piece
    assert len(drawn) > 1
    assert drawn <= set(RETRIES_MS)
    assert front.asked < parsing.asked / 2, "the cache is used"
    front.close()
    parsing.close()


def answer(front: InProcessServer, raw: bytes) -> bytes:
    """The responses to the same request twice on one connection."""
    found = front.feed([raw, raw])
    front.asked += len(front.taken)
    return found


def plain(answer: bytes) -> bytes:
    """Responses, without what differs between two processes, two seconds and two streams."""
    answer = re.sub(rb"date: [^\r]*", b"date", answer)
    answer = RETRY.sub(b"retry: DRAWN", answer)
    return re.sub(rb"[0-9a-z]{12}-0", b"CURSOR", answer)


def test_every_short_case_of_the_table_is_a_seed() -> None:
    assert len(SEEDS) > 150
    assert CASES[0].raw in SEEDS
