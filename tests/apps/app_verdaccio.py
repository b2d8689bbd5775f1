"""Verdaccio: a registry of npm, whose documents of packages npm polls."""

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests import outside
from tests.apps.application import Application, Place, Poll, node
from tests.apps.client import send_json
from tests.apps.own_client import OwnClient, Visit

_numbers = itertools.count(1)
_CONFIG = """
storage: ./storage
auth:
  htpasswd:
    file: ./htpasswd
packages:
  "**":
    access: $all
    publish: $all
web:
  enable: true
log: {type: stdout, format: pretty, level: warn}
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "config.yaml").write_text(_CONFIG)
    script = f"{outside.require('js-apps')}/verdaccio/bin/verdaccio"
    listen = ("--listen", f"127.0.0.1:{place.port}", "--config", "config.yaml")
    with place.running(node(), script, *listen):
        publish(place)
        yield


def publish(place: Place) -> None:
    """What `npm publish` sends."""
    version = f"1.0.{next(_numbers)}"
    archive = f"shop-{version}.tgz"
    data = f"package {version}".encode()
    about: dict[str, Any] = {"name": "shop", "version": version, "readme": ""}
    about["dist"] = {
        "tarball": f"{place.url}/shop/-/{archive}",
        "shasum": hashlib.sha1(data).hexdigest(),
    }
    attachment = {
        "content_type": "application/octet-stream",
        "data": base64.b64encode(data).decode(),
        "length": len(data),
    }
    document = {
        "_id": "shop",
        "name": "shop",
        "dist-tags": {"latest": version},
        "versions": {version: about},
        "_attachments": {archive: attachment},
    }
    user = {"name": "ann", "password": "secret-of-ann"}
    login = f"{place.url}/-/user/org.couchdb.user:ann"
    # The second login needs the password, the first one makes the account.
    basic = base64.b64encode(b"ann:secret-of-ann").decode()
    known = {} if version == "1.0.1" else {"Authorization": f"Basic {basic}"}
    token = send_json("PUT", login, user, known)["token"]
    send_json("PUT", f"{place.url}/shop", document, {"Authorization": f"Bearer {token}"})


def _npm(visit: Visit, *arguments: str) -> str:
    basic = base64.b64encode(b"ann:secret-of-ann").decode()
    host = visit.url.removeprefix("http:")
    (visit.place.folder / ".npmrc").write_text(
        f"registry={visit.url}\n{host}/:_auth={basic}\nupdate-notifier=false\n"
    )
    npm = outside.require("npm")
    return visit.program(npm, *arguments, env={"npm_config_cache": str(visit.place.folder / "npm")})


def look(visit: Visit) -> str:
    return _npm(visit, "view", "shop", "--json", "--prefer-online", "versions", "dist-tags")


def send(visit: Visit) -> None:
    package = visit.place.folder / "package"
    package.mkdir(exist_ok=True)
    document = {"name": "shop", "version": f"1.0.{next(_numbers)}"}
    (package / "package.json").write_text(json.dumps(document))
    _npm(visit, "publish", "./package")


APPLICATION = Application(
    name="verdaccio",
    title="Verdaccio",
    server="verdaccio 6.1 of npm",
    part="js-apps",
    start=start,
    polls=(Poll("/shop", publish),),
    routes="""\
[[routes]]
path = "/shop"
step = "poll"
""",
    noticed="the ETag of a package's document",
    remark="a route for each package, or `/{package}`",
    own_client=OwnClient("`npm`", look, send),
    paths=("/", "/shop", "/-/ping", "/-/v1/search?text=shop", "/nothing"),
    # A search tells the time, which its ETag covers; its body has some 0x162 bytes.
    unstable=(
        *(r"(?im)^x-ratelimit-[^\r]*\r\n", r"(?im)^ratelimit-[^\r]*\r\n"),
        *(r'(?m)"time":"[^"]*"\}$', r'(?im)^etag: W/"16[0-9a-f]-[^\r]*\r\n'),
    ),
)
