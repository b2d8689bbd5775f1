"""The pool of generator processes of a run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import orjson

from pushhub.bench.dialect import describe
from pushhub.bench.tally import BenchReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from pushhub.bench.dialect import Dialect


class GeneratorError(Exception):
    """A generator process failed; its message is on standard error."""


class GeneratorPool:
    """Generator processes, with the clients spread evenly over them."""

    def __init__(
        self, dialect: Dialect, host: str, port: int, *, tls: bool = False, size: int = 1
    ) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "pushhub.bench.generator"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(size)
        ]
        for number, process in enumerate(self._processes):
            plan = {"host": host, "port": port, "tls": tls, "number": number}
            _send(process, plan | {"dialect": describe(dialect)})

    def open(
        self,
        channels: Sequence[str],
        each: int = 1,
        *,
        tokens: Sequence[str] = (),
        interval: float = 0.0,
        pages: bool = False,
    ) -> None:
        """Connect `each` clients for every channel, and start their polls.

        With `tokens` the clients use these in turn, in place of the dialect's placeholder.
        """
        size = len(self._processes)
        options = {"do": "open", "interval": interval, "pages": pages}
        parts = []
        for number in range(size):
            if each == 1:
                part = {"channels": channels[number::size], "each": 1}
            else:
                part = {"channels": channels, "each": each // size + (number < each % size)}
            parts.append(options | part | {"tokens": tokens[number::size]})
        self._exchange(parts)

    def count(self) -> None:
        """Reset the counters."""
        self._all(do="count")

    def expect(self, each: int) -> None:
        """Start a burst, which ends when every client has received `each` events in all."""
        self._all(do="expect", each=each)

    def reached(self, timeout: float) -> tuple[int, float]:
        """Wait for the end of the burst; returns the events that were received in all, and the
        seconds of the burst.
        """
        replies = self._all(do="reached", timeout=timeout)
        return sum(r["received"] for r in replies), max(r["seconds"] for r in replies)

    def report(self, published: dict[str, int] | None = None) -> BenchReport:
        """The counts; an event of `published` that a client has not received is lost."""
        report = BenchReport()
        for part in self._all(do="report", published=published):
            report.add(part)
        return report

    def disconnect(self) -> None:
        """Close every connection."""
        self._all(do="disconnect")

    def reconnect(self) -> None:
        """Connect again, and continue to poll."""
        self._all(do="reconnect")

    def publish(
        self, channels: Sequence[str], connections: int, seconds: float, size: int
    ) -> list[dict[str, Any]]:
        """Publish as fast as receipts come; returns the counts of each generator."""
        share = connections // len(self._processes)
        return self._all(
            do="publish", channels=channels, connections=share, seconds=seconds, size=size
        )

    def stop(self) -> None:
        """Stop the generator processes."""
        for process in self._processes:
            if process.stdin:
                try:
                    process.stdin.close()
                except BrokenPipeError:
                    pass
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def _all(self, **command: Any) -> list[dict[str, Any]]:
        return self._exchange([command] * len(self._processes))

    def _exchange(self, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for process, command in zip(self._processes, commands, strict=True):
            _send(process, command)
        return [_receive(process) for process in self._processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _send(process: subprocess.Popen[bytes], command: dict[str, Any]) -> None:
    assert process.stdin
    try:
        process.stdin.write(orjson.dumps(command) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        raise GeneratorError(f"Generator {process.pid} has exited.") from None


def _receive(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise GeneratorError(f"Generator {process.pid} has exited.")
    reply: dict[str, Any] = orjson.loads(line)
    return reply
