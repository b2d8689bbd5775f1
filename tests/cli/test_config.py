import json
from pathlib import Path

from pushhub.settings import Settings
from pushhub.settings.reference import markdown
from tests.auth.signing import SECRET
from tests.cli.running import pushhub
from tests.test_service_links import KUBERNETES

FILE = f"""
max_wait = 20
port = 1
[[token_keys]]
algorithm = "HS256"
key = "{SECRET.decode()}"
"""


def test_show_tells_every_value_and_where_it_is_from() -> None:
    Path("hub.toml").write_text(FILE)
    arguments = ["config", "show", "--config", "hub.toml", "--dev", "--port", "2"]
    result = pushhub(*arguments, "--json", PUSHHUB_LOG_LEVEL="debug", PUSHHUB_PORT="3")
    shown = json.loads(result.stdout)
    assert sorted(shown) == sorted(Settings.model_fields)
    assert list(shown)[:2] == ["host", "port"]  # what is asked for first
    assert shown["port"] == {"value": 2, "origin": "flag"}
    assert shown["dev"] == {"value": True, "origin": "flag"}
    assert shown["log_level"] == {"value": "debug", "origin": "env"}
    assert shown["max_wait"] == {"value": 20, "origin": "file"}
    assert shown["host"] == {"value": "127.0.0.1", "origin": "default"}
    plain = pushhub(*arguments).stdout
    rows = [line.split() for line in plain.splitlines()]
    assert ["port", "flag", "2"] in rows
    assert ["max_wait", "file", "20"] in rows


def test_show_keeps_secrets() -> None:
    Path("pushhub.toml").write_text(FILE)
    for extra in ([], ["--json"]):
        result = pushhub("config", "show", *extra, PUSHHUB_STORE="redis://u:hunter2@db:6379/0")
        assert result.exit_code == 0
        assert SECRET.decode() not in result.stdout
        assert "hunter2" not in result.stdout
        assert "redis://u:**********@db:6379/0" in result.stdout
        assert "**********" in result.stdout


def test_check_says_whether_a_server_would_start() -> None:
    good = pushhub("config", "check", "--dev")
    assert (good.exit_code, good.stdout) == (0, "The settings are valid (no file).\n")
    no_key = pushhub("config", "check")
    assert no_key.exit_code == 1
    assert "pushhub key new" in no_key.stderr
    as_json = pushhub("config", "check", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["ok"] is False
    assert json.loads(pushhub("config", "check", "--dev", "--json").stdout) == {"ok": True}


def test_check_reports_unreadable_files() -> None:
    Path("pushhub.toml").write_text("prot = 1")
    result = pushhub("config", "check")
    assert result.exit_code == 2
    assert "did you mean 'port'?" in result.stderr


def test_docs_are_the_reference() -> None:
    assert pushhub("config", "docs").stdout == markdown()


def test_variables_of_kubernetes_are_ignored_and_named() -> None:
    good = pushhub("config", "check", "--dev", **KUBERNETES)
    assert good.exit_code == 0, good.stderr
    assert "PUSHHUB_CONTROL_PORT" in good.stderr
    assert "enableServiceLinks: false" in good.stderr
    shown = json.loads(pushhub("config", "check", "--dev", "--json", **KUBERNETES).stdout)
    assert "enableServiceLinks" in shown["ignored"]
    assert json.loads(pushhub("config", "show", "--json", **KUBERNETES).stdout)["port"] == {
        "value": 8080,
        "origin": "default",
    }
    doctor = pushhub("doctor", "--dev", "--json", **KUBERNETES)
    (finding,) = (
        one for one in json.loads(doctor.stdout)["findings"] if one["check"] == "environment"
    )
    assert finding["level"] == "warn"
    assert "enableServiceLinks" in finding["sentence"]


def test_every_command_that_reads_settings_survives_variables_of_kubernetes() -> None:
    commands = [
        ["routes", "list"],
        ["token", "new", "--subscribe", "news"],
        ["store", "check"],
        ["user", "add", "a@localhost"],
        ["config", "show"],
    ]
    for command in commands:
        control = pushhub(*command)
        result = pushhub(*command, **KUBERNETES)
        assert "unknown setting" not in result.stderr, command
        assert result.exit_code == control.exit_code, command
