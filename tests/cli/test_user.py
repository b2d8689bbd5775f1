"""`pushhub user`, on a real store."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.running import pushhub
from tests.peers.bosh_user import User
from tests.redis_servers import Shelf
from tests.serving import serve

PASSWORD = "Neither, fair saint"


@pytest.fixture
def settings(tmp_path: Path) -> str:
    file = tmp_path / "pushhub.toml"
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    file.write_text(f'store = "{store}"\nxmpp_domains = ["chat.example"]\n')
    return str(file)


def user(settings: str, *arguments: str, password: str | None = None) -> Result:
    typed = None if password is None else password + "\n"
    return pushhub("user", *arguments, "--config", settings, input=typed)


def test_an_account_comes_and_goes(settings: str) -> None:
    added = user(settings, "add", "Juliet@chat.example", password="Neither, fair saint")
    assert (added.exit_code, added.stdout) == (0, "juliet@chat.example can log in.\n")
    assert user(settings, "list").stdout == "juliet@chat.example\n"
    assert json.loads(user(settings, "list", "--json").stdout) == ["juliet@chat.example"]
    assert user(settings, "passwd", "juliet@chat.example", password="other words").exit_code == 0
    assert user(settings, "remove", "juliet@chat.example").exit_code == 0
    assert user(settings, "list").stdout == ""


def test_rights_of_an_account(settings: str) -> None:
    added = user(
        settings, "add", "a@chat.example", "--read", "news:*", "--json", password="12345678"
    )
    assert json.loads(added.stdout) == {
        "account": "a@chat.example",
        "grant": {"read": ["news:*"]},
    }


def test_invalid_accounts_are_refused(settings: str) -> None:
    user(settings, "add", "a@chat.example", password="12345678")
    again = user(settings, "add", "a@chat.example", password="12345678")
    assert (again.exit_code, "already" in again.stderr) == (1, True)
    for arguments, code in (
        (("remove", "b@chat.example"), 1),
        (("remove", "a@elsewhere.example"), 2),
        (("remove", "chat.example"), 2),
        (("remove", "a@b@c/"), 2),
    ):
        assert user(settings, *arguments).exit_code == code
    assert user(settings, "passwd", "b@chat.example", password="12345678").exit_code == 1
    assert user(settings, "add", "b@chat.example", password="").exit_code == 2
    assert "short" in user(settings, "add", "c@chat.example", password="1").stderr
    bad = user(settings, "add", "d@chat.example", "--read", "a*b", password="12345678")
    assert bad.exit_code == 2


def test_memory_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pushhub.toml"
    file.write_text('store = "memory://"\nxmpp_domains = ["chat.example"]\n')
    listed = user(str(file), "list")
    assert (listed.exit_code, "memory://" in listed.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("remove",), ("passwd",)], ids=lambda each: each[0])
@pytest.mark.parametrize("mechanism", ["PLAIN", "migrated"])
def test_the_sessions_of_the_account_end(
    arguments: tuple[str], mechanism: str, tmp_path: Path, redis_shelf: Shelf
) -> None:
    """On each node, also a session that another node began."""
    store = redis_shelf.url("valkey9")
    file = tmp_path / "pushhub.toml"
    file.write_text(f'store = "{store}"\nxmpp_domains = ["localhost"]\n')
    for name in ("juliet", "romeo"):
        assert user(str(file), "add", f"{name}@localhost", password=PASSWORD).exit_code == 0
    with ExitStack() as stack:
        node = serve(store=store, xmpp_domains=["localhost"])
        server = stack.enter_context(serve(store=store, xmpp_domains=["localhost"]))
        if mechanism == "migrated":
            with node as first:
                juliet = User.login(first.port, "juliet", PASSWORD, "balcony")
            juliet.port = server.port
        else:
            juliet = User.login(server.port, "juliet", PASSWORD, "balcony")
        romeo = User.login(server.port, "romeo", PASSWORD, "orchard")
        juliet.settle()
        password = "other words" if arguments == ("passwd",) else None
        assert user(str(file), *arguments, "juliet@localhost", password=password).exit_code == 0
        error = juliet.next(lambda e: e.name == "error", seconds=10)
        assert error.elements[0].name == "not-authorized"
        romeo.settle()
        if password:
            User.login(server.port, "juliet", password, "balcony").settle()
