"""The register of revocations on a store that fails in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.api.revocation_register import CHANGES, RevocationRegister
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.hub.hub import Hub
from pushhub.store.base import StoreUnavailable
from pushhub.store.memory import MemoryStore
from tests.store.labs import Clock

if TYPE_CHECKING:
    from pushhub.store.base import Append, Outcome


class FailingHub(Hub):
    """A hub whose announcements of revocations fail."""

    async def recorded(self, *appends: Append) -> list[Outcome]:
        kept = [append for append in appends if append.channel != CHANGES]
        outcomes = await super().recorded(*kept)
        return [*outcomes, *[StoreUnavailable("away")] * (len(appends) - len(kept))]


async def test_an_entry_without_its_announcement_holds_here() -> None:
    """The operator gets an error and repeats the request; meanwhile the token must not go on."""
    clock = Clock()
    hub = FailingHub(MemoryStore(clock))
    await hub.open()
    register = RevocationRegister(hub, Revocations(clock))
    await register.open()
    credential = register.revocations.credential(token_id="t", subject="s", issued=clock())
    entry = Revocation(RevocationKind.TOKEN, "t", clock() + 1, None)
    with pytest.raises(StoreUnavailable):
        await register.add(entry)
    assert credential.revoked
    register.close()
    await hub.close()
