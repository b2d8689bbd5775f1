"""RFC 6121 §8.5 as a table: what a server does with each type of message to each form of address,
in each state of the account. It is played against a real server over BOSH.

    error       the sender gets `service-unavailable`
    ignored     nobody gets anything
    stored      the account's next client gets the message
    a name      the session with that resource gets the message; several: each of them
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pushhub.xmpp.model import namespaces as ns
from tests.peers.bosh_user import DOMAIN, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.xml import Element

TYPES = ("normal", "chat", "groupchat", "headline", "error")
FORMS = ("bare", "full", "other")  # "other" is a full address without a session

# The states of an account, and the sessions that it has then, with what each sends as presence.
NONE = ""
AVAILABLE = "<presence xmlns='jabber:client'/>"
NEGATIVE = "<presence xmlns='jabber:client'><priority>-1</priority></presence>"
STATES: dict[str, dict[str, str]] = {
    "absent": {},  # there is no such account
    "offline": {},
    "connected": {"a": NONE},
    "negative": {"a": NEGATIVE},
    "one": {"a": AVAILABLE},
    "both": {"a": AVAILABLE, "b": AVAILABLE, "n": NEGATIVE},
}

Case = tuple[str, str, str]
"""State, form of the address, type of the message."""

# What RFC 6121 allows. The first is what pushhub does.
_ROWS = """
state      form   normal           chat    groupchat  headline  error
absent     bare   error/ignored    =       =          =         ignored
absent     other  error/ignored    =       =          =         ignored
offline    bare   stored/error     =       error      ignored   ignored
offline    other  error/ignored    stored/error  error/ignored  ignored/error  ignored
connected  bare   stored/error     =       error      ignored   ignored
connected  full   a                =       =          =         =
connected  other  error/ignored    stored/error  error/ignored  ignored/error  ignored
negative   bare   stored/error     =       error      ignored   ignored
negative   full   a                =       =          =         =
negative   other  error/ignored    stored/error  error/ignored  ignored/error  ignored
one        bare   a                =       error      a         ignored
one        full   a                =       =          =         =
one        other  error/ignored    a       error/ignored  ignored/error  ignored
both       bare   a+b/a/b          =       error      a+b       ignored
both       full   a                =       =          =         =
both       other  error/ignored    a+b/a/b error/ignored  ignored/error  ignored
"""

# Where Prosody 0.12 does otherwise than the RFC: a full address without a session is treated as
# the bare one, whatever the type.
PROSODY: dict[Case, str] = {
    ("offline", "other", "normal"): "stored",
    ("connected", "other", "normal"): "stored",
    ("negative", "other", "normal"): "stored",
    ("one", "other", "normal"): "a",
    ("both", "other", "normal"): "a+b",
}


def _table() -> dict[Case, tuple[str, ...]]:
    table: dict[Case, tuple[str, ...]] = {}
    for line in _ROWS.strip().splitlines()[1:]:
        state, form, *cells = line.split()
        for kind, cell in zip(TYPES, cells, strict=True):
            said = table[state, form, TYPES[0]] if cell == "=" else tuple(cell.split("/"))
            table[state, form, kind] = said
    return table


TABLE = _table()


def played(login: Callable[[str, str], User]) -> dict[Case, str]:
    """What a server does in each case. `login` begins a session of an account; the accounts of the
    states are there, but for `absent`, and one that is called `sender`."""
    sender = login("sender", "s")
    sender.exchange(AVAILABLE)
    sender.settle()
    sessions = {
        state: {resource: _session(login, state, resource, has) for resource, has in those.items()}
        for state, those in STATES.items()
    }
    texts = {f"text {number}": case for number, case in enumerate(TABLE)}
    messages = []
    for text, (state, form, kind) in texts.items():
        resource = {"bare": "", "full": "/a", "other": "/elsewhere"}[form]
        messages.append(
            f"<message xmlns='jabber:client' to='{state}@{DOMAIN}{resource}' type='{kind}'"
            f" id='{text}'><body>{text}</body></message>"
        )
    sender.exchange("".join(messages))
    refused = {e.get("id") for e in sender.settle() if e.get("type") == "error"}
    came: dict[str, list[str]] = {text: [] for text in texts}
    for state, those in sessions.items():
        for resource, user in those.items():
            for text in _texts(user.settle()):
                assert texts[text][0] == state
                came[text].append(resource)
    for state, those in sessions.items():
        if state != "absent":
            late = login(state, "late")
            late.exchange(AVAILABLE)
            for text in _texts(late.settle()):
                came[text].append("stored")
        for user in those.values():
            user.leave()
    told = {}
    for text, case in texts.items():
        said = ["error"] if text in refused else []
        told[case] = "+".join([*said, *sorted(came[text])]) or "ignored"
    sender.leave()
    return told


def _session(login: Callable[[str, str], User], state: str, resource: str, presence: str) -> User:
    user = login(state, resource)
    if presence:
        user.exchange(presence)
    user.settle()
    return user


def _texts(stanzas: list[Element]) -> list[str]:
    found = []
    for stanza in stanzas:
        body = stanza.find("body", ns.CLIENT)
        if stanza.name == "message" and body is not None:
            found.append(body.text)
    return found


def accounts() -> list[str]:
    """The accounts that are needed."""
    return [*itertools.filterfalse("absent".__eq__, STATES), "sender"]
