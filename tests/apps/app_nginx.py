"""nginx: a folder of files with its listing as JSON, and its page of figures."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tests import programs
from tests.apps.application import Application, Place, Poll
from tests.apps.own_client import pages, text_of

_numbers = itertools.count(1)
_CONFIG = """
daemon off;
{user}
pid nginx.pid;
error_log error.log;
events {{}}
http {{
  access_log off;
  {temporary}
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www;
    location / {{ autoindex on; autoindex_format json; }}
    location = /status {{ stub_status; }}
  }}
}}
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "www").mkdir()
    write(place)
    text = _CONFIG.format(
        user=programs.nginx_user(),
        temporary=programs.nginx_folders(place.folder),
        folder=place.folder,
        port=place.port,
    )
    (place.folder / "nginx.conf").write_text(text)
    prefix = ("-p", str(place.folder), "-c", "nginx.conf", "-e", "error.log")
    with place.running("/usr/sbin/nginx", *prefix):
        yield


def write(place: Place) -> None:
    number = next(_numbers)
    text = f"report {number}".ljust(8 + number)
    (place.folder / "www" / "report.txt").write_text(text)
    (place.folder / "www" / f"report-{number}.txt").write_text(text)


APPLICATION = Application(
    name="nginx",
    title="nginx",
    server="Debian's nginx, 1.22: files, autoindex, stub_status",
    part="nginx",
    start=start,
    polls=(Poll("/", write, name="listing"), Poll("/report.txt", write, name="file")),
    always_new="/status",
    routes="""\
[[routes]]
path = "/*"
step = "poll"
""",
    noticed="names and sizes in the listing, the ETag of a file",
    remark="stub_status counts its own requests, so nothing can wait for it",
    own_client=pages("the listing, and a file", "/", text_of("body")),
    paths=("/", "/report.txt", "/nothing.txt"),
)
