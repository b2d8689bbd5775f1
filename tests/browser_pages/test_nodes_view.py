"""The console's view of the nodes, in a real Chromium: their last hour, and their canaries."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

import pushhub
from pushhub.console import sampler
from tests.browser_pages.browser import drive
from tests.browser_pages.filled_hour import fill, port_of
from tests.canary.running import Running, running

# A check takes milliseconds, and on a busy machine seconds.
SECONDS = 30.0


@pytest.fixture
async def hub() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


async def view(hub: Running, scenario: str, **more: Any) -> Any:
    folder = os.environ.get("PUSHHUB_TEST_PICTURES", "")
    url = f"http://127.0.0.1:{port_of(hub)}"
    return await asyncio.to_thread(drive, scenario, url=url, folder=folder, **more)


async def test_the_last_hour_is_there_when_the_view_opens(hub: Running) -> None:
    fill(hub)
    assert await hub.red(SECONDS) == set()
    found = await view(hub, "hours", says="All checks of the canary succeed on the only process.")
    assert found["axe"] == {}
    assert max(found["wider"].values()) <= 0
    labels = found["labels"]
    assert labels["Holds"].endswith("lowest 40, highest 59.")
    assert "in the last hour: last " in labels["Holds"]
    assert labels["Published/s"].endswith("lowest 0, highest 7.9.")
    assert labels["Delivery, p99"].endswith("last 10.0 ms, lowest 2.5 ms, highest 10.0 ms.")
    assert labels["Memory"].endswith("last 80 MiB, lowest 70 MiB, highest 80 MiB.")
    assert found["widest"] > 350, "of 360: the line begins an hour ago"
    # The moment by the keyboard, by the pointer, and now again.
    assert found["moment"]["text"].endswith("10 min ago")
    assert found["moment"]["text"] == found["moment"]["spoken"]
    assert found["moment"]["early"] == "2.5 ms"
    assert found["moment"]["pointed"].endswith(" ago")
    assert found["moment"]["pointed"] != found["moment"]["text"]
    # The time of day moves on.
    assert found["moment"]["left"].endswith(", 10 min ago")
    assert found["moment"]["now"] == ["now", "10.0 ms"]
    rows = {row[2]: row[3:] for row in found["table"]}
    assert rows["Memory"] == ["80 MiB", "70 MiB", "75 MiB", "80 MiB"]
    (process,) = found["processes"]
    assert process[2:] == [
        *(pushhub.__version__, found["python"], "memory", "6 of 6", "0"),
    ]
    assert {row[0]: row[3] for row in found["checks"]} == dict.fromkeys(
        ("listener", "publish", "hold", "stream", "value", "feed"), "good"
    )


async def test_points_are_added_while_the_view_is_open(
    hub: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "SAMPLE_SECONDS", 1.5)
    hub.app.console.agent.sampler.start()
    found = await view(hub, "hours_live")
    assert found["more"] > found["fewer"]
    assert found["title"] == "The last ten minutes"


async def test_a_failing_check_is_the_first_thing_that_an_operator_reads(hub: Running) -> None:
    fill(hub)
    hub.store.fails = True
    assert "publish" in await hub.red()
    hub.store.fails = False
    found = await view(hub, "canary")
    assert "canary’s check “" in found["nodes"]
    assert found["state"] == "failing"
    assert found["reason"]
    assert found["overview"].endswith("; see Nodes.")
    assert found["how"] == ["bad", "bad"]
