"""RQ dashboard: queues and jobs of RQ on Valkey, which its page asks for every few seconds."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.own_client import pages
from tests.redis_servers import KINDS, RedisServer

_ENQUEUE = """
import sys
from redis import Redis
from rq import Queue

Queue("mails", connection=Redis.from_url(sys.argv[1])).enqueue("builtins.print")
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "valkey").mkdir()
    server = RedisServer(KINDS["valkey9"], place.folder / "valkey").start()
    try:
        (place.folder / "url").write_text(server.url())
        enqueue(place)
        address = ("--bind", "127.0.0.1", "--port", str(place.port))
        with place.running(place.command("rq-dashboard"), *address, "-u", server.url()):
            yield
    finally:
        server.kill()


def enqueue(place: Place) -> None:
    url = (place.folder / "url").read_text()
    command = [place.command("python"), "-c", _ENQUEUE, url]
    subprocess.run(command, check=True, cwd=place.folder, capture_output=True)


_JOBS = """
    const jobs = page.locator("#jobs tr[data-role=job]");
    await page.locator("[data-role=loading-placeholder]").waitFor({ state: "detached" });
"""
_SHOWS = f"{_JOBS} return 'jobs: ' + (await jobs.locator('td:first-child').allInnerTexts());"
_CHANGES = f"""{_JOBS}
    const deleted = await jobs.first().getAttribute("data-job-id");
    await jobs.first().locator("[data-role=delete-job-btn]").click();
    await page.click("#confirmation-modal-yes");
    await page.locator(`[data-job-id="${{deleted}}"]`).waitFor({{ state: "detached" }});
"""


APPLICATION = Application(
    name="rq_dashboard",
    title="RQ dashboard",
    server="rq-dashboard 0.9 of PyPI, with rq and Valkey",
    part="apps",
    start=start,
    polls=(
        Poll("/0/data/queues.json", enqueue, name="queues"),
        # The newest first: a page of the oldest is full after eight jobs.
        Poll("/0/data/jobs/mails/queued/8/dsc/1.json", enqueue, name="jobs"),
    ),
    routes="""\
[[routes]]
path = "/0/data/*"
step = "poll"
""",
    noticed="numbers of jobs, states of jobs and workers",
    remark="",
    own_client=pages(
        "its page of a queue", "/0/view/jobs/mails/queued/8/dsc/1", _SHOWS, changes=_CHANGES, poll=1
    ),
    paths=("/", "/0/data/queues.json", "/0/data/workers.json", "/nothing"),
)
