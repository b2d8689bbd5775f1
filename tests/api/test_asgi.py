"""The ASGI driver alone, in this process and on virtual time: what would take too long for real."""

import asyncio
from typing import Any

import orjson

from pushhub.app import App, create_app
from pushhub.hub.hub import Hub
from pushhub.log.cursor import Start
from pushhub.polls.feed import FeedPoll
from pushhub.settings import Settings
from tests.hub.scripted import ask, settled
from tests.hub.virtual import VirtualLoop


def scope(method: str, path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
    }


async def opened() -> App:
    app = create_app(Settings(dev=True, store="memory://"))
    await app.open()
    return app


async def count(hub: Hub) -> int:
    recorder = ask(hub, FeedPoll("a", Start.EARLIEST, 100))
    await settled()
    return len(recorder.data)


def test_a_body_that_never_ends_is_given_up_after_its_seconds() -> None:
    async def run() -> None:
        app = await opened()
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(3)
            return {"type": "http.request", "body": b"1", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        begun = asyncio.get_running_loop().time()
        await app(scope("POST", "/v1/channels/a/events"), receive, send)
        assert 19 < asyncio.get_running_loop().time() - begun < 23
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]
        assert orjson.loads(sent[1]["body"])["type"] == "urn:pushhub:problem:timeout"
        assert await count(app.service.hub) == 0
        await app.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


def test_a_client_that_goes_in_the_middle_of_its_body_is_told_nothing() -> None:
    async def run() -> None:
        app = await opened()
        messages = [
            {"type": "http.request", "body": b"1", "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            raise AssertionError(f"nobody is there to read {message}")

        await app(scope("POST", "/v1/channels/a/events"), receive, send)
        assert await count(app.service.hub) == 0
        await app.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
