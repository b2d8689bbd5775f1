"""Revoked tokens and keys: what rests on them ends within a second, on every node, for good."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from pushhub.auth.revocation import MAX_NAME
from tests.api.test_auth import ADMIN, KEYS, READER, SECRET, WRITER, bearer, news
from tests.peers.bosh_user import User
from tests.serving import Server, events_of, fresh, serve, value_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.redis_servers import Shelf
    from tests.wire import Response

# What the issue promises, on every node.
SECONDS = 1.0
LIFE = 3600
SETTINGS: dict[str, Any] = {
    "dev": False,
    "api_keys": KEYS,
    "token_keys": [{"algorithm": "HS256", "key": SECRET}],
    "token_max_seconds": LIFE,
    "xmpp_domains": ["localhost"],
}


def token(**claims: Any) -> str:
    now = int(time.time())
    grant = {"read": ["*"], "publish": ["*"]}
    everything = {"iat": now - 10, "exp": now + 600, "pushhub": grant, **claims}
    return jwt.encode(everything, SECRET, "HS256")


async def revoke(server: Server, **entry: Any) -> Response:
    return await server.post("/v1/tokens/revoke", entry, **bearer(ADMIN))


@pytest.fixture(scope="module", params=["front", "asgi"])
def hub(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param, **SETTINGS) as server:
        yield server


@asynccontextmanager
async def waiting(server: Server, target: str, credential: str) -> AsyncIterator[Any]:
    """A request that is held; the task ends with its response."""
    client = await server.connect()
    before = int(await metric(server, "pushhub_holds"))
    client.send("GET", target, bearer(credential), b"")
    task = asyncio.create_task(client.receive(60))
    try:
        await server.held(before + 1, authorization=f"Bearer {ADMIN}")
        yield task
    finally:
        task.cancel()
        await client.leave()


async def metric(server: Server, name: str) -> float:
    text = (await server.get("/metrics", **bearer(ADMIN))).body.decode()
    return next(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " ")
    )


def names() -> list[Any]:
    """A token or key, and the entry that revokes it."""
    return [
        pytest.param(lambda: _by_jti(), id="jti"),
        pytest.param(lambda: _by_subject(), id="sub"),
    ]


def _by_jti() -> tuple[str, dict[str, Any]]:
    jti = fresh("token")
    return token(jti=jti), {"jti": jti, "exp": int(time.time()) + 600}


def _by_subject() -> tuple[str, dict[str, Any]]:
    sub = fresh("user")
    return token(sub=sub), {"sub": sub}


@pytest.mark.parametrize("made", names())
@pytest.mark.parametrize("target", [events_of, value_of], ids=["feed", "value"])
async def test_a_wait_ends_with_its_token(hub: Server, made: Any, target: Any) -> None:
    credential, entry = made()
    channel = news()
    async with waiting(hub, target(channel) + "?wait=55", credential) as task:
        assert (await revoke(hub, **entry)).status == 200
        response = await asyncio.wait_for(task, SECONDS)
    assert (response.status, response.problem) == (401, "revoked")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    # And so does every later request, parsed or cached.
    for _ in range(3):
        answer = await hub.get(target(channel), **bearer(credential))
        assert (answer.status, answer.problem) == (401, "revoked")


@pytest.mark.parametrize("made", names())
async def test_a_connection_with_a_known_request_is_refused(hub: Server, made: Any) -> None:
    credential, entry = made()
    channel = news()
    await hub.publish(channel, 1, **bearer(WRITER))
    async with await hub.connect() as client:
        for _ in range(4):
            assert (await client.ask("GET", events_of(channel), bearer(credential))).status == 200
        await revoke(hub, **entry)
        answer = await client.ask("GET", events_of(channel), bearer(credential))
        assert (answer.status, answer.problem) == (401, "revoked")


@pytest.mark.parametrize("made", names())
async def test_a_stream_ends_with_a_reason(hub: Server, made: Any) -> None:
    credential, entry = made()
    channel = news()
    ticket = (await hub.ask("POST", "/v1/tickets", bearer(credential))).json()["ticket"]
    authorization = bearer(credential)["authorization"]
    async with (
        hub.streaming(events_of(channel), authorization=authorization) as stream,
        hub.streaming(f"{events_of(channel)}?ticket={ticket}") as by_ticket,
    ):
        for each in (stream, by_ticket):
            await each.next()
        await revoke(hub, **entry)
        for each in (stream, by_ticket):
            message = await each.next(SECONDS)
            assert message.type == "error"
            assert json.loads(message.data or "")["type"] == "urn:pushhub:problem:revoked"
            with pytest.raises(StopAsyncIteration):
                await each.next()


async def test_a_ticket_of_a_revoked_token_opens_nothing(hub: Server) -> None:
    credential, entry = _by_jti()
    ticket = (await hub.ask("POST", "/v1/tickets", bearer(credential))).json()["ticket"]
    await revoke(hub, **entry)
    answer = await hub.get(f"{events_of(news())}?ticket={ticket}")
    assert (answer.status, answer.problem) == (401, "revoked")


async def test_a_newer_token_of_the_subject_is_good(hub: Server) -> None:
    sub = fresh("user")
    old, new = token(sub=sub), token(sub=sub, iat=int(time.time()) + 2)
    assert (await revoke(hub, sub=sub)).status == 200
    assert (await hub.get(events_of(news()), **bearer(old))).status == 401
    assert (await hub.get(events_of(news()), **bearer(new))).status == 200


async def test_others_wait_on(hub: Server) -> None:
    channel, credential = news(), token(sub=fresh("user"), jti=fresh("token"))
    async with waiting(hub, events_of(channel) + "?wait=55", credential) as task:
        await revoke(hub, sub=fresh("user"))
        await revoke(hub, jti=fresh("token"), exp=int(time.time()) + 60)
        await hub.publish(channel, 1, **bearer(WRITER))
        assert (await asyncio.wait_for(task, 10)).status == 200


def test_a_bosh_session_ends_with_its_token(hub: Server) -> None:
    sub = fresh("user")
    user = User.login(hub.port, sub, token(sub=sub), "balcony", "X-OAUTH2")
    assert asyncio.run(revoke(hub, sub=sub)).status == 200
    error = user.next(lambda e: e.name == "error", seconds=5)
    assert error.elements[0].name == "not-authorized"


@pytest.mark.parametrize(
    ("credential", "status"), [("", 401), (READER, 403), (WRITER, 403)], ids=["none", "r", "w"]
)
async def test_only_an_operator_revokes(hub: Server, credential: str, status: int) -> None:
    headers = bearer(credential) if credential else {}
    answer = await hub.post("/v1/tokens/revoke", {"sub": "u"}, **headers)
    assert answer.status == status


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * (MAX_NAME + 1)},
        {"jti": "x", "sub": "y"},
        {"jti": "x", "before": 5},
        {"jti": "x", "exp": 5},
        {"jti": "x", "exp": 1e12},
        {"jti": "x", "exp": True},
        {"sub": "x", "before": "now"},
        {"sub": "x", "before": 1e12},
        {"sub": "x", "reason": 5},
        {"key": "nobody"},
        {"key": "reader", "exp": 5},
    ],
    ids=json.dumps,
)
async def test_bad_entries_are_refused(hub: Server, entry: dict[str, Any]) -> None:
    answer = await revoke(hub, **entry)
    assert (answer.status, answer.problem) == (400, "bad-body")


async def test_a_token_that_lives_too_long_is_refused(hub: Server) -> None:
    now = int(time.time())
    for claims in ({"iat": now, "exp": now + LIFE + 1}, {"iat": None}):
        wrong = {name: value for name, value in claims.items() if value is not None}
        good = {"exp": now + 60, "pushhub": {"read": ["*"]}} | wrong
        text = jwt.encode(good, SECRET, "HS256")
        answer = await hub.get(events_of(news()), **bearer(text))
        assert (answer.status, answer.problem) == (401, "unauthorized")
        assert "'iat'" in answer.json()["detail"]


async def test_a_key_by_its_name() -> None:
    with serve(**SETTINGS) as server:
        async with waiting(server, events_of("news:a") + "?wait=55", READER) as task:
            assert (await revoke(server, key="reader", reason="leaked")).status == 200
            response = await asyncio.wait_for(task, SECONDS)
        assert (response.status, response.problem) == (401, "revoked")
        assert (await server.get(events_of("news:a"), **bearer(READER))).problem == "revoked"
        assert (await server.post(events_of("news:a"), 1, **bearer(WRITER))).status == 200
        assert await metric(server, "pushhub_revocations") == 1
        assert "leaked" in str(server.output)


async def test_without_a_bound_on_the_life_of_tokens_no_subject_is_revoked() -> None:
    with serve(**{**SETTINGS, "token_max_seconds": 0}) as server:
        answer = await revoke(server, sub="juliet")
        assert (answer.status, answer.problem) == (400, "bad-request")
        assert "token_max_seconds" in answer.json()["detail"]
        assert (await revoke(server, jti="x")).problem == "bad-body"
        assert (await revoke(server, jti="x", exp=time.time() + 60)).status == 200


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    credential, entry = _by_jti()
    with serve(store=store, **SETTINGS) as server:
        assert (await revoke(server, **entry)).status == 200
        assert (await revoke(server, key="reader")).status == 200
    with serve(store=store, **SETTINGS) as server:
        for each in (credential, READER):
            answer = await server.get(events_of("news:a"), **bearer(each))
            assert (answer.status, answer.problem) == (401, "revoked")


async def test_other_nodes_within_a_second(redis_shelf: Shelf) -> None:
    store = redis_shelf.url("valkey9")
    with serve(store=store, **SETTINGS) as one, serve(store=store, **SETTINGS) as two:
        for made in (_by_jti, _by_subject):
            credential, entry = made()
            async with (
                waiting(one, events_of("a") + "?wait=55", credential) as here,
                waiting(two, events_of("a") + "?wait=55", credential) as there,
            ):
                begun = time.monotonic()
                assert (await revoke(one, **entry)).status == 200
                responses = await asyncio.wait_for(asyncio.gather(here, there), 10)
                assert time.monotonic() - begun < SECONDS
            assert [each.problem for each in responses] == ["revoked"] * 2
        # All at once, by both nodes: no entry is lost to another.
        many = [_by_jti() for _ in range(40)]
        answers = await asyncio.gather(
            *(revoke((one, two)[n % 2], **entry) for n, (_, entry) in enumerate(many))
        )
        assert {answer.status for answer in answers} == {200}
    with serve(store=store, **SETTINGS) as three:
        for credential, _ in many:
            assert (await three.get(events_of("a"), **bearer(credential))).problem == "revoked"


async def test_what_a_failover_lost_is_written_again(redis_shelf: Shelf) -> None:
    """The register is deleted under a node that knows the entry; a new node gets it."""
    store = redis_shelf.url("valkey9")
    credential, entry = _by_jti()
    with serve(store=store, **SETTINGS) as one:
        assert (await revoke(one, **entry)).status == 200
        redis_shelf.server("valkey9").ask("FLUSHALL")
        # Any later entry makes the node look at its shard; so does the end of the feed.
        with serve(store=store, **SETTINGS) as two:
            for _ in range(400):
                await revoke(one, jti=fresh("token"), exp=time.time() + 60)
                answer = await two.get(events_of("a"), **bearer(credential))
                if answer.status == 401:
                    break
            assert answer.problem == "revoked"
