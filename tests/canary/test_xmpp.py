"""The canary logs in by XMPP, and sends itself a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from pushhub.settings import Settings
from pushhub.xmpp.routing.messages import MessageRouter
from tests.canary.running import running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.canary.running import Running

pytestmark = pytest.mark.slow

DOMAIN = "chat.example.com"
ACCOUNT = f"canary@{DOMAIN}"
XMPP: dict[str, Any] = {
    "xmpp_domains": [DOMAIN],
    "canary_account": ACCOUNT,
    "canary_password": "päss=word,",
}


async def added(hub: Running, password: str = XMPP["canary_password"]) -> None:
    assert hub.app.xmpp is not None
    await hub.app.xmpp.accounts.add("canary", DOMAIN, password)


async def test_an_account_that_is_missing_is_red() -> None:
    async with running(**XMPP) as hub:
        assert await hub.red() == {"xmpp"}
        await added(hub)
        for _ in range(2):
            assert await hub.red() == set()
        assert hub.app.xmpp is not None
        await hub.app.xmpp.accounts.set_password(ACCOUNT, "another")
        assert await hub.red() == {"xmpp"}
        await hub.app.xmpp.accounts.set_password(ACCOUNT, XMPP["canary_password"])
        assert await hub.red() == set()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"])
async def test_each_scram_mechanism(mechanism: str) -> None:
    async with running(**XMPP, xmpp_mechanisms=[mechanism]) as hub:
        await added(hub)
        assert await hub.red() == set()


async def test_an_anonymous_login() -> None:
    async with running(xmpp_domains=[DOMAIN], xmpp_anonymous=True, dev=False) as hub:
        assert await hub.red() == set()
        assert "xmpp" in hub.canary.ok()


async def test_without_a_login_there_is_no_check() -> None:
    async with running(xmpp_domains=[DOMAIN], dev=False) as hub:
        assert await hub.red() == set()
        assert "xmpp" not in hub.canary.ages()


async def test_an_account_without_a_password_is_red() -> None:
    async with running(**{**XMPP, "canary_password": None}) as hub:
        assert await hub.red() == {"xmpp"}


def test_the_account_is_an_address() -> None:
    with pytest.raises(ValidationError, match="an address such as"):
        Settings(canary_account="canary", canary_password="secret")


async def test_a_message_that_is_not_delivered_is_red() -> None:
    async with running(**XMPP) as hub:
        await added(hub)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MessageRouter, "send", lambda *args, **kwargs: None)
            assert await hub.red() == {"xmpp"}
        assert await hub.red() == set()


async def test_a_session_leaves_nothing_behind() -> None:
    async with running(**XMPP) as hub:
        await added(hub)
        assert hub.app.xmpp is not None
        assert await hub.red() == set()
        before = await hub.store.count()
        for _ in range(3):
            assert await hub.red() == set()
        bosh = hub.app.xmpp.bosh
        await until(lambda: not len(bosh))
        assert await hub.store.count() == before
