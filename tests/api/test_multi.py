"""`POST /v1/poll`: many channels in one request."""

import json
import time
from typing import Any

from tests.serving import Server, events_of, fresh, value_of


async def poll(hub: Server, channels: dict[str, str], **fields: Any) -> Any:
    answer = await hub.post("/v1/poll", {"channels": channels, **fields})
    assert answer.status == 200, answer
    return answer.json()


async def test_without_a_wait_it_is_answered_at_once(hub: Server) -> None:
    a, b = fresh(), fresh()
    await hub.publish(a, 1)
    polled = await poll(hub, {a: "earliest", b: "now"})
    assert [(event["channel"], event["data"]) for event in polled["events"]] == [(a, 1)]
    assert polled["cursors"].keys() == {a, b}
    assert "gaps" not in polled


async def test_of_300_channels_only_the_changed_one_is_in_the_response(hub: Server) -> None:
    names = [fresh("wide") for _ in range(300)]
    begun = await poll(hub, dict.fromkeys(names, "now"))
    body = json.dumps({"channels": begun["cursors"], "wait": 30}).encode()
    times = []
    for _ in range(5):
        async with hub.holding("POST", "/v1/poll", body) as held:
            sent = time.monotonic()
            receipt = await hub.publish(names[-1], "changed")
            answer = await held
            times.append(time.monotonic() - sent)
        polled = answer.json()
        assert [event["channel"] for event in polled["events"]] == [names[-1]]
        assert polled["cursors"] == {names[-1]: receipt["cursor"]}
        assert answer.headers["preference-applied"] == "wait=30"
        body = json.dumps({"channels": begun["cursors"] | polled["cursors"], "wait": 30}).encode()
    # What else the machine does makes some of them late, and never one early.
    assert min(times) < 0.25


async def test_what_came_between_two_polls_is_in_the_second(hub: Server) -> None:
    a, b = fresh(), fresh()
    cursors = (await poll(hub, {a: "now", b: "now"}))["cursors"]
    await hub.publish(b, "between")
    polled = await poll(hub, cursors, wait=30)
    assert [event["data"] for event in polled["events"]] == ["between"]
    assert polled["cursors"].keys() == {b}


async def test_nothing_new_at_the_end_of_the_wait_moves_no_cursor(hub: Server) -> None:
    a = fresh()
    cursors = (await poll(hub, {a: "now"}))["cursors"]
    assert await poll(hub, cursors, wait=1) == {"events": [], "cursors": {}}


async def test_the_header_asks_for_a_wait_too(hub: Server) -> None:
    a = fresh()
    body = json.dumps({"channels": {a: "now"}}).encode()
    async with hub.holding("POST", "/v1/poll", body, prefer="wait=20") as held:
        await hub.publish(a, 1)
        assert (await held).headers["preference-applied"] == "wait=20"


async def test_gaps_are_reported_beside_events_and_the_cursor_advances(hub: Server) -> None:
    good, lost = fresh(), fresh()
    await hub.publish(good, "fine")
    receipt = await hub.publish(lost, "kept")
    polled = await poll(hub, {good: "earliest", lost: "otherepoch-7"}, wait=30)
    assert [event["data"] for event in polled["events"]] == ["fine"]
    assert polled["gaps"].keys() == {lost}
    gap = polled["gaps"][lost]
    assert gap == {"reason": "epoch", "oldest": f"{receipt['epoch']}-0", "latest": gap["latest"]}
    assert polled["cursors"][lost] == gap["oldest"]
    again = await poll(hub, polled["cursors"], wait=30)
    assert [event["data"] for event in again["events"]] == ["kept"]


async def test_the_limit_bounds_the_whole_answer_and_loses_nothing(hub: Server) -> None:
    names = [fresh() for _ in range(4)]
    for name in names:
        await hub.post("/v1/publish", [{"channel": name, "data": n} for n in range(30)])
    cursors: dict[str, str] = dict.fromkeys(names, "earliest")
    seen: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(40):
        polled = await poll(hub, cursors, limit=7)
        assert len(polled["events"]) <= 7
        for event in polled["events"]:
            seen[event["channel"]].append(event["data"])
        cursors |= polled["cursors"]
        if not polled["events"]:
            break
    assert seen == {name: list(range(30)) for name in names}


async def test_a_channel_that_is_deleted_ends_the_hold(hub: Server) -> None:
    a, b = fresh(), fresh()
    await hub.publish(a, 1)
    body = json.dumps({"channels": {a: "now", b: "now"}, "wait": 30}).encode()
    async with hub.holding("POST", "/v1/poll", body) as held:
        await hub.ask("DELETE", value_of(a))
        assert (await held).problem == "deleted"


async def test_a_thousand_channels_are_allowed(hub: Server) -> None:
    name = fresh("k")
    await hub.ask("POST", events_of(f"{name}-999"), body=b"1")
    polled = await poll(hub, {f"{name}-{n}": "earliest" for n in range(1000)})
    assert len(polled["events"]) == 1
    assert len(polled["cursors"]) == 1000
