"""The bytes that a session makes the server hold: each part, one session, and all of them."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from pushhub.bosh.condition import BindingError
from pushhub.bosh.keys import MAX_KEY
from pushhub.bosh.window import MAX_KEPT_BYTES, OpenRequest, Window
from pushhub.xml import parse
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.transport.session_memory import SMALL_BYTES, SessionMemory
from pushhub.xmpp.transport.stream import StreamState
from pushhub.xmpp.xep.pubsub.subscribers import MAX_GUEST_SUBSCRIPTIONS
from tests.memory import kept
from tests.waiting import until
from tests.xmpp.browser import Browser
from tests.xmpp.sasl.test_login import auth, connected, failed, strict
from tests.xmpp.world import condition

__all__ = ["strict"]

if TYPE_CHECKING:
    from tests.xmpp.world import World

# A stanza of nearly 256 KiB with as many elements as it may have.
BULKY = "<a><b/></a>" * 2400 + "x" * 200_000


async def test_a_presence_is_bounded(small: World) -> None:
    guest = await (await small.user()).available()
    guest.say(f"<presence xmlns='{ns.CLIENT}'><status>{'x' * 100_000}</status></presence>")
    assert condition(await guest.stanza("presence", type="error")) == "policy-violation"
    session = guest.stream.session
    assert session is not None
    assert session.held_bytes < 10_000


async def test_addresses_of_directed_presence_are_bounded(small: World) -> None:
    guest = await (await small.user()).available()
    for number in range(400):
        resource = f"{number:04d}" + "r" * 1000
        guest.say(f"<presence xmlns='{ns.CLIENT}' to='a@localhost/{resource}'/>")
        if number % 50 == 49:
            await guest.settled()
    session = guest.stream.session
    assert session is not None
    assert 200_000 < session.held_bytes < 300_000
    guest.say(f"<presence xmlns='{ns.CLIENT}' type='unavailable'/>")
    await guest.settled()
    assert session.held_bytes == 0


async def test_subscriptions_of_a_guest_are_bounded(small: World) -> None:
    guest = await small.user()
    refused = []
    for number in range(MAX_GUEST_SUBSCRIPTIONS + 2):
        jid = guest.jid if number % 2 else guest.bare
        inside = f"<subscribe node='n{number}' jid='{jid}'/>"
        answer = await guest.iq("set", f"<pubsub xmlns='{ns.PUBSUB}'>{inside}</pubsub>", SERVICE)
        if answer.get("type") == "error":
            refused.append(condition(answer))
    assert refused == ["policy-violation"] * 2


SERVICE = "pubsub.localhost"


async def test_waiting_stanzas_are_bounded(small: World) -> None:
    """While a stanza waits for the store, bodies of 256 KiB would wait in memory."""
    guest = await small.user()
    guest.stream.busy = True
    for number in range(40):
        guest.say(f"<iq xmlns='{ns.CLIENT}' id='{number}' type='get'><q xmlns='u'>{BULKY}</q></iq>")
        if guest.over:
            break
    assert await guest.ended() == "policy-violation"
    assert number < 10


async def test_data_of_a_login_is_bounded(strict: World) -> None:
    client = await connected(strict)
    first = "n,,n=juliet,r=" + "x" * 150_000
    assert await failed(client, auth("SCRAM-SHA-256", first.encode())) == "malformed-request"


def test_kept_responses_are_bounded() -> None:
    """A client that announced acknowledgements, and sends none."""
    window = Window(0, 20)
    for rid in range(1, 21):
        entry = OpenRequest(rid, object(), 0.0, 0, "", None)
        window.begin(entry)
        window.settle(entry, b"x" * 250_000, 0.0)
    assert window.kept_bytes <= MAX_KEPT_BYTES
    assert [entry.rid for entry in window.closed][-2:] == [19, 20]


async def test_a_key_is_bounded(small: World) -> None:
    browser = Browser(small, 0)
    with pytest.raises(BindingError):
        await browser._send(f"to='localhost' wait='10' hold='1' newkey='{'k' * (MAX_KEY + 1)}'")


async def test_a_session_with_too_many_bytes_ends(small: World) -> None:
    """Its client does not read. The count is exact again afterwards."""
    small.sessions[0].memory.limit = 300_000
    memory = small.sessions[0].memory
    browser = await Browser.login(small, "")
    other = await small.user()
    browser_jid = browser.jid
    for number in range(20):
        other.chat(browser_jid, f"{number}" + "x" * 40_000)
    await other.settled()
    stream = small.sessions[0].transports[browser.sid].stream
    await until(lambda: stream.state is StreamState.CLOSED)
    assert memory.total < 100_000
    assert (await browser.post("")).get("condition") == "remote-stream-error"
    assert memory.total == 0


def test_the_budget_ends_large_sessions_that_grow() -> None:
    memory = SessionMemory(1_000_000, 500_000)
    assert memory.change(0, 400_000)
    assert not memory.change(0, 200_000)
    assert memory.change(200_000, 150_000)
    assert memory.change(0, SMALL_BYTES)
    assert memory.is_full
    memory.change(400_000, 0)
    assert not memory.is_full


async def test_no_session_begins_beyond_the_budget(small: World) -> None:
    memory = small.sessions[0].memory
    memory.total = memory.budget
    browser = Browser(small, 0)
    with pytest.raises(BindingError, match="bytes"):
        await browser._send("to='localhost' wait='10' hold='1' ver='1.6'")
    memory.total = 0


@pytest.mark.slow
async def test_a_greedy_guest_in_memory(small: World) -> None:
    """All that a guest can do, measured: it was 2.6 to 4.5 MB."""
    for _ in range(2):  # The first fills the caches.
        tracemalloc.start()
        try:
            before = kept()
            guest = await (await small.user()).available()
            presence = f"<presence xmlns='{ns.CLIENT}'><x xmlns='u'>{'<a/>' * 90}</x></presence>"
            guest.say(presence)
            await guest.settled()
            for number in range(MAX_GUEST_SUBSCRIPTIONS):
                inside = f"<subscribe node='{number:050d}' jid='{guest.bare}'/>"
                asked = f"<pubsub xmlns='{ns.PUBSUB}'>{inside}</pubsub>"
                await guest.ask("set", asked, SERVICE)
            for number in range(1000):
                guest.say(f"<presence xmlns='{ns.CLIENT}' to='{number}@localhost/{'r' * 50}'/>")
                if number % 100 == 99:
                    await guest.settled()
            guest.seen.clear()
            session = guest.stream.session
            assert session is not None
            held, counted = kept() - before, guest.stream.held_bytes
            guest.leave()
            await small.server.settle()
        finally:
            tracemalloc.stop()
    assert held < 1_500_000
    assert counted > held / 5


def test_the_weight_of_an_element() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        element = parse(f"<q xmlns='u'>{BULKY}</q>".encode())
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held / 2 < element.weight < held * 2
