"""The check of the public listener: the process accepts a connection, and responds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.canary.client import CanaryClient
from pushhub.canary.log_reads import expect_200

if TYPE_CHECKING:
    from pushhub.canary.client import Dial


class PublicCheck:
    """`/livez` over the address where clients connect. Workers share it, so the system may choose
    another worker of this machine.
    """

    def __init__(self, dial: Dial, prefix: str) -> None:
        self._dial = dial
        self._path = prefix + "/livez"

    async def run(self) -> None:
        """Connect, request the page, and close.

        Raises:
            OSError: nothing accepts the connection.
            CanaryFailure: the response is no success.
        """
        client = CanaryClient(*await self._dial())
        try:
            expect_200(await client.ask("GET", self._path, {"connection": "close"}))
        finally:
            client.close()
