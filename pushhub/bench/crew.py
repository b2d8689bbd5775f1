"""The generator processes of a run, as one."""

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


class CrewError(Exception):
    """A generator process failed; its own words are on standard error."""


class Crew:
    """Some generator processes. Clients are dealt out to them evenly."""

    def __init__(
        self, dialect: Dialect, host: str, port: int, *, tls: bool = False, size: int = 1
    ) -> None:
        self._members = [
            subprocess.Popen(
                [sys.executable, "-m", "pushhub.bench.generator"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(size)
        ]
        for number, member in enumerate(self._members):
            plan = {"host": host, "port": port, "tls": tls, "number": number}
            _send(member, plan | {"dialect": describe(dialect)})

    def open(
        self,
        channels: Sequence[str],
        each: int = 1,
        *,
        tokens: Sequence[str] = (),
        interval: float = 0.0,
        pages: bool = False,
    ) -> None:
        """Connect `each` clients for every channel, and let them poll.

        With `tokens` the clients have these in turn, in place of the dialect's mark.
        """
        size = len(self._members)
        options = {"do": "open", "interval": interval, "pages": pages}
        parts = []
        for number in range(size):
            if each == 1:
                part = {"channels": channels[number::size], "each": 1}
            else:
                part = {"channels": channels, "each": each // size + (number < each % size)}
            parts.append(options | part | {"tokens": tokens[number::size]})
        self._ask(parts)

    def count(self) -> None:
        """Begin to count."""
        self._all(do="count")

    def expect(self, each: int) -> None:
        """Begin a burst, at whose end every client has been given `each` events in all."""
        self._all(do="expect", each=each)

    def reached(self, timeout: float) -> tuple[int, float]:
        """Wait for the end of the burst: how many events there are now in all, and how many
        seconds it took.
        """
        replies = self._all(do="reached", timeout=timeout)
        return sum(r["received"] for r in replies), max(r["seconds"] for r in replies)

    def report(self, published: dict[str, int] | None = None) -> BenchReport:
        """What was counted; what of `published` a client does not know is lost."""
        report = BenchReport()
        for part in self._all(do="report", published=published):
            report.add(part)
        return report

    def leave(self) -> None:
        """Drop every connection."""
        self._all(do="leave")

    def come_back(self) -> None:
        """Connect again, and poll on."""
        self._all(do="come_back")

    def publish(
        self, channels: Sequence[str], connections: int, seconds: float, size: int
    ) -> list[dict[str, Any]]:
        """Publish as fast as receipts come: what each generator counted."""
        share = connections // len(self._members)
        return self._all(
            do="publish", channels=channels, connections=share, seconds=seconds, size=size
        )

    def stop(self) -> None:
        """Let the generators leave."""
        for member in self._members:
            if member.stdin:
                try:
                    member.stdin.close()
                except BrokenPipeError:
                    pass
        for member in self._members:
            try:
                member.wait(10)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()
            if member.stdout:
                member.stdout.close()

    def _all(self, **command: Any) -> list[dict[str, Any]]:
        return self._ask([command] * len(self._members))

    def _ask(self, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for member, command in zip(self._members, commands, strict=True):
            _send(member, command)
        return [_receive(member) for member in self._members]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _send(member: subprocess.Popen[bytes], command: dict[str, Any]) -> None:
    assert member.stdin
    try:
        member.stdin.write(orjson.dumps(command) + b"\n")
        member.stdin.flush()
    except BrokenPipeError:
        raise CrewError(f"Generator {member.pid} has left.") from None


def _receive(member: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert member.stdout
    line = member.stdout.readline()
    if not line:
        raise CrewError(f"Generator {member.pid} has left.")
    reply: dict[str, Any] = orjson.loads(line)
    return reply
