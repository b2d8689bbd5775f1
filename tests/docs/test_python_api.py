"""docs/python-api.md is what the code says."""

import subprocess
import sys
from pathlib import Path

import pushhub
from pushhub import PushHub

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python-api.md"


def test_the_page_is_current() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "scripts.python_api"], cwd=ROOT, capture_output=True, check=True
    )
    stale = "docs/python-api.md is stale; run: python -m scripts.python_api > docs/python-api.md"
    assert PAGE.read_text() == made.stdout.decode(), stale


def test_every_public_name_has_a_section() -> None:
    page = PAGE.read_text()
    for name in set(pushhub.__all__) - {"__version__"}:
        assert f"\n## {name}\n" in page
    for name in vars(PushHub):
        if not name.startswith("_"):
            assert f"\n### PushHub.{name}\n" in page
