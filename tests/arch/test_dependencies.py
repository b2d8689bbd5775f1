"""Direct dependencies: bounds, lock and page agree, and each is imported where it is used."""

import http.client
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.cli.commands import COMMANDS
from tests.arch.sources import ROOT
from tests.serving import Output

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]
LOCKED = dict(
    re.findall(
        r"^([\w.-]+)(?:\[\w+\])?==([\w.]+)", (ROOT / "requirements-dev.txt").read_text(), re.M
    )
)
BOUNDS = {
    match[1]: match
    for asked in ASKED
    if (match := re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)(?:,<([\d.]+))?", asked))
}

# What a process must not import before it needs it: a program → packages.
UNUSED = {
    "from pushhub.__main__ import main": {"typer", "pydantic", "starlette", "redis", "uvicorn"},
    "import pushhub": {"asyncio", "orjson", "structlog"},
}

# What a hub must not import without the setting that needs it: name → the store, packages.
XMPP = {"pushhub.xmpp", "pushhub.bosh", "pushhub.xml", "precis_i18n"}
LEAN_HUBS = {
    "memory": ("memory://", {"redis", "sqlite3", "jsonpath", "regex", *XMPP}),
    "sqlite": ("sqlite:///log.db", {"redis", *XMPP}),
}
SERVE = (
    "import atexit, sys; atexit.register(lambda: print('modules', *sys.modules, flush=True))\n"
    "from pushhub.cli import main; main()"
)
SECONDS = 60


def test_every_dependency_has_a_lower_bound() -> None:
    assert len(BOUNDS) == len(ASKED)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_lower_bound_is_what_the_tests_run_with(name: str) -> None:
    bound = BOUNDS[name][2].split(".")
    assert LOCKED[name].split(".")[: len(bound)] == bound


@pytest.mark.parametrize("name", BOUNDS)
def test_a_dependency_is_documented(name: str) -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert re.search(rf"^\| `{name}` \|( [^|]+ \|){{4}}$", page, re.MULTILINE)


def test_private_names_have_an_upper_bound() -> None:
    assert BOUNDS["uvicorn"][3]


@pytest.mark.parametrize("program", UNUSED)
def test_nothing_is_imported_before_it_is_used(program: str) -> None:
    code = f"{program}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not UNUSED[program] & set(done.stdout.split())


def test_the_version_is_printed_without_the_command_line() -> None:
    """`pushhub --version` takes less than 0.15 s: it imports the package alone."""
    code = (
        "import sys; sys.argv = ['pushhub', '--version']\n"
        "from pushhub.cli import main; main(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    version, modules = done.stdout.split("\n", 1)
    assert re.fullmatch(r"pushhub \d+\.\d+\.\d+\S*", version)
    assert not {"typer", "pydantic", "orjson"} & set(modules.split())


def test_a_command_imports_no_other_command() -> None:
    """The modules of all commands take longer than the start of a hub."""
    code = (
        "import sys; sys.argv = ['pushhub', 'serve', '--help']\n"
        "from pushhub.cli import main\n"
        "try: main()\n"
        "except SystemExit: print('modules', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    text, modules = done.stdout.rsplit("\nmodules", 1)
    assert "serve [OPTIONS]" in text
    found = {name for name in modules.split() if name.startswith("pushhub.")}
    others = {entry.module for entry in COMMANDS.values()} - {"serve"}
    assert not {f"pushhub.cli.{module}" for module in others} & found
    assert not {name for name in found if name.split(".")[1] in ("advice", "bench", "doctor")}


@pytest.mark.parametrize("name", LEAN_HUBS)
def test_a_hub_imports_only_what_its_settings_need(name: str, tmp_path: Path) -> None:
    """A real hub starts, serves a publish, a poll and a page, and prints its modules at the end."""
    store, unused = LEAN_HUBS[name]
    secret = new_secret()
    key = {"name": "all", "sha256": secret_hash(secret), "publish": ["*"], "read": ["*"]}
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    environ |= {"PUSHHUB_STORE": store, "PUSHHUB_API_KEYS": json.dumps([key])}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", "--port", "0", "--drain-seconds", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environ,
    ) as process:
        assert process.stdout
        assert process.stderr
        output = Output(process.stdout, process.stderr)
        try:
            port = int(
                output.find(re.compile(r"pushhub is at http://127\.0\.0\.1:(\d+)"), SECONDS)[1]
            )
            headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
            for method, target, status in (
                ("POST", "/v1/channels/a/events", 200),
                ("GET", "/v1/channels/a/events", 200),
                ("GET", "/", 200),
                ("POST", "/http-bind", 404),
                ("GET", "/.well-known/host-meta", 404),
            ):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
                connection.request(method, target, "{}" if method == "POST" else None, headers)
                assert connection.getresponse().status == status, target
                connection.close()
            process.terminate()
            modules = set(output.find(re.compile("^modules (.*)"), SECONDS)[1].split())
        finally:
            if process.poll() is None:
                process.kill()
            # Its readers end before the streams are closed.
            output.ended(SECONDS)
    imported = {m for m in modules for package in unused if f"{m}.".startswith(f"{package}.")}
    assert "pushhub.hub.hub" in modules
    assert not imported
