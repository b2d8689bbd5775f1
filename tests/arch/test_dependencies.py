"""Direct dependencies: bounds, lock and page agree, and each is imported where it is used."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["bench"]]
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
