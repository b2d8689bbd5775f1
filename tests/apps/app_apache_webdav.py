"""Apache with WebDAV: files that programs write and others poll."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.apache import apache
from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask
from tests.apps.own_client import OwnClient, Visit

_numbers = itertools.count(1)
_CONFIG = """
DavLockDB locks
<Directory "{folder}/www">
  Dav On
  Options Indexes
  IndexOptions FancyIndexing
</Directory>
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    config = _CONFIG.format(folder=place.folder)
    with apache(place, ("autoindex", "dav", "dav_fs"), config):
        put(place)
        yield


def put(place: Place) -> None:
    number = next(_numbers)
    ask("PUT", f"{place.url}/report.txt", f"report {number}\n".encode())
    ask("PUT", f"{place.url}/report-{number}.txt", b"another\n")


def look(visit: Visit) -> str:
    return visit.program("cadaver", visit.url, text="ls\ncat report.txt\nquit\n")


def upload(visit: Visit) -> None:
    name = f"uploaded-{next(_numbers)}.txt"
    (visit.place.folder / name).write_text(name)
    done = visit.program("cadaver", visit.url, text=f"put {name}\nquit\n")
    assert "succeeded" in done, done


APPLICATION = Application(
    name="apache_webdav",
    title="Apache with WebDAV",
    server="Debian's apache2, 2.4, with mod_dav and mod_autoindex",
    part="apache",
    start=start,
    polls=(
        Poll("/report.txt", put, name="file"),
        Poll("/", put, name="folder"),
        Poll(
            "/",
            put,
            method="PROPFIND",
            headers={"Depth": "1", "Content-Type": "application/xml"},
            body=b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><getetag/></prop></propfind>',
            name="propfind",
        ),
    ),
    routes="""\
[[routes]]
path = "/*"
step = "poll"
methods = ["GET", "PROPFIND"]
ignore = ["/W[/]/"]   # ETags in properties, which are weak for a second after a change
""",
    noticed="the ETag of a file, the listing of a folder",
    remark="the index of a folder has times of minutes, but each new name is seen",
    own_client=OwnClient("cadaver", look, upload, poll=1, part="cadaver"),
    paths=("/", "/report.txt", "/nothing.txt", "/?C=M;O=A"),
)
