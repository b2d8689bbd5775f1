"""The client under test: a process that prints a line of JSON for all that its reader receives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A line has one event at most, and an event has at most 256 KiB.
_MOST_LINE = 1_048_576
# The end of what the client prints on standard error, for the report.
_LAST_LINES = 20
# A process that was killed needs no longer for its end.
_KILL_SECONDS = 5.0


class ClientProcess:
    """Runs the command once.

    Args:
        received: is called after each line, and at the end of the output.
    """

    def __init__(self, received: Callable[[], None]) -> None:
        self.lines: list[dict[str, Any]] = []
        self.noise: list[str] = []
        """Lines on standard output that are no JSON objects."""
        self.errors: deque[str] = deque(maxlen=_LAST_LINES)
        self._received = received
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, command: Sequence[str], variables: dict[str, str]) -> None:
        """Start it with further environment variables.

        Raises:
            OSError: the command cannot be started.
        """
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | variables,
            limit=_MOST_LINE,
            # Of its own group, so that its children end with it.
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self._line)),
            asyncio.create_task(self._read(process.stderr, self._error)),
        ]

    async def _read(self, stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
        with contextlib.suppress(ValueError):  # a line over the limit: the case sees too few
            async for line in stream:
                take(line.decode(errors="replace").rstrip("\n"))
                self._received()
        self._received()

    def _line(self, text: str) -> None:
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict):
            self.lines.append(document)
        elif text.strip():
            self.noise.append(text)

    def _error(self, text: str) -> None:
        self.errors.append(text)

    @property
    def has_output(self) -> bool:
        """Whether more output may come."""
        return not all(reader.done() for reader in self._readers)

    def close_input(self) -> None:
        """Ask the client to end, by the end of its standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def status(self, seconds: float) -> int | None:
        """The exit status, if the process ends within so many seconds; else None."""
        assert self._process is not None
        try:
            return await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return None

    async def kill(self) -> None:
        """End the process and its children."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self.status(_KILL_SECONDS)
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
