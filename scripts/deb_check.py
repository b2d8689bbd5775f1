#!/usr/bin/env python3
"""Starts the command of pushhub.service as its user, and uses the hub. For scripts/deb."""

import configparser
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

UNIT = "/usr/lib/systemd/system/pushhub.service"
SECONDS = 60

parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
parser.optionxform = str  # type: ignore[assignment, method-assign]
with open(UNIT) as text:
    parser.read_file(text)
service = parser["Service"]
user = pwd.getpwnam(service["User"])
# As StateDirectory= and StateDirectoryMode=.
os.makedirs("/var/lib/pushhub", mode=0o700, exist_ok=True)
os.chown("/var/lib/pushhub", user.pw_uid, user.pw_gid)
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind("\0pushhub-deb-check")
manager.settimeout(SECONDS)
port = 18080 + os.getpid() % 1000
control = port + 1000
environ = {
    "PUSHHUB_CONFIG": "/etc/pushhub/pushhub.toml",
    "NOTIFY_SOCKET": "@pushhub-deb-check",
    # Free ports: the machine outside of the chroot shares the network.
    "PUSHHUB_PORT": str(port),
    "PUSHHUB_CONTROL": f"127.0.0.1:{control}",
}


def as_user() -> None:
    os.setgid(user.pw_gid)
    os.setgroups([])
    os.setuid(user.pw_uid)


def request(port: int, path: str, data: Any = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    fields = {"Content-Type": "application/json"}
    whole = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, fields)
    with urllib.request.urlopen(whole, timeout=SECONDS) as response:
        return json.load(response)


command = service["ExecStart"].split()
check = [command[0], "config", "check"]
subprocess.run(check, check=True, env=environ, preexec_fn=as_user, cwd="/")
hub = subprocess.Popen(command, env=environ, preexec_fn=as_user, cwd="/")
try:
    began = time.monotonic()
    ready = manager.recv(4096).decode()
    assert "READY=1" in ready, ready
    print(f"READY=1 after {time.monotonic() - began:.1f} s, as {user.pw_name}")
    request(control, "/v1/channels/news/events", {"hello": "world"})
    events = request(control, "/v1/channels/news/events?since=earliest")["events"]
    assert [event["data"] for event in events] == [{"hello": "world"}], events
    hub.send_signal(signal.SIGTERM)
    while "STOPPING=1" not in manager.recv(4096).decode():
        pass
    assert hub.wait(SECONDS) == 0
    print("published, read, STOPPING=1, status 0")
finally:
    if hub.poll() is None:
        hub.kill()
sys.exit(0)
