"""The console's view of the limits, in a real Chromium."""

import asyncio
import os

from tests.browser_pages.browser import drive
from tests.serving import events_of, serve

ALICE = {"x-forwarded-for": "203.0.113.7"}


async def test_an_operator_sees_limits_their_use_and_refusals() -> None:
    limits = {
        "address-publishes": {"rate": 0.001, "burst": 4},
        "address-holds": {"most": 10},
        "subject-requests": {"rate": 0},
    }
    with serve("front", trusted_proxies=["127.0.0.1/32", "10.9.0.0/16"], limits=limits) as server:
        for _ in range(4):
            await server.publish("orders", 1, **ALICE)
        for _ in range(3):
            assert (await server.post(events_of("orders"), 1, **ALICE)).status == 429
        async with server.holding("GET", f"{events_of('orders')}?since=now&wait=55", b"", **ALICE):
            url = f"http://127.0.0.1:{server.port}"
            folder = os.environ.get("PUSHHUB_TEST_PICTURES", "")
            says = "203.0.113.7 has used 100 % of address-publishes"
            found = await asyncio.to_thread(drive, "limits", url=url, folder=folder, says=says)
    assert found["axe"] == {}
    assert max(found["wider"].values()) <= 0
    address = {row[0].split()[0]: row[1:] for row in found["address"]}
    *row, ago, client = address["address-publishes"]
    assert row == [*("0.001/s, burst 4", "4 of 4", "203.0.113.7", "1", "3")]
    assert (ago.endswith("s ago"), client) == (True, "203.0.113.7"), "the last refusal"
    assert address["address-holds"][:4] == ["10", "1", "203.0.113.7", "1"]
    assert address["address-connections"][0] == "20,000"
    subject = {row[0].split()[0]: row[1:] for row in found["subject"]}
    assert subject["subject-requests"][0] == "off"
    assert {row[0].split()[0]: row[1] for row in found["key"]}["key-publishes"] == "off"
    process = {row[0].split()[0]: row[1:] for row in found["process"]}
    assert process["max_holds"][:2] == ["100,000", "1"]
    assert process["max_body_bytes"][0] == "64 MiB"
