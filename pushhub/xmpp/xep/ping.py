"""Ping (XEP-0199)."""

from __future__ import annotations

from pushhub.xmpp.model.extension import Extension, IqTarget, Query
from pushhub.xmpp.model.namespaces import PING


def answer(query: Query) -> None:
    """There is nothing in a pong."""


EXTENSION = Extension(
    {((IqTarget.DOMAIN, IqTarget.ACCOUNT, IqTarget.PUBSUB), "get", PING, "ping"): answer},
    domain_features=(PING,),
    account_features=(PING,),
)
