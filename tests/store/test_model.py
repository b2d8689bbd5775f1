"""A store against a model of thirty lines: whatever is done, both say the same."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import Draft
from pushhub.log.read import Gap, Page
from pushhub.store.base import Append, Appended, Expect, Mismatch, Retention, append
from tests.lanes import examples
from tests.store.labs import Clock, Recorder, lab_for, lab_params

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.store.base import Store

CHANNELS = st.sampled_from(["a", "b"])
RETENTIONS = st.builds(
    Retention, events=st.integers(1, 5), age=st.one_of(st.none(), st.integers(1, 30))
)


class Model:
    """One channel: its kept (offset, time, data), its last offset, its retention."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, float, bytes]] = []
        self.top = 0
        self.retention = Retention()

    def append(self, data: bytes, now: float, retention: Retention) -> int:
        self.age(now)
        self.top += 1
        self.retention = retention
        self.kept = [*self.kept, (self.top, now, data)][-retention.events :]
        return self.top

    def age(self, now: float) -> None:
        age = self.retention.age
        while age is not None and len(self.kept) > 1 and now - self.kept[0][1] > age:
            del self.kept[0]

    def read(self, offset: int, limit: int) -> str | list[tuple[int, bytes]]:
        oldest = self.kept[0][0] if self.kept else self.top + 1
        if offset > self.top:
            return "ahead"
        if offset < oldest - 1:
            return "trimmed"
        return [(number, data) for number, _, data in self.kept if number > offset][:limit]


class Machine(RuleBasedStateMachine):
    make_store: Callable[[Path, Clock], Store]

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = self.make_store(Path(self.folder.name), self.clock)
        self.runner.run(self.store.open(Recorder()))
        self.models = {"a": Model(), "b": Model()}

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    @rule(channel=CHANNELS, retention=RETENTIONS, count=st.integers(1, 4))
    def publish(self, channel: str, retention: Retention, count: int) -> None:
        drafts = [Draft(b"%d" % number) for number in range(count)]
        appends = [Append(channel, draft, retention) for draft in drafts]
        outcomes = self.runner.run(append(self.store, *appends))
        for draft, outcome in zip(drafts, outcomes, strict=True):
            offset = self.models[channel].append(draft.data, self.clock.now, retention)
            assert isinstance(outcome, Appended)
            assert outcome.cursor == Cursor(self.store.epoch, offset)

    @rule(channel=CHANNELS, behind=st.integers(0, 2))
    def compare_and_set(self, channel: str, behind: int) -> None:
        model = self.models[channel]
        expect = Expect(frozenset({Cursor(self.store.epoch, model.top - behind)}))
        [outcome] = self.runner.run(append(self.store, Append(channel, Draft(b"x"), expect=expect)))
        last = Cursor(self.store.epoch, model.top) if model.kept else None
        if behind or not model.kept:
            assert outcome == Mismatch(last)
        else:
            model.append(b"x", self.clock.now, Retention())
            assert isinstance(outcome, Appended)

    @rule(channel=CHANNELS, offset=st.integers(0, 40), limit=st.integers(1, 6))
    def read(self, channel: str, offset: int, limit: int) -> None:
        self.models[channel].age(self.clock.now)
        since = Cursor(self.store.epoch, offset)
        read = self.runner.run(self.store.read(channel, since, limit))
        expected = self.models[channel].read(offset, limit)
        if isinstance(read, Gap):
            assert read.reason == expected
            assert read.latest.offset == self.models[channel].top
            assert self.models[channel].read(read.oldest.offset, 1) not in ("trimmed", "ahead")
        else:
            assert [(event.offset, event.data) for event in read.events] == expected
            assert read.cursor.offset == (read.events[-1].offset if read.events else offset)
            assert read.up_to_date == (read.cursor.offset == self.models[channel].top)

    @rule(channel=CHANNELS)
    def read_all(self, channel: str) -> None:
        self.models[channel].age(self.clock.now)
        read = self.runner.run(self.store.read(channel, Start.EARLIEST, 1000))
        assert isinstance(read, Page)
        kept = [offset for offset, _, _ in self.models[channel].kept]
        assert [event.offset for event in read.events] == kept

    @rule(channel=CHANNELS)
    def delete(self, channel: str) -> None:
        deleted = self.runner.run(self.store.delete(channel))
        assert deleted == bool(self.models[channel].kept)
        self.models[channel].kept = []

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)


@pytest.mark.parametrize("kind", lab_params())
def test_a_store_does_what_the_model_does(kind: str, request: pytest.FixtureRequest) -> None:
    def make_store(folder: Path, clock: Clock) -> Store:
        return lab_for(request, kind, folder, clock).make()

    machine = type("Machine", (Machine,), {"make_store": staticmethod(make_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(20),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
