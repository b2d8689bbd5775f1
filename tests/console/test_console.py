"""The console's endpoints: who gets in, what is told, by all processes, and what never is."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

import pushhub
from pushhub.console.hour import FIGURES
from pushhub.settings.limits import LIMIT_SPECS
from tests.api.test_auth import ADMIN, KEYS, READER, SECRET, WRITER, bearer, token
from tests.api.test_bosh import creation, poll, sid_of
from tests.redis_servers import Shelf
from tests.serving import Server, events_of, fresh, serve

ROUTES = {
    "events?channel=any": "GET",
    "session": "POST",
    "wish": "POST",
    "feed": "GET",
    "now": "GET",
    "settings": "GET",
}
SECONDS = 20.0


@pytest.fixture(scope="module", params=["front", "asgi"])
def _guarded_process(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(
        request.param,
        dev=False,
        api_keys=KEYS,
        token_keys=[{"algorithm": "HS256", "key": SECRET}],
        metrics_public=True,
    ) as server:
        yield server


@pytest.fixture
def guarded(_guarded_process: Server) -> Iterator[Server]:
    """A server that asks who is there. Its metrics are public, and its console is not."""
    yield _guarded_process
    _guarded_process.check()


@pytest.fixture
def fresh_door(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that nobody has tried a key on."""
    with serve("front", dev=False, api_keys=KEYS) as server:
        yield server


async def told(server: Server, cursor: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """The next things that the processes tell, at least so many."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < count:
            answer = await server.get(f"/console/feed?since={cursor}", prefer="wait=5", **headers)
            assert answer.status == 200, answer
            page = answer.json()
            found += [event["data"] for event in page["events"]]
            cursor = page["cursor"]
    return found


async def told_of(server: Server, cursor: str, kind: str) -> Any:
    """The first of a kind; an earlier test may have asked for figures."""
    count = 1
    while True:
        for one in await told(server, cursor, count):
            if kind in one:
                return one[kind]
        count += 1


async def here(server: Server, **headers: str) -> str:
    """The cursor after all that was told."""
    cursor: str = (await server.get("/console/feed", **headers)).json()["cursor"]
    return cursor


async def lines(server: Server, cursor: str, until: str) -> list[dict[str, Any]]:
    """The lines of a trace, up to one that says `until`."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(SECONDS):
        while not any(line["what"] == until for line in found):
            page = (await server.get(f"/console/feed?since={cursor}", prefer="wait=5")).json()
            cursor = page["cursor"]
            for event in page["events"]:
                found += event["data"].get("lines", [])
    return found


# -- who gets in ---------------------------------------------------------------


@pytest.mark.parametrize("name", ROUTES)
async def test_only_an_admin_gets_in(guarded: Server, name: str) -> None:
    path, method = f"/console/{name}", ROUTES[name]
    body = b'{"figures": true}'
    answer = await guarded.ask(method, path, {}, body)
    assert (answer.status, answer.problem) == (401, "unauthorized")
    for credential in (READER, WRITER, token(read=["*"])):
        # Each of these is a try; the address may have used them up, and is told so.
        answer = await guarded.ask(method, path, bearer(credential), body)
        assert answer.status in (403, 429)
    for credential in (ADMIN,):
        answer = await guarded.ask(method, path, bearer(credential), body)
        assert answer.status in (200, 202)


async def test_no_cookie_and_no_address_lets_anybody_in(guarded: Server) -> None:
    cookie = {"cookie": f"pushhub_token={token(manage=['*'])}", "sec-fetch-site": "same-origin"}
    assert (await guarded.ask("GET", "/console/now", cookie)).status == 401
    for query in (f"key={ADMIN}", f"token={ADMIN}", f"ticket={ADMIN}", f"access_token={ADMIN}"):
        assert (await guarded.get(f"/console/now?{query}")).status == 401


async def test_pages_of_other_sites_are_refused() -> None:
    with serve("front") as dev:
        for site in ("cross-site", "same-site"):
            fields = {"sec-fetch-site": site}
            answer = await dev.ask("POST", "/console/wish", fields, b'{"figures": true}')
            assert (answer.status, answer.problem) == (403, "forbidden")
        for site in ("same-origin", "none"):
            assert (await dev.ask("GET", "/console/now", {"sec-fetch-site": site})).status == 200


async def test_wrong_keys_are_throttled_and_who_is_in_stays_in(fresh_door: Server) -> None:
    async def knock(credential: str, client: str = "203.0.113.7") -> tuple[int, str | None]:
        fields = {**bearer(credential), **({"x-forwarded-for": client} if client else {})}
        answer = await fresh_door.ask("POST", "/console/session", fields)
        return answer.status, answer.headers.get("retry-after")

    assert (await knock(ADMIN))[0] == 200
    wrong = ["phk_" + f"{n:043}" for n in range(20)]
    statuses = [await knock(key) for key in wrong]
    assert [status for status, _ in statuses] == [401] * 5 + [429] * 15
    assert all(1 <= int(wait or 0) <= 11 for status, wait in statuses if status == 429)
    # A throttled address learns nothing of a key that it has not shown before …
    other = token(manage=["*"])
    assert (await knock(other))[0] == 429
    # … and whoever was in goes on, whatever others at the same address do.
    assert (await knock(ADMIN))[0] == 200
    async with asyncio.timeout(SECONDS):
        while str(fresh_door.output).count('"event": "auth.refused"') < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert 5 <= str(fresh_door.output).count('"event": "auth.refused"') <= 22
    assert not any(key in str(fresh_door.output) for key in [*wrong, ADMIN])
    # Another address is another client, and loopback may be a proxy that names none.
    assert (await knock(other, "203.0.113.8"))[0] == 401
    assert {(await knock(key, ""))[0] for key in wrong} == {401}


# -- the page ------------------------------------------------------------------


async def test_the_page_says_itself_what_it_needs(hub: Server) -> None:
    answer = await hub.get("/console")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    page = answer.body.decode()
    loaded = re.findall(r'(?:src|href)="([^"#]*)"', page)
    assert loaded
    for name in loaded:
        if not name.startswith("data:"):
            assert not name.startswith(("/", "http")), "it must work under a prefix"
            assert (await hub.get(f"/{name}")).status == 200, name
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page)


async def test_modules_import_what_there_is(hub: Server) -> None:
    for start in ("console/console.js", "demo/demo.js"):
        seen, left = set(), {start}
        while left:
            name = left.pop()
            seen.add(name)
            answer = await hub.get(f"/{name}")
            assert answer.status == 200, name
            assert answer.headers["content-type"].startswith("text/javascript")
            folder = name.partition("/")[0]
            found = re.findall(r'from "\./([\w.]+)"', answer.body.decode())
            left |= {f"{folder}/{one}" for one in found} - seen
        assert len(seen) > 5


@pytest.mark.parametrize("name", ["..%2Fopenapi.json", "nothing.js", "%2Fetc%2Fpasswd"])
async def test_no_other_file_can_be_named(hub: Server, name: str) -> None:
    assert (await hub.get(f"/console/{name}")).status == 404


def test_what_is_vendored_is_unchanged() -> None:
    import hashlib
    from pathlib import Path

    import pushhub

    folder = Path(pushhub.__file__).parent / "api/static/console"
    known = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    assert hashlib.sha256((folder / "uPlot.iife.min.js").read_bytes()).hexdigest() == known
    assert "MIT License" in (folder / "uPlot.LICENSE.txt").read_text()


# -- what is told --------------------------------------------------------------


async def test_figures_are_told_while_somebody_wishes(hub: Server) -> None:
    cursor = await here(hub)
    channel = fresh()
    assert (await hub.post("/console/wish", {"figures": True})).status == 202
    first = (await told(hub, cursor, 1))[0]
    await hub.publish(channel, 1)
    later = await told(hub, cursor, 3)
    assert {one["id"] for one in later} == {first["id"]}
    times = [one["figures"]["time"] for one in later]
    assert all(0.8 < b - a < 3 for a, b in pairwise(times))
    published = [one["figures"]["published"]["ok"] for one in later]
    assert published[-1] == published[0] + 1
    now = (await hub.get("/console/now")).json()
    assert now["figures"].keys() == first["figures"].keys()
    assert now["figures"]["store"] == {
        "ready": True,
        "hears": True,
        "lag": 0.0,
        "read_failed": 0,
        "repaired": 0,
    }


async def test_a_poll_for_figures_waits_as_any_other(hub: Server) -> None:
    cursor = await here(hub)
    answer = await hub.get(f"/console/feed?since={cursor}", prefer="wait=1")
    assert answer.headers["preference-applied"] == "wait=1"
    assert (await hub.get("/console/feed?since=%00")).problem == "bad-cursor"


async def test_nothing_is_told_and_nothing_stored_when_nobody_wishes() -> None:
    with serve("front") as quiet:
        cursor = await here(quiet)
        await quiet.publish(fresh(), 1)
        async with quiet.holding("GET", f"{events_of(fresh())}?since=now&wait=2") as task:
            await task
        assert await here(quiet) == cursor
        assert cursor.endswith("-0")


async def test_presence_says_who_waits(hub: Server) -> None:
    channel, cursor = fresh("who"), await here(hub)
    async with hub.holding("GET", f"{events_of(channel)}?since=now&wait=30"):
        await hub.post("/console/wish", {"presence": channel})
        (answer,) = [one for one in await told(hub, cursor, 1) if "presence" in one]
    assert (answer["presence"], answer["holds"]) == (channel, 1)
    (holder,) = answer["holders"]
    assert holder["kind"] == "long-poll"
    assert holder["client"] == "127.0.0.1"


async def asked_who(server: Server, channel: str) -> list[dict[str, Any]]:
    """What the one process says of those who wait on a channel."""
    cursor = await here(server)
    await server.post("/console/wish", {"presence": channel})
    answers = [one for one in await told(server, cursor, 1) if one.get("presence") == channel]
    assert len(answers) == 1
    assert len(answers[0]["holders"]) == answers[0]["holds"]
    holders: list[dict[str, Any]] = answers[0]["holders"]
    return holders


async def test_a_stream_has_been_read_since_it_began(hub: Server) -> None:
    """Each event ends a turn, and begins another; the reader is the same."""
    channel = fresh("stream")
    async with hub.streaming(f"{events_of(channel)}?since=now") as stream:
        await stream.next()
        before = time.monotonic()
        await asyncio.sleep(1.5)  # the time that is to be counted; nothing happens in it
        await hub.publish(channel, 1)
        assert (await stream.next()).data == "1"
        (holder,) = await asked_who(hub, channel)
    assert (holder["kind"], holder["client"]) == ("stream", "127.0.0.1")
    assert 1.4 < holder["waited"] <= time.monotonic() - before + 1


async def test_a_subscriber_over_bosh_has_an_address_and_a_name(hub: Server) -> None:
    channel, rid = fresh("news"), itertools.count(101)
    sid = sid_of(await hub.ask("POST", "/http-bind", {}, creation(wait="1")))

    async def says(payload: str, **attributes: str) -> str:
        body = poll(sid, next(rid), payload, **attributes)
        return (await hub.ask("POST", "/http-bind", {}, body)).body.decode()

    sasl, client = "urn:ietf:params:xml:ns:xmpp-sasl", "xmlns='jabber:client'"
    await says(f"<auth xmlns='{sasl}' mechanism='ANONYMOUS'/>")
    await says("", **{"xmlns:xmpp": "urn:xmpp:xbosh", "xmpp:restart": "true"})
    bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
    bound = await says(f"<iq {client} type='set' id='b'>{bind}</iq>")
    jid = bound.partition("<jid>")[2].partition("</jid>")[0]
    assert jid, bound
    inside = f"<subscribe node='{channel}' jid='{jid}'/>"
    pubsub = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{inside}</pubsub>"
    to = "to='pubsub.localhost'"
    subscribed = await says(f"<iq {client} type='set' id='s' {to}>{pubsub}</iq>")
    assert "subscribed" in subscribed, subscribed
    (holder,) = await asked_who(hub, channel)
    assert (holder["kind"], holder["client"], holder["subject"]) == ("BOSH", "127.0.0.1", jid)
    before = holder["waited"]
    await hub.publish(channel, 1)
    await asyncio.sleep(1.1)  # the time that is to be counted; nothing happens in it
    (holder,) = await asked_who(hub, channel)
    assert holder["waited"] > before + 1


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_the_console_leaves_itself_out_of_its_figures(driver: str) -> None:
    """Its own requests, on its own channels and on a user's, are neither holds nor deliveries."""
    channel = fresh("watched")
    with serve(driver) as server:
        cursor = await here(server)
        base = (await server.get("/console/now")).json()["figures"]
        async with await server.connect() as console, await server.connect() as view:
            read = f"/console/events?channel={channel}&since=now"
            first = (await view.ask("GET", read)).json()
            view.send("GET", f"/console/events?channel={channel}&since={first['cursor']}&wait=50")
            console.send("GET", f"/console/feed?since={cursor}&wait=50")
            await server.post("/console/wish", {"figures": True})
            (sample,) = (await console.receive(SECONDS)).json()["events"]
            # The console's own request was held when these were taken.
            figures = sample["data"]["figures"]
            assert (figures["holds"], figures["channels"]) == (0, base["channels"] + 1)
            assert await asked_who(server, channel) == []
            await server.publish(channel, 1)
            seen = (await view.receive(SECONDS)).json()["events"]
            assert [event["data"] for event in seen] == [1]
        # Two clients that have gone in the middle, as pages do.
        for target in (f"{read}&wait=50", "/console/feed?wait=50"):
            async with await server.connect() as leaving:
                leaving.send("GET", target)
        figures = (await server.get("/console/now")).json()["figures"]
        assert figures["delivered"] == 0
        assert figures["tail_bytes"] < base["tail_bytes"] + 1000, "one sample has more"
        assert set(figures["completed"].values()) == {0}
        assert sum(figures["wake"]) == figures["recovered"] == 0
        assert await server.metric("pushhub_hold_seconds_count") == 0
        # A client's are there, and tell its own part alone.
        async with server.holding("GET", f"{events_of(channel)}?since=now&wait=50") as task:
            assert [one["kind"] for one in await asked_who(server, channel)] == ["long-poll"]
            await server.publish(channel, 2)
            await task
        figures = (await server.get("/console/now")).json()["figures"]
        assert (figures["delivered"], figures["completed"]["event"]) == (1, 1)


@pytest.mark.parametrize("by", ["channel", "client"])
async def test_a_trace_tells_a_polls_life(hub: Server, by: str) -> None:
    channel, cursor, id = fresh("traced"), await here(hub), f"trace{by}"
    wish = {"trace": id, by: channel if by == "channel" else "127.0.0.1"}
    await hub.post("/console/wish", wish)
    async with hub.holding("GET", f"{events_of(channel)}?since=now&wait=30") as task:
        await hub.publish(channel, {"secret": "payload"})
        answer = await task
    found = [line for line in await lines(hub, cursor, "answer") if "hold" in line]
    number = next(n["hold"] for n in found if n["what"] == "poll" and channel in n["since"])
    life = [line for line in found if line["hold"] == number]
    assert [line["what"] for line in life] == ["poll", "park", "answer"]
    assert life[-1]["status"] == 200
    assert life[-1]["bytes"] == len(answer.body)
    assert {line["client"] for line in life} == {"127.0.0.1"}
    assert [line["ms"] for line in life] == sorted(line["ms"] for line in life)
    assert "payload" not in json.dumps(found)
    await hub.post("/console/wish", {"end": id})
    end = await here(hub)
    await hub.publish(channel, 2)
    assert await here(hub) == end


async def test_a_traced_server_answers_as_it_did(hub: Server) -> None:
    """Polls that are remembered, answered at once, streamed, many and refused."""
    channel, id = fresh("same"), "sameasever"
    receipt = await hub.publish(channel, 1)
    targets = [f"{events_of(channel)}?since={receipt['epoch']}-0", f"/v1/channels/{channel}"]
    plain = [await hub.get(target) for target in targets for _ in range(3)]
    await hub.post("/console/wish", {"trace": id, "client": "127.0.0.1"})
    traced = [await hub.get(target) for target in targets for _ in range(3)]
    assert [(one.status, one.body) for one in traced] == [(one.status, one.body) for one in plain]
    head = await hub.ask("HEAD", targets[0])
    assert (head.status, head.body) == (200, b"")
    async with hub.streaming(f"{events_of(channel)}?since=earliest") as stream:
        assert (await stream.next()).data is None
        assert (await stream.next()).data == "1"
        await hub.publish(channel, 2)
        assert (await stream.next()).data == "2"
    many = await hub.post("/v1/poll", {"channels": {channel: "earliest"}})
    assert [event["data"] for event in many.json()["events"]] == [1, 2]
    assert (await hub.get("/v1/channels/%24x/events")).status == 400
    await hub.post("/console/wish", {"end": id})


async def test_the_longest_lines_fit_into_an_event(hub: Server) -> None:
    names = [fresh("long") + '"' * 200 + str(n) for n in range(3)]
    cursor, id = await here(hub), "longesttrace"
    await hub.post("/console/wish", {"trace": id, "channel": names[0]})
    body = {"channels": dict.fromkeys(names, "earliest")}
    for _ in range(150):
        assert (await hub.post("/v1/poll", body)).status == 200
    await hub.post("/console/wish", {"end": id})
    assert any("lines" in one for one in await told(hub, cursor, 1))


async def test_a_storm_of_lines_is_counted_and_not_told(hub: Server) -> None:
    channel, cursor, id = fresh("storm"), await here(hub), "stormytrace"
    await hub.post("/console/wish", {"trace": id, "channel": channel})
    item = {"channel": channel, "data": 1}
    for _ in range(2):
        assert (await hub.post("/v1/publish", [item] * 500)).status == 200
    await hub.post("/console/wish", {"end": id})
    seen = 0
    async with asyncio.timeout(SECONDS):
        while seen < 1000:
            answer = await hub.get(f"/console/feed?since={cursor}", prefer="wait=5")
            cursor = answer.json()["cursor"]
            for one in (event["data"] for event in answer.json()["events"]):
                if "lines" in one:
                    assert len(one["lines"]) <= 60
                    seen += len(one["lines"]) + one["missed"]


@pytest.mark.parametrize(
    "wish",
    [
        {},
        [],
        None,
        {"figures": False},
        {"presence": 7},
        {"trace": "short", "channel": "a"},
        {"trace": "NOTLOWERCASE", "channel": "a"},
        {"trace": "longenough"},
        {"trace": "longenough", "client": ""},
        {"trace": "longenough", "client": "a\r\nb"},
        {"trace": "longenough", "client": "x" * 300},
        {"end": "../../etc"},
    ],
)
async def test_a_wish_that_is_none_is_refused(hub: Server, wish: Any) -> None:
    answer = await hub.post("/console/wish", wish)
    assert (answer.status, answer.problem) == (400, "bad-body")


@pytest.mark.parametrize("channel", ["$console:wishes", "$secret:tickets", "", "a\0b", "x" * 256])
async def test_no_channel_of_pushhubs_own_can_be_wished_for(hub: Server, channel: str) -> None:
    for wish in ({"presence": channel}, {"trace": "longenough", "channel": channel}):
        answer = await hub.post("/console/wish", wish)
        assert (answer.status, answer.problem) == (400, "bad-channel")


async def test_a_large_wish_is_refused(hub: Server) -> None:
    answer = await hub.post("/console/wish", {"figures": True, "x": "y" * 5000})
    assert (answer.status, answer.problem) == (413, "too-large")


async def test_traces_at_one_time_are_bounded(hub: Server) -> None:
    cursor, channel = await here(hub), fresh("bounded")
    ids = [f"bounded{n:03}" for n in range(20)]
    for id in ids:
        await hub.post("/console/wish", {"trace": id, "channel": channel})
    await hub.publish(channel, 1)
    for id in ids:
        await hub.post("/console/wish", {"end": id})
    assert len({one["trace"] for one in await told(hub, cursor, 1) if "lines" in one}) <= 8


async def test_a_server_that_is_watched_leaves_at_once() -> None:
    with serve("front") as watched:
        await watched.post("/console/wish", {"figures": True})
        await watched.post("/console/wish", {"trace": "leavingnow", "client": "127.0.0.1"})
        async with await watched.connect() as console:
            cursor = await here(watched)
            console.send("GET", f"/console/feed?since={cursor}&wait=30")
            assert (await console.receive(SECONDS)).status == 200, "a console is there"
            console.send("GET", "/console/feed?since=now&wait=30")
            watched.signal()
            assert (await console.receive(SECONDS)).status == 200
            assert await watched.left(5) == 0


# -- settings ------------------------------------------------------------------


async def test_settings_have_origins_and_no_secrets(guarded: Server) -> None:
    answer = await guarded.get("/console/settings", **bearer(ADMIN))
    settings = {one["name"]: one for one in answer.json()["settings"]}
    assert settings["store"]["origin"] == "env"
    assert settings["max_wait"]["origin"] == "default"
    if guarded.driver == "front":
        assert (settings["port"]["origin"], settings["port"]["flag"]) == ("flag", "--port")
    assert settings["api_keys"]["value"][0]["name"] == "admin"
    assert settings["token_keys"]["value"] == [
        {"algorithm": "HS256", "kid": None, "key": "(set, and not shown)"}
    ]
    text = answer.body.decode()
    assert SECRET not in text
    assert not any(key["sha256"] in text for key in KEYS)


def test_a_secret_that_nobody_thought_of_is_hidden() -> None:
    from pushhub.console.settings import _safe, shown
    from pushhub.settings import Settings
    from pushhub.settings.field import is_secret

    settings = Settings(store="redis://user:hunter2@127.0.0.1/0")
    assert "hunter2" not in json.dumps(shown(settings))
    assert _safe(settings, "a_new_one", "hunter2") == "(set, and not shown)"
    assert _safe(settings, "a_new_one", None) is None
    assert [name for name, field in Settings.model_fields.items() if is_secret(field)]


# -- several processes ---------------------------------------------------------


async def test_two_workers_tell_and_are_traced_both(redis_shelf: Shelf) -> None:
    with serve("front", redis_shelf.url("valkey9"), workers=2) as duo:
        channel, ids = fresh("duo"), set[str]()
        async with asyncio.timeout(SECONDS):
            while len(ids) < 2:
                # As a console does, again and again: a worker may have begun just after the first.
                cursor = await here(duo)
                await duo.post("/console/wish", {"figures": True})
                ids |= {one["id"] for one in await told(duo, cursor, 2)}
        before = int(await duo.metric("pushhub_holds"))
        # So many that not all can be at one worker: 2**-19.
        clients = [await duo.connect() for _ in range(20)]
        await duo.post("/console/wish", {"trace": "bothworkers", "channel": channel})
        for client in clients:
            client.send("GET", f"{events_of(channel)}?since=now&wait=50")
        await duo.held(before + 20)
        cursor = await here(duo)
        await duo.post("/console/wish", {"presence": channel})
        found: dict[str, int] = {}
        while len(found) < 2:
            page = (await duo.get(f"/console/feed?since={cursor}", prefer="wait=5")).json()
            cursor = page["cursor"]
            for event in page["events"]:
                if "presence" in event["data"]:
                    found[event["data"]["id"]] = event["data"]["holds"]
        assert found.keys() == ids
        assert sum(found.values()) == 20
        cursor = await here(duo)
        await duo.publish(channel, 1)
        for client in clients:
            assert (await client.receive(10)).status == 200
            await client.leave()
        who, answered = set(), 0
        async with asyncio.timeout(SECONDS):
            while answered < 20:
                page = (await duo.get(f"/console/feed?since={cursor}", prefer="wait=5")).json()
                cursor = page["cursor"]
                for event in page["events"]:
                    if "lines" in event["data"]:
                        who.add(event["data"]["id"])
                        answered += sum(n["what"] == "answer" for n in event["data"]["lines"])
        assert who == ids
        assert answered == 20


async def test_the_limits_of_every_process(hub: Server) -> None:
    cursor = await here(hub)
    await hub.post("/console/wish", {"limits": True})
    (answer,) = [one for one in await told(hub, cursor, 1) if "limits" in one]
    rows = {row["name"]: row for row in answer["limits"]["limits"]}
    assert LIMIT_SPECS.keys() <= rows.keys()
    assert {"max_holds", "max_body_bytes", "max_body_bytes_per_address"} <= rows.keys()
    assert (rows["subject-holds"]["most"], rows["subject-holds"]["is_on"]) == (100, True)
    assert not rows["key-publishes"]["is_on"]
    assert rows["max_holds"]["used"] == 0


# -- the nodes -------------------------------------------------------------------


async def test_a_process_tells_its_hour_and_its_versions_when_asked(hub: Server) -> None:
    cursor = await here(hub)
    for wish in ({"hour": True}, {"nodes": True}):
        assert (await hub.post("/console/wish", wish)).status == 202
    hour, node = await told_of(hub, cursor, "hour"), await told_of(hub, cursor, "nodes")
    assert hour.keys() == {"ago", *FIGURES}
    assert len({len(values) for values in hour.values()}) == 1
    assert node["version"] == pushhub.__version__
    assert node["store"] in ("memory", "sqlite", "redis")
    if hub.driver == "front":
        checks = {one["check"]: one["state"] for one in node["canary"]["checks"]}
        assert {"listener", "publish", "hold", "stream", "value", "feed"} <= checks.keys()
        assert set(checks.values()) <= {"ok", "pending", "failing"}
        assert node["canary"]["lost_untold"] == 0
    else:
        assert node["canary"] is None, "another server runs none"


async def test_an_unknown_wish_names_those_that_there_are(hub: Server) -> None:
    answer = await hub.post("/console/wish", {"nodes": 1})
    assert (answer.status, answer.problem) == (400, "bad-body")
    for wish in ("figures", "origin", "limits", "nodes", "hour", "presence", "trace", "end"):
        assert f'"{wish}": ' in answer.json()["detail"], wish


async def test_the_last_refusal_of_a_limit_has_its_client() -> None:
    limits = {"address-publishes": {"rate": 0.001, "burst": 1}}
    with serve("front", trusted_proxies=["127.0.0.1/32"], limits=limits) as server:
        for n in (7, 8, 7):
            fields = {"x-forwarded-for": f"203.0.113.{n}"}
            await server.ask("POST", events_of("orders"), fields, b"1")
        cursor = await here(server)
        await server.post("/console/wish", {"limits": True})
        limited = await told_of(server, cursor, "limits")
    rows = {row["name"]: row for row in limited["limits"]}
    assert rows["address-publishes"]["refused"] == 1
    assert rows["address-publishes"]["last"]["client"] == "203.0.113.7"
    assert 0 <= rows["address-publishes"]["last"]["ago"] < SECONDS
    assert rows["address-holds"]["last"] is None
