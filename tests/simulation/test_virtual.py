"""A hub on virtual time for users' own tests."""

import time

import pytest

from pushhub.testing.virtual import VirtualHub

pytest_plugins = ["pushhub.testing.fixtures"]

FEED = "/v1/channels/orders:7/events"


def test_a_wait_ends_with_the_event(virtual_hub: VirtualHub) -> None:
    waiting = virtual_hub.begin("GET", f"{FEED}?since=now", {"Prefer": "wait=25"})
    virtual_hub.sleep(15)
    assert not waiting.done
    virtual_hub.publish("orders:7", {"total": 3})
    (event,) = waiting.response().json()["events"]
    assert event["data"] == {"total": 3}


@pytest.mark.slow
def test_a_month_takes_no_time(virtual_hub: VirtualHub) -> None:
    begun, before = time.perf_counter(), virtual_hub.clock()
    cursor = virtual_hub.publish("orders:7", 1)["cursor"]
    virtual_hub.publish("orders:7", 2)
    virtual_hub.sleep(30 * 86_400)
    page = virtual_hub.ask("GET", f"{FEED}?since={cursor}").json()
    assert [event["data"] for event in page["events"]] == [2], "the last event survives its age"
    assert virtual_hub.clock() - before >= 30 * 86_400
    assert time.perf_counter() - begun < 60


def test_who_disconnects_is_held_no_longer() -> None:
    with VirtualHub(seed=1, public=True) as hub:
        waiting = hub.begin("GET", f"{FEED}?since=now", {"Prefer": "wait=55"})
        assert b"\npushhub_holds 1\n" in hub.ask("GET", "/metrics").body
        waiting.disconnect()
        hub.sleep(0.1)
        assert b"\npushhub_holds 0\n" in hub.ask("GET", "/metrics").body
