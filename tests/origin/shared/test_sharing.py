"""Shared polls and notifications: one look at the origin for all who wait on a resource."""

import asyncio
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.origin.apis import Api
from tests.origin.shared.front import Front, serving
from tests.serving import SOON, Server

ROUTES: list[dict[str, Any]] = [
    {"path": "/poll/*", "step": "poll", "interval": 0.1, "slowest": 0.2},
    {"path": "/told/{id}", "step": "notify", "channel": "told:{id}"},
    {"path": "/notify/*", "step": "notify"},
    {"path": "/cached/*", "step": "notify", "max_age": 60},
    {"path": "/public/*", "step": "notify", "identity": []},
    {
        "path": "/feed",
        "step": "notify",
        "cursor": "since",
        "items_field": "items",
        "next_field": "meta.next",
        "nothing": "same",
    },
    {"path": "/version", "step": "notify", "cursor": "version", "version_field": "version"},
    {
        "path": "/alias",
        "step": "notify",
        "opt_in": ["wait", "wait-param", "timeout-param"],
        "timeout_unit": "ms",
        "nothing": "204",
    },
]


@pytest.fixture(scope="module", params=["front"])
def hub(request: pytest.FixtureRequest) -> Iterator[tuple[Server, int]]:
    with serving(request.param, ROUTES) as running:
        yield running


# -- what everybody gets -----------------------------------------------------------


async def test_without_opt_in_nothing_changes(front: Front) -> None:
    front.api.set(front.polled, '{"n":1}', '"one"')
    answer = await front.hub.ask("GET", front.polled)
    assert answer.headers == {
        "etag": '"one"',
        "content-type": "application/json",
        "content-length": "7",
    }
    same = await front.hub.ask("GET", front.polled, {"if-none-match": '"one"'})
    assert (same.status, same.headers) == (304, {"etag": '"one"'})


async def test_without_a_condition_the_response_is_immediate(front: Front) -> None:
    front.api.set(front.notified, '{"n":1}', '"one"')
    answer = await front.wait(front.notified)
    assert (answer.status, answer.body) == (200, b'{"n":1}')
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Prefer"
    assert answer.headers["etag"] == '"one"'


async def test_a_new_representation_is_an_immediate_response(front: Front) -> None:
    front.api.set(front.notified, '{"n":2}', '"two"')
    answer = await front.wait(front.notified, '"one"')
    assert (answer.status, answer.headers["etag"]) == (200, '"two"')


async def test_a_wait_that_brings_nothing_ends_with_304(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    begun = time.monotonic()
    answer = await front.wait(front.notified, '"one"', prefer="wait=1")
    assert 0.7 < time.monotonic() - begun < 1 + SOON
    assert (answer.status, answer.headers["etag"]) == (304, '"one"')
    assert answer.headers["preference-applied"] == "wait=1"
    assert front.api.count() == 1


@pytest.mark.parametrize("tag", ['W/"one"', '"one-gzip"', '"zero", "one"'])
async def test_tags_are_compared_as_proxies_leave_them(front: Front, tag: str) -> None:
    front.api.set(front.notified, "1", '"one"')
    async with front.waiting(front.notified, tag) as answer:
        await front.parked(1)
        front.api.set(front.notified, "2", '"two"')
        await front.notify(front.notified)
        assert (await answer).headers["etag"] == '"two"'


async def test_an_origin_without_tags_is_given_some(front: Front) -> None:
    front.api.set(front.polled, "1")
    first = await front.wait(front.polled)
    tag = first.headers["etag"]
    assert tag.startswith('W/"ph-')
    async with front.waiting(front.polled, tag) as answer:
        await front.parked(1)
        front.api.set(front.polled, "2")
        second = await answer
    assert (second.status, second.body) == (200, b"2")
    assert second.headers["etag"] != tag
    # It is ours, and the origin never sees it.
    await front.hub.ask("GET", front.polled, {"if-none-match": f'{tag}, "own"'})
    assert all("ph-" not in asked.headers.get("if-none-match", "") for asked in front.api.asked)
    assert front.api.asked[-1].headers["if-none-match"] == '"own"'


# -- polled for all ------------------------------------------------------------------


async def test_a_client_that_has_just_read_waits_without_another_fetch(front: Front) -> None:
    target = front.notified + "?read=first"
    front.api.set(target, "1", '"one"')
    read = await front.wait(target)
    assert (read.status, read.headers["etag"]) == (200, '"one"')
    async with front.waiting(target, read.headers["etag"]):
        await front.parked(1, looks=1)
        assert front.api.count(target) == 1


async def test_a_change_completes_all_holds_with_one_fetch(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    async with (
        front.waiting(front.notified, '"one"') as first,
        front.waiting(front.notified, '"one"') as second,
        front.waiting(front.notified + "?x=1", '"one"') as other,
    ):
        await front.parked(2, looks=2)
        assert (await other).status == 404  # another resource
        before = front.api.count(front.notified)
        front.api.set(front.notified, "2", '"two"')
        await front.notify(front.notified)
        answers = [await first, await second]
    assert [answer.body for answer in answers] == [b"2", b"2"]
    assert front.api.count(front.notified) == before + 1


async def test_a_resource_is_polled_only_while_a_request_waits(front: Front) -> None:
    front.api.set(front.polled, "1", '"one"')
    async with front.waiting(front.polled, '"one"') as answer:
        await front.api.reached(4, front.polled)
        front.api.set(front.polled, "2", '"two"')
        assert (await answer).body == b"2"
    # The one look that may be under way, and no more.
    seen = front.api.count(front.polled)
    await asyncio.sleep(0.6)
    assert front.api.count(front.polled) <= seen + 1
    # The looks are conditional.
    assert front.api.asked[1].headers["if-none-match"] == '"one"'


async def test_simultaneous_requests_cost_one_fetch(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    front.api.gate.clear()
    async with AsyncExitStack() as clients:
        crowd = [
            await clients.enter_async_context(
                front.waiting(front.notified, '"one"', prefer="wait=30")
            )
            for _ in range(50)
        ]
        await front.parked(50)
        front.api.gate.set()
        await front.api.settled(1)
        assert front.api.count() == 1
        late = await clients.enter_async_context(front.waiting(front.notified, '"one"'))
        await front.parked(51)
        # Whether it still came during that look only the hub knows; if so, it may need another.
        before = front.api.count()
        assert before <= 2
        await front.api.settled(before)
        front.api.set(front.notified, "2", '"two"')
        await front.notify("/notify/*")
        for waiting in [*crowd, late]:
            assert (await waiting).body == b"2"
        assert front.api.count() == before + 1


async def test_a_fetch_from_before_a_request_does_not_complete_it(front: Front) -> None:
    """The origin is slow, and has changed by the time the second client asks: what the look under
    way finds is older than what that client has.
    """
    front.api.set(front.notified, "1", '"one"')
    async with front.waiting(front.notified, '"zero"') as first:
        front.api.gate.clear()
        await front.api.reached(1)
        # The answer is made when the gate opens; so a change in between is what the client saw.
        async with front.waiting(front.notified, '"two"') as second:
            await front.parked(2)
            front.api.gate.set()
            assert (await first).body == b"1"
            await front.api.reached(2)
            answer = await second
    assert answer.status == 200
    assert front.api.count() == 2


async def test_a_notification_during_a_fetch_causes_another_fetch(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    async with front.waiting(front.notified, '"one"') as answer:
        await front.parked(1, looks=1)
        front.api.gate.clear()
        await front.notify(front.notified)
        await front.api.reached(2)
        await front.notify(front.notified)
        await front.notify(front.notified)
        front.api.gate.set()
        await front.api.reached(3)
        front.api.set(front.notified, "2", '"two"')
        await front.notify(front.notified)
        assert (await answer).body == b"2"


async def race(api: Api, hubs: list[Server], target: str, rounds: int) -> None:
    """A poller that is always about to ask when the origin changes; each time from another hub."""
    clients = [await hub.connect() for hub in hubs]
    api.set(target, "0", '"0"')
    for number in range(rounds):
        client = clients[number % len(clients)]
        client.send("GET", target, {"prefer": "wait=10", "if-none-match": f'"{number}"'})
        await asyncio.sleep(random.uniform(0, 0.005))
        api.set(target, str(number + 1), f'"{number + 1}"')
        told = await hubs[-1].post("/_pushhub/v1/notify", {"resources": [target]})
        assert told.status == 200
        answer, had = await client.receive(15), number
        # Another node may not have heard of the last change yet, and know an older state as its
        # newest: who is given that asks on.
        while answer.status == 200 and (has := int(answer.body)) != had and has <= number:
            client.send("GET", target, {"prefer": "wait=10", "if-none-match": f'"{has}"'})
            answer, had = await client.receive(15), has
        assert (answer.status, answer.body) == (200, b"%d" % (number + 1)), "missed"
    for client in clients:
        client.close()


async def test_a_change_that_races_with_a_poll_is_never_missed(front: Front) -> None:
    targets = [f"{front.notified}-{index}" for index in range(8)]
    await asyncio.gather(*(race(front.api, [front.hub], target, 40) for target in targets))


@pytest.mark.parametrize(
    ("resource", "hears"),
    [
        ("{}", True),
        ("{}?x=1", True),
        ("/notify/*", True),
        ("/notify/{{id}}", True),
        ("/*", True),
        ("/notify", False),
        ("/notify/b", False),
        ("{}?x=2", False),
        ("/{{id}}", False),
    ],
)
async def test_the_resources_that_a_notification_names(
    front: Front, resource: str, hears: bool
) -> None:
    target = front.notified + "?x=1"
    front.api.set(target, "1", '"one"')
    async with front.waiting(target, '"one"') as answer:
        await front.parked(1, looks=1)
        front.api.set(target, "2", '"two"')
        await front.notify(resource.format(front.notified))
        await front.notify("/somebody/else")
        if not hears:
            assert front.api.count() == 1
            await front.notify(front.notified)
        assert (await answer).body == b"2"


async def test_an_event_of_the_routes_channel_causes_a_fetch(front: Front) -> None:
    front.api.set("/told/7", "1", '"one"')
    async with front.waiting("/told/7", '"one"') as answer:
        await front.parked(1, looks=1)
        front.api.set("/told/7", "2", '"two"')
        await front.hub.post("/_pushhub/v1/channels/told%3A8/events", {"other": True})
        await front.hub.post("/_pushhub/v1/channels/told%3A7/events", {"changed": True})
        assert (await answer).body == b"2"
    assert front.api.count() == 2


async def test_a_wait_goes_on_when_the_route_s_channel_is_deleted(front: Front) -> None:
    front.api.set("/told/9", "1", '"one"')
    told = "/_pushhub/v1/channels/told%3A9"
    await front.hub.post(f"{told}/events", {"changed": False})
    async with front.waiting("/told/9", '"one"') as answer:
        await front.parked(1, looks=1)
        assert (await front.hub.ask("DELETE", told)).status == 204
        await front.parked(1)
        front.api.set("/told/9", "2", '"two"')
        await front.hub.post(f"{told}/events", {"changed": True})
        assert (await answer).body == b"2"
    assert front.api.count() == 2


async def test_a_deleted_resource_completes_holds_immediately(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    async with front.waiting(front.notified, '"one"') as answer:
        await front.parked(1, looks=1)
        del front.api.things[front.notified]
        await front.notify(front.notified)
        assert (await answer).status == 404


async def test_a_newer_request_on_the_connection_releases_the_older(front: Front) -> None:
    """A wait on a resource, a hold of the origin's own, and a plain request, in that order."""
    front.api.set(front.notified, "1", '"one"')
    front.api.set("/held", "nothing", None, 200, [("Grip-Hold", "response"), ("Grip-Channel", "x")])
    async with await front.hub.connect() as client:
        client.send("GET", front.notified, {"prefer": "wait=30", "if-none-match": '"one"'})
        await front.parked(1, looks=1)
        client.writer.write(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await client.receive()
        assert (answer.status, answer.headers["etag"]) == (304, '"one"')
        await front.parked(1, looks=2)
        client.writer.write(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw = await client.reader.readuntil(b"nothing")
        assert raw.startswith(b"HTTP/1.1 200 ")
        assert (await client.reader.readuntil(b"nothing here")).startswith(b"HTTP/1.1 404 ")


# -- other ways to say what one has ------------------------------------------------------


async def test_a_feed_with_a_cursor(front: Front) -> None:
    front.api.set("/feed?since=4", '{"items":[],"meta":{"next":"4"}}')
    async with front.waiting("/feed?since=4") as answer:
        await front.parked(1)
        front.api.set("/feed?since=4", '{"items":[5],"meta":{"next":"5"}}')
        await front.notify("/feed")
        assert json.loads((await answer).body) == {"items": [5], "meta": {"next": "5"}}
    front.api.set("/feed?since=5", '{"items":[],"meta":{"next":"5"}}')
    nothing = await front.wait("/feed?since=5", prefer="wait=1")
    assert (nothing.status, nothing.json()) == (200, {"items": [], "meta": {"next": "5"}})
    assert nothing.headers["preference-applied"] == "wait=1"


async def test_a_version_in_the_body(front: Front) -> None:
    front.api.set("/version?since=1", '{"version":1}')
    async with front.waiting("/version?since=1") as answer:
        await front.parked(1)
        front.api.set("/version?since=1", '{"version":2}')
        await front.notify("/version")
        assert (await answer).json() == {"version": 2}


@pytest.mark.parametrize(
    ("query", "header"), [("?wait=1", ""), ("?timeout=1000&wait=x", ""), ("", "1"), ("?a=1", "1s")]
)
async def test_other_ways_to_opt_in(front: Front, query: str, header: str) -> None:
    front.api.set("/alias", "1", '"one"')
    front.api.set("/alias?a=1", "1", '"one"')
    headers = {"if-none-match": '"one"'} | ({"wait": header} if header else {})
    answer = await front.hub.ask("GET", f"/alias{query}", headers)
    assert (answer.status, answer.headers["preference-applied"]) == (204, "wait=1")
    assert {asked.target for asked in front.api.asked} <= {"/alias", "/alias?a=1"}


# -- who may share what ------------------------------------------------------------------


async def test_what_one_person_is_given_no_other_gets(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    async with (
        front.waiting(front.notified, '"one"', authorization="Bearer alice") as alice,
        front.waiting(front.notified, '"one"', authorization="Bearer bob") as bob,
        front.waiting(front.notified, '"one"', cookie="sid=carol") as carol,
        front.waiting(front.notified, '"one"') as nobody,
    ):
        await front.parked(4, looks=4)
        front.api.set(front.notified, "2", '"two"')
        await front.notify(front.notified)
        for waiting in (alice, bob, carol, nobody):
            assert (await waiting).body == b"2"
    who = [
        (asked.headers.get("authorization"), asked.headers.get("cookie"))
        for asked in front.api.asked
    ]
    persons = {("Bearer alice", None), ("Bearer bob", None), (None, "sid=carol"), (None, None)}
    assert set(who[:4]) == set(who[4:]) == persons


async def test_a_public_resource_is_the_same_for_everybody(front: Front) -> None:
    front.api.set(front.public, "1", '"one"')
    async with (
        front.waiting(front.public, '"one"', cookie="sid=alice") as alice,
        front.waiting(front.public, '"one"', cookie="sid=bob") as bob,
    ):
        await front.parked(2, looks=1)
        before = front.api.count()
        front.api.set(front.public, "2", '"two"')
        await front.notify(front.public)
        assert [(await alice).body, (await bob).body] == [b"2", b"2"]
    assert front.api.count() == before + 1


@pytest.mark.parametrize(
    "header",
    [("Set-Cookie", "sid=1"), ("Vary", "*"), ("Cache-Control", "private, max-age=0")],
    ids=["cookie", "vary", "private"],
)
async def test_what_cannot_be_shared_passes_through(front: Front, header: tuple[str, str]) -> None:
    front.api.set(front.notified, "1", '"one"', headers=[header])
    for _ in range(2):
        answer = await front.wait(front.notified, '"zero"')
        assert (answer.status, answer.body) == (200, b"1")
        assert answer.headers[header[0].lower()] == header[1]
        assert "preference-applied" not in answer.headers
        assert "cache-control" not in answer.headers or header[0] == "Cache-Control"


async def test_what_is_too_large_to_share_passes_through(front: Front) -> None:
    front.api.set(front.notified, "x" * 300_000, '"one"')
    for target in (front.notified, front.notified, front.notified + "/other"):
        front.api.set(target, "x" * 300_000, '"one"')
        answer = await front.wait(target, '"zero"')
        assert (answer.status, len(answer.body)) == (200, 300_000)
        assert "preference-applied" not in answer.headers
    # The operator is told, once for the route.
    # Their log comes through a pipe, and may be later than the answer.
    await asyncio.to_thread(front.hub.output.find, re.compile(r"larger.*origin\.not-shared"), 10)
    told = [line for line in front.hub.output.lines if "origin.not-shared" in line]
    (said,) = [json.loads(line) for line in told if "larger" in line]
    assert (said["level"], said["route"], said["path"]) == ("warning", "/notify/*", front.notified)
    assert said["why"] == "the body is larger than 245760 bytes"


async def test_who_waits_for_what_becomes_too_large_is_told_to_ask_again(front: Front) -> None:
    """Nobody waits in vain, nor longer than it takes to see that."""
    front.api.set(front.notified, "1", '"one"')
    async with (
        front.waiting(front.notified, '"one"', prefer="wait=20") as first,
        front.waiting(front.notified, '"one"', prefer="wait=20") as second,
    ):
        await front.parked(2, looks=1)
        front.api.set(front.notified, "x" * 300_000, '"two"')
        await front.notify(front.notified)
        async with asyncio.timeout(15):
            assert [(await first).status, (await second).status] == [304, 304]
    answer = await front.wait(front.notified, '"one"')
    assert (answer.status, len(answer.body)) == (200, 300_000)


async def test_headers_that_a_resource_varies_by_are_learnt(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"', headers=[("Vary", "User-Agent")])
    assert "preference-applied" not in (await front.wait(front.notified, user_agent="red")).headers
    async with (
        front.waiting(front.notified, '"one"', user_agent="red") as red,
        front.waiting(front.notified, '"one"', user_agent="blue") as blue,
    ):
        await front.parked(2)
        front.api.set(front.notified, "2", '"two"', headers=[("Vary", "User-Agent")])
        await front.notify(front.notified)
        assert (await red).headers["vary"] == "User-Agent, Prefer"
        assert (await blue).body == b"2"
    teams = [asked.headers["user-agent"] for asked in front.api.asked[-2:]]
    assert sorted(teams) == ["blue", "red"]


# -- plain polls from the last look ---------------------------------------------------------


async def test_plain_polls_may_be_served_from_the_last_fetch(front: Front) -> None:
    front.api.set(front.cached, "1", '"one"')
    for _ in range(5):
        answer = await front.hub.ask("GET", front.cached)
        assert (answer.body, answer.headers["etag"]) == (b"1", '"one"')
        assert "preference-applied" not in answer.headers
        same = await front.hub.ask("GET", front.cached, {"if-none-match": '"one"'})
        assert (same.status, same.headers) == (304, {"etag": '"one"'})
    assert front.api.count() == 1
    front.api.set(front.cached, "2", '"two"')
    await front.notify(front.cached)
    assert (await front.hub.ask("GET", front.cached)).body == b"2"
    # Whoever writes is not answered from memory.
    assert (await front.hub.ask("POST", front.cached, {}, b"x")).body == b"2"
    assert front.api.asked[-1].method == "POST"


# -- bad origins ----------------------------------------------------------------------------


async def test_an_origin_that_is_down(front: Front) -> None:
    front.api.set(front.polled, "1", '"one"')
    async with front.waiting(front.polled, '"one"') as waits:
        await front.parked(1, looks=1)
        await front.api.stop()
        # Who asks hears it.
        answer = await front.wait("/poll/b", '"one"')
        assert (answer.status, answer.problem) == (502, "origin-unreachable")
        # Who waits goes on waiting, and has its answer when it is back.
        front.api.set(front.polled, "2", '"two"')
        await front.api.start()
        assert (await waits).body == b"2"


async def test_a_wait_that_could_not_be_watched_does_not_end_with_304(front: Front) -> None:
    front.api.set(front.polled, "1", '"one"')
    async with front.waiting(front.polled, '"one"', prefer="wait=2") as waits:
        await front.parked(1, looks=1)
        await front.api.stop()
        assert (await waits).status == 502
    await front.api.start()


async def test_an_error_of_the_origin_is_passed_on_and_not_kept(front: Front) -> None:
    front.api.set(front.notified, "broken", None, 500)
    answer = await front.wait(front.notified, '"one"')
    assert (answer.status, answer.body) == (500, b"broken")
    front.api.set(front.notified, "1", '"one"')
    assert (await front.wait(front.notified)).body == b"1"


async def test_thousands_of_addresses_leave_nothing_behind(front: Front) -> None:
    async with await front.hub.connect() as client:
        for index in range(500):
            answer = await client.ask("GET", f"/notify/{index}", {"prefer": "wait=5"})
            assert answer.status == 404
    listing = (await front.hub.get("/_pushhub/v1/channels")).json()["channels"]
    assert {entry["channel"].partition(":")[0] for entry in listing} <= {"told"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "bad-body"),
        (b"[]", "bad-body"),
        (b'{"resources": "x"}', "bad-body"),
        (b'{"resources": []}', "bad-body"),
        (b'{"resources": ["x"]}', "bad-body"),
        (b'{"resources": [7]}', "bad-body"),
        (b'{"resources": ["/a*b"]}', "bad-body"),
        (b'{"resources": ["/a"' + b', "/a"' * 100 + b"]}", "too-large"),
    ],
)
async def test_bad_notifications(front: Front, body: bytes, problem: str) -> None:
    answer = await front.hub.ask("POST", "/_pushhub/v1/notify", {}, body)
    assert answer.problem == problem
