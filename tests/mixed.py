"""Two versions of pushhub on one Valkey, as in a rolling upgrade: what works in each direction.

The other version is the package of a commit, run with the packages of this environment. Everything
is on loopback, takes about a minute, and ends by itself.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from tests import serving
from tests.redis_servers import KINDS, Rack
from tests.serving import Server, events_of, fresh, serve, value_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ROOT = Path(__file__).parent.parent
# The tree that HOUSE.md was written about; there is no release yet.
BEFORE = "2095c9a"
EARLIER = 25
OTHER = "other"
OURS = "front"
WAIT = {"prefer": "wait=20"}


def earlier_commit() -> str:
    """The version before this one: without a release, the commit `EARLIER` commits ago; empty if
    the clone does not have it.
    """
    command = ["git", "-C", str(ROOT), "rev-list", "--max-count=1", f"--skip={EARLIER}", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()[:12]


def unpack_package(commit: str, folder: str) -> None:
    """Put the package of a commit into a folder."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "pushhub"], capture_output=True, check=True
    )
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def unpack(commit: str, folder: str) -> None:
    """Put the package of a commit into a folder, and make it a driver of `serve`."""
    unpack_package(commit, folder)
    code = (
        f"import sys; sys.path.insert(0, {folder!r}); import pushhub; "
        f"assert pushhub.__file__.startswith({folder!r}); from pushhub.cli import main; main()"
    )
    serving.DRIVERS[OTHER] = ["-c", code, "serve", "--port", "0"]


class Pair:
    """A node of each version on one Valkey."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._stack = ExitStack()
        self.nodes: dict[str, Server] = {}

    def start(self, name: str) -> Server:
        self.nodes[name] = self._stack.enter_context(serve(name, self.url))
        return self.nodes[name]

    def restart(self, name: str) -> Server:
        self.nodes[name].stop()
        return self.start(name)

    def close(self) -> None:
        self._stack.close()


async def wakes(publisher: Server, reader: Server) -> None:
    """An event that is published on one node completes a wait on the other."""
    channel = fresh("mixed")
    await publisher.publish(channel, "first")
    async with await reader.connect() as client:
        waiting = asyncio.create_task(client.ask("GET", events_of(channel) + "?since=now", WAIT))
        await reader.held(1)
        receipt = await publisher.publish(channel, "second")
        answer = await asyncio.wait_for(waiting, 25)
    [event] = answer.json()["events"]
    assert event["data"] == "second", event
    assert event["cursor"] == receipt["cursor"], event


async def continues(writer: Server, reader: Server) -> None:
    """A cursor of one node is good on the other; the value and its ETag are the same."""
    channel = fresh("mixed")
    first = await writer.publish(channel, 1)
    await writer.publish(channel, 2)
    answer = await reader.get(f"{events_of(channel)}?since={first['cursor']}")
    assert [event["data"] for event in answer.json()["events"]] == [2], answer
    here, there = await writer.get(value_of(channel)), await reader.get(value_of(channel))
    assert (here.body, here.headers["etag"]) == (there.body, there.headers["etag"])


async def repeats(writer: Server, other: Server) -> None:
    """A repeated publish with an idempotency key is one event."""
    channel, key = fresh("mixed"), {"idempotency-key": "k"}
    first = await writer.publish(channel, 1, **key)
    again = await other.publish(channel, 1, **key)
    assert (again["cursor"], again["duplicate"]) == (first["cursor"], True), again


async def compares(writer: Server, other: Server) -> None:
    """`If-Match` with an ETag of one node is refused on the other after a change."""
    channel = fresh("mixed")
    await writer.publish(channel, 1)
    tag = (await writer.get(value_of(channel))).headers["etag"]
    await writer.publish(channel, 2)
    fields = {"content-type": "application/json", "if-match": tag}
    answer = await other.ask("POST", events_of(channel), fields, b"3")
    assert answer.status == 412, answer


async def deletes(deleter: Server, reader: Server) -> None:
    """A delete on one node ends a wait on the other with 404."""
    channel = fresh("mixed")
    await deleter.publish(channel, 1)
    async with await reader.connect() as client:
        target = events_of(channel) + "?since=now"
        waiting = asyncio.create_task(client.ask("GET", target, WAIT))
        await reader.held(1)
        await deleter.ask("DELETE", value_of(channel))
        assert (await asyncio.wait_for(waiting, 25)).status == 404


async def streams(publisher: Server, reader: Server) -> None:
    """A stream on one node has the events of the other."""
    channel = fresh("mixed")
    await publisher.publish(channel, 0)
    async with reader.streaming(f"{events_of(channel)}?since=now") as events:
        await events.next()
        await publisher.publish(channel, "streamed")
        for _ in range(5):
            if "streamed" in str(await asyncio.wait_for(events.next(), 20)):
                return
    raise AssertionError("the stream has no event")


CHECKS = (wakes, streams, continues, repeats, compares, deletes)


async def survives(pair: Pair, name: str) -> None:
    """A restart of one node keeps the epoch: a cursor from before is good on both."""
    channel = fresh("mixed")
    other = next(node for node in pair.nodes if node != name)
    cursor = (await pair.nodes[name].publish(channel, 1))["cursor"]
    await pair.nodes[other].publish(channel, 2)
    node = await asyncio.to_thread(pair.restart, name)
    await pair.nodes[other].publish(channel, 3)
    for reader in (node, pair.nodes[other]):
        answer = await reader.get(f"{events_of(channel)}?since={cursor}")
        assert [event["data"] for event in answer.json()["events"]] == [2, 3], answer


async def tell(what: str, check: Awaitable[None]) -> bool:
    """Print the result of a check."""
    try:
        await check
    except Exception as error:
        print(f"fails  {what}: {type(error).__name__}: {str(error)[:300]}", flush=True)
        return False
    print(f"works  {what}", flush=True)
    return True


def about(check: Callable[..., object]) -> str:
    """The first sentence of its docstring."""
    return (check.__doc__ or "").split(".")[0].strip()


async def together(url: str, order: tuple[str, str], names: dict[str, str]) -> Iterator[bool]:
    """All checks, with nodes that start in this order."""
    pair, results = Pair(url), []
    try:
        for name in order:
            await asyncio.to_thread(pair.start, name)
        started = f"({names[order[0]]} started first)"
        for one, two in (order, order[::-1]):
            for check in CHECKS:
                what = f"{names[one]} → {names[two]}: {about(check)} {started}"
                results.append(await tell(what, check(pair.nodes[one], pair.nodes[two])))
        for name in order:
            what = f"{names[name]}: {about(survives)} {started}"
            results.append(await tell(what, survives(pair, name)))
    finally:
        await asyncio.to_thread(pair.close)
    return iter(results)


def main() -> int:
    commit = sys.argv[1] if len(sys.argv) > 1 else BEFORE
    names = {OURS: "this", OTHER: commit}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pushhub-mixed-") as folder:
        unpack(commit, folder)
        for order in ((OTHER, OURS), (OURS, OTHER)):
            rack = Rack()
            try:
                url = rack.start(KINDS["valkey9"]).url()
                failed += sum(not good for good in asyncio.run(together(url, order, names)))
            finally:
                rack.close()
    print(f"{failed} failed" if failed else "everything works", flush=True)
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
