"""Fences, crashes, old snapshots, replicas that lag and masters that live on, in any order: an
acknowledged event is in every log that goes on in its epoch, and no place is given out twice.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Page
from pushhub.store.base import Appended, StoreError, append
from pushhub.store.redis.fence import Fence
from pushhub.store.redis.frame import EPOCH_KEY
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, Rack, RedisServer
from tests.store.labs import Recorder, item

# More with `PUSHHUB_EXAMPLES=500`: each takes about two seconds.
EXAMPLES = int(os.environ.get("PUSHHUB_EXAMPLES", "6"))
# The first is the master at the beginning.
SERVERS = st.sampled_from([0, 0, 0, 1])


class Machine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.rack = Rack()
        self.servers = [self.rack.start(KINDS["valkey9"]) for _ in range(2)]
        self.servers[1].follow(self.servers[0])
        self.servers[1].until(lambda: self.servers[1].caught_up_with(self.servers[0]))
        # Every acknowledged event, by its place.
        self.acknowledged: dict[Cursor, str] = {}
        self.count = 0
        self.fence: Fence | None = None

    def teardown(self) -> None:
        if hasattr(self, "fence"):
            if self.fence is not None:
                self.runner.run(self.fence.close())
            self.rack.close()
            self.runner.close()

    def is_master(self, server: RedisServer) -> bool:
        return bool(server.info("replication")["role"] == "master")

    # What clients do

    @rule(number=SERVERS, events=st.integers(1, 2))
    def publish(self, number: int, events: int) -> None:
        """Also to a master that another has replaced: a node may be cut off together with it."""
        server = self.servers[number]
        if not self.is_master(server):
            return

        async def run() -> None:
            store = RedisStore(server.url())
            await store.open(Recorder())
            try:
                for _ in range(events):
                    self.count += 1
                    text = str(self.count)
                    (outcome,) = await append(store, item(text))
                    if isinstance(outcome, Appended):
                        assert outcome.cursor not in self.acknowledged, "a place is used twice"
                        self.acknowledged[outcome.cursor] = text
            finally:
                await store.close()

        self.runner.run(run())
        self.check(server)

    @rule(number=SERVERS)
    def look(self, number: int) -> None:
        if self.is_master(self.servers[number]):
            self.check(self.servers[number])

    def check(self, server: RedisServer) -> None:
        """Whatever was acknowledged in the epoch of this log is in it, unless a fence stands, whose
        end will tell.
        """

        async def run() -> None:
            store = RedisStore(server.url())
            await store.open(Recorder())
            try:
                read = await store.read("a", Start.EARLIEST, 1000)
            finally:
                await store.close()
            assert isinstance(read, Page)
            if server.ask("HGET", EPOCH_KEY, "epoch") != read.cursor.epoch.encode():
                return
            kept = {event.cursor: event.data.decode() for event in read.events}
            for cursor, text in self.acknowledged.items():
                if cursor.epoch == read.cursor.epoch:
                    assert kept.get(cursor) == text, f"{cursor} was lost untold"

        self.runner.run(run())

    # What an operator does

    @precondition(lambda self: self.fence is None)
    @rule(number=SERVERS, keeps=st.booleans())
    def set_fence(self, number: int, keeps: bool) -> None:
        fence = Fence(self.servers[number].url(), 600)
        try:
            self.runner.run(fence.set())
            if keeps:
                self.runner.run(fence.keep())
        except StoreError:
            self.runner.run(fence.close())
            return
        self.fence = fence

    @precondition(lambda self: self.fence is not None)
    @rule(number=SERVERS)
    def lift(self, number: int) -> None:
        """On whichever server is reached; again, too."""
        assert self.fence is not None
        self.fence._opener = Fence(self.servers[number].url(), 1)._opener
        with suppress(StoreError):
            self.runner.run(self.fence.lift())
        if self.is_master(self.servers[number]):
            self.check(self.servers[number])

    @precondition(lambda self: self.fence is None)
    @rule(number=SERVERS)
    def restart_as_planned(self, number: int) -> None:
        self.set_fence(number, keeps=True)
        self.crash(number)
        if self.fence is not None:
            self.lift(number)

    @precondition(lambda self: self.fence is not None)
    @rule(number=SERVERS)
    def crash_and_lift_again(self, number: int) -> None:
        """What is published after the fence was lifted is lost, and the fence is back."""
        self.publish(number, 1)
        self.crash(number)
        self.lift(number)

    @rule(number=SERVERS)
    def guess(self, number: int) -> None:
        """The command of another fence, long ago."""
        assert not self.runner.run(Fence(self.servers[number].url(), 1).lift())

    @precondition(lambda self: self.fence is not None)
    @rule()
    def forget(self) -> None:
        """The command is killed."""
        assert self.fence is not None
        self.runner.run(self.fence.close())
        self.fence = None

    @rule(number=SERVERS)
    def expire(self, number: int) -> None:
        server = self.servers[number]
        if self.is_master(server) and server.ask("HGET", EPOCH_KEY, "fence"):
            server.ask("HSET", EPOCH_KEY, "until", "1")

    # What happens to servers

    @rule(number=SERVERS)
    def save(self, number: int) -> None:
        self.servers[number].ask("SAVE")

    @rule(number=SERVERS)
    def crash(self, number: int) -> None:
        self.servers[number].restart()

    @rule(number=SERVERS)
    def put_aside(self, number: int) -> None:
        """Keep a copy of the snapshot."""
        folder = self.servers[number].folder
        if (folder / "dump.rdb").exists():
            shutil.copy(folder / "dump.rdb", folder / "copy.rdb")

    @rule(number=SERVERS)
    def restore(self, number: int) -> None:
        """Start from the copy, however old it is."""
        server = self.servers[number]
        if (server.folder / "copy.rdb").exists():
            server.kill()
            shutil.copy(server.folder / "copy.rdb", server.folder / "dump.rdb")
            server.start()

    @rule(number=SERVERS)
    def cut_off(self, number: int) -> None:
        """A replica receives nothing of its master any more."""
        server = self.servers[number]
        if not self.is_master(server):
            server.ask("REPLICAOF", "127.0.0.1", "1")

    @rule(number=SERVERS)
    def promote(self, number: int) -> None:
        self.servers[number].follow(None)

    @rule(number=SERVERS)
    def demote(self, number: int) -> None:
        """Become a replica of the other, if that is a master, and catch up."""
        server, other = self.servers[number], self.servers[1 - number]
        if self.is_master(other):
            server.follow(other)
            server.until(lambda: server.caught_up_with(other))


class OneServer(Machine):
    """Fences, crashes and publishes alone, which meet each other more often so."""

    put_aside = restore = cut_off = promote = demote = None  # type: ignore[assignment]
    expire = look = guess = save = forget = None  # type: ignore[assignment]


@pytest.mark.parametrize("machine", [OneServer, Machine])
def test_no_event_is_lost_untold_whatever_happens_around_a_fence(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=14,
            deadline=None,
            # With real servers it takes minutes to shrink a failure.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
