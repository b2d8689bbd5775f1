"""Each threat of SECURITY.md names tests, and each of these tests exists."""

import ast
import functools
from pathlib import Path

import pytest

from tests.attacks import attacks

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("\n## Threats\n")[2].partition("\n## ")[0].splitlines()
    if line.startswith("|")
][2:]
ATTACKERS = {
    line.split("|")[1].strip()
    for line in TEXT.partition("\n## Attackers\n")[2].partition("\n## ")[0].splitlines()
    if line.startswith("|")
} - {"attacker", "---"}


@functools.cache
def named_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    }


@pytest.mark.parametrize("node", attacks())
def test_a_named_test_exists(node: str) -> None:
    file, _, name = node.partition("::")
    found = named_in(ROOT / file)
    assert found
    assert not name or name in found


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_threat_is_complete(row: list[str]) -> None:
    promise, attacker, attack, tests = row
    assert promise
    assert attack
    assert set(attacker.split(", ")) <= ATTACKERS
    assert tests.count("`") >= 2
    assert all(one.strip().startswith("`tests/") for one in tests.split(","))


def test_every_attacker_has_a_row() -> None:
    assert {one for row in ROWS for one in row[1].split(", ")} == ATTACKERS
