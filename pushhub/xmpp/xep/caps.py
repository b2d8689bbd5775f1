"""Entity capabilities (XEP-0115): a hash of what the server can do, which clients need to ask for
once only. What clients say of themselves goes along in their presence."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from pushhub.xmpp.xep.disco import IDENTITY, domain_features

if TYPE_CHECKING:
    from pushhub.xmpp.server import XmppServer


def version_of(server: XmppServer) -> str:
    """The verification string (XEP-0115 §5.1): SHA-1, as everybody computes it."""
    category, kind, name = IDENTITY
    text = f"{category}/{kind}//{name}<" + "".join(f"{f}<" for f in domain_features(server))
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()
