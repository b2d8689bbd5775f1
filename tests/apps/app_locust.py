"""Locust: its page of a load test, which asks for the figures every two seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask, get_json
from tests.apps.own_client import pages

_LOCUSTFILE = """
from locust import User, constant, task

class Idle(User):
    wait_time = constant(60)

    @task
    def nothing(self):
        pass
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "locustfile.py").write_text(_LOCUSTFILE)
    locust = place.command("locust")
    address = ("--web-host", "127.0.0.1", "--web-port", str(place.port))
    with place.running(locust, *address, "-f", "locustfile.py"):
        yield


def swarm(place: Place) -> None:
    """Let one more user come, as the page does."""
    count = _users(place) + 1
    form = urlencode({"user_count": count, "spawn_rate": 100}).encode()
    ask("POST", f"{place.url}/swarm", form)
    place.until(lambda: _users(place) == count)


def _users(place: Place) -> int:
    return int(get_json(f"{place.url}/stats/requests")["user_count"])


_SHOWS = """
    const header = page.locator("header");
    await header.getByText(/^(ready|running)$/i).waitFor();
    // The number of users is right after the first poll.
    if ((await header.innerText()).includes("RUNNING"))
        await header.getByText(/^[1-9]\\d*$/).waitFor();
    return header.innerText();
"""
_CHANGES = """
    const edit = page.getByRole("button", { name: "Edit" });
    await edit.or(page.getByRole("button", { name: "Start" })).first().waitFor();
    if (await edit.count()) await edit.click();
    const users = page.locator("input[name=userCount]").last();
    const count = Number(await users.inputValue()) + 1;
    await users.fill(String(count));
    await page.locator("form button[type=submit]").last().click();
    await page.locator("header").getByText(String(count), { exact: true }).waitFor();
"""


APPLICATION = Application(
    name="locust",
    title="Locust",
    server="locust of PyPI",
    part="apps",
    start=start,
    polls=(Poll("/stats/requests", swarm),),
    routes="""\
[[routes]]
path = "/stats/requests"
step = "poll"
compare = ["state", "user_count"]
""",
    noticed="the state of the test and its number of users",
    remark="the figures themselves change each second, so a wait for them is no better than a poll",
    own_client=pages("its page", "/", _SHOWS, changes=_CHANGES, unstable=(r"RPS\s+[\d.]+",)),
    paths=("/", "/stats/requests", "/tasks", "/exceptions", "/nothing"),
    unstable=(r'"total_avg_response_time": *[\d.]+', r'"start_time": *[^,]+'),
)
