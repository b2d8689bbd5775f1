"""Deleting and listing channels."""

import time

from tests.serving import Server, events_of, fresh, value_of


async def test_a_delete_ends_holds_with_404_within_a_tenth_of_a_second(
    hub: Server,
) -> None:
    times = [await _deleted(hub) for _ in range(5)]
    # What else the machine does makes some of them late, and never one early.
    assert min(times) < 0.1


async def _deleted(hub: Server) -> float:
    """Hold in every way, and delete; how long the answers took."""
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    tag = f'"{cursor}"'
    body = b'{"channels":{"%s":"now"},"wait":30}' % channel.encode()
    async with (
        hub.holding("GET", f"{events_of(channel)}?since={cursor}&wait=30") as feed,
        hub.holding("GET", value_of(channel), prefer="wait=30", if_none_match=tag) as value,
        hub.holding("POST", "/v1/poll", body) as many,
    ):
        begun = time.monotonic()
        assert (await hub.ask("DELETE", value_of(channel))).status == 204
        for held in (feed, value, many):
            answer = await held
            assert (answer.status, answer.problem) == (404, "deleted")
            assert answer.json()["channel"] == channel
        return time.monotonic() - begun


async def test_after_a_delete_offsets_go_on_and_old_cursors_are_told(hub: Server) -> None:
    channel = fresh()
    first = await hub.publish(channel, 1)
    last = await hub.publish(channel, 2)
    await hub.ask("DELETE", value_of(channel))
    assert (await hub.get(f"{events_of(channel)}?since={first['cursor']}")).status == 410
    at_end = await hub.get(f"{events_of(channel)}?since={last['cursor']}")
    assert at_end.json()["events"] == []
    assert (await hub.publish(channel, 3))["offset"] == 3
    assert await hub.log(channel) == [3]


async def test_a_read_that_a_delete_overtakes_leaves_nothing_in_memory(
    hub: Server,
) -> None:
    for _ in range(30):
        channel = fresh()
        await hub.publish(channel, "deleted")
        async with await hub.connect() as reader, await hub.connect() as other:
            reader.send("GET", value_of(channel))
            other.send("DELETE", value_of(channel))
            await reader.receive()
            assert (await other.receive()).status == 204
        assert (await hub.get(value_of(channel))).status == 404


async def test_deleting_what_is_not_there_is_404(hub: Server) -> None:
    answer = await hub.ask("DELETE", value_of(fresh()))
    assert (answer.status, answer.problem) == (404, "not-found")


async def test_a_list_has_counts_of_events_and_holds_and_turns_pages(hub: Server) -> None:
    prefix = fresh("list")
    names = [f"{prefix}:{letter}" for letter in "abc"]
    for name in names:
        await hub.publish(name, 1)
        receipt = await hub.publish(name, 2)
    async with hub.holding("GET", events_of(names[2]) + "?since=now&wait=30"):
        first = (await hub.get(f"/v1/channels?prefix={prefix}&limit=2")).json()
        assert [channel["channel"] for channel in first["channels"]] == names[:2]
        target = f"/v1/channels?prefix={prefix}&limit=2&after={first['next']}"
        second = (await hub.get(target)).json()
    entry = {"channel": names[2], "events": 2, "cursor": receipt["cursor"], "holds": 1}
    assert second == {"channels": [entry]}


async def test_pushhubs_own_channels_are_in_no_list(hub: Server) -> None:
    listed = (await hub.get("/v1/channels?limit=1000&prefix=$")).json()
    assert listed["channels"] == []


async def test_channels_are_deleted_by_prefix(hub: Server) -> None:
    prefix = fresh()
    for name in ("a", "b", "c"):
        await hub.publish(f"{prefix}:{name}", 1)
    await hub.publish(f"{prefix}x", 1)
    cursor = (await hub.publish(f"{prefix}:a", 2))["cursor"]
    async with hub.holding("GET", f"{events_of(prefix + ':a')}?since={cursor}&wait=30") as held:
        answer = await hub.ask("DELETE", f"/v1/channels?prefix={prefix}:")
        assert (answer.status, answer.json()) == (200, {"deleted": 3})
        told = await held
        assert (told.status, told.problem) == (404, "deleted")
    left = (await hub.get(f"/v1/channels?prefix={prefix}")).json()["channels"]
    assert [info["channel"] for info in left] == [f"{prefix}x"]
    assert (await hub.ask("DELETE", f"/v1/channels?prefix={prefix}:")).json() == {"deleted": 0}
    for query in ("", "?prefix=", "?prefix=$"):
        answer = await hub.ask("DELETE", f"/v1/channels{query}")
        assert (answer.status, answer.problem) == (400, "bad-request")
