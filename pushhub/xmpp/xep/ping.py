"""Ping (XEP-0199)."""

from __future__ import annotations

from pushhub.xmpp.model.namespaces import PING
from pushhub.xmpp.routing.extension import Extension, IqRequest, IqTarget


def respond(request: IqRequest) -> None:
    """Return no payload: a pong is an empty result."""


EXTENSION = Extension(
    {((IqTarget.DOMAIN, IqTarget.ACCOUNT, IqTarget.PUBSUB), "get", PING, "ping"): respond},
    domain_features=(PING,),
    account_features=(PING,),
)
