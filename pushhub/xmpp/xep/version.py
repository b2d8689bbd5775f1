"""Software version (XEP-0092), without the operating system: privacy."""

from __future__ import annotations

from pushhub import __version__
from pushhub.xml import Element
from pushhub.xmpp.model.namespaces import VERSION
from pushhub.xmpp.model.stanza import leaf
from pushhub.xmpp.routing.extension import SERVER, Extension, IqRequest


def respond(request: IqRequest) -> Element:
    name, version = leaf("name", VERSION, "pushhub"), leaf("version", VERSION, __version__)
    return Element("query", VERSION, {}, (name, version))


EXTENSION = Extension({(SERVER, "get", VERSION, "query"): respond}, domain_features=(VERSION,))
