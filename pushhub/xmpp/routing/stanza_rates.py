"""How fast clients may send stanzas: each account in all, and each sender to one receiver.

An account that sends too fast is read more slowly, as by the shapers of ejabberd and Prosody: its
stanzas wait. A pair of sender and receiver gets an error, since other stanzas of the same client
must not wait for one receiver.
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING

from pushhub.auth.rate_limit import MAX_ADDRESSES, Rate, RateLimit
from pushhub.xmpp.model.stanza import StanzaError, may_fail

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession

# Seconds of a rate that a client may send at once: a client's start, or the end of an outage.
BURST_SECONDS = 10.0


def _rate(tokens: float) -> Rate:
    return Rate.per_second(tokens, max(1.0, BURST_SECONDS * tokens))


class StanzaRates:
    """The rates of one node's clients."""

    __slots__ = ("_accounts", "_context", "_pairs", "refused")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._accounts = _rate(context.policy.xmpp_stanza_rate)
        self._pairs = RateLimit(_rate(context.policy.xmpp_pair_rate), MAX_ADDRESSES)
        self.refused = 0
        """Stanzas that were refused since the start."""

    def wait(self, user: LocalUser) -> float:
        """Seconds until the account may send its next stanza; 0 takes it now."""
        decision = self._accounts.decide(user.stanzas_until, self._context.hub.now())
        if decision.allowed:
            user.stanzas_until = decision.tat
        return decision.wait

    def check_pair(self, session: XmppSession, stanza: Element, to: Jid) -> None:
        """Return if the sender may send a stanza to the receiver now. Responses are not counted.

        Raises:
            StanzaError: policy-violation, to try again later.
        """
        if not to.local or to.bare == session.jid.bare or not may_fail(stanza):
            return
        sender = session.jid.bare
        if session.user.anonymous:
            # A guest gets a new address with each login. Behind a proxy that names no clients, all
            # guests would be one sender.
            sender = self._context.counted_network(session.stream.client) or sender
        # Addresses may have 2 kB; a digest has the size that `KEY_BYTES` allows.
        key = blake2b(f"{sender}\0{to.bare}".encode(), digest_size=16).hexdigest()
        decision = self._pairs.admit(key, self._context.hub.now())
        if not decision.allowed:
            self.refused += 1
            text = f"Too many stanzas for one receiver; wait {ceil(decision.wait)} s."
            raise StanzaError("policy-violation", text, type="wait")

    def __repr__(self) -> str:
        return f"<StanzaRates {self._pairs!r}>"
