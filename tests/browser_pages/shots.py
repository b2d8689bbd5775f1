"""Takes the pictures in docs/img: `python -m tests.browser_pages.shots [folder]`."""

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from tests.browser_pages.browser import drive
from tests.browser_pages.filled_hour import fill, port_of
from tests.canary.running import running
from tests.origin.apis import Api
from tests.serving import Server, events_of, serve

FOLDER = Path(__file__).parents[2] / "docs" / "img"
CHANNELS = [f"orders:{n}" for n in range(12)] + ["prices", "news"]
READERS = 3
ROUTES = [
    {"path": "/orders/*", "step": "poll", "interval": 0.5, "slowest": 2},
    {"path": "/basket", "step": "notify"},
]


async def _read(server: Server, channel: str) -> None:
    """A client that long-polls for ever."""
    async with await server.connect() as client:
        cursor = "now"
        while True:
            answer = await client.ask("GET", f"{events_of(channel)}?since={cursor}&wait=25")
            cursor = answer.json()["cursor"]


async def _publish(server: Server) -> None:
    n = 0
    async with await server.connect() as client:
        while True:
            channel = CHANNELS[n % len(CHANNELS)]
            await client.ask("POST", events_of(channel), {}, b'{"order": %d, "state": "paid"}' % n)
            n += 1
            await asyncio.sleep(0.02 + 0.03 * ((n // 150) % 3))


async def shots(folder: Path, *, events: int = 24, settle: int = 15_000) -> dict[str, int]:
    """Take every picture of a hub that has something to do; what is wider than its window."""
    with serve("front") as server:
        url = f"http://127.0.0.1:{server.port}"
        readers = [_read(server, channel) for channel in CHANNELS for _ in range(READERS)]
        async with asyncio.TaskGroup() as group:
            busy = [group.create_task(work) for work in (*readers, _publish(server))]
            found: dict[str, int] = await asyncio.to_thread(
                drive, "shots", url=url, folder=str(folder), events=events, settle=settle
            )
            for task in busy:
                task.cancel()
    _shrink(folder)
    return found


async def shot_of_origin(folder: Path, *, settle: int = 15_000) -> int:
    """Take the picture of the view of an origin; by how much it is wider than its window."""
    async with Api.running() as api, AsyncExitStack() as clients:
        for n in range(6):
            api.set(f"/orders/{n}?page=1", str(n), f'"{n}"')
        api.set("/basket", "1", '"1"', headers=[("Set-Cookie", "basket=1")])
        with serve("front", origin=api.url, routes=ROUTES) as server:
            for n in range(6):
                for _ in range(n + 1):
                    client = await clients.enter_async_context(await server.connect())
                    fields = {"prefer": "wait=50", "if-none-match": f'"{n}"'}
                    client.send("GET", f"/orders/{n}?page=1", fields)
            await server.get("/basket", prefer="wait=20")
            url = f"http://127.0.0.1:{server.port}"
            wider: int = await asyncio.to_thread(
                drive, "shot_origin", url=url, folder=str(folder), settle=settle
            )
    _shrink(folder)
    return wider


async def shot_of_nodes(folder: Path) -> int:
    """Take the picture of the view of the nodes; by how much it is wider than its window."""
    async with running() as hub:
        fill(hub)
        await hub.red()
        url = f"http://127.0.0.1:{port_of(hub)}"
        wider: int = await asyncio.to_thread(drive, "shot_nodes", url=url, folder=str(folder))
    _shrink(folder)
    return wider


async def _all(folder: Path) -> bool:
    wider = [await shot_of_nodes(folder), await shot_of_origin(folder)]
    return bool(await shots(folder)) or max(wider) > 0


def _shrink(folder: Path) -> None:
    """Pages have few colours: a palette halves a picture. Without Pillow it stays as it is."""
    with suppress(ImportError):
        from PIL import Image

        for path in folder.glob("*-*.png"):
            with Image.open(path) as image:
                image.convert("RGB").quantize(200, dither=Image.Dither.NONE).save(
                    path, optimize=True
                )


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(_all(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)))
