"""A subscription delivers every event once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.hub.subscription import LIMIT, Subscription
from pushhub.log.event import Draft
from pushhub.store.base import Append, append
from tests.waiting import until

if TYPE_CHECKING:
    from pushhub.log.event import Event
    from tests.xmpp.world import World

NAME = "$xmpp:test"


def item(text: str) -> Append:
    return Append(NAME, Draft(text.encode(), "text/plain"))


async def test_events_are_delivered_in_order(world: World) -> None:
    store = world.server.hub.store
    await append(store, item("before"))
    seen: list[bytes] = []
    follow = Subscription(world.server.hub, NAME, lambda event: seen.append(event.data))
    await follow.begin()
    for number in range(3 * LIMIT):
        store.append([item(str(number))], lambda outcomes: None)
    await until(lambda: len(seen) == 3 * LIMIT)
    assert seen == [b"%d" % number for number in range(3 * LIMIT)]
    follow.stop()
    await append(store, item("after"))
    assert len(seen) == 3 * LIMIT


async def test_events_appended_during_a_delivery_are_delivered_later(world: World) -> None:
    store = world.server.hub.store
    seen: list[bytes] = []

    def take(event: Event) -> None:
        seen.append(event.data)
        if event.data == b"first":
            for number in range(2 * LIMIT):
                store.append([item(str(number))], lambda outcomes: None)

    follow = Subscription(world.server.hub, NAME, take)
    await follow.begin()
    await append(store, item("first"))
    await until(lambda: len(seen) > 2 * LIMIT)
    assert seen[1:] == [b"%d" % number for number in range(2 * LIMIT)]
    follow.stop()


async def test_an_expired_wait_is_followed_by_another(world: World) -> None:
    hub = world.server.hub
    seen: list[bytes] = []
    follow = Subscription(hub, NAME, lambda event: seen.append(event.data))
    await follow.begin()
    for text in ("one", "two"):
        await append(hub.store, item(text))
        await until(lambda: seen and seen[-1] == text.encode())  # noqa: B023
        held = follow._hold
        assert held is not None
        hub.expire(held)  # type: ignore[arg-type]
        await until(lambda: follow._hold not in (None, held))  # noqa: B023
    assert seen == [b"one", b"two"]
    follow.stop()


@pytest.mark.slow
async def test_a_deletion_is_notified_and_later_events_are_delivered(world: World) -> None:
    store = world.server.hub.store
    seen: list[bytes] = []
    gone: list[int] = []
    follow = Subscription(
        world.server.hub,
        NAME,
        lambda event: seen.append(event.data),
        gone=lambda: gone.append(1),
    )
    await follow.begin()
    await append(store, item("one"))
    await until(lambda: seen)
    await store.delete(NAME)
    await until(lambda: gone)
    await append(store, item("two"))
    await until(lambda: len(seen) == 2)
    follow.stop()
