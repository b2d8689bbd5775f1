"""What is special about the log in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.cursor import Start
from pushhub.log.read import Page
from pushhub.store.base import Append, Outcome, append
from pushhub.store.memory import MemoryStore
from tests.store.labs import Recorder, item, opened, publish

if TYPE_CHECKING:
    from pushhub.log.event import Event


async def test_every_opening_begins_a_new_life() -> None:
    store, epochs = MemoryStore(), set()
    for _ in range(3):
        async with opened(store):
            epochs.add(store.epoch)
            [outcome] = await publish(store, item())
            assert outcome.cursor.offset == 1
    assert len(epochs) == 3


async def test_an_append_is_settled_when_it_returns() -> None:
    listener, settled = Recorder(), list[Outcome]()
    async with opened(MemoryStore(), listener) as store:
        store.append([item(), item()], settled.extend)
        assert len(settled) == len(listener.told) == 2


async def test_a_listener_that_appends_is_woken_in_order() -> None:
    store = MemoryStore()

    class Echo(Recorder):
        def wake(self, event: Event) -> None:
            super().wake(event)
            if event.data == b"1":
                store.append([item("echo")], lambda outcomes: None)

    listener = Echo()
    async with opened(store, listener):
        await append(store, item("1"), item("2"))
        assert [event.offset for event in listener.told if not isinstance(event, str)] == [1, 2, 3]
        read = await store.read("a", Start.EARLIEST, 10)
        assert isinstance(read, Page)
        assert [event.data for event in read.events] == [b"1", b"echo", b"2"]


async def test_it_shows_its_live_counts() -> None:
    async with opened(MemoryStore()) as store:
        await append(store, item(), Append("b", item().draft), item())
        assert repr(store) == f"<MemoryStore {store.epoch} 2 channels 3 events>"
