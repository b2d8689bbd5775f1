"""A folder and an environment for each test of a command, and a real hub."""

import os
from pathlib import Path

import pytest

from tests.cli.hub import hub_url

__all__ = ["elsewhere", "hub_url"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a pushhub.toml, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PUSHHUB_"):
            monkeypatch.delenv(name)
    return tmp_path
