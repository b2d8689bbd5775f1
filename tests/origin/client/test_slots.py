"""The slots of a pool: no client and no kind of request takes all of them."""

import asyncio

import pytest

from pushhub.http.problem import Problem
from pushhub.origin.client.slots import PoolLimits, PoolSlots, Use

LIMITS = PoolLimits.of(4, 0.5, 0.25)


async def _refusal(slots: PoolSlots, use: Use) -> Problem:
    with pytest.raises(Problem) as refused:
        await slots.acquire(use, 0.02)
    return refused.value


def test_each_limit_is_at_least_one() -> None:
    assert PoolLimits.of(1, 0.25, 0.5) == (1, 1, 1)
    assert PoolLimits.of(512, 0.25, 0.5) == (512, 128, 256)


async def test_a_client_takes_its_share_and_no_more() -> None:
    slots = PoolSlots(LIMITS)
    for _ in range(2):
        await slots.acquire(Use("a"), 1)
    refused = await _refusal(slots, Use("a"))
    assert refused.status == 429
    assert b"retry-after" in dict(refused.headers)
    for _ in range(2):
        await slots.acquire(Use("b"), 1)
    assert (await _refusal(slots, Use("c"))).status == 504


async def test_uploads_take_their_part_and_no_more() -> None:
    slots = PoolSlots(LIMITS)
    await slots.acquire(Use("", uploads=True), 1)
    refused = await _refusal(slots, Use("", uploads=True))
    assert refused.slug == "overloaded"
    await slots.acquire(Use(), 1)


async def test_requests_without_a_key_have_the_whole_pool() -> None:
    slots = PoolSlots(LIMITS)
    for _ in range(4):
        await slots.acquire(Use(), 1)
    assert (await _refusal(slots, Use())).slug == "origin-timeout"


async def test_a_client_at_its_limit_waits_for_its_own_requests_in_order() -> None:
    slots = PoolSlots(LIMITS)
    done: list[int] = []

    async def wait(number: int) -> None:
        await slots.acquire(Use("a"), 5)
        done.append(number)

    for _ in range(2):
        await slots.acquire(Use("a"), 1)
    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    # Waiting requests of one client delay no other.
    await slots.acquire(Use("b"), 0.1)
    for count in range(1, 4):
        slots.release(Use("a"))
        await asyncio.wait_for(waiting[count - 1], 1)
        assert done == list(range(count))


async def test_every_slot_comes_back_and_no_client_is_remembered() -> None:
    """After refused, cancelled and completed uses, the pool is as new."""
    slots = PoolSlots(LIMITS)
    for _ in range(5):
        await slots.acquire(Use("a", uploads=True), 1)
        for use in (Use("a", uploads=True), Use("b", uploads=True)):
            await _refusal(slots, use)
            task = asyncio.create_task(slots.acquire(use, 5))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        slots.release(Use("a", uploads=True))
    assert not slots._by_client
    for _ in range(4):
        await slots.acquire(Use(), 0.1)
