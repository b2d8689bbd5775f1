"""The metrics of the other workers, over a Unix socket of each worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.api.metrics import render

if TYPE_CHECKING:
    from pathlib import Path

    from pushhub.api.service import Service

# The sum leaves out a worker that is busy for longer; `pushhub_workers` is the number of workers in
# the sum.
RESPONSE_SECONDS = 1.0


class WorkerMetrics:
    """A Unix socket for each worker, in a folder of the supervisor. A client of the socket receives
    the worker's metrics.
    """

    def __init__(self, folder: Path, index: int, count: int) -> None:
        self._own = folder / f"{index}.sock"
        self._others = [folder / f"{other}.sock" for other in range(count) if other != index]
        self._server: asyncio.Server | None = None

    async def open(self, service: Service) -> None:
        """Listen. A socket that a dead worker left behind is replaced."""

        async def send_metrics(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(render(service).encode())
            try:
                await writer.drain()
            except ConnectionError:
                pass  # the client has timed out
            writer.close()

        self._own.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(send_metrics, self._own)

    def close(self, *, last: bool) -> None:
        """Remove the own socket; with `last` also the folder, if it is empty."""
        self._own.unlink(missing_ok=True)
        if last:
            try:
                self._own.parent.rmdir()
            except OSError:
                pass  # other workers still use it, or another one has removed it

    async def metrics(self) -> list[str]:
        """The metrics of the other workers that respond in time."""
        texts = await asyncio.gather(*map(_fetch, self._others))
        return [text for text in texts if text]


async def _fetch(path: Path) -> str:
    try:
        async with asyncio.timeout(RESPONSE_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
