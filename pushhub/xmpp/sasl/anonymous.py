"""ANONYMOUS (RFC 4505, XEP-0175): each login gets a new temporary address."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.sasl.mechanism import SaslIdentity, SaslStep

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend


class Anonymous:
    """Accepts each client, and ignores its trace data (XEP-0175 §6)."""

    name: ClassVar[str] = "ANONYMOUS"
    # COMPAT: Strophe.js begins without data and expects no challenge.
    client_first: ClassVar[bool] = False

    def __init__(self, backend: CredentialBackend) -> None:
        self._backend = backend

    async def step(self, data: bytes) -> SaslStep:
        # As unpredictable as a UUID of version 4, which XEP-0175 §3 proposes.
        return SaslStep(identity=SaslIdentity(self._backend.random_bytes(16).hex(), anonymous=True))
