"""devpi-server: an index of packages whose every response has the serial of its database."""

import itertools
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import post_form, send_json
from tests.apps.own_client import OwnClient, Visit
from tests.apps.pip_client import versions

_numbers = itertools.count(1)
_LOGIN = {"user": "ann", "password": "secret-of-ann"}


@contextmanager
def start(place: Place) -> Iterator[None]:
    data = ("--serverdir", str(place.folder / "data"))
    subprocess.run(
        [place.command("devpi-init"), *data, "--no-root-pypi"],
        check=True,
        capture_output=True,
        cwd=place.folder,
    )
    server = place.command("devpi-server")
    with place.running(server, *data, "--host", "127.0.0.1", "--port", str(place.port)):
        send_json("PUT", f"{place.url}/ann", {"password": _LOGIN["password"]})
        change(place)
        _upload(place.url)
        yield


def change(place: Place) -> None:
    """Create an index, as `devpi index -c` does."""
    token = send_json("POST", f"{place.url}/+login", _LOGIN)["result"]["password"]
    auth = b64encode(f"ann:{token}".encode()).decode()
    headers = {"X-Devpi-Auth": auth}
    send_json("PUT", f"{place.url}/ann/dev{next(_numbers)}", {"type": "stage"}, headers)


def look(visit: Visit) -> str:
    return versions(visit, "/ann/dev1/+simple/")


def upload(visit: Visit) -> None:
    _upload(visit.url)


def _upload(url: str) -> None:
    number = next(_numbers)
    fields = {":action": "file_upload", "name": "shop", "version": f"1.0.{number}"}
    auth = b64encode(f"{_LOGIN['user']}:{_LOGIN['password']}".encode()).decode()
    file = ("content", f"shop-1.0.{number}.tar.gz", b"package")
    post_form(f"{url}/ann/dev1/", fields, file, {"Authorization": f"Basic {auth}"})


APPLICATION = Application(
    name="devpi",
    title="devpi-server",
    server="devpi-server 6.20 of PyPI",
    part="apps",
    start=start,
    polls=(Poll("/ann", change, headers={"Accept": "application/json"}),),
    routes="""\
[[routes]]
path = "/*"
step = "poll"
compare = ["header:x-devpi-serial"]
""",
    noticed="each commit of the server: users, indexes, uploads",
    remark="the header has the version of the whole server, so each URL may wait for it",
    own_client=OwnClient("pip, and uploads as `twine` sends them", look, upload),
    paths=("/", "/+api", "/ann", "/ann/dev1", "/ann/dev1/+simple/", "/nobody"),
)
