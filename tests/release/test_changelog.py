"""CHANGELOG.md keeps its rule, and the rule finds what breaks it."""

from pathlib import Path

import pytest

from tests.release.changelog import parse, problems

ROOT = Path(__file__).parents[2]
GOOD = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Added

- One thing,
  on two lines.

### Fixed

- Another.

## [0.1.0] - 2026-11-23

The first.

### Added

- All.
"""


def test_the_changelog_keeps_the_rule() -> None:
    assert problems((ROOT / "CHANGELOG.md").read_text()) == []


def test_the_example_keeps_it() -> None:
    assert problems(GOOD) == []
    assert [one.name for one in parse(GOOD)] == ["Unreleased", "0.2.0", "0.1.0"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("## [Unreleased]\n", "", "the first section"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n- Loose.\n", "under one of its kinds"),
        ("## [0.2.0] - 2026-12-01", "## 0.2.0", "line 5: write"),
        ("2026-12-01", "2026-13-01", "needs its date"),
        ("2026-12-01", "2026-11-01", "an earlier date"),
        ("[0.2.0]", "[0.0.9]", "the newest first"),
        ("### Fixed", "### Repaired", "is no kind"),
        ("### Fixed", "### Added", "is repeated"),
        ("### Fixed\n\n- Another.\n", "### Fixed\n", "a list with"),
        ("- Another.", "Another.", "a list with"),
        (
            "### Added\n\n- One thing,\n  on two lines.\n\n### Fixed",
            "### Security\n\n- A.\n\n### Fixed",
            "the order is",
        ),
        ("### Added\n\n- All.\n", "", "it has no change"),
    ],
)
def test_what_breaks_the_rule_is_found(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    assert any(problem in one for one in problems(GOOD.replace(old, new, 1)))
