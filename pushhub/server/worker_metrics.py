"""What the workers of one machine know of each other: where to ask for the others' figures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.api.metrics import render

if TYPE_CHECKING:
    from pathlib import Path

    from pushhub.api.service import Service

# A worker that is busy for longer is left out of the sum; `pushhub_workers` says how many are in
# it.
ANSWER_SECONDS = 1.0


class WorkerMetrics:
    """A unix socket for each worker, in a folder of the supervisor's. Whoever connects is told the
    worker's metrics.
    """

    def __init__(self, folder: Path, index: int, count: int) -> None:
        self._own = folder / f"{index}.sock"
        self._others = [folder / f"{other}.sock" for other in range(count) if other != index]
        self._server: asyncio.Server | None = None

    async def open(self, service: Service) -> None:
        """Listen. A socket that a dead worker left behind is replaced."""

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(render(service).encode())
            try:
                await writer.drain()
            except ConnectionError:
                pass  # who asked waits no longer
            writer.close()

        self._own.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(tell, self._own)

    def close(self, *, last: bool) -> None:
        """Take the own socket away; with `last` also the folder, if all have left it."""
        self._own.unlink(missing_ok=True)
        if last:
            try:
                self._own.parent.rmdir()
            except OSError:
                pass  # others are still there, or one of them was quicker

    async def metrics(self) -> list[str]:
        """The metrics of the other workers that answer."""
        told = await asyncio.gather(*map(_ask, self._others))
        return [text for text in told if text]


async def _ask(path: Path) -> str:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
