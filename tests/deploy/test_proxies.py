"""Every proxy of deploy/proxies with its committed file, in front of two hubs on one Valkey."""

import asyncio
import contextlib
import dataclasses
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from pushhub.http.sse import KEEP_ALIVE_SECONDS
from pushhub.settings import Settings
from tests import outside
from tests.api.test_bosh import BOSH, XML, creation, poll, sid_of
from tests.deploy import idle, rolling
from tests.deploy.proxies import FOLDER, NAMES, PROXIES, RunningProxy, http3_client, run_proxies
from tests.deploy.reloading import reload_under_load
from tests.faults.nodes import Node
from tests.redis_servers import KINDS, Rack
from tests.serving import Server, events_of, fresh, serve
from tests.waiting import until
from tests.wire import Client, EventStream

ALL = [PROXIES[name] for name in NAMES]
SECONDS = 20.0
# A client that left is noticed within this time, in the best of three tries on a busy machine.
NOTICED_SECONDS = 2.0
# The events of a stream whose delays are compared, and how much later than at the hub an event may
# come: half of them, and all but the last hundredth, on a busy machine.
EVENTS, PAUSE_SECONDS = 40, 0.1
LATE_SECONDS, MOST_LATE_SECONDS = 0.03, 1.0
# So many requests of a browser wait on one HTTP/2 connection.
WAITS = 100


@dataclass
class Site:
    """Proxies in front of two hubs."""

    hubs: list[Server]
    proxies: dict[str, RunningProxy]

    async def held(self, count: int, seconds: float = SECONDS) -> float:
        """Wait until the hubs together hold exactly so many requests; the seconds that it took."""
        begun = time.monotonic()
        while (found := await self._holds()) != count:
            assert time.monotonic() - begun < seconds, f"{found} requests are held, not {count}"
            await asyncio.sleep(0.01)
        return time.monotonic() - begun

    async def _holds(self) -> int:
        return sum([int(await hub.metric("pushhub_holds")) for hub in self.hubs])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    rack = Rack()
    with ExitStack() as stack:
        stack.callback(rack.close)
        url = rack.start(KINDS["valkey9"]).url()
        hubs = [stack.enter_context(serve("front", url, access_log=True)) for _ in range(2)]
        ports = (hubs[0].port, hubs[1].port)
        folder = tmp_path_factory.mktemp("proxies")
        yield Site(hubs, stack.enter_context(run_proxies(ALL, folder, ports)))


@pytest.fixture(params=NAMES)
def proxy(request: pytest.FixtureRequest, site: Site) -> RunningProxy:
    return site.proxies[request.param]


def _curl(*arguments: str) -> subprocess.Popen[str]:
    command = [outside.require("curl"), "--silent", "--insecure", "--max-time", "60", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def _output_after_an_event(site: Site, channel: str, process: subprocess.Popen[str]) -> str:
    """What a client with `WAITS` waits on a channel has printed after an event for them."""
    try:
        await site.held(WAITS)
        await site.hubs[0].publish(channel, "for all")
        output, _ = await asyncio.to_thread(process.communicate, timeout=SECONDS)
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)
    return output


def test_every_file_of_the_folder_is_tested() -> None:
    folder = outside.ROOT / "deploy" / "proxies"
    files = {path.name for path in folder.iterdir()} - {"README.md"}
    assert files == {file for one in PROXIES.values() for file in one.files}


# Caddy does it by itself on port 80, which no test may open.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "caddy"])
async def test_plain_http_is_redirected(site: Site, name: str) -> None:
    proxy = site.proxies[name]
    async with await Client.connect(proxy.redirect) as client:
        answer = await client.ask("GET", "/demo?a=%2F")
    assert answer.status in (301, 308)
    # Traefik adds the port of its other listener, which is 443 outside of tests.
    assert re.fullmatch(r"https://127\.0\.0\.1(:\d+)?/demo\?a=%2F", answer.headers["location"])


async def test_a_wait_ends_with_the_event(site: Site, proxy: RunningProxy) -> None:
    channel = fresh()
    async with await proxy.connect() as client, await proxy.connect() as publisher:
        client.send("GET", f"{events_of(channel)}?since=now&wait=50")
        await site.held(1)
        answer = await publisher.ask("POST", events_of(channel), body=b'"news"')
        assert answer.status == 200, answer
        answer = await client.receive(SECONDS)
    assert [event["data"] for event in answer.json()["events"]] == ["news"]


async def test_a_stream_is_not_held_back_where_all_else_is_compressed(
    site: Site, proxy: RunningProxy
) -> None:
    channel, gzip = fresh(), {"accept-encoding": "gzip"}
    await site.hubs[0].publish(channel, "x" * 5000)
    async with await proxy.connect() as client:
        answer = await client.ask("GET", events_of(channel), gzip)
        assert answer.headers["content-encoding"] == "gzip"
        client.send(
            "GET", f"{events_of(channel)}?since=now", {"accept": "text/event-stream", **gzip}
        )
        status, headers = await client.head()
        assert status == 200
        assert "content-encoding" not in headers
        stream = EventStream(client)
        await stream.next()
        for number in range(5):
            await site.hubs[number % 2].publish(channel, number)
            # Each comes before the next is published: nothing is held back.
            assert (await stream.next(SECONDS)).data is not None
    await site.held(0)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_stream_is_as_fast_as_at_the_hub(site: Site, coding: str) -> None:
    """All proxies and the hub have the same events, so a busy machine delays all of them."""
    channel, times = fresh(), dict[str, list[float]]()
    fields = {"accept": "text/event-stream", "accept-encoding": coding}

    async def read(name: str, client: Client) -> None:
        async with client:
            client.send("GET", f"{events_of(channel)}?since=now", fields)
            assert (await client.head())[0] == 200
            stream = EventStream(client)
            await stream.next()
            times[name] = []
            while len(times[name]) < EVENTS:
                await stream.next(SECONDS)
                times[name].append(time.monotonic())

    await site.hubs[0].publish(channel, 0)
    async with asyncio.TaskGroup() as group:
        group.create_task(read("hub", await site.hubs[0].connect()))
        for name, proxy in site.proxies.items():
            group.create_task(read(name, await proxy.connect()))
        await until(lambda: len(times) == 1 + len(site.proxies))
        for number in range(EVENTS):
            await site.hubs[0].publish(channel, number)
            await asyncio.sleep(PAUSE_SECONDS)
    direct = times.pop("hub")
    for name, arrived in times.items():
        late = sorted(one - other for one, other in zip(arrived, direct, strict=True))
        # An idle machine: 1 to 3 ms. A proxy that waits for more bytes adds 40 to 200.
        assert late[EVENTS // 2] < LATE_SECONDS, (name, late)
        assert late[round(0.99 * (EVENTS - 1))] < MOST_LATE_SECONDS, (name, late)
    await site.held(0)


async def test_a_client_that_expects_100_continue(proxy: RunningProxy) -> None:
    """curl does for bodies over 1 MB: it sends the body after the interim response, or a second."""
    channel, body = fresh(), b'"expected"'
    async with await proxy.connect() as client:
        head = f"POST {events_of(channel)} HTTP/1.1\r\nhost: localhost\r\n"
        head += f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
        client.writer.write(head.encode())
        interim = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert interim.startswith(b"HTTP/1.1 100 "), interim
        client.writer.write(body)
        final = interim
        # Caddy passes on the interim response of the hub, too.
        while final.startswith(b"HTTP/1.1 100 "):
            final = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert final.startswith(b"HTTP/1.1 200 "), final
    async with await proxy.connect() as client:
        [event] = (await client.ask("GET", events_of(channel))).json()["events"]
    assert event["data"] == "expected"


async def test_pipelined_requests_get_their_responses_in_order(
    site: Site, proxy: RunningProxy
) -> None:
    channel = fresh()
    await site.hubs[0].publish(channel, "first")
    async with await proxy.connect() as client:
        targets = (events_of(channel), f"/v1/channels/{channel}", f"{events_of(channel)}?limit=1")
        heads = [f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n" for target in targets]
        client.writer.write("".join(heads).encode())
        bodies = []
        for _ in targets:
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), SECONDS)
            assert head.startswith(b"HTTP/1.1 200 "), head
            found = re.search(rb"(?i)content-length: (\d+)", head)
            assert found is not None, head
            bodies.append(json.loads(await client.reader.readexactly(int(found[1]))))
    assert [type(body) for body in bodies] == [dict, str, dict]
    assert bodies[1] == "first"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("HEAD", "/v1/channels/{}", 200),
        ("POST", "/v1/channels/{}/events", 200),
        ("DELETE", "/v1/channels/{}", 204),
    ],
)
async def test_a_response_without_a_body_is_as_at_the_hub(
    site: Site, proxy: RunningProxy, method: str, target: str, status: int
) -> None:
    """A HEAD, a POST with `Content-Length: 0`, and a 204. The connection serves the next one."""
    channel = fresh()
    await site.hubs[0].publish(channel, "first")
    async with await proxy.connect() as client:
        answer = await client.ask(method, target.format(channel))
        assert answer.status == status, answer
        assert bool(answer.body) == (method == "POST")
        assert (await client.ask("GET", "/livez")).status == 200


async def test_a_value_keeps_its_etag_where_responses_are_compressed(
    site: Site, proxy: RunningProxy
) -> None:
    channel, gzip = fresh(), {"accept-encoding": "gzip"}
    await site.hubs[0].publish(channel, "x" * 5000)
    async with await proxy.connect() as client:
        answer = await client.ask("GET", f"/v1/channels/{channel}", gzip)
        assert answer.status == 200, answer
        tag = answer.headers["etag"]
        answer = await client.ask("GET", f"/v1/channels/{channel}", {**gzip, "if-none-match": tag})
        assert answer.status == 304, answer


async def test_bosh(site: Site, proxy: RunningProxy) -> None:
    fields = {"content-type": XML}
    async with await proxy.connect() as one, await proxy.connect() as two:
        answer = await one.ask("POST", BOSH, fields, creation())
        assert answer.status == 200, answer
        sid = sid_of(answer)
        # The features of the stream come with the session or with the first poll.
        rid = 101
        if b"mechanism" not in answer.body:
            answer = await one.ask("POST", BOSH, fields, poll(sid, rid))
            assert b"mechanism" in answer.body
            rid += 1
        one.send("POST", BOSH, fields, poll(sid, rid))
        await asyncio.sleep(0.1)
        two.send("POST", BOSH, fields, poll(sid, rid + 1, type="terminate"))
        for client in (one, two):
            answer = await client.receive(SECONDS)
            assert answer.status == 200, answer
            assert b"item-not-found" not in answer.body


async def test_an_upload(proxy: RunningProxy) -> None:
    """A batch of almost 4 MB; nginx's own limit is 1 MB."""
    channel, text = fresh(), "x" * 240_000
    body = json.dumps([{"channel": channel, "data": text}] * 16).encode()
    async with await proxy.connect() as client:
        answer = await client.ask("POST", "/v1/publish", body=body)
        assert answer.status == 200, answer
    assert [one["offset"] for one in answer.json()["results"]] == list(range(1, 17))


async def test_the_hub_refuses_what_is_too_large_and_not_the_proxy(proxy: RunningProxy) -> None:
    async with await proxy.connect() as client:
        answer = await client.ask("POST", events_of(fresh()), body=b'"' + b"x" * 5_000_000 + b'"')
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_slash_in_the_name_of_a_channel(site: Site, proxy: RunningProxy) -> None:
    name = fresh("with")
    target = f"/v1/channels/{name}%2Fslash%2F%2Ftwice/events"
    async with await proxy.connect() as client:
        answer = await client.ask("POST", target, body=b'"here"')
        assert answer.status == 200, answer
    answer = await site.hubs[0].get(target)
    assert [event["data"] for event in answer.json()["events"]] == ["here"]
    listed = await site.hubs[0].get("/v1/channels?limit=1000")
    assert f"{name}/slash//twice" in listed.body.decode()


@pytest.mark.parametrize("target", ["//publish/", "/v1/./nothing", "/v1/a/../nothing;%3F%23%25"])
async def test_the_hub_sees_the_path_as_the_client_wrote_it(
    site: Site, proxy: RunningProxy, target: str
) -> None:
    mark = fresh("mark")
    async with await proxy.connect() as client:
        await client.ask("POST", f"{target}?{mark}", body=b"{}")
    assert json.loads(await _access_line(site, mark))["path"] == target


async def test_a_long_header_reaches_the_hub(proxy: RunningProxy) -> None:
    async with await proxy.connect() as client:
        answer = await client.ask("GET", events_of(fresh()), {"authorization": "x" * 7000})
    # The hub decides; with `dev` it ignores what is no token.
    assert answer.status in (200, 401), answer


async def test_a_hundred_waits_on_one_connection_over_http_2(
    site: Site, proxy: RunningProxy
) -> None:
    channel = fresh()
    urls = f"https://localhost:{proxy.port}{events_of(channel)}?since=now&wait=50&n=[1-{WAITS}]"
    process = _curl(
        *("--http2", "--parallel", "--parallel-max", str(WAITS), "--output", "/dev/null"),
        *("--write-out", "%{http_code} %{http_version} %{num_connects}\n", urls),
    )
    output = await _output_after_an_event(site, channel, process)
    lines = [line.split() for line in output.splitlines()]
    assert [line[:2] for line in lines] == [["200", "2"]] * WAITS
    assert sum(int(line[2]) for line in lines) == 1, "more than one connection"


async def test_a_hundred_waits_on_one_connection_over_http_3(site: Site) -> None:
    """Caddy's file is the one with HTTP/3; the others need a line or a build for it."""
    channel, proxy = fresh(), site.proxies["caddy"]
    process = http3_client(proxy.port, f"{events_of(channel)}?since=now&wait=25", WAITS)
    output = await _output_after_an_event(site, channel, process)
    assert [status for status, _ in json.loads(output)] == [200] * WAITS


@pytest.mark.parametrize("version", ["http1.1", "http2"])
async def test_a_client_that_leaves_is_noticed(
    site: Site, proxy: RunningProxy, version: str
) -> None:
    url = f"https://localhost:{proxy.port}{events_of(fresh())}?since=now&wait=50"
    seconds = []
    for _ in range(3):
        process = _curl(f"--{version}", url)
        try:
            await site.held(1)
        finally:
            process.terminate()
            await asyncio.to_thread(process.communicate)
        seconds.append(await site.held(0))
        if seconds[-1] < NOTICED_SECONDS:
            return
    pytest.fail(f"noticed after {seconds} s only")


@pytest.mark.parametrize("forged", [1, 2], ids=["one line", "two lines"])
async def test_the_hub_sees_the_address_of_the_client_and_not_what_it_claims(
    site: Site, proxy: RunningProxy, forged: int
) -> None:
    # The hub trusts all of loopback, so a proxy that appends would let the claim through.
    channel = fresh("forged")
    async with await proxy.connect("127.0.0.5") as client:
        lines = "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-Proto: ftp\r\n" * forged
        head = f"GET {events_of(channel)} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        client.writer.write(head.encode())
        assert (await asyncio.wait_for(client.reader.readline(), SECONDS)).split()[1] == b"200"
    assert json.loads(await _access_line(site, channel))["client"] == "127.0.0.5"


async def _access_line(site: Site, mark: str) -> str:
    """The line of an access log that has the mark."""
    found: list[str] = []

    def finds() -> bool:
        found.extend(line for hub in site.hubs for line in hub.output.lines if mark in line)
        return bool(found)

    await until(finds, SECONDS)
    return found[0]


@pytest.mark.timeout(180)
async def test_waits_of_55_seconds_get_through_every_proxy(site: Site) -> None:
    """One test for all, so that the suite waits once."""

    async def waits(proxy: RunningProxy, target: str) -> tuple[str, int, bytes]:
        async with await proxy.connect() as client:
            client.send("GET", target)
            answer = await client.receive(80)
        return proxy.name, answer.status, answer.body

    begun = time.monotonic()
    target = f"{events_of(fresh())}?since=now&wait=55"
    answers = await asyncio.gather(*(waits(one, target) for one in site.proxies.values()))
    assert time.monotonic() - begun > 40
    for name, status, body in answers:
        assert (name, status) == (name, 200), body
        assert json.loads(body)["events"] == []


def _connections(port: int) -> int:
    """The number of established connections to a port of 127.0.0.1."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1] == f"0100007F:{port:04X}" and row[3] == "01" for row in rows)


async def test_the_proxy_closes_idle_connections_before_the_hub(tmp_path: Path) -> None:
    # HAProxy has no such time; it looks at a connection before each use.
    timed = [proxy for proxy in ALL if proxy.short]
    assert [proxy.name for proxy in timed] == ["nginx", "caddy", "traefik", "envoy"]
    for proxy in timed:
        (line,) = proxy.short or {}
        kept = re.search(r"(\d+)s", line)
        assert kept
        assert int(kept[1]) < Settings.model_fields["keep_alive_seconds"].default
    with (
        serve("front") as hub,
        run_proxies(timed, tmp_path, (hub.port, hub.port), short=True) as proxies,
    ):
        for running in proxies.values():
            async with await running.connect() as client:
                assert (await client.ask("POST", events_of(fresh()), body=b"1")).status == 200
                assert _connections(hub.port) > 0, "nothing is kept"
        # The hub itself would close them after 75 s.
        await until(lambda: not _connections(hub.port), SECONDS)


async def test_posts_around_the_idle_times_all_arrive(tmp_path: Path) -> None:
    with (
        serve("front", keep_alive_seconds=1) as hub,
        run_proxies(ALL, tmp_path, (hub.port, hub.port), short=True) as proxies,
    ):
        for statuses in await asyncio.gather(*map(idle.post, proxies.values())):
            assert statuses == [200] * (idle.ROUNDS * idle.TOGETHER)


async def test_a_reload_of_the_proxy_cuts_nothing(tmp_path: Path) -> None:
    """Waits and streams from before the reload get an event after it."""
    few, held = rolling.Clients(pollers=4, publishers=2), 5
    with (
        serve("front") as hub,
        run_proxies(ALL, tmp_path, (hub.port, hub.port)) as proxies,
    ):
        outcomes = await asyncio.gather(
            *(reload_under_load(one, hub, few, held=held) for one in proxies.values())
        )
    for outcome in outcomes:
        assert outcome.waits == outcome.streams == {"event": held}, f"{outcome}"
        # A request may arrive in the moment in which its idle connection is closed.
        assert len(outcome.tally.errors) <= 3, f"{outcome}\n{outcome.tally.errors}"


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_a_stream_ends_before_a_reloaded_proxy_cuts_it(tmp_path: Path, name: str) -> None:
    """The file's time for old requests is longer than a stream gets old; here both are short."""
    proxy = PROXIES[name]
    file = (FOLDER / proxy.files[0]).read_text()
    (seconds,) = re.findall(r"(?:worker_shutdown_timeout|hard-stop-after) (\d+)s", file)
    assert float(seconds) > Settings().stream_seconds + KEEP_ALIVE_SECONDS
    proxy = dataclasses.replace(proxy, changes={**proxy.changes, f"{seconds}s": "6s"})
    channel = fresh("old")
    with (
        serve("front", stream_seconds=4) as hub,
        run_proxies([proxy], tmp_path, (hub.port, hub.port)) as proxies,
    ):
        running = proxies[name]
        stream_of = {"accept": "text/event-stream"}
        async with await running.connect() as client:
            client.send("GET", f"{events_of(channel)}?since=now", stream_of)
            assert (await client.head())[0] == 200
            stream, ids, retries = EventStream(client), [], []
            ids.append((await stream.next()).id)
            await asyncio.to_thread(running.reload)
            published = asyncio.create_task(_publish_for(hub, channel, 8.0))
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    message = await stream.next()
                    ids.append(message.id)
                    retries.append(message.retry)
        assert retries[-1] is not None, "the stream says when to come back"
        last = await published
        async with await running.connect() as client:
            client.send("GET", events_of(channel), {**stream_of, "last-event-id": ids[-1]})
            assert (await client.head())[0] == 200
            stream = EventStream(client)
            while ids[-1].rpartition("-")[2] != str(last):
                ids.append((await stream.next()).id)
    offsets = dict.fromkeys(int(id.rpartition("-")[2]) for id in ids)
    assert list(offsets) == list(range(last + 1))


async def _publish_for(hub: Server, channel: str, seconds: float) -> int:
    """Publish an event every 0.2 s; the offset of the last."""
    end, last = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        last = (await hub.publish(channel, "x"))["offset"]
        await asyncio.sleep(0.2)
    return last


# About 30 s on an idle machine; the bound is for a busy one.
@pytest.mark.timeout(400)
async def test_hubs_that_restart_and_that_crash_under_load(rack: Rack, tmp_path: Path) -> None:
    """A rolling restart shows no error. After SIGKILL of a hub, a request fails once at most."""
    url = rack.start(KINDS["valkey9"]).url()
    nodes = [Node(url, drain_delay=3, drain_seconds=1) for _ in range(2)]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        with run_proxies(ALL, tmp_path, (nodes[0].port, nodes[1].port)) as proxies:
            running = list(proxies.values())
            restarted = await rolling.restart_under_load(nodes, running)
            few = rolling.Clients(pollers=4, publishers=2, repeats=True)
            killed = await rolling.kill_under_load(nodes, running, few)
    finally:
        for node in nodes:
            node.close()
    for tally in restarted:
        # `scripts/proxies` shows 0 of tens of thousands. On a busy machine a request may arrive in
        # the moment in which its connection is closed; the usual file of nginx gives dozens.
        assert len(tally.errors) <= tally.requests / 1000, f"{tally}\n{tally.errors[:20]}"
        assert tally.events > 0
        assert tally.requests > 200, tally
    for tally in killed:
        # `scripts/proxies` shows 0. A busy machine checks the health of a hub late.
        assert len(tally.lost) <= tally.requests / 100, f"{tally}\n{tally.lost}\n{tally.errors}"
        assert not [error for error in tally.errors if error.startswith("order")], tally.errors
        assert tally.events > 0
