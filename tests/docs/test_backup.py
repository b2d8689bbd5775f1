"""The commands of docs/backup.md do what the page says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.story import Story, scripts, story

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS = scripts("backup.md")


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, body) as response:
            found: dict[str, Any] = json.loads(response.read())
            return found
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.loads(error.read())}


def publish(told: Story, *texts: str) -> str:
    """Publish events; the cursor of the last."""
    for text in texts:
        receipt = ask(f"{told.url}/v1/channels/a/events", json.dumps(text).encode())
    return str(receipt["cursor"])


def test_the_page_has_the_commands_that_are_run_here() -> None:
    assert set(SCRIPTS) == {"Back up", "Restore", "Check"}


def test_what_is_backed_up_comes_back_and_the_rest_is_told(tmp_path: Path) -> None:
    with story(tmp_path) as told:
        told.run("systemctl start pushhub")
        publish(told, "1", "2")
        assert "is complete" in told.run(SCRIPTS["Back up"])
        lost = publish(told, "3", "4")
        told.run(SCRIPTS["Check"])
        said = told.run(SCRIPTS["Restore"])
        assert "pushhub.db.before-1" in said
        feed = ask(f"{told.url}/v1/channels/a/events")
        assert [event["data"] for event in feed["events"]] == ["1", "2"]
        gap = ask(f"{told.url}/v1/channels/a/events?since={lost}")
        assert (gap["status"], gap["reason"]) == (410, "epoch")
        # The former log is whole, with what the restore took away.
        checked = json.loads(told.run("pushhub store check pushhub.db.before-1 --json"))
        assert checked["ok"]
        assert checked["events"] > json.loads(told.run("pushhub store check --json"))["events"]


def test_a_log_is_not_restored_under_a_running_hub(tmp_path: Path) -> None:
    with story(tmp_path) as told:
        told.run("systemctl start pushhub")
        publish(told, "1")
        told.run(SCRIPTS["Back up"])
        cursor = publish(told, "2")
        with pytest.raises(AssertionError, match="in use by another process"):
            told.run("pushhub store restore /var/backups/pushhub.db")
        told.run("rm pushhub.db.lineage")
        with pytest.raises(AssertionError, match="in use by another process"):
            told.run("pushhub store restore /var/backups/pushhub.db")
        feed = ask(f"{told.url}/v1/channels/a/events?since={cursor}")
        assert feed["events"] == []
