"""Accounts in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.xmpp.storage import accounts
from pushhub.xmpp.storage.accounts import AccountError
from tests.xmpp.world import PASSWORD

if TYPE_CHECKING:
    from tests.xmpp.world import World


async def test_a_taken_name_costs_no_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of a password take tens of milliseconds of processor time."""
    bare = await world.account("juliet")
    derived: list[str] = []
    real = accounts.derive

    def derive(password: str, hash_name: str, salt: bytes, iterations: int) -> accounts.ScramKeys:
        derived.append(hash_name)
        return real(password, hash_name, salt, iterations)

    monkeypatch.setattr(accounts, "derive", derive)
    with pytest.raises(AccountError, match=f"There is an account {bare} already."):
        await world.account("juliet")
    assert derived == []
    await world.server.accounts.set_password(bare, PASSWORD)
    assert derived, "the test sees each key"
