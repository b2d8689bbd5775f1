"""docs/settings.md is what the model says."""

import re
from pathlib import Path

import pytest
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from pushhub.settings import Settings
from pushhub.settings.limits import LIMIT_SPECS
from pushhub.settings.reference import bounds, kind, markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_reference_is_current() -> None:
    stale = "docs/settings.md is stale; run: pushhub config docs > docs/settings.md"
    assert DOCUMENT.read_text() == markdown(), stale


def test_every_setting_is_in_the_reference() -> None:
    text = DOCUMENT.read_text()
    for name, field in Settings.model_fields.items():
        assert f"\n| `{name}` | `--{name.replace('_', '-')}" in text
        assert f"`PUSHHUB_{name.upper()}`" in text
        assert field.description
        assert field.description.endswith(".")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_bounds_are_in_the_unit_of_what_is_bounded(name: str) -> None:
    """A text has characters, a list has entries; and a setting that has bounds says them."""
    field = Settings.model_fields[name]
    text = bounds(field)
    limited = [one for one in field.metadata if isinstance(one, Ge | Gt | Le | MaxLen | MinLen)]
    assert bool(limited) <= bool(re.search(r"\d|not empty", text)), text
    assert ("entries" in text) <= (kind(field) == "JSON")
    assert ("characters" in text) <= (kind(field) == "TEXT")


def test_the_page_of_limits_lists_each_limit() -> None:
    page = DOCUMENT.with_name("limits.md").read_text()
    rows = re.findall(r"^\| `([a-z]+-[a-z-]+)` \| (.+?) \| (.+?) \| `", page, re.MULTILINE)
    assert rows == [(name, spec.what, spec.default) for name, spec in LIMIT_SPECS.items()]
