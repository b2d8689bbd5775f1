"""ANONYMOUS (RFC 4505, XEP-0175): a temporary address that nobody had before."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.sasl.mechanism import SaslIdentity, Step

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend


class Anonymous:
    """Lets everybody in. What the client says of itself (trace data) is ignored: XEP-0175 §6."""

    name: ClassVar[str] = "ANONYMOUS"
    # COMPAT: Strophe.js begins without data and expects no challenge.
    client_first: ClassVar[bool] = False

    def __init__(self, gate: CredentialBackend) -> None:
        self._gate = gate

    async def step(self, data: bytes) -> Step:
        # As unpredictable as a UUID of version 4, which XEP-0175 §3 proposes.
        return Step(identity=SaslIdentity(self._gate.random_bytes(16).hex(), anonymous=True))
