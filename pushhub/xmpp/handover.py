"""A session's state, as one node leaves it and another takes it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.protocol.cursor import parse_cursor
from pushhub.protocol.grant import Grant, grant_from_claim
from pushhub.protocol.xml import parse
from pushhub.xmpp.jid import parse_jid
from pushhub.xmpp.sasl import Identity
from pushhub.xmpp.session import Session

if TYPE_CHECKING:
    from pushhub.xmpp.home import Home
    from pushhub.xmpp.jid import Jid
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.stream import Stream


def dump_identity(identity: Identity | None) -> dict[str, Any] | None:
    """Who has logged in, as JSON takes it."""
    if identity is None:
        return None
    grant = identity.grant
    return {
        "local": identity.local,
        "anonymous": identity.anonymous,
        "grant": grant.claim(),
        "subject": grant.subject,
        "expires": grant.expires,
    }


def load_identity(record: Any) -> Identity | None:
    """Who has logged in."""
    if record is None:
        return None
    grant: Grant = grant_from_claim(record["grant"], record["subject"], record["expires"])
    return Identity(record["local"], grant, record["anonymous"])


def dump_session(session: Session | None) -> dict[str, Any] | None:
    """A session, as JSON takes it."""
    if session is None:
        return None
    presence, heard = session.presence, session.heard
    at = session.home.delivered.offset if session.home.delivered is not None else 0
    since = heard.messages.start
    return {
        "jid": session.jid.text,
        "presence": None if presence is None else presence.xml(),
        "priority": session.priority,
        # A node of an older version reads this, and not `heard`.
        "since": at if since is None else since,
        "heard": heard.dump(at),
        "brought": list(session.brought),
        "at": at,
        "carbons": session.carbons,
        "interested": session.interested,
        "wants_blocks": session.wants_blocks,
        "directed": list(session.directed),
        "feeds": session.server.feeds.positions(session.jid.text),
    }


def load_session(
    server: Server, stream: Stream, home: Home, jid: Jid, identity: Identity, record: Any
) -> Session:
    """A session that was dumped, of the home that it now has."""
    session = Session(server, stream, home, jid, identity)
    if record["presence"] is not None:
        session.presence = parse(record["presence"].encode())
    session.priority = record["priority"]
    # A node of an older version writes neither `heard` nor `brought`.
    if "heard" in record:
        session.heard.load(record["heard"])
    elif session.takes_messages:
        session.heard.messages.start = record["since"]
    session.brought = dict.fromkeys(record.get("brought", ()))
    session.carbons = record["carbons"]
    session.interested = record["interested"]
    session.wants_blocks = record["wants_blocks"]
    session.directed = {text: parse_jid(text) for text in record["directed"]}
    return session


async def resume_feeds(session: Session, record: Any) -> None:
    """Follow channels from where the session stood.

    Raises:
        StoreError: the store cannot be read now.
    """
    for channel, at in record["feeds"].items():
        feeds, jid = session.server.feeds, session.jid
        await feeds.follow(session.home, jid.text, channel, parse_cursor(at))
