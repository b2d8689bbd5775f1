"""The log during an outage of the store: one line for each kind of failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pushhub.store.base import StoreUnavailable

if TYPE_CHECKING:
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
