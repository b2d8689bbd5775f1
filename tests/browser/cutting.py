"""A proxy with an idle timeout: it cuts a connection on which nothing came for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.browser.relay import CHUNK, Relay

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.browser.relay import Stream


class CuttingProxy(Relay):
    """As a balancer does it, in seconds instead of a minute."""

    def __init__(self, target: int, seconds: float) -> None:
        super().__init__(target)
        self.seconds = seconds
        self.cuts = 0

    def carry(self, client: Stream, hub: Stream) -> list[Coroutine[None, None, None]]:
        loop = asyncio.get_running_loop()
        heard = loop.time()

        async def carry(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
            nonlocal heard
            while data := await one.read(CHUNK):
                heard = loop.time()
                other.write(data)
                await other.drain()

        async def watch() -> None:
            left = self.seconds
            while left > 0:
                await asyncio.sleep(left)
                left = heard + self.seconds - loop.time()
            self.cuts += 1

        return [carry(client[0], hub[1]), carry(hub[0], client[1]), watch()]
