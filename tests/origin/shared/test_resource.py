"""A shared resource on virtual time, in front of an origin that the test scripts: what would take
hours for real, and what would need a race.
"""

import asyncio
import functools
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog.testing

from pushhub.http.etag import parse_tags
from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.hub.hub import Hub
from pushhub.log.cursor import Cursor
from pushhub.log.event import Event
from pushhub.log.read import Page
from pushhub.origin.client.response import UpstreamResponse
from pushhub.origin.origin import Origin
from pushhub.origin.request import ProxiedRequest
from pushhub.origin.shared.condition import Tags
from pushhub.origin.shared.fetch_claims import CLAIMS_CHANNEL
from pushhub.origin.shared.representation import Representation
from pushhub.origin.shared.resource import Resource
from pushhub.origin.shared.resource_channel import RETENTION
from pushhub.origin.shared.wait_request import WaitRequest
from pushhub.settings import Settings
from pushhub.store.base import Append, Listener, Mismatch, Outcome, StoreUnavailable
from pushhub.store.epoch import draw_epoch
from pushhub.store.memory import MemoryStore
from pushhub.store.redis.feed import SILENCE_SECONDS
from pushhub.store.redis.link import COMMAND_SECONDS
from tests.hub.scripted import Recorder
from tests.hub.virtual import VirtualLoop

MINUTE, HOUR = 60.0, 3600.0
# Differences of seconds that are large numbers.
ROUNDING = 1e-6


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on virtual time."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(**arguments))

    return run


class Body:
    """What a response reads its body from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def release(self) -> None:
        pass


class Client:
    """An origin of one resource, which takes `seconds` for each response."""

    def __init__(self) -> None:
        self.status, self.state, self.seconds = 200, 0, 0.0
        self.headers = ""
        self.times: list[float] = []
        """When it was asked."""

    async def request(self, method: str, url: str, pairs: Any, *_: Any) -> UpstreamResponse:
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        tag = f'"{self.state}"'
        if (b"If-None-Match", tag.encode()) in pairs and self.status == 200:
            return UpstreamResponse(f"HTTP/1.1 304 -\r\nETag: {tag}\r\n\r\n".encode(), method)
        head = f"HTTP/1.1 {self.status} -\r\nETag: {tag}\r\n{self.headers}\r\n"
        response = UpstreamResponse(head.encode(), method)
        response.connection = Body(b"%d" % self.state)  # type: ignore[assignment]
        return response

    def close(self) -> None:
        pass


class Front:
    """The hub's part that shares resources."""

    def __init__(self, hub: Hub, origin: Origin, client: Client, settings: Settings) -> None:
        assert origin.resources is not None
        self.settings = settings
        self.hub = hub
        self.origin = origin
        self.table = origin.resources
        self.client = client
        self.tasks: set[asyncio.Task[None]] = set()

    def ask(
        self, tag: str | None = None, wait: int | None = 25, *more: tuple[str, str]
    ) -> Recorder:
        """A request; the recorder has its answer when it is there."""
        headers = [("Host", "x"), *more]
        headers += [("Prefer", f"wait={wait}")] if wait is not None else []
        headers += [("If-None-Match", tag)] if tag is not None else []
        pairs = tuple((name.encode(), value.encode()) for name, value in headers)
        request = ProxiedRequest("GET", "/orders", pairs)
        self.origin.route(request)
        resource = self.table.get(request)
        assert resource is not None
        recorder = Recorder()
        parsed = request.wait_request
        outcome = resource.serve_from_memory(parsed.wait, parsed.condition)
        if outcome is None:
            task = asyncio.get_running_loop().create_task(self._outcome(resource, parsed, recorder))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self._give(outcome, recorder)
        return recorder

    async def _outcome(self, resource: Resource, parsed: WaitRequest, recorder: Recorder) -> None:
        self._give(await resource.serve_after_fetch(parsed), recorder)

    def _give(self, outcome: Response | Hold | None, recorder: Recorder) -> None:
        if isinstance(outcome, Hold):
            outcome.attach(recorder)
        else:
            assert outcome is not None, "it was to be passed through"
            recorder.deliver(outcome)

    async def answer(self, *asked: Any, **more: Any) -> Response:
        recorder = self.ask(*asked, **more)
        await recorder.written()
        return recorder.response


@asynccontextmanager
async def opened(store: MemoryStore | None = None, **route: Any) -> AsyncIterator[Front]:
    """A front with the defaults; `route` are options of its route, or of the budget."""
    budget = {name: route.pop(name) for name in ("fetch_rate", "replaces") if name in route}
    given: Any = {"path": "/*", "step": "poll", **route}
    settings = Settings(dev=True, origin="http://127.0.0.1:1", routes=[given], **budget)
    loop = asyncio.get_running_loop()
    start = time.time() - loop.time()

    def clock() -> float:
        return start + loop.time()

    hub = Hub(store or MemoryStore(clock), clock=clock)
    await hub.open()
    origin = Origin(settings)
    client = Client()
    origin.client = client  # type: ignore[assignment]
    origin.share(hub, settings, lambda problem: problem.response(), lambda low, high: high)
    origin.open = lambda: None  # type: ignore[method-assign]
    assert origin.resources is not None
    origin.resources.pace.open()
    try:
        yield Front(hub, origin, client, settings)
    finally:
        await origin.close()
        await hub.close()


def header(answer: Response, name: bytes) -> bytes | None:
    return next((value for key, value in answer.headers if key.lower() == name), None)


APPLIED = b"preference-applied"


async def keep_waiting(front: Front, seconds: float) -> None:
    """One client waits again and again, and no change comes."""
    end = front.hub.now() + seconds
    while front.hub.now() < end:
        answer = await front.answer(f'"{front.client.state}"')
        assert answer.status == 304


# -- how often the origin is asked -----------------------------------------------------------------


@virtually
async def test_the_pace_is_the_interval_whatever_the_silence_before() -> None:
    async with opened(interval=1) as front:
        await keep_waiting(front, 10 * MINUTE)
        times = front.client.times
        pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert min(pauses[1:]) >= 0.9
        # The first pause, too, and each is a tick of the wheel late at most.
        assert max(pauses) <= 1.2 + ROUNDING
        # The change is seen that soon.
        waits = front.ask('"0"')
        await asyncio.sleep(5)
        front.client.state, changed = 1, front.hub.now()
        await waits.written()
        assert waits.response.status == 200
        assert front.hub.now() - changed <= 1.2 + ROUNDING


@virtually
async def test_only_paced_fetches_slow_the_pace_down() -> None:
    async with opened(interval=1, slowest=10) as front:
        front.ask('"0"')
        for _ in range(20):
            # Each of these has the origin asked, because it has nothing.
            assert (await front.answer(None)).status == 200
        before = len(front.client.times)
        await asyncio.sleep(1.2)
        assert len(front.client.times) == before + 1
        await keep_waiting(front, 2 * MINUTE)
        times = front.client.times
        # Then the paced ones do.
        assert 9.5 <= times[-1] - times[-2] <= 10.5


@virtually
async def test_it_is_not_asked_while_no_request_waits() -> None:
    async with opened(interval=1) as front:
        await keep_waiting(front, MINUTE)
        seen = len(front.client.times)
        await asyncio.sleep(5 * MINUTE)
        assert len(front.client.times) <= seen + 1
        assert len(front.table) == 0


@virtually
async def test_a_client_that_disconnects_during_a_fetch_costs_no_other() -> None:
    async with opened(interval=1) as front:
        front.client.seconds = 1
        front.ask(None)
        await asyncio.sleep(0.1)
        front.ask(None)
        await asyncio.sleep(0.1)
        for task in list(front.tasks):
            task.cancel()
        await asyncio.sleep(MINUTE)
        assert len(front.client.times) == 1


# -- hours of changes and quiet spells -------------------------------------------------------------


@pytest.mark.parametrize("step", ["poll", "notify"])
@pytest.mark.parametrize("seed", range(3))
@virtually
@pytest.mark.slow
async def test_no_change_is_missed_in_hours(step: str, seed: int) -> None:
    chance = random.Random(seed)
    async with opened(step=step, interval=1) as front:
        begun = front.hub.now()
        for _ in range(150):
            tag = f'"{front.client.state}"'
            waits = front.ask(tag)
            await asyncio.sleep(chance.uniform(0, 15))
            front.client.state += 1
            if step == "notify":
                front.table.notified(["/orders"], f"turn-{front.client.state}")
            await asyncio.sleep(1.5)
            assert waits, "no response at all"
            assert (waits.response.status, waits.response.body) == (200, b"%d" % front.client.state)
            await asyncio.sleep(chance.choice([0, 1, 9, 10, 11, 20, 60, 300 * chance.random()]))
        assert front.hub.now() - begun > HOUR
        assert front.table.unshared.stalls == 0
        if step == "notify":
            assert len(front.client.times) <= 4 * 150


class Restarted(MemoryStore):
    """A store whose events outlive a change of its epoch, as those of SQLite and Redis do."""

    def restart(self) -> None:
        assert self._listener is not None
        self._listener.lost()
        self._epoch = draw_epoch()
        self._listener.restored()


@virtually
async def test_an_event_of_an_older_epoch_is_no_obstacle() -> None:
    store = Restarted()
    async with opened(store, interval=1) as front:
        for state in range(1, 4):
            waits = front.ask(f'"{state - 1}"')
            await asyncio.sleep(3)
            store.restart()
            await asyncio.sleep(3)
            front.client.state, before = state, len(front.client.times)
            await asyncio.sleep(3)
            assert waits.response.body == b"%d" % state
            assert len(front.client.times) - before <= 5
        assert front.table.unshared.stalls == 0


async def published_by_another_node(front: Front, state: int) -> None:
    """Another node has fetched that state, and publishes it to all."""
    (resource,) = front.table
    tag = f'"{state}"'.encode()
    representation = Representation(200, b"OK", ((b"ETag", tag),), b"%d" % state)
    await front.hub.recorded(Append(resource.channel, representation.draft(), RETENTION))


@pytest.mark.parametrize("wait", [1, None])
@virtually
async def test_a_change_of_another_node_is_as_old_as_its_event(wait: int | None) -> None:
    async with opened(interval=1, max_age=2) as front:
        assert (await front.answer('"0"', wait=1)).status == 304
        front.client.state = 1
        await published_by_another_node(front, 1)
        await asyncio.sleep(5)
        # No request waited on this node meanwhile, and the other one has stopped.
        front.client.state = 2
        assert (await front.answer('"1"', wait=wait)).body == b"2"


class Contested(MemoryStore):
    """A store in which another node always publishes first."""

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        done([Mismatch(None) for _ in appends])


@pytest.mark.parametrize("step", ["poll", "notify"])
@virtually
async def test_a_retry_without_progress_is_paced_bounded_and_logged(step: str) -> None:
    async with opened(Contested(), step=step, interval=1) as front:
        with structlog.testing.capture_logs() as logs:
            waits = front.ask('"0"', 55)
            await asyncio.sleep(3)
            front.client.state, before = 1, len(front.client.times)
            if step == "notify":
                front.table.notified(["/orders"], "turn")
            await asyncio.sleep(30)
            # Requests that need a fetch have their response.
            asked = len(front.client.times)
            assert (await front.answer(None)).body == b"1"
            assert (await front.answer('"0"')).body == b"1"
            await asyncio.sleep(30)
        assert asked - before <= 12
        # The wait ends with an error and not with a 304.
        assert waits.response.status == 503
        assert front.table.unshared.stalls >= 1
        told = [entry for entry in logs if entry["event"] == "origin.stalled"]
        assert [(entry["route"], entry["path"]) for entry in told] == [("/*", "/orders")]


# -- a slow origin ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [None, '"0"', '"x"'])
@virtually
async def test_a_wait_that_is_shorter_than_a_fetch(tag: str | None) -> None:
    """It brings the response, or ends in time."""
    async with opened(interval=1) as front:
        front.client.seconds = 0.95
        answer = await front.answer(tag, 1)
        assert answer.status == (304 if tag == '"0"' else 200)
        front.client.seconds = 5
        await asyncio.sleep(MINUTE)
        for _ in range(7):
            begun = front.hub.now()
            answer = await front.answer(tag, 1)
            assert front.hub.now() - begun <= 1.2 + ROUNDING
        # The fetches went on, and the last of them is what is known.
        assert answer.status == {None: 200, '"0"': 304, '"x"': 504}[tag]
        front.client.state = 1
        for _ in range(14):
            begun = front.hub.now()
            answer = await front.answer(tag, 1)
            assert front.hub.now() - begun <= 1.2 + ROUNDING
        if tag != '"x"':
            assert (answer.status, answer.body) == (200, b"1")


@virtually
async def test_every_request_ends_with_its_wait() -> None:
    """Whatever the origin does, and however many ask."""
    chance = random.Random(7)
    async with opened(interval=0.5) as front:
        late: list[str] = []

        async def ask(tag: str | None, wait: int) -> None:
            begun = front.hub.now()
            await front.answer(tag, wait)
            if front.hub.now() - begun > wait + 0.3:
                late.append(f"{front.hub.now() - begun:.2f} s instead of {wait} s")

        async with asyncio.TaskGroup() as group:
            for _ in range(600):
                front.client.seconds = chance.choice([0, 0.01, 0.3, 2, 70])
                front.client.status = chance.choice([200, 200, 200, 404, 500])
                front.client.state += chance.random() < 0.1
                state = front.client.state
                tag = chance.choice([None, f'"{state}"', f'"{state - 1}"', '"?"'])
                group.create_task(ask(tag, chance.choice([1, 2, 10, 55])))
                await asyncio.sleep(chance.expovariate(1.0))
        assert not late


# -- what is no 200 --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 301, 302, 400, 401, 403, 404, 410, 418, 429, 500, 503])
@virtually
async def test_only_a_200_that_comes_immediately_says_that_the_wait_was_applied(
    status: int,
) -> None:
    async with opened(interval=1) as front:
        front.client.status = status
        for tag in (None, '"gone"'):
            answer = await front.answer(tag)
            assert (answer.status, header(answer, APPLIED)) == (status, None)
        # A client that has the 200 is told of the change, and keeps its old interval.
        front.client.status, front.client.state = 200, 1
        await asyncio.sleep(MINUTE)
        waits = front.ask('"1"')
        await asyncio.sleep(3)
        front.client.status, front.client.state = status, 2
        await asyncio.sleep(30)
        assert header(waits.response, APPLIED) is None
        assert waits.response.status == status or status in (429, 500, 503)


@pytest.mark.parametrize("status", [401, 403, 404])
@virtually
async def test_an_error_whose_tag_the_client_sent_is_held(status: int) -> None:
    async with opened(interval=1) as front:
        front.client.status = status
        answer = await front.answer('"0"', 20)
        assert (answer.status, answer.body) == (status, b"0")
        assert header(answer, APPLIED) == b"wait=20"
        waits = front.ask('"0"')
        await asyncio.sleep(5)
        front.client.status, front.client.state = 200, 1
        await asyncio.sleep(2)
        assert (waits.response.status, waits.response.body) == (200, b"1")
        assert header(waits.response, APPLIED) == b"wait=25"
        # What a plain poll says with that tag is the error, too, and no 304.
        assert len([1 for name, _ in waits.response.headers if name.lower() == b"etag"]) == 1


# -- dates -----------------------------------------------------------------------------------------

MONDAY = "Mon, 02 Nov 2026 10:00:00 GMT"
LATER = "Mon, 02 Nov 2026 10:00:07 GMT"


def since(date: str) -> tuple[str, str]:
    return ("If-Modified-Since", date)


@virtually
async def test_a_client_that_has_a_date_waits_for_a_later_one() -> None:
    async with opened(interval=1) as front:
        front.client.headers = f"Last-Modified: {MONDAY}\r\n"
        end = await front.answer(None, 20, since(MONDAY))
        assert (end.status, header(end, APPLIED)) == (304, b"wait=20")
        assert header(end, b"last-modified") == MONDAY.encode()
        waits = front.ask(None, 25, since(MONDAY))
        await asyncio.sleep(5)
        front.client.state, front.client.headers = 1, f"Last-Modified: {LATER}\r\n"
        await asyncio.sleep(2)
        assert (waits.response.status, waits.response.body) == (200, b"1")
        # Who has an older one is given the newest immediately.
        answer = await front.answer(None, 25, since(MONDAY))
        assert (answer.status, header(answer, APPLIED)) == (200, b"wait=25")


@virtually
async def test_a_change_within_the_second_of_its_date_is_told_to_those_who_wait() -> None:
    async with opened(interval=1) as front:
        front.client.headers = f"Last-Modified: {MONDAY}\r\n"
        waits = front.ask(None, 25, since(MONDAY))
        await asyncio.sleep(5)
        front.client.state = 1
        await asyncio.sleep(2)
        assert (waits.response.status, waits.response.body) == (200, b"1")


@virtually
async def test_without_a_date_of_the_origin_no_request_waits_by_one() -> None:
    async with opened(interval=1) as front:
        answer = await front.answer(None, 25, since(MONDAY))
        assert (answer.status, header(answer, APPLIED)) == (200, None)
        # A tag beside it counts alone, and what is no date is none.
        end = await front.answer('"0"', 20, since(MONDAY))
        assert (end.status, header(end, APPLIED)) == (304, b"wait=20")
        answer = await front.answer(None, 25, since("yesterday"))
        assert (answer.status, header(answer, APPLIED)) == (200, b"wait=25")


# -- validators ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "etag",
    ['"a b"', '"a', "*", 'a", "b', '"a"\r\nETag: "b"', '"a"\r\nETag: "a"', 'W/"\x7f"', ""],
)
def test_one_validator_whatever_the_origin_gave(etag: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nETag: {etag}\r\n\r\n".encode("latin-1")
    response = UpstreamResponse(head, "GET")
    representation = Representation(200, b"OK", response.pairs, b"1")
    for answer in (representation.response(25), representation.unchanged(25)):
        (given,) = [value for name, value in answer.headers if name.lower() == b"etag"]
        assert given == b'W/"%b"' % representation.tag.encode()
        assert Tags(parse_tags(given.decode())).is_new(representation) is False
    # To a plain poll it is as it was.
    assert representation.response().headers == response.pairs


# -- a log that is late, hangs or refuses ----------------------------------------------------------


# The longest time until a node notices that Redis hangs.
HUNG_SECONDS = COMMAND_SECONDS + SILENCE_SECONDS


class Slow(MemoryStore):
    """A log that another node shares: its feed is `late`, channels that begin with `hangs` do not
    respond, and it `refuses` events.
    """

    certain = False

    def __init__(self) -> None:
        super().__init__()
        self.late, self.hangs, self.refuses = 0.0, "", False
        self._hub: Listener

    async def open(self, listener: Listener) -> None:
        self._hub = listener
        await super().open(self)

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        if self.refuses:
            done([StoreUnavailable("away")] * len(appends))
        elif not (self.hangs and appends[0].channel.startswith(self.hangs)):
            super().append(appends, done)

    async def tail(self, channel: str, limit: int) -> Page:
        if self.hangs and channel.startswith(self.hangs):
            await asyncio.sleep(HUNG_SECONDS)
            raise StoreUnavailable("away")
        return await super().tail(channel, limit)

    def wake(self, event: Event) -> None:
        asyncio.get_running_loop().call_later(self.late, self._hub.wake, event)

    def receipt(self, channel: str, cursor: Cursor | None) -> None:
        self._hub.receipt(channel, cursor)

    def forget(self, channel: str) -> None:
        self._hub.forget(channel)

    def lost(self) -> None:
        self._hub.lost()

    def restored(self) -> None:
        self._hub.restored()


@pytest.mark.parametrize("late", [0.05, 1.5])
@virtually
async def test_a_wait_after_two_nodes_have_fetched_the_same_change(late: float) -> None:
    """The client has the change by the other node. This one fetches it, too, before the feed brings
    it, and the next fetch comes after the wait.
    """
    store = Slow()
    async with opened(store, interval=1, fetch_rate=0.2) as front:
        assert (await front.answer('"0"', wait=1)).status == 304
        store.late = late
        front.client.state, before = 1, len(front.client.times)
        await published_by_another_node(front, 1)
        answer = await front.answer('"1"', wait=1)
        assert len(front.client.times) > before
        assert answer.status == 304
        assert header(answer, APPLIED) == b"wait=1"


@virtually
async def test_a_request_waits_for_the_origin_and_not_for_a_claim() -> None:
    store = Slow()
    async with opened(store, interval=1) as front:
        waiting = front.ask('"0"', wait=55)
        await asyncio.sleep(5)
        store.hangs = CLAIMS_CHANNEL
        await asyncio.sleep(3)
        before, begun = len(front.client.times), front.hub.now()
        front.client.state = 1
        # The claim of the other request is in flight, and is never settled.
        assert (await front.answer('"?"', wait=1)).body == b"1"
        assert front.hub.now() - begun < 0.1
        assert len(front.client.times) == before + 1
        assert waiting.response.body == b"1"


@pytest.mark.parametrize("tag", ['"0"', '"?"'])
@virtually
async def test_a_request_waits_for_the_origin_and_not_for_the_end_of_the_log(tag: str) -> None:
    store = Slow()
    async with opened(store, interval=1) as front:
        store.hangs = "$origin:"
        begun = front.hub.now()
        answer = await front.answer(tag, wait=1)
        assert front.hub.now() - begun < 0.8
        # No request can wait, so the client keeps its interval.
        assert answer.status == (304 if tag == '"0"' else 200)
        assert header(answer, APPLIED) is None


@pytest.mark.parametrize("tag", ['"0"', '"?"'])
@virtually
async def test_a_change_that_the_log_never_takes_ends_the_wait(tag: str) -> None:
    store = Slow()
    async with opened(store, interval=1) as front:
        assert (await front.answer('"0"', wait=1)).status == 304
        await asyncio.sleep(5)
        store.hangs = "$origin:"
        front.client.state = 1
        answer = await front.answer(tag, wait=1)
        if tag == '"0"':
            assert (answer.status, answer.body) == (200, b"1")
        else:
            # The tag may be of a newer state.
            assert answer.status == 504


@pytest.mark.parametrize("tag", [None, '"0"', '"1"', '"?"'])
@virtually
async def test_a_change_that_the_log_refuses_reaches_the_requests_for_it(tag: str | None) -> None:
    """A client that waits is not worse off than one that polls the origin itself."""
    store = Slow()
    async with opened(store, interval=1) as front:
        assert (await front.answer('"0"', wait=1)).status == 304
        await asyncio.sleep(5)
        store.refuses = True
        front.client.state = 1
        async with asyncio.timeout(MINUTE):
            answer = await front.answer(tag, wait=25)
            assert answer.status == (304 if tag == '"1"' else 200)
            assert header(answer, APPLIED) is None
            # Memory has the state before, and gives it to no client.
            assert (await front.answer('"1"', wait=25)).status == 304
