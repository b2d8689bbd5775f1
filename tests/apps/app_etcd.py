"""etcd: keys, over its API of version 2 (GET) and the JSON gateway of version 3 (POST)."""

import base64
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask, send_json
from tests.apps.own_client import OwnClient, Visit
from tests.ports import free_port

_numbers = itertools.count(1)
_KEY = base64.b64encode(b"color").decode()


@contextmanager
def start(place: Place) -> Iterator[None]:
    peer = f"http://127.0.0.1:{free_port()}"
    with place.running(
        *("etcd", "--enable-v2=true", "--data-dir", str(place.folder / "data")),
        *("--listen-client-urls", place.url, "--advertise-client-urls", place.url),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}", "--log-level", "warn"),
    ):
        place.until(lambda: _is_healthy(place))
        put(place)
        put_3(place)
        yield


def _is_healthy(place: Place) -> bool:
    try:
        return b"true" in ask("GET", f"{place.url}/health")
    except OSError:
        return False


def put(place: Place) -> None:
    value = urlencode({"value": f"red {next(_numbers)}"}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    ask("PUT", f"{place.url}/v2/keys/colors/color", value, form)


def put_3(place: Place) -> None:
    value = base64.b64encode(b"red %d" % next(_numbers)).decode()
    send_json("POST", f"{place.url}/v3/kv/put", {"key": _KEY, "value": value})


def _etcdctl(visit: Visit, *arguments: str) -> str:
    # Without it etcdctl asks for the members, and sends all other requests to their own URLs.
    command = ("etcdctl", "--no-sync", "--endpoints", visit.url, *arguments)
    return visit.program(*command, env={"ETCDCTL_API": "2"})


def look(visit: Visit) -> str:
    return _etcdctl(visit, "ls", "--recursive") + _etcdctl(visit, "get", "/colors/color")


def change(visit: Visit) -> None:
    _etcdctl(visit, "set", "/colors/color", f"blue {next(_numbers)}")


APPLICATION = Application(
    name="etcd",
    title="etcd",
    server="Debian's etcd-server, 3.4",
    part="etcd",
    start=start,
    polls=(
        Poll("/v2/keys/colors?recursive=true", put),
        Poll(
            "/v3/kv/range",
            put_3,
            method="POST",
            headers={"Content-Type": "application/json"},
            body=json.dumps({"key": _KEY}).encode(),
            name="version 3",
        ),
    ),
    routes="""\
[[routes]]
path = "/v2/keys/*"
step = "poll"

[[routes]]
path = "/v3/kv/range"
step = "poll"
methods = ["POST"]
ignore = ["header.revision", "header.raft_term"]
""",
    noticed="values of the keys that the URL names",
    remark="headers such as `X-Raft-Index` change with the cluster, and do not count",
    own_client=OwnClient("`etcdctl` (version 2)", look, change, part="etcdctl"),
    paths=(
        "/version",
        "/health",
        "/v2/keys/colors?recursive=true",
        "/v2/keys/none",
        "/v2/machines",
    ),
    unstable=(r"(?im)^x-(raft|etcd)-(index|term): [^\r]*\r\n",),
)
