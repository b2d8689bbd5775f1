"""POSTs on pooled connections, with pauses around the times at which proxy and hub close them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.serving import events_of

if TYPE_CHECKING:
    from tests.deploy.proxies import RunningProxy

ROUNDS = 20
TOGETHER = 20
# The proxy closes after 0.5 s and the hub after 1 s, in place of 60 and 75.
PAUSES = (0.45, 0.95)
SPREAD = 0.1


async def post(proxy: RunningProxy) -> list[int]:
    """The statuses of 400 POSTs: bursts of 20, so that each connection to the hub is idle for as
    long as the pause after a burst.
    """
    clients = [await proxy.connect() for _ in range(TOGETHER)]
    statuses = []
    for number in range(ROUNDS):
        answers = await asyncio.gather(
            *(client.ask("POST", events_of("idle"), body=b"1") for client in clients)
        )
        statuses += [answer.status for answer in answers]
        # Around the time of the proxy in even rounds, around that of the hub in odd ones.
        await asyncio.sleep(PAUSES[number % 2] + SPREAD * number / ROUNDS)
    for client in clients:
        await client.leave()
    return statuses
