"""Supervisor: its page of processes, and its XML-RPC."""

import itertools
import sys
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.own_client import OwnClient, Visit

_numbers = itertools.count(1)
# What `supervisorctl status` exits with.
_NOT_ALL_RUN = 3
_CONFIG = """
[supervisord]
nodaemon = true
pidfile = supervisord.pid
logfile = supervisord.log
childlogdir = .

[inet_http_server]
port = 127.0.0.1:{port}

[supervisorctl]

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:first]
command = {python} -c "import time; time.sleep(3600)"
startsecs = 0

[program:second]
command = {python} -c "import time; time.sleep(3600)"
startsecs = 0
autostart = false
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    text = _CONFIG.format(port=place.port, python=sys.executable)
    (place.folder / "supervisord.conf").write_text(text)
    with place.running(place.command("supervisord"), "-c", "supervisord.conf"):
        yield


def toggle(place: Place) -> None:
    """Start the second program, or stop it, as `supervisorctl` does."""
    with xmlrpc.client.ServerProxy(f"{place.url}/RPC2") as server:
        if next(_numbers) % 2:
            server.supervisor.startProcess("second", True)
        else:
            server.supervisor.stopProcess("second", True)


def _control(visit: Visit, *arguments: str) -> str:
    command = (visit.place.command("supervisorctl"), "-c", "supervisord.conf", "-s", visit.url)
    return visit.program(*command, *arguments, successes=(0, _NOT_ALL_RUN))


def look(visit: Visit) -> str:
    return _control(visit, "status") + _control(visit, "version")


def switch(visit: Visit) -> None:
    """Start the second program, or stop it."""
    _control(visit, "start" if next(_numbers) % 2 else "stop", "second")


APPLICATION = Application(
    name="supervisor",
    title="Supervisor",
    server="supervisor 4.3 of PyPI",
    part="apps",
    start=start,
    polls=(
        Poll("/", toggle),
        Poll(
            "/RPC2",
            toggle,
            method="POST",
            headers={"Content-Type": "text/xml"},
            body=xmlrpc.client.dumps((), "supervisor.getAllProcessInfo").encode(),
            name="xml-rpc",
        ),
    ),
    routes=r"""
[[routes]]
path = "/"
step = "poll"
ignore = ['/uptime [\d:days, ]+/']

[[routes]]
path = "/RPC2"
step = "poll"
methods = ["POST"]
ignore = ['/<name>now</name>\s*<value><int>\d+/', '/uptime [\d:days, ]+/']
""".lstrip(),
    noticed="states of the processes",
    remark="page and XML-RPC have the uptime of each process, which grows each second",
    own_client=OwnClient(
        "`supervisorctl`", look, switch, poll=1, unstable=(r"uptime [\d:]+", r"pid \d+")
    ),
    paths=(
        "/",
        "/index.html",
        "/stylesheets/supervisor.css",
        "/tail.html?processname=first",
        "/nothing",
    ),
    unstable=(r"uptime [\d:]+", r"(?m)^Last-Modified: [^\r]*\r\n"),
)
