"""Who waits for the questions of others waits for a few of them only."""

import asyncio

from pushhub.origin.grip.coalescer import MAX_JOINS, Coalescer
from pushhub.origin.origin import Origin
from pushhub.origin.request import ProxiedRequest
from pushhub.settings import Settings
from tests.hub.scripted import opened, settled


async def test_a_request_waits_for_a_few_failing_questions_and_no_more() -> None:
    asked = ProxiedRequest("GET", "/x", ((b"Host", b"x"),))
    Origin(Settings(dev=True, origin="http://127.0.0.1:1")).route(asked)
    async with opened() as hub:
        coalescer = Coalescer(hub)
        key = coalescer.key(asked, asked.pairs)
        question = coalescer.begin(key, asked)
        joiner = asyncio.create_task(coalescer.join(key))
        await settled()
        rounds = 0
        while not joiner.done() and rounds < 20:
            rounds += 1
            failed, question = question, coalescer.begin(key, asked)
            failed.settle(None, retry=True)
            await settled()
        assert rounds == MAX_JOINS
        assert joiner.result() is None
