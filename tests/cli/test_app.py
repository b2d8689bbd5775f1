import subprocess
import sys

import pytest

from pushhub import __version__
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


def test_the_help_says_what_exit_codes_mean() -> None:
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
