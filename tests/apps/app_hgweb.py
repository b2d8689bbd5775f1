"""hgweb: Mercurial's own server of repositories."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.own_client import OwnClient, Visit

_numbers = itertools.count(1)


def _hg(place: Place, *arguments: str) -> None:
    subprocess.run(
        [place.command("hg"), *arguments],
        cwd=place.folder / "repository",
        env=os.environ | {"HGUSER": "ann", "HGPLAIN": "1", "HOME": str(place.folder)},
        check=True,
        capture_output=True,
    )


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "repository").mkdir()
    _hg(place, "init")
    commit(place)
    hg = place.command("hg")
    repository = ("--repository", "repository")
    web = ("--config", "web.push_ssl=false", "--config", "web.allow-push=*")
    address = ("--address", "127.0.0.1", "--port", str(place.port))
    with place.running(hg, *repository, "serve", *address, *web):
        yield


def commit(place: Place) -> None:
    with (place.folder / "repository" / "file.txt").open("a") as file:
        file.write("another line\n")
    _hg(place, "commit", "--addremove", "--message", "another change")


def look(visit: Visit) -> str:
    return _client(visit, "identify", "--id", "--rev", "tip", "--bookmarks", visit.url)


def push(visit: Visit) -> None:
    """Clone, commit and push."""
    clone = f"clone-{next(_numbers)}"
    _client(visit, "clone", visit.url, clone)
    (visit.place.folder / clone / "file.txt").write_text(f"the only line of {clone}\n")
    _client(visit, "--cwd", clone, "commit", "--message", "a change that is pushed")
    _client(visit, "--cwd", clone, "push", "--force")


def _client(visit: Visit, *arguments: str) -> str:
    hg = visit.place.command("hg")
    return visit.program(hg, *arguments, env={"HGUSER": "ann", "HGPLAIN": "1"})


APPLICATION = Application(
    name="hgweb",
    title="hgweb (Mercurial)",
    server="mercurial 7.2 of PyPI",
    part="apps",
    start=start,
    polls=(
        Poll("/json-log", commit, name="log"),
        Poll("/?cmd=heads", commit, name="heads"),
    ),
    routes="""\
[[routes]]
path = "/*"
step = "poll"
ignore = ["header:etag"]
""",
    noticed="commits, in the log for people and in the protocol of `hg incoming`",
    remark="its ETag has whole seconds, which two commits within one second share",
    own_client=OwnClient("`hg`", look, push, poll=1),
    paths=("/", "/json-log", "/atom-log", "/rev/tip", "/file/tip", "/?cmd=capabilities", "/nope"),
)
