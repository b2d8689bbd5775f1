"""The checks on messages: what counts as received, and what does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.testing.simulation.actors.archive import copies
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.messages import Sent
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import World
from pushhub.xml import parse
from pushhub.xmpp.storage.archive import ArchivedMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

SENDER, ACCOUNT = "ada@example.com", "bob@example.com"


@pytest.fixture
def world() -> Iterator[World]:
    loop = SimulatedLoop()
    yield World(loop, Plan(1, 2, True, True, (), ()))
    loop.close()


def sent(world: World) -> str:
    """A message, accepted long ago, that no client has received."""
    world.messages.send(Sent("m1", "ada.1", 1, SENDER, ACCOUNT, world.now()))
    world.messages.accept("m1")
    world.loop.run_until_complete(asyncio.sleep(600.0))
    return "m1"


@pytest.mark.parametrize(("way", "is_received"), [("", False), ("message", True), ("copy", True)])
def test_an_account_has_received_a_message(world: World, way: str, is_received: bool) -> None:
    """A carbon copy counts: a client shows it as it shows the message (XEP-0280 §7)."""
    id = sent(world)
    if way == "message":
        world.messages.receive("bob", "bob.1", ACCOUNT, id, late=False)
    elif way == "copy":
        world.messages.copy("bob", "bob.1", ACCOUNT, id, "received")
    world.messages.check_account("bob", ACCOUNT, {id})
    assert [finding.kind for finding in world.oracle.findings] == ([] if is_received else ["lost"])


def test_a_copy_of_an_own_message_is_none_of_a_received_one(world: World) -> None:
    id = sent(world)
    world.messages.copy("ada", "ada.2", SENDER, id, "sent")
    world.messages.check_account("bob", ACCOUNT, {id})
    assert [finding.kind for finding in world.oracle.findings] == ["lost"]


def test_a_message_and_its_copy_are_one_too_many(world: World) -> None:
    id = sent(world)
    world.messages.receive("bob", "bob.1", ACCOUNT, id, late=False)
    world.messages.copy("bob", "bob.1", ACCOUNT, id, "received")
    assert [finding.kind for finding in world.oracle.findings] == ["twice"]


@pytest.mark.parametrize("direction", ["sent", "received"])
def test_a_client_reads_copies(direction: str) -> None:
    payload = b"<message xmlns='jabber:client' type='chat' id='m1'><body>x</body></message>"
    message = ArchivedMessage(payload, False, True, "chat", SENDER, "")
    carbon = message.carbon(direction, payload, ACCOUNT, f"{ACCOUNT}/desk")
    assert list(copies(parse(carbon))) == [(direction, "m1", False)]
    assert list(copies(parse(payload))) == []
