"""The audit lines of commands that change the store without a server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from pushhub.cli.app import app
from pushhub.hub.hub import Hub
from pushhub.log.cursor import Start
from pushhub.log.read import Page
from pushhub.store.urls import open_store_url
from tests.cli.running import pushhub
from tests.ports import free_port

# Commands that read, that make something from nothing, or whose request the server records.
NO_CHANGE = {
    *("serve", "init", "publish", "tail", "delete", "bench", "conformance", "doctor"),
    *("reload", "try"),
    *("capacity", "top"),
    *("token new", "token check", "token revoke", "key new", "user list", "store check"),
    *(
        "config show",
        "config check",
        "config docs",
        "routes explain",
        "routes list",
        "routes check",
        "routes suggest",
        "sources postgres",
    ),
}
MANAGING = {
    "user add": ("account.add", "a@chat.example"),
    "user passwd": ("account.password", "a@chat.example"),
    "user remove": ("account.remove", "a@chat.example"),
    "store backup": ("store.backup", "backup.db"),
    "store restore": ("store.restore", "backup.db"),
    "store compact": ("store.compact", "hub.db"),
    "store fence": ("store.fence", ""),
}


def commands(group: click.Group, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")  # type: ignore[arg-type]
        else:
            yield path + name


def test_every_command_is_of_one_kind() -> None:
    group = typer.main.get_command(app)
    assert set(commands(group)) <= NO_CHANGE | MANAGING.keys()  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "pushhub.toml").write_text(
        f'store = "sqlite:///{tmp_path / "hub.db"}"\nxmpp_domains = ["chat.example"]\n'
        f'audit_file = "{tmp_path / "audit.log"}"\naudit_channel = true\n'
    )
    return tmp_path / "audit.log"


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_accounts_and_the_store(file: Path, tmp_path: Path) -> None:
    account, backup = "a@chat.example", str(tmp_path / "backup.db")
    for arguments, typed in (
        (("user", "add", account), "first secret\n"),
        (("user", "passwd", account), "second secret\n"),
        (("store", "backup", backup), None),
        (("user", "remove", account), None),
        (("store", "compact"), None),
        (("store", "restore", backup), None),
    ):
        before = len(records(file))
        done = pushhub(*arguments, input=typed)
        assert done.exit_code == 0, done.stderr
        (record,) = records(file)[before:]
        action, target = MANAGING[" ".join(arguments[:2])]
        assert (record["action"], record["outcome"]) == (action, "ok")
        assert record["target"]["id"].endswith(target)
        assert record["actor"]["type"] == "command"
        assert record["actor"]["id"]
    assert "secret" not in file.read_text()


def test_what_failed_is_recorded(file: Path) -> None:
    assert pushhub("user", "remove", "b@chat.example").exit_code == 1
    (record,) = records(file)
    assert (record["action"], record["outcome"]) == ("account.remove", "failed")
    assert (record["reason"], record["detail"]) == (
        "AccountError",
        "There is no account b@chat.example.",
    )


@pytest.mark.parametrize(
    ("arguments", "action", "sentence"),
    [
        (("user", "remove", "a@chat.example"), "account.remove", "another process"),
        (("store", "restore", "none.db"), "store.restore", "none.db"),
        (("store", "compact"), "store.compact", "another process"),
    ],
)
async def test_a_store_that_cannot_be_used(
    file: Path, tmp_path: Path, arguments: tuple[str, ...], action: str, sentence: str
) -> None:
    """The usual mistakes: the server runs, or the file is missing."""
    hub = Hub(open_store_url(f"sqlite:///{tmp_path / 'hub.db'}"))
    await hub.open()
    try:
        done = await asyncio.to_thread(pushhub, *arguments)
    finally:
        await hub.close()
    assert done.exit_code == 1
    (record,) = records(file)
    assert (record["action"], record["outcome"]) == (action, "failed")
    assert record["reason"].startswith("Store")
    assert sentence in record["detail"]


def test_a_command_that_reads_leaves_no_line(file: Path) -> None:
    pushhub("user", "add", "a@chat.example", input="some secret\n")
    before = len(records(file))
    assert pushhub("user", "list").exit_code == 0
    assert len(records(file)) == before


async def test_the_store_has_the_line_too(file: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(pushhub, "user", "add", "a@chat.example", input="some secret\n")
    hub = Hub(open_store_url(f"sqlite:///{tmp_path / 'hub.db'}"))
    await hub.open()
    try:
        page = await hub.store.read("$audit", Start.EARLIEST, 10)
    finally:
        await hub.close()
    assert isinstance(page, Page)
    assert [json.loads(event.data) for event in page.events] == records(file)


def test_a_fence_that_fails(file: Path) -> None:
    port = free_port()
    file.with_name("pushhub.toml").write_text(
        f'store = "redis://127.0.0.1:{port}/0"\naudit_file = "{file}"\n'
    )
    assert pushhub("store", "fence").exit_code == 1
    (record,) = records(file)
    assert (record["action"], record["outcome"]) == ("store.fence", "failed")
