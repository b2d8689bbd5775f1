"""Use an installed pushhub-client: python -I smoke_client.py ADDRESS VERSION"""

import asyncio
import importlib.metadata
import sys
from pathlib import Path

import pushhub_client
from pushhub_client import AsyncClient, Client, Event

ADDRESS, VERSION = sys.argv[1:]


async def read_async() -> object:
    async with AsyncClient(ADDRESS) as hub:
        async for event in hub.subscribe("smoke-python", since="earliest"):
            return event.data if isinstance(event, Event) else event
    return None


def main() -> None:
    assert importlib.metadata.version("pushhub-client") == VERSION
    assert Path(pushhub_client.__file__).is_relative_to(sys.prefix), pushhub_client.__file__
    with Client(ADDRESS) as hub:
        hub.publish("smoke-python", {"n": 1})
        for event in hub.subscribe("smoke-python", since="earliest"):
            assert isinstance(event, Event), event
            assert event.data == {"n": 1}
            break
    assert asyncio.run(read_async()) == {"n": 1}


main()
