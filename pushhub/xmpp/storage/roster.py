"""Rosters (RFC 6121 §2): the contacts of an account, and the subscriptions to presence.

Each roster is one value. Its entries also hold data that clients do not see: subscription requests
without a reply.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pushhub.xml import Element
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import ROSTER
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.xmpp.storage.key_value import KeyValueStore

# Prosody's `max_name_len` and `max_group_len` of rosters, and more groups than any user has.
MAX_NAME = 1023
MAX_GROUPS = 50
# Requests of accounts that are no contacts, 2 kB each: they must leave room for contacts in the
# 256 KiB of the value. The oldest are forgotten, and their senders may ask again.
MAX_REQUESTS = 50


@dataclass(frozen=True, slots=True)
class RosterItem:
    """A contact of an account. `to`: the account sees the contact's presence; `of`: the contact
    sees the account's presence, which the RFC calls `from`."""

    name: str = ""
    groups: tuple[str, ...] = ()
    to: bool = False
    of: bool = False
    ask: bool = False
    """Whether the account's own request has no reply yet."""
    wanted: str = ""
    """The contact's request without a reply: its presence stanza, as XML."""
    listed: bool = True
    """Whether clients see the entry; false for an entry that only holds the contact's request."""

    @property
    def subscription(self) -> str:
        """The state's name in RFC 6121 §2.1.2.5."""
        return {(0, 0): "none", (1, 0): "to", (0, 1): "from", (1, 1): "both"}[self.to, self.of]

    def item(self, bare: str) -> Element:
        """The entry as clients see it."""
        attributes = {"jid": bare, "subscription": self.subscription}
        if self.name:
            attributes["name"] = self.name
        if self.ask:
            attributes["ask"] = "subscribe"
        groups = tuple(leaf("group", ROSTER, group) for group in self.groups)
        return Element("item", ROSTER, attributes, groups)


@dataclass(slots=True)
class Roster:
    """An account's entries by bare address, and the version of the part that clients see."""

    entries: dict[str, RosterItem] = field(default_factory=dict)
    version: int = 0

    def get(self, bare: str) -> RosterItem:
        """The entry of an address; an empty one for an unknown address."""
        return self.entries.get(bare) or RosterItem(listed=False)

    @property
    def listed(self) -> dict[str, RosterItem]:
        """The entries that clients see."""
        return {bare: entry for bare, entry in self.entries.items() if entry.listed}


class Notify(Protocol):
    """Sends a notice to an account's sessions on all nodes."""

    def __call__(self, bare: str, kind: str, **data: str) -> Coroutine[None, None, None]: ...


class Rosters:
    """The rosters of all accounts.

    Args:
        notify: notifies an account's sessions of a change.
        max_contacts: the largest number of contacts in one roster.
    """

    def __init__(self, kv: KeyValueStore, notify: Notify, max_contacts: int) -> None:
        self._kv = kv
        self._notify = notify
        self._max_contacts = max_contacts

    async def get(self, bare: str) -> Roster:
        """An account's roster.

        Raises:
            StoreError: the store cannot be read.
        """
        return _roster(await self._kv.json(roster_key(bare)))

    async def update(
        self, bare: str, other: str, make: Callable[[RosterItem], RosterItem | None]
    ) -> tuple[RosterItem, RosterItem | None]:
        """Replace the entry of `other` by the result of `make`, or remove it for None; return the
        old and the new entry. The account's sessions get a roster push.

        Raises:
            StanzaError: the roster is full.
            StoreError: the store cannot be written.
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
                count = len(roster.listed)
                is_new = after.listed and not before.listed
                if is_new and count >= self._max_contacts:
                    text = f"A roster has at most {self._max_contacts} contacts."
                    raise StanzaError("resource-constraint", text)
                roster.entries[other] = after
                if not after.listed:
                    _drop_oldest_requests(roster.entries)
            roster.version += 1
            return _record(roster)

        record = await self._kv.update_json(roster_key(bare), remake)
        shown = after if after is not None and after.listed else None
        if before != after and (shown is not None or before.listed):
            if shown is not None:
                item = shown.item(other)
            else:
                item = leaf("item", ROSTER, jid=other, subscription="remove")
            version = record["version"] if record else 0
            query = Element("query", ROSTER, {"ver": str(version)}, (item,))
            await self._notify(bare, "roster", query=query.xml())
        return before, after


def _drop_oldest_requests(entries: dict[str, RosterItem]) -> None:
    requests = [bare for bare, entry in entries.items() if not entry.listed]
    for bare in requests[:-MAX_REQUESTS]:
        del entries[bare]


def read_item(query: Element) -> tuple[str, bool, str, tuple[str, ...]]:
    """A client's roster change: the contact, whether to remove it, its name and groups.

    Raises:
        StanzaError: RFC 6121 §2.3.3 names the error.
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


def renamed(entry: RosterItem, name: str, groups: tuple[str, ...]) -> RosterItem:
    """An entry with another name and other groups, visible to clients."""
    return replace(entry, name=name, groups=groups, listed=True)


def roster_key(bare: str) -> str:
    """The key of an account's roster."""
    return internal_name("roster", bare)


def contacts_of(record: Any) -> frozenset[str]:
    """The addresses of a stored roster that clients see: its contacts."""
    return frozenset(bare for bare, item in record["entries"].items() if item.get("listed", True))


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


_DEFAULT = RosterItem()


def _record(roster: Roster) -> dict[str, Any]:
    entries = {
        bare: {
            name: value
            for name in RosterItem.__dataclass_fields__
            if (value := getattr(entry, name)) != getattr(_DEFAULT, name)
        }
        for bare, entry in roster.entries.items()
    }
    return {"version": roster.version, "entries": entries}
