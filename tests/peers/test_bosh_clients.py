"""Clients of BOSH that others wrote, on a real hub: Strophe.js 5 and 3 in pages of another origin
and of the hub's own, and stanza.io under Node.

Each logs two accounts in by SCRAM, and somebody without one; they see each other, chat, lose
nothing when one goes away and comes back, and hear what REST publishes. A wrong password is
refused.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import outside
from tests.peers.accounts import PASSWORD, make_accounts
from tests.serving import Server, fresh, serve

HERE = Path(__file__).parent / "bosh"
SECONDS = 90

# The scene, the package that it is given, and the best mechanism that both know.
CLIENTS = {
    "strophe.js 5": ("strophe.mjs", "strophe.js", "SCRAM-SHA-512"),
    "strophe.js 3": ("strophe.mjs", "strophe.js-3", "SCRAM-SHA-512"),
    "stanza 12": ("stanza.mjs", "stanza", "SCRAM-SHA-256"),
}


DRIVERS = ["front", "asgi"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("client", list(CLIENTS))
def test_two_users_chat_and_miss_nothing(client: str, driver: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    make_accounts(store, "romeo", "juliet")
    said = _play(client, driver, store, PASSWORD)
    best = CLIENTS[client][2]
    assert ["romeo", "sees", "juliet"] in said
    assert ["romeo", "mechanism", best] in said
    assert ["nobody", "mechanism", "ANONYMOUS"] in said
    assert [line for line in said if "FAIL" in str(line[1]).upper()] == [
        line for line in said if line[:2] == ["stranger", "AUTHFAIL"]
    ]
    assert [line for line in said if line[0] == "stranger" and "FAIL" in line[1]]
    if client.startswith("strophe"):
        assert ["juliet again", "ATTACHED", None] in said
        assert ["romeo abroad", "heard", ["to myself"]] in said


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("client", [name for name in CLIENTS if name.startswith("strophe")])
def test_those_without_accounts_chat_and_miss_nothing(client: str, driver: str) -> None:
    said = _play(client, driver, "memory://", "")
    assert ["romeo", "mechanism", "ANONYMOUS"] in said
    assert ["juliet again", "ATTACHED", None] in said
    assert not [line for line in said if "FAIL" in str(line[1])]


def _play(client: str, driver: str, store: str, password: str) -> list[Any]:
    """What a client said of its scene, in which everybody always hears and reads the same."""
    scene, package, _ = CLIENTS[client]
    node = outside.require("node")
    installed = Path(outside.require("bosh-clients"))
    channel = fresh("prices")
    with serve(driver, store) as server:
        said = _run(node, scene, str(installed / package), server, channel, password)
        server.check()
    assert ["romeo", "CONNECTED", None] in said
    assert ["juliet", "heard", ["She speaks <&>"]] in said
    assert ["romeo", "heard", ["O Romeo"]] in said
    assert ["nobody", "heard", ["Who is there?"]] in said
    assert ["juliet again", "heard", ["while she was away"]] in said
    assert ["juliet again", "heard", ["while she was away", "and after"]] in said
    assert ["romeo", "notified", [{"price": 1}, {"price": 2}]] in said
    assert ["rest", "reads", [{"price": 1}, {"price": 2}]] in said
    assert ["romeo", "DISCONNECTED", None] in said
    return said


def _run(
    node: str, scene: str, package: str, server: Server, channel: str, password: str
) -> list[Any]:
    base = f"http://127.0.0.1:{server.port}"
    done = subprocess.run(
        [node, scene, package, f"{base}/http-bind", base, channel, password],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
