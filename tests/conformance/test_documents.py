"""docs/conformance.md lists the cases as they are, and docs/protocol.md has the section of each."""

import re
from pathlib import Path

from pushhub.conformance.case import CASES, MODES, SECTIONS
from pushhub.conformance.run import NAMES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "conformance.md").read_text()
PROTOCOL = (DOCS / "protocol.md").read_text()
RECIPES = (DOCS / "recipes.md").read_text()
# What fits on a page of paper, in words.
PAGE_WORDS = 700


def test_the_table_has_every_case_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| `(\w+)` \| (.+) \| \[(.+)\]\((.+)\) \|$", PAGE, re.M)
    cases = [CASES[name] for name in NAMES]
    assert rows == [
        (one.name, one.mode, one.rule, one.section, f"protocol.md#{anchor(one.section)}")
        for one in cases
    ], "`pushhub conformance --list` has the rules"


def anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def test_every_section_of_the_protocol_has_cases() -> None:
    headings = re.findall(r"^## (.+)$", PROTOCOL, re.M)
    assert headings == list(SECTIONS)
    assert {one.section for one in CASES.values()} == set(SECTIONS)


def test_the_protocol_has_two_pages() -> None:
    assert len(PROTOCOL.split()) <= 2 * PAGE_WORDS


def test_every_mode_and_variable_is_described() -> None:
    assert all(f"`{mode}`" in PAGE for mode in MODES)
    code = (Path(__file__).parents[2] / "pushhub" / "conformance" / "stage.py").read_text()
    variables = set(re.findall(r'"(CONFORMANCE_\w+)"', code))
    assert variables == set(re.findall(r"`(CONFORMANCE_\w+)`", PAGE))


def test_recipes_that_are_not_run_say_so() -> None:
    for language in ("Kotlin", "Swift"):
        section = RECIPES.partition(f"\n## {language}\n")[2].partition("\n## ")[0]
        assert "**not run here**" in section
        assert f"```{language.lower()}" in section
