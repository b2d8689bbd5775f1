"""Measures all applications, with long silences and many clients: the report of `scripts/apps`."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import outside
from tests.apps import budget
from tests.apps.catalogue import APPLICATIONS
from tests.apps.comparison import differences
from tests.apps.stage import LATE_SECONDS, staged
from tests.apps.visits import visit
from tests.apps.waiter import crowd, latency, waiting
from tests.browser.chromium import Chromium

if TYPE_CHECKING:
    from tests.apps.application import Application, Poll
    from tests.apps.stage import Stage

PAGE = outside.ROOT / "docs" / "apps-report.md"
# Lines of a page, and of a table.
# ruff: noqa: E501
_HEAD = """\
# Report of `scripts/apps`

`scripts/apps` wrote this on {day}, on a machine with two cores that also ran clients and applications. Delays are in seconds, from the
end of the change to the response at a waiting client (the shortest of three where the first was above the promise); the promise is `interval` (1 s) and 0.3 s. "Requests" are those that reached the
application in {watched:.0f} s of silence, for one client and for 50 clients that wait for the same resource.

| application | paths compared, differences | clients poll | delay after 1 s | after 15 s | after {long:.0f} s | requests, 1 client | 50 clients |
|---|---|---|---|---|---|---|---|
"""
_OWN_HEAD = """\

## Their own clients

`scripts/apps --clients` wrote this on {day}. Each application's own client or user interface looks at it directly and through pushhub, and changes
it through pushhub; a poll that waits is told of that change. Delays are in seconds, from the end of the client's program or click.

| application | its own client | directly and through pushhub | change by the client | told after |
|---|---|---|---|---|
"""
WATCHED_SECONDS = 10.0
_SHORT = (1.0, 15.0)
_TRIES = 3


async def _row(application: Application, stage: Stage, long: float) -> list[str]:
    found = await differences(stage)
    compared = f"{len(application.paths)}, {len(found)}"
    rows: list[str] = []
    for poll in application.polls:
        delays = [f"{await _delay(stage, poll, quiet):.2f}" for quiet in _SHORT]
        # One silence is enough for an application.
        delays.append("" if rows else f"{await latency(stage, poll, long):.2f}")
        counts = [await _requests(stage, poll, clients) for clients in (1, 50)]
        cells = [poll.shown, *delays, *map(str, counts)]
        rows.append(f"| {application.title} | {compared} | {' | '.join(cells)} |")
    nothing = f"| {application.title} | {compared} | `{application.always_new}`, in vain |||||"
    return rows or [nothing]


async def _delay(stage: Stage, poll: Poll, quiet: float) -> float:
    """The shortest of a few delays, if the first ones met a busy machine."""
    delays: list[float] = []
    while len(delays) < _TRIES and (not delays or min(delays) > stage.interval + LATE_SECONDS):
        delays.append(await latency(stage, poll, quiet))
    return min(delays)


async def _requests(stage: Stage, poll: Poll, clients: int) -> int:
    async with waiting(stage, poll, clients) as waiters:
        began = budget.now()
        await asyncio.sleep(WATCHED_SECONDS)
        count = len(stage.relay.since(began))
        await waiters.change()
    return count


def _measured(name: str, long: float) -> list[str]:
    application = APPLICATIONS[name]
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pushhub-apps-") as folder,
            staged(application, Path(folder)) as stage,
        ):
            return asyncio.run(_row(application, stage, long))
    except pytest.skip.Exception as skipped:
        return [f"| {application.title} | left out: {skipped} |||||||"]
    except (AssertionError, OSError) as broken:
        return [f"| {application.title} | failed: {str(broken)[:200]} |||||||"]


async def _all(names: list[str], long: float, at_a_time: int) -> list[list[str]]:
    """Several at a time: most of the time is silence."""
    threads = ThreadPoolExecutor(at_a_time)

    async def one(name: str) -> list[str]:
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(threads, _measured, name, long)
        print(*rows, sep="\n", file=sys.stderr, flush=True)
        return rows

    return await asyncio.gather(*map(one, names))


def _own_clients(names: list[str]) -> str:
    """The table of own clients: one application after the other, because pages are heavy."""
    rows = []
    with Chromium() as browser:
        for name in names:
            rows.append(_own_client(name, browser))
            print(rows[-1], file=sys.stderr, flush=True)
    head = _OWN_HEAD.format(day=datetime.datetime.now(datetime.UTC).date())
    return head + "\n".join(rows) + "\n"


def _own_client(name: str, browser: Chromium) -> str:
    application = APPLICATIONS[name]
    client = application.own_client
    row = f"| {application.title} | {client.name} |"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pushhub-apps-") as folder,
            staged(application, Path(folder)) as stage,
        ):
            delay = asyncio.run(visit(stage, lambda: browser))
    except pytest.skip.Exception as skipped:
        return f"{row} left out: {skipped} |||"
    except (AssertionError, OSError, TimeoutError) as broken:
        return f"{row} failed: {str(broken)[:200]} |||"
    changed = "yes" if client.changes else "it only reads"
    return f"{row} the same | {changed} | {'' if delay is None else f'{delay:.2f}'} |"


def _crowd(name: str, clients: int) -> None:
    """Print what clients with a resource each cost, and how soon they are told."""
    with (
        tempfile.TemporaryDirectory(prefix="pushhub-apps-") as folder,
        staged(APPLICATIONS[name], Path(folder)) as stage,
    ):
        times, delays = asyncio.run(crowd(stage, stage.application.polls[0], clients, 20.0))
    allowed = budget.allowed(clients)
    print(
        f"{name}, {clients} clients with a resource each: at most {budget.fullest(times)} requests "
        f"in {budget.WINDOW:.0f} s, {allowed:.0f} are the budget; told after "
        f"{statistics.median(delays):.1f} s (median), {max(delays):.1f} s (all)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/apps", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quiet", type=float, default=300.0, help="the longest silence")
    parser.add_argument("--at-a-time", type=int, default=6)
    parser.add_argument("--crowd", type=int, default=0, help="only so many clients of NAME")
    parser.add_argument("--clients", action="store_true", help="only their own clients")
    parser.add_argument("--print", action="store_true", help="do not write the page")
    given = parser.parse_args()
    if given.crowd:
        for name in given.names:
            _crowd(name, given.crowd)
        return
    names = given.names or list(APPLICATIONS)
    if given.clients:
        print(_own_clients(names))
        return
    rows = asyncio.run(_all(names, given.quiet, given.at_a_time))
    day = datetime.datetime.now(datetime.UTC).date()
    head = _HEAD.format(day=day, watched=WATCHED_SECONDS, long=given.quiet)
    text = head + "\n".join(row for some in rows for row in some) + "\n"
    text += _own_clients(names)
    if given.names or given.print:
        print(text)
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
