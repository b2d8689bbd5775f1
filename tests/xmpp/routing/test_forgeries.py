"""Forged elements of the server, and what a guest learns of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.doctor.finding import Severity
from pushhub.doctor.machine import xml_parser
from pushhub.xml import MAX_ATTRIBUTES, MAX_DEPTH, SAFE_EXPAT, XmlError, _Builder, parse
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.forgeries import without_forgeries
from pushhub.xmpp.model.jid import parse_jid
from tests.xmpp.routing.test_roster import couple
from tests.xmpp.world import condition

__all__ = ["couple"]

if TYPE_CHECKING:
    from tests.xmpp.world import Client, World

SENDER = parse_jid("mallory@localhost/m")
OWN = frozenset({"localhost", "pubsub.localhost"})
FORWARDED = f"<forwarded xmlns='{ns.FORWARD}'><message xmlns='jabber:client'/></forwarded>"

FORGED = [
    f"<stanza-id xmlns='{ns.STANZA_ID}' id='1' by='juliet@localhost'/>",
    f"<stanza-id xmlns='{ns.STANZA_ID}' id='1' by='localhost'/>",
    f"<stanza-id xmlns='{ns.STANZA_ID}' id='1' by='Juliet@LOCALHOST./x'/>",
    f"<stanza-id xmlns='{ns.STANZA_ID}' id='1'/>",
    f"<delay xmlns='{ns.DELAY}' from='localhost' stamp='2000-01-01T00:00:00Z'/>",
    f"<delay xmlns='{ns.DELAY}' from='juliet@localhost' stamp='2000-01-01T00:00:00Z'/>",
    f"<delay xmlns='{ns.DELAY}' stamp='2000-01-01T00:00:00Z'/>",
    "<x xmlns='jabber:x:delay' from='localhost' stamp='20000101T00:00:00'/>",
    f"<received xmlns='{ns.CARBONS}'>{FORWARDED}</received>",
    f"<sent xmlns='{ns.CARBONS}'>{FORWARDED}</sent>",
    f"<result xmlns='{ns.MAM}' id='1'>{FORWARDED}</result>",
    f"<fin xmlns='{ns.MAM}' complete='true'/>",
    f"<event xmlns='{ns.PUBSUB_EVENT}'><items node='news'><item id='1'/></items></event>",
]
HONEST = [
    f"<stanza-id xmlns='{ns.STANZA_ID}' id='1' by='room@elsewhere.example'/>",
    f"<origin-id xmlns='{ns.STANZA_ID}' id='1'/>",
    f"<delay xmlns='{ns.DELAY}' from='mallory@localhost/m' stamp='2000-01-01T00:00:00Z'/>",
    f"<private xmlns='{ns.CARBONS}'/>",
    f"<received xmlns='{ns.RECEIPTS}' id='1'/>",
    FORWARDED,
]


@pytest.mark.parametrize("name", ["message", "presence"])
@pytest.mark.parametrize("element", FORGED)
def test_forged_elements_are_removed(name: str, element: str) -> None:
    stanza = parse(f"<{name} xmlns='jabber:client'>{element}<a xmlns='b'/></{name}>".encode())
    assert [e.name for e in without_forgeries(stanza, SENDER, OWN).elements] == ["a"]


@pytest.mark.parametrize("element", HONEST)
def test_statements_of_the_sender_stay(element: str) -> None:
    stanza = parse(f"<message xmlns='jabber:client'>{element}</message>".encode())
    assert without_forgeries(stanza, SENDER, OWN) is stanza


@pytest.mark.parametrize("hint", ["", f"<no-store xmlns='{ns.HINTS}'/>"], ids=["kept", "passing"])
async def test_no_forgery_reaches_a_client(
    world: World, couple: tuple[Client, Client], hint: str
) -> None:
    romeo, juliet = couple
    romeo.chat(juliet.bare, "hello", more="".join(FORGED) + hint)
    message = await juliet.message("hello")
    names = [e.name for e in message.elements if e.namespace not in ("jabber:client", ns.HINTS)]
    # The only one is the archive's.
    assert names == ([] if hint else ["stanza-id"])


async def test_pushes_of_clients_are_refused(couple: tuple[Client, Client]) -> None:
    romeo, juliet = couple
    for payload in (
        f"<query xmlns='{ns.ROSTER}'><item jid='mallory@localhost' subscription='both'/></query>",
        f"<block xmlns='{ns.BLOCKING}'><item jid='nurse@localhost'/></block>",
    ):
        assert await romeo.refused("set", payload, juliet.jid) == "service-unavailable"
        await juliet.settled()
        assert not [e for e in juliet.seen if e.name == "iq" and e.get("from") == romeo.jid]


# -- guests --------------------------------------------------------------------

PROBES = [
    "<message xmlns='jabber:client' to='{to}' type='{kind}' id='p'><body>a</body></message>",
    "<message xmlns='jabber:client' to='{to}/x' type='{kind}' id='p'><body>a</body></message>",
    "<message xmlns='jabber:client' to='{to}' type='{kind}' id='p'><active xmlns='a'/></message>",
]
REQUESTS = [
    f"<vCard xmlns='{ns.VCARD}'/>",
    f"<query xmlns='{ns.DISCO_INFO}'/>",
    f"<query xmlns='{ns.DISCO_ITEMS}'/>",
    f"<query xmlns='{ns.ROSTER}'/>",
    f"<query xmlns='{ns.MAM}'/>",
    f"<query xmlns='{ns.PRIVATE}'><a xmlns='b'/></query>",
    f"<pubsub xmlns='{ns.PUBSUB}'><items node='a'/></pubsub>",
    "<query xmlns='jabber:iq:last'/>",
]


async def responses(guest: Client, to: str) -> list[str]:
    """The responses to all probes of an account."""
    seen = []
    for kind in ("normal", "chat", "headline", "groupchat"):
        for probe in PROBES:
            guest.seen.clear()
            guest.say(probe.format(to=to, kind=kind))
            await guest.settled()
            errors = [condition(e) for e in guest.seen if e.get("type") == "error"]
            seen.append(f"{kind} {probe[40:60]} {errors}")
    for payload in REQUESTS:
        for iq_kind in ("get", "set"):
            answer = await guest.iq(iq_kind, payload, to)
            seen.append(f"{iq_kind} {payload} {answer.get('type')} {condition(answer)}")
    for kind in ("probe", "subscribe", "unsubscribed", "unavailable"):
        guest.seen.clear()
        guest.say(f"<presence xmlns='jabber:client' to='{to}' type='{kind}'/>")
        await guest.settled()
        errors = [condition(e) for e in guest.seen if e.get("type") == "error"]
        seen.append(f"{kind} {errors}")
    return seen


async def test_a_guest_does_not_learn_who_exists(small: World) -> None:
    for name in ("juliet", "nurse", "romeo"):
        await small.account(name)
    juliet = await (await small.user("juliet")).available()
    await juliet.ask("set", f"<vCard xmlns='{ns.VCARD}'><FN>Juliet</FN></vCard>")
    nurse = await small.user("nurse")
    guest = await small.user()
    blocked = f"<block xmlns='{ns.BLOCKING}'><item jid='localhost'/></block>"
    unknown = await responses(guest, "nobody@localhost")
    assert await responses(guest, "juliet@localhost") == unknown
    assert await responses(guest, "romeo@localhost") == unknown
    await nurse.ask("set", blocked)
    assert await responses(guest, "nurse@localhost") == unknown


async def test_a_guest_still_reaches_an_account(small: World) -> None:
    await small.account("juliet")
    juliet = await (await small.user("juliet")).available()
    guest = await small.user()
    guest.chat("juliet@localhost", "help")
    await juliet.message("help")


# -- expat ---------------------------------------------------------------------


def test_limits_hold_without_expat() -> None:
    """The builder alone, with what an old expat might report."""
    deep = _Builder(10_000)
    for _ in range(MAX_DEPTH):
        deep.start("u}a", {})
    with pytest.raises(XmlError, match="deep"):
        deep.start("u}a", {})
    few = _Builder(1)
    few.start("u}a", {})
    with pytest.raises(XmlError, match="elements"):
        few.start("u}a", {})
    with pytest.raises(XmlError, match="attributes"):
        _Builder(10).start("a", {f"a{n}": "" for n in range(MAX_ATTRIBUTES + 1)})


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [("u}x}a", {}), ("a", {"u}><script>}b": "1"}), ("a", {"c": "1", "u}x}b": "1"})],
)
def test_a_separator_in_a_namespace(tag: str, attributes: dict[str, str]) -> None:
    """CVE-2022-25236: what is after it would be written as a name."""
    with pytest.raises(XmlError, match="braces"):
        _Builder(10).start(tag, attributes)


@pytest.mark.parametrize(
    "raw", [b"<a\xe4/>", b"<a>\xc0\xaf</a>", b"<a \xff='1'/>", b"<\xed\xa0\x80/>"]
)
def test_broken_utf_8(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2022-25235: it is refused before expat reads it."""
    monkeypatch.setattr("pushhub.xml.ParserCreate", None)
    with pytest.raises(XmlError, match="UTF-8"):
        parse(raw)


def test_the_doctor_looks_at_expat() -> None:
    assert xml_parser(SAFE_EXPAT).level is Severity.OK
    finding = xml_parser((2, 4, 0))
    assert finding.level is Severity.BAD
    assert "2.4.0" in finding.sentence
