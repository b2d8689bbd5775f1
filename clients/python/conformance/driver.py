"""The driver of `pushhub conformance`, for both clients:

pushhub conformance python clients/python/conformance/driver.py [--async]

docs/protocol.md says what it is given and what it prints.
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pushhub_client import AsyncClient, Client, Event, Gap, Problem, Refusal, async_poll, poll

MODE = os.environ["CONFORMANCE_MODE"]
URL = os.environ["CONFORMANCE_URL"]
CHANNELS: dict[str, str] = json.loads(os.environ["CONFORMANCE_CHANNELS"])
WAIT = int(os.environ["CONFORMANCE_WAIT"])
EVERY = float(os.environ["CONFORMANCE_EVERY"])
TOKEN_FILE = os.environ["CONFORMANCE_TOKEN_FILE"]
TOKEN = Path(TOKEN_FILE).read_text if TOKEN_FILE else None
TRANSPORT: Any = "sse" if MODE == "stream" else "poll"


def show(message: Any) -> None:
    line: dict[str, Any]
    match message:
        case Event():
            data = message.fields["data"]
            line = {"type": "event", "channel": message.channel, "cursor": message.cursor}
            line["data"] = data
        case Gap():
            line = {"type": "gap", "channel": message.channel, "reason": message.reason}
        case Refusal():
            line = {"type": "error", "channel": message.channel, "status": message.error.status}
        case Problem():
            line = {"type": "error", "status": message.status}
        case _:
            line = {"type": "value", "data": message.data}
    print(json.dumps(line), flush=True)


def when_input_ends(close: Callable[[], object]) -> None:
    """Cancel at the end of standard input."""

    def wait() -> None:
        # Without the buffer of `sys.stdin`, whose lock would be held at an end by itself.
        while os.read(0, 4096):
            pass
        close()

    threading.Thread(target=wait, daemon=True).start()


def run() -> None:
    if MODE == "value":
        with poll(URL, EVERY, wait=WAIT) as values:
            when_input_ends(values.close)
            for value in values:
                show(value)
        return
    with (
        Client(URL, token=TOKEN) as hub,
        hub.subscribe(CHANNELS, wait=WAIT, transport=TRANSPORT) as subscription,
    ):
        when_input_ends(subscription.close)
        for message in subscription:
            show(message)


async def run_async() -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    when_input_ends(lambda: loop.call_soon_threadsafe(task.cancel))
    if MODE == "value":
        async with async_poll(URL, EVERY, wait=WAIT) as values:
            async for value in values:
                show(value)
        return
    async with (
        AsyncClient(URL, token=TOKEN) as hub,
        hub.subscribe(CHANNELS, wait=WAIT, transport=TRANSPORT) as subscription,
    ):
        async for message in subscription:
            show(message)


def main() -> None:
    try:
        if "--async" in sys.argv[1:]:
            asyncio.run(run_async())
        else:
            run()
    except Problem as problem:
        show(problem)
    except asyncio.CancelledError:
        pass


if __name__ == "__main__":
    main()
