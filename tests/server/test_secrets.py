"""No secret of a hub shows: a canary in each one, and a search of everything that a hub prints."""

import gc
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from pushhub import telemetry
from pushhub.app import App
from pushhub.settings import load
from pushhub.settings.secret_files import FILE_FORMS
from tests.cli.running import pushhub
from tests.ports import free_port
from tests.serving import serve

# Long enough for HS256, and found in any text that has a part of it.
CANARY = "canarysecret"
GRIP_KEY = f"{CANARY}-grip-" + "g" * 32
TOKEN_KEY = f"{CANARY}-token-" + "t" * 32
API_KEY = "phk_" + f"{CANARY}-api-".ljust(43, "a")
API_KEYS = [
    {"name": "admin", "sha256": hashlib.sha256(API_KEY.encode()).hexdigest(), "manage": ["*"]}
]
SOURCES = [
    {
        "name": "forge",
        "kind": "webhook",
        "signature": "github",
        "secret": f"{CANARY}-webhook-" + "w" * 32,
        "resources": ["/orders/*"],
    },
    {
        "name": "database",
        "kind": "postgres",
        "dsn": f"host=127.0.0.1 port=1 user=ann password={CANARY}-dsn",
        "resources": ["/orders/*"],
    },
]
ADMIN = {"authorization": f"Bearer {API_KEY}"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A file for each secret setting."""
    texts = {
        "store": "memory://",
        "api_keys": json.dumps(API_KEYS),
        "token_keys": json.dumps([{"algorithm": "HS256", "key": TOKEN_KEY}]),
        "grip_key": GRIP_KEY,
        "sources": json.dumps(SOURCES),
        "canary_password": f"{CANARY}-of-the-canary",
    }
    assert set(texts) == set(FILE_FORMS.values()), "a new secret needs a canary here"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return {name: str(tmp_path / name) for name in texts}


@pytest.fixture
def environ(files: dict[str, str]) -> dict[str, str]:
    return {f"PUSHHUB_{name.upper()}_FILE": file for name, file in files.items()}


def command_line(pid: int) -> str:
    """What `ps` shows of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


async def test_a_hub_prints_none_of_its_secrets(files: dict[str, str]) -> None:
    options = {name + "_file": file for name, file in files.items()}
    with serve(
        "front", None, dev=False, origin="http://127.0.0.1:1", log_level="debug", **options
    ) as server:
        shown = [command_line(server.process.pid)]
        for target in ("/console/settings", "/metrics", "/v1/channels", "/readyz", "/openapi.json"):
            answer = await server.ask("GET", "/_pushhub" + target, ADMIN)
            assert answer.status == 200, (target, answer)
            shown.append(answer.body.decode())
        for wrong in (f"Bearer {API_KEY}x", f"Basic {CANARY}", f"Bearer {CANARY}.a.b"):
            answer = await server.ask("GET", "/_pushhub/v1/channels", {"authorization": wrong})
            assert answer.status == 401
            shown.append(answer.body.decode())
        server.signal(signal.SIGHUP)
        server.stop()
        shown.append(str(server.output))
    assert CANARY not in "\n".join(shown)


@pytest.mark.parametrize("file", ["store", "api_keys", "token_keys", "grip_key", "sources"])
def test_a_refusal_to_start_prints_none(
    files: dict[str, str], environ: dict[str, str], file: str
) -> None:
    Path(files[file]).write_text(f"{CANARY}://[{{")
    for command in ("check", "show"):
        told = pushhub("config", command, **environ)
        assert CANARY not in told.stdout + told.stderr
    if file != "grip_key":
        assert told.exit_code == 2
        # The setting is named as it was given.
        assert f"PUSHHUB_{file.upper()}_FILE" in told.stderr


def test_commands_print_none(environ: dict[str, str], files: dict[str, str]) -> None:
    port = str(free_port())
    Path(files["store"]).write_text(f"redis://user:{CANARY}@127.0.0.1:{port}/0")
    for arguments in (
        ["config", "show"],
        ["config", "show", "--json"],
        ["config", "check"],
        ["doctor", "--json", "--port", "0"],
    ):
        told = pushhub(*arguments, **environ)
        assert told.stdout + told.stderr
        assert CANARY not in told.stdout + told.stderr, arguments


@pytest.mark.parametrize("format", ["console", "json"])
def test_the_log_of_a_crash_has_no_local_variables(format: str) -> None:
    stream = io.StringIO()
    telemetry.configure(format=format, stream=stream)

    def crash(secret: str) -> None:
        raise RuntimeError(f"failed with {len(secret)} characters")

    try:
        crash(TOKEN_KEY)
    except RuntimeError:
        structlog.get_logger("test").exception("crashed")
    finally:
        telemetry.configure()
    assert "RuntimeError" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def objects() -> Iterator[Any]:
    """Every object of pushhub's own classes that the collector knows."""
    for one in gc.get_objects():
        if str(type(one).__module__).startswith("pushhub"):
            yield one


@pytest.mark.parametrize(
    "store",
    [
        f"redis://user:{CANARY}@127.0.0.1:1/0",
        f"redis+sentinel://u:{CANARY}@127.0.0.1:1/s?sentinel_password={CANARY}",
    ],
)
def test_no_object_has_a_secret_in_its_repr(environ: dict[str, str], store: str) -> None:
    Path(environ["PUSHHUB_STORE_FILE"]).write_text(store)
    loaded = load(
        {},
        {**environ, "PUSHHUB_ORIGIN": "http://127.0.0.1:1", "PUSHHUB_XMPP_DOMAINS": '["x.test"]'},
    )
    app = App(loaded.settings)
    seen = list(objects())
    assert len(seen) > 50
    leaks = {
        f"{type(one).__module__}.{type(one).__qualname__}"
        for one in (app, loaded, *seen)
        if CANARY in f"{one!r} {one!s}"
    }
    assert not leaks


def ran(environ: dict[str, str], *arguments: str) -> str:
    """The output of a server that does not start."""
    done = subprocess.run(
        [sys.executable, *arguments, "--port", "0"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_a_server_that_cannot_start_prints_none(
    environ: dict[str, str], files: dict[str, str]
) -> None:
    Path(files["store"]).write_text(f"redis://user:{CANARY}@127.0.0.1:{free_port()}/0")
    told = ran(environ, "-m", "pushhub", "serve")
    assert "Redis" in told
    assert CANARY not in told
    Path(files["token_keys"]).write_text(json.dumps([{"algorithm": "RS256", "key": CANARY}]))
    for arguments in (
        ["-m", "pushhub", "serve"],
        ["-m", "uvicorn", "--factory", "pushhub.app:create_app"],
    ):
        told = ran(environ, *arguments)
        assert "public key as PEM" in told
        assert CANARY not in told
