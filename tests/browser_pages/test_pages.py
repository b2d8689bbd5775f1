"""What people do with the demo and the console, in a real Chromium, against a real hub."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.api.test_auth import ADMIN, KEYS, bearer
from tests.browser_pages.browser import drive
from tests.redis_servers import Shelf
from tests.serving import Server, events_of, serve

EVIL = [
    "<img src=x onerror=pwned=1>",
    "</script><script>pwned=1</script>",
    '"><svg onload=pwned=1>',
    "javascript:pwned=1",
    "{{constructor.constructor('pwned=1')()}}",
    "\u202eevil\u2066",
    "__proto__",
    "' onmouseover='pwned=1",
]


@pytest.fixture(scope="module")
def hub() -> Iterator[Server]:
    """A hub that asks for a key."""
    with serve("front", dev=False, api_keys=KEYS, demo=True) as server:
        yield server


@pytest.fixture
def door() -> Iterator[Server]:
    """A hub on which nobody has tried a key."""
    with serve("front", dev=False, api_keys=KEYS) as server:
        yield server


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def test_the_key_opens_the_console_and_stays_in_memory(door: Server) -> None:
    wrong = "phk_" + "x" * 43
    url = address(door)
    found = drive("login", url=url, key=ADMIN, wrong=wrong, key_in_address=True)
    assert found == {
        "ignored": True,
        "refused": "This server does not know this API key.",
        "who": "admin",
        "leaked": False,
    }


def test_wrong_keys_are_throttled(door: Server) -> None:
    said = drive("throttle", url=address(door), key=ADMIN)
    assert said[0] == "This server does not know this API key."
    assert "Too many wrong keys" in said[-1]
    assert "Try again in" in said[-1]
    assert len(said) >= 6, "five slips are free"


def test_figures_and_plots_move(hub: Server) -> None:
    found = drive("plots", url=address(hub), key=ADMIN)
    assert found["plots"] == 6
    assert found["moved"] >= 3, "those of events, of their latency, and of the store"
    assert float(found["busy"]) >= 5
    assert int(found["holds"]) >= 1
    assert found["wake"].endswith("ms")
    assert found["memory"].endswith("MiB")
    assert found["rows"] == 1
    assert found["held"], "what is paused stands still"


def test_the_console_tells_its_own_faults_and_its_feed_goes_on(hub: Server) -> None:
    found = drive("faults", url=address(hub), key=ADMIN)
    assert found["plots"] == 6, "a locale that is none keeps no plot away"
    assert found["state"] == "live, but this page failed: uPlot is not defined"
    assert found["beats"] >= 2
    assert found["reported"] == ["ReferenceError: uPlot is not defined"]


def test_an_operator_publishes_looks_and_deletes(hub: Server) -> None:
    found = drive("channel", url=address(hub), key=ADMIN, name="orders:7/ä?#")
    assert [event["data"] for event in found["published"]] == [{"deep": {"er": [1, 2]}}]
    assert json.loads(found["payload"]) == {"deep": {"er": [1, 2]}}
    assert found["curl"].startswith('curl -H "Authorization: Bearer $PUSHHUB_KEY"')
    assert ADMIN not in found["curl"]
    assert "127.0.0.1" in found["holder"]
    assert (found["spared"], found["left"]) == (1, 0)


def test_a_dialog_goes_with_the_view_that_it_asks_about(hub: Server) -> None:
    found = drive("dialog", url=address(hub), key=ADMIN)
    assert found["shown"] == 0
    assert "“one”" in found["asks"]
    assert found["kept"] == [0, 1], "the channel that was left is still there"


def test_the_list_of_channels_is_current_and_has_an_address(door: Server) -> None:
    found = drive("list", url=address(door), key=ADMIN)
    assert found["filter"] == "list:"
    assert len(found["boxes"]) == 3
    assert len({tuple(box) for box in found["boxes"]}) == 1, "one line"
    assert (found["second"], found["focused"]) == ("list:0000", "list:000")
    assert found["address"] == "#/channels?prefix=list%3A&after=list%3A098"
    assert found["returned"] == found["address"]
    assert (found["sent"], found["typed"]) == ("list:099", "#/channels?prefix=list%3A24")


def test_a_trace_shows_a_polls_life(hub: Server) -> None:
    found = drive("trace", url=address(hub), key=ADMIN)
    assert "Tracing" not in found["early"], "nobody has heard of it yet"
    assert found["ended"] == ["Ended after 0 lines.", True]
    words = [row[1] for row in found["rows"]]
    order = ["request", "waits", "publish", "event", "response", "is in the log"]
    assert [word for word in words if word in order] == order
    assert len({row[3] for row in found["rows"] if row[3]}) == 1
    assert not any("in the trace" in cell for row in found["rows"] for cell in row)
    assert found["after"] == len(found["rows"]), "a trace that is stopped is silent"


async def test_names_and_payloads_are_text(door: Server) -> None:
    for name in EVIL:
        answer = await door.post(
            f"/v1/channels/{_quoted(name)}/events", {name: [name]}, **bearer(ADMIN)
        )
        assert answer.status == 200, answer
    found = await asyncio.to_thread(drive, "attack", url=address(door), key=ADMIN, names=EVIL)
    assert sorted(found["listed"]) == sorted(EVIL)
    assert [json.loads(text) for text in found["shown"]] == [{name: [name]} for name in EVIL]
    assert found["alien"] == 0
    assert not found["pwned"]


async def test_ten_thousand_channels_are_paged(door: Server) -> None:
    for start in range(0, 10_000, 1000):
        items = [{"channel": f"many:{n:05}", "data": 1} for n in range(start, start + 1000)]
        answer = await door.post("/v1/publish", items, **bearer(ADMIN))
        assert answer.status == 200, answer
    found = await asyncio.to_thread(drive, "many", url=address(door), key=ADMIN)
    assert found["first"] == 100
    assert found["second"] == "many:00100"
    assert found["again"]
    assert found["last"] == "many:09999"


async def test_the_largest_events_are_shown_in_pieces(door: Server) -> None:
    data = "<b>" + "x" * 262_000
    for _ in range(60):
        assert (await door.post(events_of("large"), data, **bearer(ADMIN))).status == 200
    found = await asyncio.to_thread(drive, "large", url=address(door), key=ADMIN)
    assert found["preview"] < 300
    assert (found["shown"], found["all"]) == (20_000, len(data))
    assert found["offsets"] == list(range(60, found["offsets"][-1] - 1, -1)), "none is left out"


def test_everything_can_be_done_by_keyboard(hub: Server) -> None:
    found = drive("keyboard", url=address(hub), key=ADMIN)
    assert found == {
        "heading": "Overview",
        "visible": True,
        "skipped": "view",
        "ring": "solid",
        "careful": "Cancel",
        "back": "key",
    }


@pytest.mark.timeout(300)  # four windows at once: alone 20 s, on a fifth of a core a minute
async def test_axe_finds_nothing(hub: Server) -> None:
    await hub.post(events_of("seen"), {"x": 1}, **bearer(ADMIN))
    found = await asyncio.to_thread(drive, "access", url=address(hub), key=ADMIN)
    assert not found, json.dumps(found, indent=1)


def test_the_demo_shows_one_event_to_every_reader(hub: Server) -> None:
    found = drive("demo", url=address(hub), key=ADMIN)
    assert found["of"].keys() == {"polling", "waiting", "stream"}
    for reader in found["of"].values():
        assert reader["events"] == "1"
        assert reader["requests"] >= 1
        assert reader["code"] > 100
        assert reader["text"].startswith("<img src=x")
    assert found["drawn"]
    assert "Long-polling" in found["label"]
    assert not found["bosh"], "nobody may log in here without an account"
    assert not found["pwned"]


def test_the_demo_has_bosh_where_the_hub_speaks_it_to_everybody() -> None:
    with serve("front") as dev:
        found = drive("demo", url=address(dev), bosh=True)
    assert found["bosh"]
    reader = found["of"]["bosh"]
    assert (reader["events"], reader["text"][:4]) == ("1", "<img")
    assert reader["requests"] >= 5
    assert found["curl"].startswith("curl -d ")


def test_the_store_may_go_away(redis_shelf: Shelf) -> None:
    store = redis_shelf.server("valkey9")
    assert store.process is not None
    with serve("front", store.url(), dev=False, api_keys=KEYS) as server:
        found = drive("away", url=address(server), key=ADMIN, store=store.process.pid)
        assert "is unavailable" in found["health"] or "is disconnected" in found["health"]


def _quoted(name: str) -> str:
    from pushhub.log.channel import encode_segment

    return encode_segment(name)
