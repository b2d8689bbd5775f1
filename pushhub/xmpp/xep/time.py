"""Entity time (XEP-0202): the server's clock, in UTC."""

from __future__ import annotations

from pushhub.log.event import rfc3339
from pushhub.xml import Element
from pushhub.xmpp.model.namespaces import TIME
from pushhub.xmpp.model.stanza import leaf
from pushhub.xmpp.routing.extension import SERVER, Extension, IqRequest


def respond(request: IqRequest) -> Element:
    now = rfc3339(int(request.context.hub.clock() * 1000))
    return Element("time", TIME, {}, (leaf("tzo", TIME, "+00:00"), leaf("utc", TIME, now)))


EXTENSION = Extension({(SERVER, "get", TIME, "time"): respond}, domain_features=(TIME,))
