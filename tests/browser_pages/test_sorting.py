"""Columns that sort the tables of the console, in a real Chromium."""

import asyncio
import os
from typing import Any

from tests.browser_pages.browser import drive
from tests.serving import Server, serve

EVENTS = {"b": 2, "a": 10, "c": 2, "d": 1}


async def test_columns_sort_by_mouse_and_keyboard_and_stay_so() -> None:
    with serve("front") as server:
        items = [{"channel": name, "data": n} for name, all in EVENTS.items() for n in range(all)]
        assert (await server.post("/v1/publish", items)).status == 200
        found = await sorting(server)
    by_events, rising = ["a", "b", "c", "d"], ["d", "b", "c", "a"]
    assert found["natural"] == [["a", "b", "c", "d"], None]
    # 10 is more than 2, and what is equal keeps the order of the names.
    assert found["down"] == [by_events, "descending"]
    assert found["up"] == [rising, "ascending"]
    assert found["address"] == "#/channels?sort=channels.events-kept.up"
    assert found["reloaded"] == [rising, "ascending"]
    assert found["updated"] == [["b", "c", "a", "d"], "ascending"], "with the events that came"
    assert found["focused"] == "Events kept"
    assert found["filtered"] == "#/channels?prefix=b&sort=channels.events-kept.up"
    assert found["back"] == found["filtered"], "a channel's page leads back to the order"
    assert found["none"] == [["a", "b", "c", "d"], None]
    assert found["one"] == 1, "of the columns of a table"
    # Two tables of one view have an order each.
    assert found["two"] == ["ascending", "descending"]
    assert found["limits"] == sorted(found["limits"], reverse=True)
    assert found["settled"], "live rows stay in order"
    assert found["unsorted"] == [], "each column with values has a button"
    assert found["axe"] == []


async def sorting(server: Server) -> Any:
    url, folder = f"http://127.0.0.1:{server.port}", os.environ.get("PUSHHUB_TEST_PICTURES", "")
    return await asyncio.to_thread(drive, "sorting", url=url, folder=folder)
