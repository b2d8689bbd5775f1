"""Two users exchange messages, with one client or more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xmpp.model import namespaces as ns
from tests.xmpp.world import body, condition

if TYPE_CHECKING:
    from tests.xmpp.world import World


async def test_two_anonymous_sessions_exchange_messages(world: World) -> None:
    romeo, juliet = await world.user(""), await world.user("")
    romeo.chat(juliet.jid, "Art thou not Romeo?")
    message = await juliet.message("Art thou not Romeo?")
    assert message.get("from") == romeo.jid
    assert message.get("type") == "chat"


async def test_two_accounts_exchange_messages(world: World) -> None:
    for name in ("romeo", "juliet"):
        await world.account(name)
    romeo, juliet = await world.user("romeo", "orchard"), await world.user("juliet", "balcony")
    assert romeo.jid == "romeo@localhost/orchard"
    romeo.chat("juliet@localhost/balcony", "one")
    await juliet.available()
    romeo.chat("juliet@localhost", "two")
    for text in ("one", "two"):
        message = await juliet.message(text)
        assert message.get("from") == romeo.jid
        ids = message.find("stanza-id", ns.STANZA_ID)
        assert ids is not None
        assert ids.get("by") == "juliet@localhost"


async def test_messages_keep_their_order(world: World) -> None:
    for name in ("romeo", "juliet"):
        await world.account(name)
    romeo, juliet = await world.user("romeo"), await world.user("juliet")
    await juliet.available()
    for number in range(50):
        romeo.chat(juliet.jid, str(number))
    await juliet.message("49")
    assert [body(m) for m in juliet.seen if m.name == "message"] == [str(n) for n in range(49)]


async def test_a_message_to_an_unknown_session_is_an_error(world: World) -> None:
    await world.account("romeo")
    romeo = await world.user("romeo")
    romeo.chat("nobody@localhost", "hello?")
    assert condition(await romeo.stanza("message")) == "service-unavailable"
    romeo.chat("juliet@example.com", "hello?")
    assert condition(await romeo.stanza("message")) == "remote-server-not-found"
