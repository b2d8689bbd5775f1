import json
import subprocess
import sys
import time
from pathlib import Path

from pushhub.auth import Authenticator
from pushhub.http.request import Request
from pushhub.log.grant import Action
from pushhub.settings import load
from tests.cli.running import pushhub


def test_a_server_starts_with_the_file_and_takes_its_key_and_tokens() -> None:
    result = pushhub("init")
    assert result.exit_code == 0
    secret = result.stdout.strip()
    file = Path("pushhub.toml")
    assert secret.startswith("phk_")
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert pushhub("config", "check").exit_code == 0
    settings = load({}, {}, file).settings
    assert settings.store == f"sqlite:///{Path.cwd()}/pushhub.db", "whatever folder serve runs in"
    grant = Authenticator(settings, time.time).grant(bearer(secret))
    assert grant.allows(Action.PUBLISH, "orders:7")
    assert not grant.allows(Action.READ, "orders:7")
    token = pushhub("token", "new", "--read", "orders:*").stdout.strip()
    grant = Authenticator(settings, time.time).grant(bearer(token))
    assert grant.allows(Action.READ, "orders:7")
    assert not grant.allows(Action.READ, "other")


def bearer(credential: str) -> Request:
    return Request("GET", "/", headers={"authorization": f"Bearer {credential}"})


def test_commented_settings_are_valid() -> None:
    """Every line that is a setting behind a `#` is one that the settings take."""
    pushhub("init", "all.toml")
    text = Path("all.toml").read_text()
    used = [line.removeprefix("# ") if is_setting(line) else line for line in text.splitlines()]
    Path("all.toml").write_text("\n".join(used))
    settings = load({}, {}, Path("all.toml")).settings
    assert settings.cors_origins == ["https://app.example.com"]
    assert settings.namespaces["news"].public


def is_setting(line: str) -> bool:
    return line.startswith("# ") and (" = " in line or line.startswith("# ["))


def test_a_file_that_exists_is_left_alone() -> None:
    Path("pushhub.toml").write_text("port = 1\n")
    result = pushhub("init")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "pushhub.toml exists and was not changed" in result.stderr
    assert Path("pushhub.toml").read_text() == "port = 1\n"


def test_a_folder_that_is_missing_is_a_sentence() -> None:
    result = pushhub("init", "none/pushhub.toml")
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory." in result.stderr


def test_two_files_have_different_secrets() -> None:
    made = [json.loads(pushhub("init", name, "--json").stdout) for name in ("a.toml", "b.toml")]
    assert made[0]["secret"] != made[1]["secret"]
    assert load({}, {}, Path("a.toml")).settings.token_keys != (
        load({}, {}, Path("b.toml")).settings.token_keys
    )


def factory(**environ: str) -> subprocess.CompletedProcess[str]:
    """A server of uvicorn that must not start."""
    uvicorn = ["-m", "uvicorn", "--factory", "pushhub.app:create_app", "--port", "0"]
    return subprocess.run(
        [sys.executable, *uvicorn],
        env={"PUSHHUB_STORE": "memory://", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_factory_without_a_key_refuses_as_serve_does() -> None:
    refused = pushhub("serve", "--port", "0").stderr
    done = factory()
    assert done.returncode != 0
    assert done.stderr == refused, "the sentence, and nothing else"
    assert "pushhub init" in refused


def test_a_factory_with_wrong_settings_explains_the_error() -> None:
    done = factory(PUSHHUB_PORT="x")
    assert done.returncode != 0
    assert done.stderr.startswith("pushhub: PUSHHUB_PORT must be a whole number")
    assert "Traceback" not in done.stderr
