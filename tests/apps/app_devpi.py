"""devpi-server: an index of packages whose every response has the serial of its database."""

import itertools
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import send_json

_numbers = itertools.count(1)
_ROOT_PASSWORD = "secret"


@contextmanager
def start(place: Place) -> Iterator[None]:
    data = ("--serverdir", str(place.folder / "data"))
    subprocess.run(
        [place.command("devpi-init"), *data, "--no-root-pypi", "--root-passwd", _ROOT_PASSWORD],
        check=True,
        capture_output=True,
        cwd=place.folder,
    )
    server = place.command("devpi-server")
    with place.running(server, *data, "--host", "127.0.0.1", "--port", str(place.port)):
        change(place)
        yield


def change(place: Place) -> None:
    """Create an index, as `devpi index -c` does."""
    login = {"user": "root", "password": _ROOT_PASSWORD}
    token = send_json("POST", f"{place.url}/+login", login)["result"]["password"]
    auth = b64encode(f"root:{token}".encode()).decode()
    headers = {"X-Devpi-Auth": auth}
    send_json("PUT", f"{place.url}/root/dev{next(_numbers)}", {"type": "stage"}, headers)


APPLICATION = Application(
    name="devpi",
    title="devpi-server",
    server="devpi-server 6.20 of PyPI",
    part="apps",
    start=start,
    polls=(Poll("/root", change, headers={"Accept": "application/json"}),),
    routes="""\
[[routes]]
path = "/*"
step = "poll"
compare = ["header:x-devpi-serial"]
""",
    noticed="each commit of the server: users, indexes, uploads",
    remark="the header has the version of the whole server, so each URL may wait for it",
    paths=("/", "/+api", "/root", "/root/dev1", "/root/dev1/+simple/", "/nobody"),
)
