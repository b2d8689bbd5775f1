"""hgweb: Mercurial's own server of repositories."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll


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
    address = ("--address", "127.0.0.1", "--port", str(place.port))
    with place.running(hg, *repository, "serve", *address):
        yield


def commit(place: Place) -> None:
    with (place.folder / "repository" / "file.txt").open("a") as file:
        file.write("another line\n")
    _hg(place, "commit", "--addremove", "--message", "another change")


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
    paths=("/", "/json-log", "/atom-log", "/rev/tip", "/file/tip", "/?cmd=capabilities", "/nope"),
)
