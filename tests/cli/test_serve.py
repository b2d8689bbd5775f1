import http.client
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pushhub.settings import Settings
from tests.cli.running import pushhub


def test_every_setting_is_a_flag_in_the_help() -> None:
    text = pushhub("serve", "--help").stdout
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        assert f"{flag} " in text
        if field.annotation is bool:
            assert flag.replace("--", "--no-", 1) in text


def test_serve_refuses_to_start_without_a_key_and_names_the_remedy() -> None:
    result = pushhub("serve", "--port", "0")
    assert result.exit_code == 2
    assert "pushhub key new" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "x"], "--port must be a whole number, not 'x'."),
        (["--dev", "--host", "0.0.0.0"], "loopback only"),
        (["--workers", "2"], "use redis://"),
        (["--config", "none.toml"], "none.toml cannot be read: No such file or directory."),
        (["--api-keys", "{"], "--api-keys is not JSON"),
        (["--dev", "--grip-key", "short"], "32 bytes"),
        (
            [
                *("--dev", "--token-keys"),
                '[{"algorithm": "EdDSA", "key": "-----BEGIN PUBLIC KEY-----"}]',
            ],
            "not a key for EdDSA",
        ),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], told: str) -> None:
    result = pushhub("serve", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_flags_and_variables_reach_the_server(hub_url: str) -> None:
    parts = urlsplit(hub_url)
    assert parts.port != 8080
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_second_server_on_the_port_fails(hub_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pushhub", "serve", "--dev", "--store", "memory://"]
    done = subprocess.run(
        [*command, "--port", str(urlsplit(hub_url).port)],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PUSHHUB_LOG_FORMAT": "json"},
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"pushhub: A hub already runs at {hub_url}. Stop it (Ctrl-C in its terminal), or choose "
        "another --port.\n"
    )
