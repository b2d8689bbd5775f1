"""An application's own client, directly and through the hub."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from tests import outside
from tests.apps.own_client import Visit
from tests.apps.waiter import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apps.application import Place, Poll
    from tests.apps.stage import Stage
    from tests.browser.chromium import Chromium

# A change made by a page, and the wait of a client that is told of it, on a busy machine.
_SECONDS = 90.0


async def visit(stage: Stage, browser: Callable[[], Chromium]) -> float | None:
    """Let the client look through the hub and directly, which has to show the same. The seconds
    after which a waiting poll is told of the change that the client makes through the hub.
    """
    application, place = stage.application, stage.place
    client = application.own_client
    if client.part:
        outside.require(client.part)
    through = Visit(place, f"http://127.0.0.1:{stage.hub.port}", browser)
    directly = Visit(place, place.url, browser)

    async def sees(visit: Visit) -> str:
        output = await asyncio.to_thread(client.sees, visit)
        return visit.comparable(output, client.unstable)

    before, delay = await sees(through), None
    assert before.strip(), "the client shows nothing"
    if application.polls:
        poll = application.polls[client.poll]
        if change := client.changes:
            poll = _changed_by(poll, lambda _: change(through))
        async with asyncio.timeout(_SECONDS), waiting(stage, poll, 1) as waiters:
            delay = (await waiters.change())[0]
    after = await sees(through)
    assert application.polls == () or after != before, f"no change in:\n{after}"
    assert (there := await sees(directly)) == after, f"directly:\n{there}\nthrough:\n{after}"
    return delay


def _changed_by(poll: Poll, change: Callable[[Place], object]) -> Poll:
    def changed(place: Place) -> None:
        change(place)

    return replace(poll, change=changed)
