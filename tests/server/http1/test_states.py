"""The table of a connection's states has exactly the transitions that connections make."""

from collections.abc import Iterator

import pytest

from pushhub.server.http1 import factory
from pushhub.server.http1.connection import Connection
from pushhub.server.http1.states import GUEST, HELD, MEANINGS, NAMES, STREAM, TRANSITIONS
from pushhub.testing.virtual import VirtualHub
from tests.server.http1.fuzzing import InProcessServer
from tests.server.http1.table import CASES, get

# A shared resource, a GRIP hold or a stream need an origin; the simulation has them.
ORIGIN = {(GUEST, HELD), (GUEST, STREAM), (HELD, STREAM)}

seen: set[tuple[int, int]] = set()


class Recorded(Connection):
    """A connection that notes how it moves."""

    __slots__ = ("_state",)

    @property
    def state(self) -> int:
        return self._state

    @state.setter
    def state(self, state: int) -> None:
        before = getattr(self, "_state", state)
        if before != state:
            seen.add((before, state))
        self._state = state


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(factory, "Connection", Recorded)
    yield
    seen.clear()


def named(moves: set[tuple[int, int]]) -> set[str]:
    return {f"{NAMES[before]} -> {NAMES[after]}" for before, after in moves}


def test_connections_move_as_the_table_says(recorded: None) -> None:
    front = InProcessServer()
    for case in CASES:
        front.feed([case.raw])
    # A head that comes in pieces.
    front.feed([get()[:at] for at in (9,)] + [get()[9:]])
    front.close()
    with VirtualHub() as hub:
        stream = hub.begin(
            "GET", "/v1/channels/a/events?since=now", {"Accept": "text/event-stream"}
        )
        wait = hub.begin("GET", "/v1/channels/a/events?since=now&wait=20")
        hub.publish("a", 1)
        assert wait.response().status == 200
        stream.disconnect()
    with VirtualHub() as hub:
        hub.begin("GET", "/v1/channels/a/events?since=now", {"Accept": "text/event-stream"})
    table = {(state, after) for state, moves in TRANSITIONS.items() for after in moves.values()}
    assert not named(seen - table)
    assert named(table - seen) <= named(ORIGIN)


def test_each_state_has_a_meaning() -> None:
    assert set(MEANINGS) == set(TRANSITIONS) == set(range(len(NAMES)))
