import re
import subprocess
import sys

import pytest

from pushhub import __version__
from pushhub.cli.app import app
from pushhub.settings import Settings
from pushhub.settings.field import PANELS
from pushhub.settings.secret_files import FILE_FORMS
from pushhub.settings.sources import flag_name
from tests.cli.running import pushhub

COMMANDS = [
    *("serve", "publish", "tail", "token new", "token check"),
    *("key new", "doctor", "bench", "config show", "config check", "config docs"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command: str) -> None:
    result = pushhub(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Usage: pushhub {command}" in result.stdout


def test_the_help_explains_exit_codes() -> None:
    for command in ([], ["serve"], ["publish"], ["tail"]):
        assert "0 done, 1 refused or failed, 2 wrong usage" in pushhub(*command, "-h").stdout


def test_it_is_a_module_and_tells_its_version() -> None:
    command = [sys.executable, "-m", "pushhub", "--version"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stdout == f"pushhub {__version__}\n"


def test_wrong_usage_is_exit_code_2() -> None:
    assert pushhub("shout").exit_code == 2
    assert pushhub("serve", "--prot", "1").exit_code == 2
    assert "--port" in pushhub("serve", "--prot", "1").stderr


WITH_SETTINGS = ("serve", "doctor", "config show", "config check", "routes list", "routes check")


def sections(text: str) -> dict[str, list[str]]:
    """The titles of a help's sections, and the flags of each."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if re.match(r"\S.*:$", line):
            found[line.rstrip(":")] = []
        elif found and (flag := re.match(r"  (-[-\w]+)", line)):
            found[list(found)[-1]].append(flag[1])
    return found


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_a_commands_own_options_come_first_and_settings_by_subject(command: str) -> None:
    found = sections(pushhub(*command.split(), "--help").stdout)
    titles = [title for title in found if title != "Arguments"]
    subjects = [f"Settings / {panel}" for panel in PANELS]
    assert titles == ["Options", "Settings / Most used", *subjects]
    assert found["Options"][0] == "--config"
    assert found["Options"][-1] == "-h"
    assert found["Settings / Most used"][:3] == ["--host", "--port", "--store"]
    listed = [flag for title in titles[1:] for flag in found[title]]
    names = [*Settings.model_fields, *FILE_FORMS]
    assert sorted(listed) == sorted(map(flag_name, names))


def test_the_options_of_routes_check_are_at_the_top() -> None:
    found = sections(pushhub("routes", "check", "--help").stdout)
    assert found["Options"] == ["--config", "-H", "--method", "--dry", "--json", "-h"]


@pytest.mark.parametrize("group", ["", *(group.name for group in app.registered_groups)])
def test_no_command_is_described_by_half_a_sentence(group: str) -> None:
    commands = pushhub(*group.split(), "--help").stdout.partition("Commands:")[2]
    assert commands
    assert not [line for line in commands.splitlines() if line.endswith("...")]
