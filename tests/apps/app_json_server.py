"""json-server: a REST API over a file, as front-end developers use it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests import outside
from tests.apps.application import Application, Place, Poll, node
from tests.apps.client import send_json
from tests.apps.own_client import pages


@contextmanager
def start(place: Place) -> Iterator[None]:
    posts = [{"id": number, "title": f"post {number}"} for number in range(1, 6)]
    (place.folder / "db.json").write_text(json.dumps({"posts": posts, "profile": {"name": "ann"}}))
    script = f"{outside.require('js-apps')}/json-server/lib/cli/bin.js"
    address = ("--host", "127.0.0.1", "--port", str(place.port))
    with place.running(node(), script, *address, "--quiet", "db.json"):
        yield


def create(place: Place) -> None:
    send_json("POST", f"{place.url}/posts", {"title": "another post"})


APPLICATION = Application(
    name="json_server",
    title="json-server",
    server="json-server 0.17 of npm",
    part="js-apps",
    start=start,
    polls=(
        Poll("/posts", create),
        Poll("/posts?_limit=3&_sort=id&_order=desc", create, name="new"),
    ),
    routes="""\
[[routes]]
path = "/posts*"
step = "poll"
""",
    noticed="the ETag of each response",
    remark="",
    own_client=pages(
        "its home page",
        "/",
        "await page.getByText('/profile').waitFor(); return page.locator('main').innerText();",
        changes="""
            const status = await page.evaluate(async () => (await fetch("/posts", {
                method: "POST",
                headers: { "content-type": "application/json" },
                body: '{"title": "a post of the page"}',
            })).status);
            if (status !== 201) throw new Error(status);
        """,
    ),
    paths=("/", "/db", "/posts", "/posts/1", "/posts?_page=1&_limit=2", "/profile", "/nothing"),
    long_quiet=True,
)
