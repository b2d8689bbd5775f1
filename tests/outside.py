"""The outside parts: programs that tests use and that no Python lock can carry.

A test asks for its part with `outside.require("curl")`, which skips the test when the part is
missing, or fails it under PUSHHUB_TEST_ALL=1. `python -m tests.outside install` installs what is
missing where it may; `python -m tests.outside report` says what was left out and why.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / ".outside"
POLICY = Path("/usr/sbin/policy-rc.d")
LOG = FOLDER / "left-out.tsv"  # "part<tab>reason" lines, appended by every process of a run


@dataclass(frozen=True, slots=True)
class Part:
    """One outside part: any of `commands` will do, installed as a `debian` or an `npm` package."""

    name: str
    commands: tuple[str, ...]
    without: str
    debian: str | None = None
    npm: str | None = None  # with its version: "name@1.2.3"
    setup: str | None = None  # the script that makes .outside/NAME from a lock, and marks it

    def find(self) -> str | None:
        """The path of the first command that is there; of what a script made, its folder."""
        if self.setup:
            return str(FOLDER / self.name) if (FOLDER / self.name / "installed").exists() else None
        path = os.pathsep.join([os.environ.get("PATH", ""), str(FOLDER / "node_modules" / ".bin")])
        return next((found for c in self.commands if (found := shutil.which(c, path=path))), None)


PARTS = {
    part.name: part
    for part in [
        Part("curl", ("curl",), debian="curl", without="the README's code blocks"),
        Part("git", ("git",), debian="git", without="the search for machine paths"),
        Part(
            "slowhttptest",
            ("slowhttptest",),
            debian="slowhttptest",
            without="the attacks of slowhttptest",
        ),
        # The server alone, under another name: Debian's package redis-server would also start one.
        Part(
            "redis",
            ("redis-server", "redis-check-rdb"),
            debian="redis-tools",
            without="the Redis store on Redis 7, and over TLS",
        ),
        Part("chromium", ("chromium",), debian="chromium", without="the pages in a real browser"),
        Part("node", ("node",), debian="nodejs", without="what drives the browser"),
        Part("npm", ("npm",), debian="npm", without="what drives the browser"),
        Part("examples", (), setup="examples/setup", without="the examples, before and after"),
        Part("pollers", (), setup="tests/peers/pollers/setup", without="Pollymer, restful-react"),
        Part("pushpin", ("pushpin",), debian="pushpin", without="GRIP's cases on a real Pushpin"),
        Part("zurl", ("zurl",), debian="zurl", without="GRIP's cases on a real Pushpin"),
        Part("prosody", ("prosody",), debian="prosody", without="BOSH's cases on a real Prosody"),
        Part(
            "ejabberd",
            ("ejabberdctl",),
            debian="ejabberd",
            without="BOSH's cases on a real ejabberd",
        ),
        Part("tsung", ("tsung",), debian="tsung", without="BOSH's users of tsung"),
        Part(
            "bosh-clients",
            (),
            setup="tests/peers/bosh/setup",
            without="Strophe.js, stanza.io, Converse.js",
        ),
    ]
}


def require(name: str) -> str:
    """The path of a part; without it, the test that asks is skipped, or fails if none may be."""
    part = PARTS[name]
    if found := part.find():
        return found
    reason = f"needs {name}, which is not installed"
    _note(name, f"a test was left out: {os.environ.get('PYTEST_CURRENT_TEST', 'unknown')}")
    if _all_wanted():
        pytest.fail(reason)
    pytest.skip(reason)


def install() -> None:
    """Install what is missing, where that is possible, and forget what earlier runs left out."""
    LOG.unlink(missing_ok=True)
    for part in PARTS.values():
        # Again if it is there: its lock may have changed since.
        if part.setup and not _run(str(FOLDER.parent / part.setup)):
            _note(part.name, f"{part.setup} failed")
    missing = [part for part in PARTS.values() if not part.find()]
    if debian := [part for part in missing if part.debian]:
        _install_debian(debian)
    for part in missing:
        if part.npm and not part.find():
            _install_npm(part, part.npm)


def report() -> int:
    """Print the table; 1 if something was left out though nothing may be, else 0."""
    noted = [line.split("\t", 1) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    rows = []
    for part in PARTS.values():
        reasons = [reason for name, reason in noted if name == part.name]
        if not part.find() or reasons:
            reasons = reasons or ["not installed"]
            rows.append((part.name, part.without, "; ".join(dict.fromkeys(reasons))))
    if not rows:
        print(f"outside parts: all {len(PARTS)} present ({', '.join(PARTS)}), nothing left out")
        return 0
    rows.insert(0, ("outside part", "left out without it", "why"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, without, why in rows:
        print(f"{name:{widths[0]}}  {without:{widths[1]}}  {why}")
    if _all_wanted():
        print("PUSHHUB_TEST_ALL=1 allows nothing to be left out", file=sys.stderr)
        return 1
    return 0


def _install_debian(parts: list[Part]) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        for part in parts:
            _note(part.name, f"not root on Debian; as root: apt-get install {part.debian}")
        return
    print(f"outside parts: apt-get installs {', '.join(part.name for part in parts)}", flush=True)
    _run("apt-get", "update", "-qq")
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")
    with _no_services():
        for part in parts:
            if not _run(*install, str(part.debian)):
                _note(part.name, f"apt-get install {part.debian} failed")


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian asks a file whether a package may start its service; 101 forbids it."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _install_npm(part: Part, package: str) -> None:
    if not (npm := shutil.which("npm")):
        _note(part.name, f"no npm to install {package} with")
        return
    print(f"outside parts: npm installs {package}", flush=True)
    if not _run(npm, "install", "--silent", "--no-save", "--prefix", str(FOLDER), package):
        _note(part.name, f"npm install {package} failed")


def _run(*command: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    return done.returncode == 0


def _note(name: str, reason: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with LOG.open("a") as log:
        log.write(f"{name}\t{reason}\n")


def _all_wanted() -> bool:
    return os.environ.get("PUSHHUB_TEST_ALL") == "1"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install"]:
            install()
        case ["report"]:
            sys.exit(report())
        case _:
            sys.exit("usage: python -m tests.outside install|report")
