"""Messages of one millisecond have increasing stamps, the same in every result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.store.base import Append, append
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.storage.archive import archive_channel
from pushhub.xmpp.xep.mam import _time
from tests.xmpp.world import body

if TYPE_CHECKING:
    from pushhub.xml import Element
    from tests.xmpp.world import Client, World

# More than one read of the archive's search, and more than `Stamps` reads back first.
COUNT = 130


def stamp_of(element: Element) -> str:
    delay = element.find("delay", ns.DELAY)
    assert delay is not None
    return delay.get("stamp") or ""


async def searched(client: Client, fields: str = "", page: str = "") -> dict[str, str]:
    """The stamps of the messages in a result, by text and in the result's order."""
    form = f"<x xmlns='{ns.DATA}' type='submit'>{fields}</x>"
    rsm = f"<set xmlns='{ns.RSM}'>{page}</set>"
    await client.ask("set", f"<query xmlns='{ns.MAM}'>{form}{rsm}</query>")
    found = {}
    for message in [e for e in client.seen if e.find("result", ns.MAM) is not None]:
        client.seen.remove(message)
        forwarded = message.elements[0].elements[0]
        found[body(forwarded.elements[-1]) or ""] = stamp_of(forwarded)
    return found


def field(name: str, value: str) -> str:
    return f"<field var='{name}'><value>{value}</value></field>"


async def test_simultaneous_messages_have_increasing_stamps(world: World) -> None:
    await world.account("romeo")
    await world.account("juliet")
    # A contact, since strangers may fill a part of the archive only.
    reader = await world.user("juliet")
    contact = f"<query xmlns='{ns.ROSTER}'><item jid='romeo@localhost'/></query>"
    await reader.ask("set", contact)
    reader.leave()
    romeo = await world.user("romeo")
    texts = [str(number) for number in range(COUNT)]
    for text in texts:
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    juliet = await (await world.user("juliet", "balcony")).available()
    late = [e for e in juliet.seen if e.name == "message"]
    stamps = [stamp_of(e) for e in late]
    assert [body(e) for e in late] == texts
    times = [_time(stamp) for stamp in stamps]
    assert times == sorted(set(times)), "each is a millisecond later, at least"
    # The archive has the same stamps, in pages of any size and direction, and with any filter.
    expected = dict(zip(texts, stamps, strict=True))
    ids = [_id(e) for e in late]
    for most in (7, 100, 250):
        found: dict[str, str] = {}
        while len(found) < COUNT:
            after = f"<after>{ids[len(found) - 1]}</after>" if found else ""
            found |= await searched(juliet, page=f"<max>{most}</max>{after}")
        assert found == expected
    assert (
        list((await searched(juliet, page="<max>9</max><before/>")).items())
        == list(expected.items())[-9:]
    )
    for at in (0, 1, 57, COUNT - 1):
        assert (
            list(await searched(juliet, field("start", stamps[at]), "<max>250</max>"))
            == (texts[at:])
        )
        assert (
            list(await searched(juliet, field("end", stamps[at]), "<max>250</max>"))
            == (texts[: at + 1])
        )
        assert await searched(juliet, field("ids", ids[at])) == {texts[at]: stamps[at]}


def _id(message: Element) -> str:
    (found,) = message.every("stanza-id", ns.STANZA_ID)
    return found.get("id") or ""


async def test_stamps_equal_the_clock_again_after_a_pause(small: World) -> None:
    await small.account("juliet")
    store = small.server.hub.store
    name = archive_channel("juliet@localhost")
    draft = Draft(b"<message xmlns='jabber:client'><body>x</body></message>", type="in chat a@b ")
    await append(store, *[Append(name, draft) for _ in range(50)])
    juliet = await small.user("juliet")
    events = (await store.read(name, Start.EARLIEST, 1)).events  # type: ignore[union-attr]
    first = events[0].time
    small.clock.advance(2)
    await append(store, Append(name, draft))
    answer = await juliet.ask("get", f"<metadata xmlns='{ns.MAM}'/>")
    start, end = answer.elements[0].elements
    assert _time(start.get("timestamp") or "") == first
    assert _time(end.get("timestamp") or "") == first + 2000
