"""docs/bosh.md has every rule of both XEPs, says of each whether it is kept, and names tests and
code that there are.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.bosh.transcript import every

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bosh.md"

# How many rules each part of the two XEPs has.
COUNTS = {
    **{"A": 10, "B": 9, "C": 15, "D": 13, "E": 9, "F": 7, "G": 10, "H": 5, "I": 5, "J": 4},
    **{"K": 10, "L": 7, "M": 10, "N": 6, "O": 6, "P": 15, "Q": 8},
}
RULES = {f"{part}{number}" for part, count in COUNTS.items() for number in range(1, count + 1)}

ROW = re.compile(r"^\| ([A-Q]\d+) \| (.+?) \| (\w+) \| (.*?) ?\| (.*?) ?\|$", re.MULTILINE)
ROWS = {found[1]: found for found in ROW.finditer(PAGE.read_text())}

# Rules that no test of ours can show: what is not there, or what a proxy does.
UNSHOWN = {"O4", "P4"}

CODE = [*sorted((ROOT / "pushhub" / "bosh").glob("*.py")), ROOT / "pushhub" / "api" / "bosh.py"]
CASES = {case.name for case in every()}
MARKS = {mark for path in CODE for mark in re.findall(r"\[([A-Q]\d+)\]", path.read_text())}


@cache
def functions() -> set[str]:
    """The names of all tests that the page may name."""
    files = [
        *(ROOT / "tests" / "bosh").glob("test_*.py"),
        ROOT / "tests" / "test_xml.py",
        ROOT / "tests" / "api" / "test_bosh.py",
    ]
    return {
        node.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_"
    }


def test_every_rule_is_there_once() -> None:
    assert ROWS.keys() == RULES
    assert len(ROW.findall(PAGE.read_text())) == len(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_is_shown_or_has_a_reason(rule: str) -> None:
    _, _, kept, why, shown = ROWS[rule].groups()
    assert kept in ("yes", "apart", "no", "theirs")
    if kept in ("no", "apart"):
        assert why, "why not?"
    if kept == "yes" and rule not in UNSHOWN:
        assert shown, "which test shows it?"
    known = functions() | CASES
    assert set(re.findall(r"`(\w+)`", shown)) <= known


def test_what_the_code_says_it_keeps_is_kept() -> None:
    assert MARKS <= RULES
    # Beside a rule that is not kept, or the client's, the code says what it does instead.
    assert len(MARKS) > 60
    assert not {mark for mark in MARKS if ROWS[mark][3] == "no"} - {"H4"}


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in every()]
    assert len(names) == len(set(names))
    assert not set(names) & functions()
