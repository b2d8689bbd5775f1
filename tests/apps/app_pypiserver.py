"""pypiserver: an index of packages whose `simple` pages installers and CI jobs poll."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from tests.apps.application import Application, Place, Poll
from tests.apps.client import post_form
from tests.apps.own_client import OwnClient, Visit
from tests.apps.pip_client import versions

_numbers = itertools.count(1)


@contextmanager
def start(place: Place) -> Iterator[None]:
    packages = place.folder / "packages"
    packages.mkdir()
    (packages / "shop-0.0.0.tar.gz").write_bytes(b"first")
    with place.running(
        *(place.command("pypi-server"), "run", "--interface", "127.0.0.1"),
        *("--port", str(place.port), "--passwords", ".", "--authenticate", "."),
        str(packages),
    ):
        yield


def upload(place: Place) -> None:
    """What twine sends."""
    number = next(_numbers)
    fields = {":action": "file_upload", "name": "shop", "version": f"1.0.{number}"}
    post_form(f"{place.url}/", fields, ("content", f"shop-1.0.{number}.tar.gz", b"package"))


def look(visit: Visit) -> str:
    return versions(visit, "/simple/")


def send(visit: Visit) -> None:
    upload(replace(visit.place, port=urlsplit(visit.url).port or 0))


APPLICATION = Application(
    name="pypiserver",
    title="pypiserver",
    server="pypiserver 2.4 of PyPI, on its own server",
    part="apps",
    start=start,
    polls=(Poll("/simple/shop/", upload),),
    routes="""\
[[routes]]
path = "/simple/*"
step = "poll"
""",
    noticed="uploads of a package",
    remark="",
    own_client=OwnClient("pip, and uploads as `twine` sends them", look, send),
    paths=("/", "/simple/", "/simple/shop/", "/packages/", "/packages/shop-0.0.0.tar.gz"),
)
