"""The pace of shared fetches on virtual time: how late a change is told, and its cost."""

import asyncio
from bisect import bisect_right
from collections import Counter
from typing import Self

import pytest
import structlog.testing

from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.origin.request import ProxiedRequest
from pushhub.origin.routes import Routes
from pushhub.origin.shared.fetch_pace import FetchPace
from pushhub.settings.route import Route
from pushhub.store.memory import MemoryStore
from tests.hub.scripted import Recorder
from tests.origin.shared.test_resource import Front, keep_waiting, opened, virtually

MINUTE = 60.0


class Waiter:
    """A client that waits on a path again and again."""

    def __init__(self, front: Front, path: str) -> None:
        self.front, self.path = front, path
        self.tag: str | None = None
        self.told: list[tuple[float, int]] = []
        """When it was told of which state."""
        self.statuses: Counter[int] = Counter()
        self.task = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while True:
            response = await self._ask()
            self.statuses[response.status] += 1
            if response.status == 200:
                tag = next(value for name, value in response.headers if name.lower() == b"etag")
                self.tag = tag.decode()
                self.told.append((self.front.hub.now(), int(response.body or b"0")))

    async def _ask(self) -> Response:
        headers = [("Host", "x"), ("Prefer", "wait=25")]
        headers += [("If-None-Match", self.tag)] if self.tag else []
        pairs = tuple((name.encode(), value.encode()) for name, value in headers)
        request = ProxiedRequest("GET", self.path, pairs)
        self.front.origin.route(request)
        resource = self.front.table.get(request)
        assert resource is not None
        wait = request.wait_request
        outcome = resource.serve_from_memory(wait.wait, wait.condition)
        if outcome is None:
            outcome = await resource.serve_after_fetch(wait)
        recorder = Recorder()
        if isinstance(outcome, Hold):
            outcome.attach(recorder)
        else:
            assert outcome is not None
            recorder.deliver(outcome)
        await recorder.written()
        assert isinstance(recorder.response, Response)
        return recorder.response


class Crowd:
    """Clients that wait, on one path or each on its own."""

    def __init__(self, front: Front, count: int, *, private: bool) -> None:
        self.front = front
        self.waiters = [Waiter(front, f"/r/{number if private else 0}") for number in range(count)]

    async def change(self, within: float) -> float:
        """Change all resources; after how long the last client was told."""
        front = self.front
        front.client.state += 1
        changed, state = front.hub.now(), front.client.state
        await asyncio.sleep(within)
        late = [waiter.path for waiter in self.waiters if waiter.told[-1][1] != state]
        assert not late, f"{len(late)} were not told of state {state} in {within} s"
        return max(waiter.told[-1][0] for waiter in self.waiters) - changed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for waiter in self.waiters:
            waiter.task.cancel()
        await asyncio.wait([waiter.task for waiter in self.waiters])


def busiest(times: list[float], seconds: float, since: float) -> int:
    """The most fetches in any time of so many seconds."""
    times = sorted(time for time in times if time >= since)
    return max(bisect_right(times, at + seconds) - index for index, at in enumerate(times))


@pytest.mark.parametrize("count", [1, 50])
@virtually
async def test_a_change_is_told_within_the_interval_after_any_silence(count: int) -> None:
    async with opened() as front:
        front.client.seconds = 0.02
        async with Crowd(front, count, private=False) as crowd:
            begun = front.hub.now()
            for quiet in (1, 15, 5 * MINUTE):
                await asyncio.sleep(quiet)
                assert await crowd.change(1.3) <= 1.3
            # One fetch serves all of them, and each pause is the interval.
            passed = front.hub.now() - begun
            assert 0.8 * passed <= len(front.client.times) <= passed + 2
            assert busiest(front.client.times, 10, begun + 1) <= 11


@virtually
@pytest.mark.slow
async def test_a_crowd_costs_no_more_than_its_polling() -> None:
    """2,000 clients, each with a resource: as many fetches as polls every 5 s, and as early."""
    with structlog.testing.capture_logs() as logs:
        async with opened() as front:
            front.client.seconds = 0.02
            async with Crowd(front, 2000, private=True) as crowd:
                begun = front.hub.now()
                await asyncio.sleep(12)
                (pace,) = front.table.pace.origins.values()
                assert pace.budget.rate == 400
                assert 5.0 <= pace.interval <= 5.5
                for quiet in (1, 8):
                    await asyncio.sleep(quiet)
                    assert await crowd.change(pace.interval + 0.5) > 2
                passed = front.hub.now() - begun
            times, steady = front.client.times, begun + 12
            # The first request of each client is its own, as without pushhub.
            assert len(times) <= 2000 + 400 * passed
            for seconds in (1, 5, 15):
                assert busiest(times, seconds, steady) <= 400 * seconds + 400 * 0.2 + 1
            assert len([time for time in times if time > steady]) >= 0.85 * 400 * (passed - 12)
            await asyncio.sleep(MINUTE)
            assert pace.interval == 0
            assert len(pace) == 0
    events = [line["event"] for line in logs]
    assert events == ["origin.pace_stretched", "origin.pace_restored"]


@virtually
async def test_a_crowd_that_grows_is_not_left_at_the_pace_of_a_few() -> None:
    """Many resources have few clients yet: the pace stretches to 20 s. Then the others wait, which
    makes the budget larger: the next fetches come at its pace, not after 20 s.
    """
    async with opened() as front:
        front.client.seconds = 0.02
        async with Crowd(front, 200, private=True) as early:
            await asyncio.sleep(0.01)
            for waiter in early.waiters[20:]:
                waiter.task.cancel()
            await asyncio.sleep(0.3)
            (pace,) = front.table.pace.origins.values()
            assert pace.interval > 15
            async with Crowd(front, 200, private=True) as crowd:
                await asyncio.sleep(1.2)
                assert pace.interval < 5.5
                # The first requests of all have taken the tokens of five seconds.
                await asyncio.sleep(5)
                assert await crowd.change(pace.interval + 1.5) > 2


@virtually
async def test_no_resource_starves() -> None:
    """Thirty resources at 2 fetches a second: each has its turn once a round."""
    async with (
        opened(fetch_rate=2, replaces=1000) as front,
        Crowd(front, 30, private=True) as crowd,
    ):
        await asyncio.sleep(5 * MINUTE)
        begun = front.hub.now()
        for _ in range(4):
            assert await crowd.change(18) <= 18
        passed = front.hub.now() - begun
        assert busiest(front.client.times, 20, begun) <= 2 * 20 + 1
        assert len([t for t in front.client.times if t >= begun]) >= 0.85 * 2 * passed


@virtually
async def test_the_clients_own_requests_do_not_starve_paced_fetches() -> None:
    async with (
        opened(fetch_rate=5, replaces=1000) as front,
        Crowd(front, 1, private=False) as crowd,
    ):
        await asyncio.sleep(5)

        async def flood() -> None:
            while True:
                assert (await front.answer(None)).status == 200
                await asyncio.sleep(0.05)

        flooding = asyncio.get_running_loop().create_task(flood())
        await asyncio.sleep(MINUTE)
        assert await crowd.change(2.5) <= 2.5
        flooding.cancel()


@virtually
async def test_a_notification_is_not_delayed_by_the_budget() -> None:
    async with (
        opened(fetch_rate=1, replaces=1000) as front,
        Crowd(front, 20, private=True) as crowd,
    ):
        await asyncio.sleep(MINUTE)
        front.client.state += 1
        front.table.notified(["/r/*"], "turn-1")
        await asyncio.sleep(0.2)
        assert {waiter.told[-1][1] for waiter in crowd.waiters} == {front.client.state}


@virtually
async def test_a_route_that_slows_down_goes_on_doing_so() -> None:
    async with opened(slowest=8) as front, Crowd(front, 1, private=False):
        await asyncio.sleep(2 * MINUTE)
        times = front.client.times
        assert 7.9 <= times[-1] - times[-2] <= 8.3


@virtually
async def test_a_reload_changes_the_budget() -> None:
    async with (
        opened(fetch_rate=1, replaces=1000) as front,
        Crowd(front, 20, private=True) as crowd,
    ):
        await asyncio.sleep(MINUTE)
        (pace,) = front.table.pace.origins.values()
        assert pace.interval >= 20
        front.origin.configure(
            front.origin.routes, front.settings.model_copy(update={"fetch_rate": 100.0})
        )
        await asyncio.sleep(30)
        assert pace.interval == 0
        assert await crowd.change(1.3) <= 1.3


class SharedStore(MemoryStore):
    """A log that other nodes could share, so that this node has a share of the budget only after
    it has told the others of its demand.
    """

    certain = False


@pytest.mark.parametrize("quiet", [3, 13, 40])
@virtually
async def test_after_a_time_without_waiters_a_change_is_as_early(quiet: float) -> None:
    """The resource is still known; its share of the budget has gone to the other nodes."""
    loop = asyncio.get_running_loop()
    store = SharedStore(lambda: 1e9 + loop.time())
    async with opened(store, linger=60) as front:
        await keep_waiting(front, 30)
        for step in range(8):
            await asyncio.sleep(quiet + step / 8)
            recorder = front.ask(f'"{front.client.state}"')
            await asyncio.sleep(0.05)
            front.client.state += 1
            changed = front.hub.now()
            await recorder.written()
            assert recorder.response.status == 200
            assert front.hub.now() - changed <= 1.3


@virtually
async def test_a_hub_at_rest_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    expire = FetchPace.expire

    def counted(pace: FetchPace) -> None:
        times.append(pace._hub.now())
        expire(pace)

    monkeypatch.setattr(FetchPace, "expire", counted)
    async with opened() as front:
        assert (await front.answer()).status == 200
        front.origin.configure(front.origin.routes, front.settings)
        begun = front.hub.now()
        await asyncio.sleep(MINUTE)
        assert len([at for at in times if at > begun]) <= 2, "of the request and the reload"


@virtually
async def test_an_origin_that_a_reload_removes_has_no_budget_any_more() -> None:
    async with opened() as front:
        assert (await front.answer()).status == 200
        routes = [Route(path="/*", step="poll", target="http://127.0.0.1:2")]
        changed = front.settings.model_copy(update={"routes": routes, "origin": None})
        front.origin.configure(Routes(changed), changed)
        waiting = front.ask('"0"')
        await asyncio.sleep(1)
        # Its resource may still have waiting requests.
        assert sorted(front.table.pace.origins) == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
        await waiting.written()
        await asyncio.sleep(MINUTE)
        assert list(front.table.pace.origins) == ["http://127.0.0.1:2"]
        assert (await front.answer()).status == 200
