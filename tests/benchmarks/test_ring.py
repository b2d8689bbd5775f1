"""The BOSH comparison: what its clients count, and what it makes of the figures."""

import argparse
import asyncio
import time

import pytest

from benchmarks import tsung, xmpp
from benchmarks.ring import TEXT, Ring, RingError
from tests.serving import serve

SECONDS = 20.0


def told(token: int, hop: int) -> bytes:
    return f"<message><body>{token}.{hop}.{time.monotonic_ns()}{TEXT}</body></message>".encode()


async def test_a_ring_passes_its_messages_on() -> None:
    with serve(bosh_rate=1000) as server:
        ring = Ring(server.port, 8)
        await ring.gather()
        ring.wait()
        await ring.turn(4, 100, SECONDS)
        ring.leave()
    assert ring.heard_messages >= 100
    assert ring.twice == 0
    assert ring.errors == []
    assert 0 < ring.percentile(50) <= ring.percentile(99)


class Deaf:
    """A client that says nothing."""

    number = 0

    def send(self, inside: str = "") -> None:
        pass


async def test_duplicate_and_early_messages_are_counted() -> None:
    ring = Ring(0, 1)
    ring.seen, ring.most = [0, 0], 1000
    ring.clients = [Deaf()]  # type: ignore[list-item]
    Deaf.jid = "deaf@localhost/x"  # type: ignore[attr-defined]
    for token, hop in ((0, 0), (0, 0), (1, 1), (1, 0), (0, 1)):
        ring.heard(ring.clients[0], told(token, hop))
    assert (ring.heard_messages, ring.twice) == (3, 2)


async def test_a_message_that_is_lost_is_an_error() -> None:
    with serve(bosh_rate=1000) as server:
        ring = Ring(server.port, 3)
        await ring.gather()
        ring.wait()
        # One of them keeps what it hears.
        ring.clients[2].answered = lambda body: None  # type: ignore[method-assign]
        with pytest.raises(RingError, match=r"of 50 messages came"):
            await ring.turn(1, 50, 1.0)
        ring.leave()
        await asyncio.sleep(0)


def test_the_goals_are_held_against_the_peers() -> None:
    figures = dict.fromkeys(xmpp.TITLES, 1.0)
    runs = {
        "pushhub": [figures | {"message_us": value} for value in (900.0, 100.0, 110.0)],
        "prosody": [figures | {"message_us": 1000.0, "setup_us": 5.0}],
        "ejabberd": [figures | {"message_us": 200.0, "setup_us": 1.0}],
    }
    options = argparse.Namespace(sessions=1, messages=1, tokens=1, repeat=3)
    said = xmpp.markdown(runs, {}, options)
    assert "| 0.50 x ejabberd = 100 | 110 (0.55 x) | **not met** |" in said
    assert "| 0.20 x prosody = 200 | 110 (0.11 x) | met |" in said
    assert "| 0.20 x prosody = 1 | 1 (0.20 x) | met |" in said


def test_the_totals_of_tsung_are_its_last_ones() -> None:
    found = tsung.totals(
        [
            "stats: finish_users_count 4 4",
            "stats: tr_login 10 20.0 1.0 30.0 10.0 0 0",
            "stats: finish_users_count 6 10",
            "stats: tr_login 2 30.0 0 33.0 10.0 20.0 10",
            "stats: error_connect_timeout 1 1",
        ]
    )
    assert found["finish_users_count"] == 10
    assert found["tr_login"] == {"count": 12, "mean ms": 21.67, "max ms": 33.0}
    assert found["error_connect_timeout"] == 1
