"""Applications that this project did not write, upgraded by routes lines alone.

Each is tested in the same way: it is identical to the byte for clients that do not opt in; a client
that waits is told each change within the interval; and the hub asks the application no more than
the budget of an origin allows. `scripts/apps` does the same with longer silences and more clients.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.apps import budget
from tests.apps.budget import BURST, WINDOW
from tests.apps.catalogue import APPLICATIONS
from tests.apps.comparison import differences
from tests.apps.stage import LATE_SECONDS, Stage, staged
from tests.apps.visits import visit
from tests.apps.waiter import crowd, latency, waiting
from tests.browser.chromium import Chromium

# Of several changes, one that is told in time shows the pace of the hub; the others may have met a
# busy machine. With a pause that grows with the silence none would be in time.
TRIES = 4
LONG_QUIET = 15.0
CLIENTS = 50
WATCHED_SECONDS = 3.0
# One application that is fast enough will do for a crowd; `scripts/apps` takes 2,000 clients.
CROWDED = "nginx"
CROWD = 200
# A busy machine starts devpi-server and a hub in more than a minute.
pytestmark = pytest.mark.timeout(300)


def those(attribute: str) -> list[str]:
    """The applications that have something for a test."""
    return [name for name, one in APPLICATIONS.items() if getattr(one, attribute)]


@pytest.fixture(scope="module", params=APPLICATIONS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    application = APPLICATIONS[request.param]
    # pytest's own folders are for their owner alone, and Apache's workers are another user's.
    with (
        tempfile.TemporaryDirectory(prefix="pushhub-app-") as folder,
        staged(application, Path(folder)) as stage,
    ):
        yield stage


async def test_identical_for_clients_that_do_not_opt_in(stage: Stage) -> None:
    found = await differences(stage)
    assert not found, "\n\n".join(found)


async def test_its_own_client_sees_the_same(stage: Stage, browser: Callable[[], Chromium]) -> None:
    """A waiting poll is told of the change that the client makes, page or program."""
    await visit(stage, browser)


async def test_each_change_is_told_within_the_interval(stage: Stage) -> None:
    for poll in stage.application.polls:
        times = []
        for _ in range(TRIES):
            times.append(await latency(stage, poll, quiet=1.0))
            if times[-1] <= stage.interval + LATE_SECONDS:
                break
        assert min(times) <= stage.interval + LATE_SECONDS, (poll.target, times)


@pytest.mark.parametrize("stage", those("long_quiet"), indirect=True, scope="module")
async def test_a_change_is_told_after_a_silence(stage: Stage) -> None:
    """`scripts/apps` waits for the other ones, too."""
    poll, times = stage.application.polls[0], []
    for _ in range(2):
        times.append(await latency(stage, poll, quiet=LONG_QUIET))
        if times[-1] <= stage.interval + LATE_SECONDS:
            break
    assert min(times) <= stage.interval + LATE_SECONDS, times


@pytest.mark.parametrize("clients", [1, CLIENTS])
@pytest.mark.parametrize("stage", those("polls"), indirect=True, scope="module")
async def test_the_application_is_asked_within_the_budget(stage: Stage, clients: int) -> None:
    poll = stage.application.polls[0]
    async with waiting(stage, poll, clients) as waiters:
        began = budget.now()
        await asyncio.sleep(WATCHED_SECONDS)
        # Silence: one request per interval for all clients.
        quiet = stage.relay.since(began)
        assert len(quiet) <= WATCHED_SECONDS / stage.interval + 1, len(quiet)
        await waiters.change()
    assert budget.fullest(stage.relay.since(waiters.began)) <= budget.allowed(clients)


@pytest.mark.parametrize("stage", [CROWDED], indirect=True, scope="module")
async def test_a_crowd_with_a_resource_each_costs_no_more_than_its_polling(stage: Stage) -> None:
    times, delays = await crowd(stage, stage.application.polls[0], CROWD, WATCHED_SECONDS)
    assert budget.fullest(times) <= budget.allowed(CROWD)
    # The stretched interval is 5.2 s, and the tokens of the first requests are those of 5 s.
    assert max(delays) <= 2 * WINDOW + BURST + LATE_SECONDS


@pytest.mark.parametrize("stage", those("always_new"), indirect=True, scope="module")
async def test_a_resource_that_is_always_new_keeps_its_clients_polling(stage: Stage) -> None:
    target = stage.application.always_new
    async with stage.client() as client:
        etag = ""
        for _ in range(30):
            headers = {"prefer": "wait=25"} | ({"if-none-match": etag} if etag else {})
            answer = await client.ask("GET", target, headers)
            assert answer.status == 200
            if "preference-applied" not in answer.headers:
                break
            etag = answer.headers["etag"]
    assert "preference-applied" not in answer.headers
    stage.hub.output.find(stage.log_of_always_new, 10)
