"""A right that ended between subscription and delivery: rights are checked at each delivery."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
import pytest

from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.log.channel import Patterns
from pushhub.log.grant import Grant
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.xep.pubsub.rights import node_key
from tests.peers.accounts import PASSWORD
from tests.peers.bosh_user import User
from tests.serving import serve
from tests.store.labs import Clock, lab_for, lab_params
from tests.xmpp.world import STORES, World
from tests.xmpp.xep.test_pubsub import (
    SERVICE,
    json_of,
    notified,
    publish,
    pubsub,
    rest_publishes,
    subscribe,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushhub.xml import Element
    from tests.xmpp.world import Client

NODE = "news:eu"


def affiliation(jid: str, affiliation: str) -> str:
    inside = f"<affiliation jid='{jid}' affiliation='{affiliation}'/>"
    return pubsub(f"<affiliations node='{NODE}'>{inside}</affiliations>", owner=True)


def access_model(model: str) -> str:
    field = f"<field var='pubsub#access_model'><value>{model}</value></field>"
    form = f"<x xmlns='{ns.DATA}' type='submit'>{field}</x>"
    return pubsub(f"<configure node='{NODE}'>{form}</configure>", owner=True)


OUTCAST = affiliation("romeo@localhost", "outcast")
NONE = affiliation("romeo@localhost", "none")

# The request by which the owner ends romeo's right, and the one that gives it back.
ENDS = [
    pytest.param(OUTCAST, NONE, id="outcast"),
    pytest.param(access_model("whitelist"), access_model("open"), id="whitelist"),
    pytest.param(
        access_model("whitelist"), affiliation("romeo@localhost", "member"), id="then-member"
    ),
]


@pytest.fixture(params=lab_params(STORES, fast=["memory"]))
async def strict(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world where grants count, with an owner and a reader."""
    lab = lab_for(request, request.param, tmp_path, Clock())
    shared = request.param not in ("memory", "sqlite")
    world = World(lab.make, shared=shared, dev=False, xmpp_domains=["localhost"])
    await world.node()
    news = Patterns(["news:*"])
    add = world.server.accounts.add
    await add("juliet", "localhost", "Neither, fair saint", Grant(news, news, news))
    await add("romeo", "localhost", "Neither, fair saint", Grant(news))
    yield world
    await world.close()


async def numbers(client: Client) -> list[object]:
    """The items of all notifications that the client has received."""
    await client.settled()
    items = []
    while any(e.name == "message" for e in client.seen):
        items.append(json_of(await notified(client)))
    return items


@pytest.mark.parametrize("address", ["bare", "full"])
@pytest.mark.parametrize(("end", "give_back"), ENDS)
async def test_no_item_after_the_right_has_ended(
    strict: World, address: str, end: str, give_back: str
) -> None:
    juliet = await strict.user("juliet")
    romeo = await (await strict.user("romeo")).available()
    await subscribe(romeo, NODE, romeo.bare if address == "bare" else romeo.jid)
    await subscribe(juliet, NODE)

    async def publish_and_wait(number: int) -> None:
        await publish(juliet, NODE, str(number))
        assert json_of(await notified(juliet)) == number

    await publish_and_wait(1)
    await juliet.ask("set", end, SERVICE)
    await publish_and_wait(2)
    await publish_and_wait(3)
    assert await numbers(romeo) == [1]
    await juliet.ask("set", give_back, SERVICE)
    await publish_and_wait(4)
    assert await numbers(romeo) == [4]


@pytest.mark.parametrize("change", [OUTCAST, NONE])
async def test_a_record_that_is_not_in_memory_is_read_first(strict: World, change: str) -> None:
    """Items that arrive during the read wait for it, and keep their order."""
    juliet, romeo = await strict.user("juliet"), await strict.user("romeo")
    await subscribe(romeo, NODE)
    await juliet.ask("set", change, SERVICE)
    hub = strict.server.hub
    for number in range(5):
        channel = hub.channels.get(node_key(NODE))
        if channel is not None:
            hub.channels.drop_tail(channel)
        await rest_publishes(strict, NODE, b"%d" % number)
    if change == OUTCAST:
        await juliet.ask("set", NONE, SERVICE)
        await rest_publishes(strict, NODE, b"5")
    seen: list[object] = []
    while not seen or seen[-1] != (5 if change == OUTCAST else 4):
        seen.append(json_of(await notified(romeo)))
    assert seen == ([5] if change == OUTCAST else [0, 1, 2, 3, 4])


async def test_an_outcast_is_not_notified_of_the_deletion(strict: World) -> None:
    juliet, romeo = await strict.user("juliet"), await strict.user("romeo")
    await subscribe(romeo, NODE)
    await subscribe(juliet, NODE)
    await publish(juliet, NODE, "1")
    assert json_of(await notified(romeo)) == 1
    assert json_of(await notified(juliet)) == 1
    await juliet.ask("set", OUTCAST, SERVICE)
    await strict.server.hub.store.delete(NODE)
    assert (await notified(juliet)).name == "delete"
    await romeo.settled()
    assert not romeo.seen


async def test_an_expired_grant_gets_nothing(strict: World) -> None:
    """An affiliation does not outlive the credential of the session."""
    now = [1000.0]
    strict.server.hub.clock = lambda: now[0]
    juliet, romeo = await strict.user("juliet"), await strict.user("romeo")
    await juliet.ask("set", affiliation("romeo@localhost", "member"), SERVICE)
    session = romeo.stream.session
    assert session is not None
    object.__setattr__(session.identity, "grant", Grant(Patterns(["news:*"]), expires=1010.0))
    await subscribe(romeo, NODE)
    await subscribe(juliet, NODE)
    for time, number in ((1000.0, 1), (1009.9, 2), (1010.0, 3)):
        now[0] = time
        await publish(juliet, NODE, str(number))
        assert json_of(await notified(juliet)) == number
    # The stream ends with the credential.
    romeo.say("<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert await romeo.ended() == "not-authorized"
    assert [json_of(await notified(romeo)) for _ in range(2)] == [1, 2]
    assert not any(e.name == "message" for e in romeo.seen)


async def test_each_session_of_an_account_has_its_own_grant(strict: World) -> None:
    reader = await (await strict.user("romeo", "reader")).available()
    other = await (await strict.user("romeo", "other")).available()
    session = other.stream.session
    assert session is not None
    object.__setattr__(session.identity, "grant", Grant())
    await subscribe(reader, NODE, reader.bare)
    await rest_publishes(strict, NODE, b"1")
    assert json_of(await notified(reader)) == 1
    await other.settled()
    assert not [e for e in other.seen if e.name == "message"]


async def test_a_right_that_is_given_after_the_login_counts(strict: World) -> None:
    """The subscription of a bare address is permanent, also while the account may not read."""
    juliet = await strict.user("juliet")
    romeo = await (await strict.user("romeo")).available()
    await subscribe(romeo, NODE, romeo.bare)
    await juliet.ask("set", OUTCAST, SERVICE)
    romeo.leave()
    again = await (await strict.user("romeo")).available()
    await rest_publishes(strict, NODE, b"1")
    await juliet.ask("set", NONE, SERVICE)
    await rest_publishes(strict, NODE, b"2")
    assert json_of(await notified(again)) == 2


def test_over_bosh(tmp_path: Path) -> None:
    """A real hub, accounts of the command line, and clients over HTTP."""
    store = f"sqlite:///{tmp_path / 'log.db'}"
    grants = {"juliet": ("--read", "--publish", "--manage"), "romeo": ("--read",)}
    for name, flags in grants.items():
        arguments = [argument for flag in flags for argument in (flag, "news:*")]
        subprocess.run(
            [sys.executable, "-m", "pushhub", "user", "add", f"{name}@localhost", *arguments],
            input=PASSWORD + "\n",
            env={"PUSHHUB_STORE": store, "PUSHHUB_XMPP_DOMAINS": '["localhost"]'},
            text=True,
            check=True,
            capture_output=True,
        )
    key = {"name": "ops", "sha256": secret_hash(new_secret()), "publish": ["*"]}
    with serve(store=store, dev=False, xmpp_domains=["localhost"], api_keys=[key]) as server:
        juliet = User.login(server.port, "juliet", PASSWORD, "balcony")
        romeo = User.login(server.port, "romeo", PASSWORD, "orchard")
        subscription = pubsub(f"<subscribe node='{NODE}' jid='{romeo.jid}'/>")
        assert romeo.ask(subscription, SERVICE, "set").get("type") == "result"

        def publish(number: int) -> None:
            item = f"<item><json xmlns='{ns.JSON}'>{number}</json></item>"
            inside = pubsub(f"<publish node='{NODE}'>{item}</publish>")
            assert juliet.ask(inside, SERVICE, "set").get("type") == "result"

        def next_item() -> object:
            message = romeo.next(lambda e: e.name == "message")
            event = message.find("event", ns.PUBSUB_EVENT)
            assert event is not None
            return json_of(event.elements[0])

        publish(1)
        assert next_item() == 1
        for end, give_back, number in (
            (OUTCAST, NONE, 2),
            (access_model("whitelist"), access_model("open"), 4),
        ):
            assert juliet.ask(end, SERVICE, "set").get("type") == "result"
            publish(number)
            refused: Element = romeo.ask(pubsub(f"<items node='{NODE}'/>"), SERVICE)
            assert refused.get("type") == "error"
            assert juliet.ask(give_back, SERVICE, "set").get("type") == "result"
            publish(number + 1)
            assert next_item() == number + 1
        items = romeo.ask(pubsub(f"<items node='{NODE}'/>"), SERVICE).elements[0].elements[0]
        payloads = [orjson.loads(item.elements[0].text) for item in items.elements]
        assert payloads == [1, 2, 3, 4, 5]
        romeo.leave()
        juliet.leave()
