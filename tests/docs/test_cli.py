"""docs/cli.md has every command and every flag, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pushhub.cli.app import app
from pushhub.settings import Settings
from pushhub.settings.secret_files import FILE_FORMS
from tests.store.test_redis_faults import LEAST_RIGHTS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^## (pushhub [a-z ]+)\n((?:.|\n)*?)(?=^## |\Z)", PAGE, re.MULTILINE))
SETTINGS = {
    *("--" + name.replace("_", "-") for name in (*Settings.model_fields, *FILE_FORMS)),
    "--config",
}
# Where the settings are flags, they are in settings.md.
WITH_SETTINGS = {
    *("serve", "doctor", "config show", "config check"),
    *("routes list", "routes check"),
}


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield name, command
        return
    for part, one in inside.items():
        yield from commands(one, f"{name} {part}".strip())


COMMANDS = dict(commands(get_command(app)))


def test_every_command_has_a_section_and_no_other() -> None:
    assert "doctor" in COMMANDS
    assert set(SECTIONS) == {f"pushhub {name}" for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_what_the_command_takes(name: str) -> None:
    taken = {
        parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
        for parameter in COMMANDS[name].params
    } - {"--help"}
    if name in WITH_SETTINGS:
        assert taken >= SETTINGS
        taken -= SETTINGS
    rows = re.findall(r"^\| (`[^|]*`) \|", SECTIONS[f"pushhub {name}"], re.MULTILINE)
    if name == "doctor":
        rows = [row for row in rows if "--" in row]  # the other table is of its checks
    assert set(re.findall(r"`([^`]+)`", " ".join(rows))) == taken


def test_the_checks_of_doctor_are_all_there() -> None:
    package = Path(__file__).parents[2] / "pushhub" / "doctor"
    code = "".join(path.read_text() for path in package.glob("*.py"))
    checks = set(re.findall(r'\b(?:ok|warn|bad)\(\s*"(\w+)"', code)) | {
        *("settings", "secrets", "environment")
    }
    checks |= {"stream", "compression"}  # one function for both
    table = SECTIONS["pushhub doctor"].partition("| check |")[2]
    rows = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == checks


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_codes_are_told(code: int) -> None:
    assert re.search(rf"^\| {code} \| ", PAGE, re.MULTILINE)


def test_the_rights_of_the_user_of_redis_are_those_that_suffice() -> None:
    page = (Path(__file__).parents[2] / "docs" / "deploy-redis.md").read_text()
    _, _, rules = page.partition("ACL SETUSER hub on >PASSWORD ")
    assert rules.partition("```")[0].split() == LEAST_RIGHTS.split()
