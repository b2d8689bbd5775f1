"""Rosters (RFC 6121 §2): whom an account knows, and who may see whose presence.

A roster is a register. Its entries also hold what a client is not shown: requests that nobody has
answered yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pushhub.xml import Element, parse
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import CLIENT, ROSTER
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.storage.key_value import register_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.storage.key_value import KeyValueStore

# Prosody's `max_name_len` and `max_group_len` of rosters, and more groups than anybody has.
MAX_NAME = 1023
MAX_GROUPS = 50


@dataclass(frozen=True, slots=True)
class RosterItem:
    """What an account knows of another. `to`: it sees the other's presence; `of` the other way
    round, which the RFC calls `from`."""

    name: str = ""
    groups: tuple[str, ...] = ()
    to: bool = False
    of: bool = False
    ask: bool = False
    """A request of ours that is not answered."""
    wanted: str = ""
    """A request of theirs that is not answered: the presence, as XML."""
    listed: bool = True
    """Whether it is in the roster that clients see, and not only a request of theirs."""

    @property
    def subscription(self) -> str:
        """The word of RFC 6121 §2.1.2.5."""
        return {(0, 0): "none", (1, 0): "to", (0, 1): "from", (1, 1): "both"}[self.to, self.of]

    def item(self, bare: str) -> Element:
        """The entry as a client sees it."""
        attributes = {"jid": bare, "subscription": self.subscription}
        if self.name:
            attributes["name"] = self.name
        if self.ask:
            attributes["ask"] = "subscribe"
        groups = tuple(leaf("group", ROSTER, group) for group in self.groups)
        return Element("item", ROSTER, attributes, groups)


@dataclass(slots=True)
class Roster:
    """An account's entries by bare address, and the version of what clients see."""

    entries: dict[str, RosterItem] = field(default_factory=dict)
    version: int = 0

    def get(self, bare: str) -> RosterItem:
        """The entry of an address; one that says nothing if there is none."""
        return self.entries.get(bare) or RosterItem(listed=False)

    @property
    def listed(self) -> dict[str, RosterItem]:
        """What clients see."""
        return {bare: entry for bare, entry in self.entries.items() if entry.listed}


class Rosters:
    """The rosters of all accounts.

    Args:
        most: how many entries a roster may have.
    """

    def __init__(self, registers: KeyValueStore, nodes: Membership, most: int) -> None:
        self._registers = registers
        self._nodes = nodes
        self._most = most
        nodes.on("roster", _push)

    async def get(self, bare: str) -> Roster:
        """An account's roster.

        Raises:
            StoreError: the store cannot be read now.
        """
        return _roster(await self._registers.json(_register(bare)))

    async def change(
        self, bare: str, other: str, make: Callable[[RosterItem], RosterItem | None]
    ) -> tuple[RosterItem, RosterItem | None]:
        """Replace the entry of `other` by what `make` makes of it, None to remove it; return it as
        it was, and as it is. The account's sessions are told.

        Raises:
            StanzaError: the roster is full.
            StoreError: the store cannot be written now.
        """
        before = RosterItem()
        after: RosterItem | None = None

        def remake(record: Any) -> Any:
            nonlocal before, after
            roster = _roster(record)
            before = roster.get(other)
            after = make(before)
            if after == before or (after is None and other not in roster.entries):
                return None
            if after is None:
                del roster.entries[other]
            else:
                if other not in roster.entries and len(roster.entries) >= self._most:
                    text = f"A roster has at most {self._most} contacts."
                    raise StanzaError("resource-constraint", text)
                roster.entries[other] = after
            roster.version += 1
            return _record(roster)

        record = await self._registers.change_json(_register(bare), remake)
        shown = after if after is not None and after.listed else None
        if before != after and (shown is not None or before.listed):
            if shown is not None:
                item = shown.item(other)
            else:
                item = leaf("item", ROSTER, jid=other, subscription="remove")
            version = record["version"] if record else 0
            query = Element("query", ROSTER, {"ver": str(version)}, (item,))
            await self._nodes.notify(bare, "roster", query=query.xml())
        return before, after


def _push(home: LocalUser, data: Mapping[str, str]) -> None:
    """Tell the sessions that have asked for the roster of a change (RFC 6121 §2.1.6)."""
    query = parse(data["query"].encode())
    for session in list(home.sessions.values()):
        if session.interested:
            attributes = {"type": "set", "id": home.server.draw_id(), "to": session.jid.text}
            session.send(Element("iq", CLIENT, attributes, (query,)))


def read_item(query: Element) -> tuple[str, bool, str, tuple[str, ...]]:
    """What a client wants to set: whose entry, whether to remove it, name and groups.

    Raises:
        StanzaError: RFC 6121 §2.3.3 names what is wrong.
    """
    items = list(query.every("item"))
    if len(items) != 1:
        raise StanzaError("bad-request", "A roster is changed one item at a time.")
    item = items[0]
    try:
        bare = parse_jid(item.get("jid") or "").bare
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from None
    groups = tuple(group.text for group in item.every("group"))
    name = item.get("name") or ""
    if len(set(groups)) < len(groups):
        raise StanzaError("bad-request", "A contact is in a group once.")
    if any(not group or len(group) > MAX_NAME for group in groups) or len(name) > MAX_NAME:
        raise StanzaError("not-acceptable", f"Names and groups have 1 to {MAX_NAME} characters.")
    if len(groups) > MAX_GROUPS:
        raise StanzaError("not-acceptable", f"A contact is in at most {MAX_GROUPS} groups.")
    return bare, item.get("subscription") == "remove", name, groups


def named(entry: RosterItem, name: str, groups: tuple[str, ...]) -> RosterItem:
    """An entry with another name and other groups, and to be seen."""
    return replace(entry, name=name, groups=groups, listed=True)


def _register(bare: str) -> str:
    return register_name("roster", bare)


def _roster(record: Any) -> Roster:
    if record is None:
        return Roster()
    entries = {
        bare: RosterItem(
            item.get("name", ""),
            tuple(item.get("groups", ())),
            item.get("to", False),
            item.get("of", False),
            item.get("ask", False),
            item.get("wanted", ""),
            item.get("listed", True),
        )
        for bare, item in record["entries"].items()
    }
    return Roster(entries, record["version"])


_USUAL = RosterItem()


def _record(roster: Roster) -> dict[str, Any]:
    entries = {
        bare: {
            name: value
            for name in RosterItem.__dataclass_fields__
            if (value := getattr(entry, name)) != getattr(_USUAL, name)
        }
        for bare, entry in roster.entries.items()
    }
    return {"version": roster.version, "entries": entries}
