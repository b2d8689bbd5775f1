"""The commands of docs/upgrading.md do what the page says, with a file of schema 1."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pushhub.store.sqlite.file import SCHEMA_VERSION
from tests.docs.story import ROOT, scripts, story
from tests.docs.test_backup import ask, publish
from tests.store.test_idle import earlier

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "upgrading.md").read_text()
SCRIPTS = scripts("upgrading.md")
UP, BACK = "One process on SQLite", "Back to the version before"


def test_the_page_has_the_commands_that_are_run_here() -> None:
    assert set(SCRIPTS) == {UP, BACK}


def test_the_page_names_the_schema_of_now() -> None:
    assert f"shows it as `schema` | {SCHEMA_VERSION} |" in PAGE
    assert re.findall(r"^\| (\d) \| \d", PAGE, re.MULTILINE) == [
        str(number) for number in range(1, SCHEMA_VERSION + 1)
    ]


@pytest.mark.timeout(300)
def test_a_file_of_schema_1_goes_up_and_back(tmp_path: Path) -> None:
    earlier(tmp_path / "pushhub.db")
    with story(tmp_path) as told:
        # The former version does not run here: its hub is the last that had the file.
        before, _, after = SCRIPTS[UP].partition("systemctl stop pushhub\n")
        told.run(before)
        # Without keys the settings are no good for `config check`, but with dev.
        told.run("export PUSHHUB_DEV=true\n" + after)
        checked = json.loads(told.run("pushhub store check --json"))
        assert (checked["ok"], checked["schema"]) == (True, SCHEMA_VERSION)
        feed = ask(f"{told.url}/v1/channels/a/events?since=abcdefghijkl-1")
        assert [event["offset"] for event in feed["events"]] == [2, 3], "the epoch is the same"
        lost = publish(told, "lost")
        assert lost == "abcdefghijkl-4"
        told.run(SCRIPTS[BACK].replace("systemctl start pushhub", ""))
        # What the version before would find: its own schema.
        checked = json.loads(told.run("pushhub store check --json"))
        assert (checked["ok"], checked["schema"]) == (True, 1)
        told.run("systemctl start pushhub")
        gap = ask(f"{told.url}/v1/channels/a/events?since={lost}")
        assert (gap["status"], gap["reason"]) == (410, "epoch")
        events = ask(f"{told.url}/v1/channels/a/events")["events"]
        assert [event["offset"] for event in events] == [1, 2, 3]
