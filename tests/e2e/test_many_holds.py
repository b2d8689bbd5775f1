"""Five thousand holds in one process, on the embedded store."""

import asyncio
import os
from pathlib import Path

import pytest

from pushhub.server.collector import TRIM_SECONDS
from tests.serving import Server, events_of, fresh, serve

HOLDS = 5000
# A machine that runs other tests too; alone it takes a fifth of this.
SECONDS = 30.0


def resident(server: Server) -> int:
    """The server's resident memory, in bytes."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def round_of_holds(server: Server, channel: str, number: int, linger: float) -> int:
    """Hold everybody, publish, see that everybody is told, and leave some seconds later. Memory
    while they waited.
    """
    cursor = (await server.get(events_of(channel) + "?since=now")).json()["cursor"]
    request = f"GET {events_of(channel)}?since={cursor}&wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(HOLDS)]
    for _, writer in waiting:
        writer.write(request.encode())
    await server.held(HOLDS, SECONDS)
    used = resident(server)
    await server.publish(channel, f"round {number}")

    async def told(reader: asyncio.StreamReader) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        return b'"round %d"' % number in await reader.readexactly(length)

    async with asyncio.timeout(SECONDS):
        assert all(await asyncio.gather(*(told(reader) for reader, _ in waiting)))
    await asyncio.sleep(linger)
    for _, writer in waiting:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in waiting))
    await server.held(0, SECONDS)
    return used


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.timeout(180)
async def test_a_publish_reaches_five_thousand_holds_and_their_memory_comes_back(
    tmp_path: Path,
) -> None:
    """Three crowds come and go. What they took is given back to the system within seconds: the
    server looks every five whether a crowd has left.
    """
    with serve("front", f"sqlite:///{tmp_path / 'hub.db'}") as server:
        channel = fresh("crowd")
        before = resident(server)
        after = []
        for number in range(3):
            # The connections of the last crowd stay until the server has looked twice.
            linger = 2 * TRIM_SECONDS + 0.5 if number == 2 else 0.0
            used = await round_of_holds(server, channel, number, linger)
            after.append(resident(server))
            print(f"{HOLDS} holds: {used / 1e6:.1f} MB, after them {after[-1] / 1e6:.1f} MB")
        print(f"before: {before / 1e6:.1f} MB")
        for _ in range(int(SECONDS / 0.2)):
            if resident(server) <= before * 1.1:
                break
            await asyncio.sleep(0.2)
        assert resident(server) <= before * 1.1
        print(f"in the end: {resident(server) / 1e6:.1f} MB")
