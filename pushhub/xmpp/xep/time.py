"""Entity time (XEP-0202): the server's clock, in UTC."""

from __future__ import annotations

from pushhub.log.event import rfc3339
from pushhub.xml import Element
from pushhub.xmpp.model.extension import SERVER, Extension, Query
from pushhub.xmpp.model.namespaces import TIME
from pushhub.xmpp.model.stanza import leaf


def answer(query: Query) -> Element:
    now = rfc3339(int(query.server.hub.clock() * 1000))
    return Element("time", TIME, {}, (leaf("tzo", TIME, "+00:00"), leaf("utc", TIME, now)))


EXTENSION = Extension({(SERVER, "get", TIME, "time"): answer}, domain_features=(TIME,))
