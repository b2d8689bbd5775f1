"""docs/settings.md is what the model says."""

from pathlib import Path

from pushhub.settings import Settings
from pushhub.settings.reference import markdown

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
