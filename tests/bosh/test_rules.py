"""docs/bosh.md has every rule of both XEPs, states for each whether it is kept, and names existing
tests and code.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.bosh.transcript import every

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bosh.md"

# The number of rules in each part of the two XEPs.
COUNTS = {
    **{"A": 10, "B": 9, "C": 15, "D": 13, "E": 9, "F": 7, "G": 10, "H": 5, "I": 5, "J": 4},
    **{"K": 10, "L": 7, "M": 10, "N": 6, "O": 6, "P": 15, "Q": 8},
}
RULES = {f"{part}{number}" for part, count in COUNTS.items() for number in range(1, count + 1)}

ROW = re.compile(r"^\| ([A-Q]\d+) \| (.+?) \| (\w+) \| (.*?) ?\| (.*?) ?\|$", re.MULTILINE)
ROWS = {found[1]: found for found in ROW.finditer(PAGE.read_text())}

# Rules without a possible test here: missing features, and the behaviour of proxies.
UNSHOWN = {"O4", "P4"}

PACKAGE = ROOT / "pushhub"
CODE = [*sorted((PACKAGE / "bosh").glob("*.py")), *sorted((PACKAGE / "api").glob("bosh*.py"))]
CASES = {case.name for case in every()}
MARKS = {mark for path in CODE for mark in re.findall(r"\[([A-Q]\d+)\]", path.read_text())}


@cache
def functions() -> set[str]:
    """The names of all tests."""
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


def test_every_rule_is_documented_once() -> None:
    assert ROWS.keys() == RULES
    assert len(ROW.findall(PAGE.read_text())) == len(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_has_a_test_or_a_reason(rule: str) -> None:
    _, _, kept, why, shown = ROWS[rule].groups()
    assert kept in ("yes", "apart", "no", "theirs")
    if kept in ("no", "apart"):
        assert why, "why not?"
    if kept == "yes" and rule not in UNSHOWN:
        assert shown, "which test shows it?"
    known = functions() | CASES
    assert set(re.findall(r"`(\w+)`", shown)) <= known


def test_rules_named_in_the_code_exist() -> None:
    assert MARKS <= RULES
    # For a rule that is not kept, or is the client's, the code states its behaviour.
    assert len(MARKS) > 60
    assert not {mark for mark in MARKS if ROWS[mark][3] == "no"} - {"H4"}


def test_every_case_has_a_unique_name() -> None:
    names = [case.name for case in every()]
    assert len(names) == len(set(names))
    assert not set(names) & functions()
