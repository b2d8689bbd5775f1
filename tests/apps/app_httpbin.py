"""httpbin: echoes and generated values. Nothing of it changes, so nothing can be waited for."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place
from tests.apps.own_client import OwnClient, Visit


@contextmanager
def start(place: Place) -> Iterator[None]:
    with place.running(
        place.command("flask"), "--app", "httpbin:app", "run", "--port", str(place.port)
    ):
        yield


_LOOK = """
import sys
import requests

with requests.Session() as session:
    def show(path, **given):
        response = session.get(sys.argv[1] + path, **given)
        print(path, response.status_code, len(response.history), response.content)

    show("/json")
    show("/cookies/set?a=1")
    show("/cookies")
    show("/basic-auth/ann/secret", auth=("ann", "secret"))
    show("/digest-auth/auth/ann/secret", auth=requests.auth.HTTPDigestAuth("ann", "secret"))
    show("/redirect-to?url=/json")
    show("/bytes/64?seed=1")
    print(list(session.get(sys.argv[1] + "/encoding/utf8", stream=True).iter_lines())[:9])
"""


def look(visit: Visit) -> str:
    return visit.python(_LOOK)


APPLICATION = Application(
    name="httpbin",
    title="httpbin",
    server="httpbin 0.10 of PyPI, on Flask's own server",
    part="apps",
    start=start,
    polls=(),
    always_new="/uuid",
    routes="""\
[[routes]]
path = "/uuid"
step = "poll"
""",
    noticed="nothing: each response of `/uuid` is new",
    remark="the log names `/uuid` (`origin.always_new`), and its clients keep their old interval",
    own_client=OwnClient("`requests`, of the same author", look),
    paths=(
        "/get?a=1&a=2",
        "/headers",
        "/status/418",
        "/etag/7",
        "/cache",
        "/gzip",
        "/encoding/utf8",
        "/redirect-to?url=/get",
        "/response-headers?X-One=1&X-One=2",
        "/cookies/set?a=1",
        "/bytes/64?seed=1",
        "/stream/3",
        "/basic-auth/a/b",
        "/json",
        "/html",
        "/xml",
        "/image/png",
    ),
    # It echoes the headers of the request, and pushhub adds some; its ETag for /cache is random.
    unstable=(
        r"(?im)^(etag|last-modified): [^\r\n]*\r\n",
        r'\s*"(Grip-Feature|X-Forwarded-\w+)": "[^"]*",?',
        r",(?=\s*\})",
    ),
)
