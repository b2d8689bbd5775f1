"""The log during an outage of the store: one line for each kind of failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import structlog

from pushhub.bosh.body import parse
from pushhub.store.base import StoreUnavailable
from pushhub.xmpp.cluster.migration import migration_key
from pushhub.xmpp.storage.key_value import KeyValueStore
from tests.xmpp.browser import HTTPBIND, Browser, Call
from tests.xmpp.world import DOMAIN

if TYPE_CHECKING:
    from typing import Any

    import pytest

    from tests.xmpp.world import World


async def test_failed_tasks_are_two_log_lines(small: World) -> None:
    async def fail(number: int) -> None:
        raise StoreUnavailable(f"The store is away, {number}.")

    server = small.server
    with structlog.testing.capture_logs() as logs:
        for number in range(200):
            server.tasks.spawn(fail(number))
        await server.settle()
        server.hub.log.close()
    assert [(entry["event"], entry["count"]) for entry in logs] == [
        ("xmpp.store_failed", 1),
        ("xmpp.store_failed", 199),
    ]


async def test_failed_migrations_are_two_log_lines(small: World) -> None:
    """The store fails before the drain."""
    server, sessions = small.server, small.sessions[0]
    await server.hub.store.close()
    with structlog.testing.capture_logs() as logs:
        for number in range(100):
            await sessions._leave(f"sid{number}", b"{}")
        server.hub.log.close()
    assert [(entry["event"], entry["count"]) for entry in logs] == [
        ("bosh.lost", 1),
        ("bosh.lost", 99),
    ]


# -- an error that is none of the store's ----------------------------------------------------------


async def test_a_session_whose_state_no_node_can_resume_leaves_nothing(small: World) -> None:
    """As after a fault of this program; the client begins another session."""
    browser, sessions = await Browser.login(small, ""), small.sessions[0]
    (transport,) = sessions.transports.values()
    state = orjson.loads(transport.release() or b"")
    del sessions.transports[browser.sid]
    transport.stream.detach()
    held = sessions.memory.total
    state["stream"] = {"domain": DOMAIN}
    name = migration_key(browser.sid)
    await small.server.kv.set(name, orjson.dumps({"state": state}))
    with structlog.testing.capture_logs() as logs:
        raw, call = b"<body xmlns='%b' rid='2' sid='%b'/>", Call()
        raw %= HTTPBIND.encode(), browser.sid.encode()
        sessions._forwarding.send(parse(raw), raw, call)
        await small.server.settle()
    assert call.done.done(), "the request has no response"
    assert b"item-not-found" in call.done.result()[1]
    assert [entry["event"] for entry in logs] == ["xmpp.failed"]
    assert sessions.memory.total == held
    assert await small.server.kv.stored_json(name) is None


async def test_an_account_that_fails_keeps_no_other_from_its_marker(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada", "bob"):
        await small.account(name)
        await (await small.user(name)).available()
    users = small.server.users
    ada, bob = (user for user in users.by_jid.values() if not user.anonymous)
    ada.state.changed = bob.state.changed = True

    async def fail_once(kv: KeyValueStore, name: str, make: Any) -> Any:
        monkeypatch.undo()
        raise ValueError(name)

    monkeypatch.setattr(KeyValueStore, "update_json", fail_once)
    with structlog.testing.capture_logs() as logs:
        small.server.tasks.spawn(users._save_all([ada, bob]))
        await small.server.settle()
    assert [entry["event"] for entry in logs] == ["xmpp.failed"]
    assert not bob.state.changed
    assert ada.state.changed, "its marker is written the next time"
