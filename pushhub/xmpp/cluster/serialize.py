"""A session's state as JSON, for its migration to another node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.cursor import parse_cursor
from pushhub.log.grant import Basis, Grant, grant_from_claim
from pushhub.xml import parse
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.routing.session import DIRECTED_BYTES, XmppSession
from pushhub.xmpp.sasl import SaslIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.auth.revocation import Revocations
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import ClientStream


def dump_identity(identity: SaslIdentity | None) -> dict[str, Any] | None:
    """The authenticated identity, as JSON."""
    if identity is None:
        return None
    grant = identity.grant
    of = grant.credential
    return {
        "local": identity.local,
        "anonymous": identity.anonymous,
        "grant": grant.claim(),
        "subject": grant.subject,
        "expires": grant.expires,
        "of": None if of is None else [of.key, of.token_id, of.subject, of.issued],
        # Apart from the others, since older nodes read four.
        "account": "" if of is None else of.account,
        "basis": None if grant.basis is None else grant.basis.id,
    }


def load_identity(
    record: Any, revocations: Revocations, find_basis: Callable[[str], Basis | None]
) -> SaslIdentity | None:
    """The authenticated identity. Its grant has ended if its key is not configured here."""
    if record is None:
        return None
    credential = None
    # Nodes of an older version write neither `of` nor `basis`.
    if (of := record.get("of")) is not None:
        key, token_id, subject, issued = of
        credential = revocations.credential(
            key=key,
            token_id=token_id,
            subject=subject,
            issued=issued,
            account=record.get("account", ""),
        )
    basis = None
    if (id := record.get("basis")) is not None:
        basis = find_basis(id) or Basis(id, ended=True)
    grant: Grant = grant_from_claim(
        record["grant"], record["subject"], record["expires"], credential, basis
    )
    return SaslIdentity(record["local"], grant, record["anonymous"])


def dump_session(session: XmppSession, subscriptions: Mapping[str, str]) -> dict[str, Any]:
    """A session, as JSON. `subscriptions` are its positions in the channels that it subscribed
    to."""
    presence, received = session.presence, session.received
    position = session.user.state.position
    at = position.offset if position is not None else 0
    since = received.messages.start
    delivered = session.user.delivered_upto(session)
    return {
        "jid": session.jid.text,
        "presence": None if presence is None else presence.xml(),
        "priority": session.priority,
        # Nodes of an older version read this instead of `heard`.
        "since": at if since is None else since,
        "heard": received.dump(at),
        "brought": list(session.delivered_late),
        "at": at,
        "position": None if position is None else str(position),
        "direct": session.user.state.direct,
        "delivered": None if delivered is None else str(delivered),
        "carbons": session.carbons,
        "interested": session.interested,
        "wants_blocks": session.wants_blocklist,
        "directed": list(session.directed),
        "feeds": dict(subscriptions),
    }


def load_session(
    stream: ClientStream, user: LocalUser, jid: Jid, identity: SaslIdentity, record: Any
) -> XmppSession:
    """The session in a record, for its new local user."""
    session = XmppSession(stream, user, jid, identity)
    if record["presence"] is not None:
        session.presence = parse(record["presence"].encode(), own=True)
        session.presence_bytes = session.presence.weight
    session.priority = record["priority"]
    # Nodes of an older version write neither `heard` nor `brought`.
    if "heard" in record:
        session.received.load(record["heard"])
    elif session.receives_messages:
        session.received.messages.start = record["since"]
    # Nor do they write `position`, `direct` and `delivered`.
    if (delivered := record.get("delivered")) is not None:
        session.migrated_upto = parse_cursor(delivered)
    session.delivered_late = dict.fromkeys(record.get("brought", ()))
    session.carbons = record["carbons"]
    session.interested = record["interested"]
    session.wants_blocklist = record["wants_blocks"]
    session.directed = {text: parse_jid(text) for text in record["directed"]}
    session.directed_bytes = sum(DIRECTED_BYTES + len(text) for text in session.directed)
    return session
