"""tsung's users of XMPP, over BOSH, on pushhub: log in, get a roster, chat, log out.

Run as `python -m benchmarks.tsung`. It makes the accounts first, which takes a minute: what SCRAM
needs of a password is meant to be slow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.servers.bosh import Hub
from benchmarks.servers.server import PEERS, free_port
from pushhub.hub.hub import Hub as Core
from pushhub.store.urls import open_store_url
from pushhub.xmpp.storage.accounts import Accounts
from pushhub.xmpp.storage.key_value import KeyValueStore

if TYPE_CHECKING:
    from collections.abc import Iterable

# tsung's user n is called tsung<n>, with a password that is the same and its number.
PASSWORD = "a password that is no secret "
RUN_SECONDS = 1800

_TOTAL = re.compile(r"stats: (\w+) (.+)")


class Peopled(Hub):
    """pushhub, with an account for each of tsung's users."""

    def __init__(self, users: int) -> None:
        super().__init__("sqlite")
        self.users = users

    def launch(self) -> None:
        asyncio.run(self._people())
        super().launch()

    async def _people(self) -> None:
        hub = Core(open_store_url(f"sqlite:///{self.folder / 'bench.db'}"))
        await hub.open()
        accounts = Accounts(KeyValueStore(hub), secrets.token_bytes)
        for user in range(1, self.users + 1):
            await accounts.add(f"tsung{user}", "localhost", f"{PASSWORD}{user}")
        await hub.close()


def run(server: Hub, options: argparse.Namespace) -> dict[str, object]:
    """Let tsung's users come; what it counted."""
    folder = server.folder
    values = {
        "PORT": server.port,
        "USERS": options.users,
        "RATE": options.rate,
        "ONLINE": min(options.users, options.rate * 5),
        "PASSWORD": PASSWORD,
        "DUMP": "true" if options.keep else "false",
    }
    text = (PEERS / "tsung" / "users.xml").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / "users.xml").write_text(text)
    # A daemon for names of its own, on loopback, which is ended with it.
    port = str(free_port())
    environ = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_PORT": port,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    processes = server.processes()
    used = processes.cpu()
    try:
        command = ["tsung", "-f", "users.xml", "-l", str(folder / "tsung"), "-n", "start"]
        subprocess.run(
            command,
            cwd=folder,
            env=environ,
            check=True,
            timeout=RUN_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    finally:
        subprocess.run(["epmd", "-port", port, "-kill"], env=environ, capture_output=True)
    used = processes.cpu() - used
    (log,) = (folder / "tsung").glob("*/tsung.log")
    if options.keep:
        shutil.copytree(log.parent, options.keep, dirs_exist_ok=True)
    found = totals(log.read_text().splitlines())
    found["CPU of the server, s"] = round(used, 1)
    found["errors in the log"] = server.said().count('"level": "error"')
    return found


def totals(lines: Iterable[str]) -> dict[str, object]:
    """Of tsung's log, each figure's last line: counts in all, and means in ms."""
    last: dict[str, list[str]] = {}
    for line in lines:
        if found := _TOTAL.match(line):
            last[found[1]] = found[2].split()
    counted: dict[str, object] = {}
    for name, values in last.items():
        if len(values) == 2:
            counted[name] = int(float(values[1]))
        elif name.startswith("tr_") or name in ("connect", "page", "request"):
            # Count and mean of the last ten seconds, deviation, max, min; mean and count before.
            count, mean, _, most, _, earlier_mean, earlier = map(float, values)
            total = count + earlier
            counted[name] = {
                "count": int(total),
                "mean ms": round((count * mean + earlier * earlier_mean) / total, 2),
                "max ms": round(most, 1),
            }
    return counted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tsung", description=__doc__)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=20, help="that come in a second")
    parser.add_argument(
        "--keep", type=Path, help="where to copy what tsung writes, and its traffic"
    )
    options = parser.parse_args()
    if not shutil.which("tsung"):
        sys.exit("tsung is not installed; it is a package of Debian's.")
    with Peopled(options.users) as server:
        found = run(server, options)
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")
    errors = [name for name in found if name.startswith("error_")]
    done = found.get("finish_users_count") == options.users
    return int(bool(errors) or bool(found["errors in the log"]) or not done)


if __name__ == "__main__":
    sys.exit(main())
