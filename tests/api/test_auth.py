"""Keys, tokens, cookies and tickets, end to end."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.serving import Server, events_of, fresh, serve, value_of

SECRET = "0123456789abcdef" * 4
ADMIN, WRITER, READER = ("phk_" + letter * 43 for letter in "awr")


def entry(name: str, secret: str, **patterns: list[str]) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(secret.encode()).hexdigest(), **patterns}


KEYS = [
    entry("admin", ADMIN, read=["*"], publish=["*"], manage=["*"]),
    entry("writer", WRITER, publish=["news:*"], manage=["news:*"]),
    entry("reader", READER, read=["news:*"]),
]


@pytest.fixture(scope="module", params=["front", "asgi"])
def _guarded_process(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(
        request.param,
        dev=False,
        api_keys=KEYS,
        token_keys=[{"algorithm": "HS256", "key": SECRET}],
        namespaces={"open": {"public": True}, "closed": {"public": False}},
        ticket_seconds=3,
    ) as server:
        yield server


@pytest.fixture
def guarded(_guarded_process: Server) -> Iterator[Server]:
    """A server that asks who is there."""
    yield _guarded_process
    _guarded_process.check()


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


def token(seconds: float = 60, secret: str = SECRET, **grant: list[str]) -> str:
    return jwt.encode({"exp": time.time() + seconds, "pushhub": grant}, secret, "HS256")


def news() -> str:
    return fresh("news:t")


async def test_without_a_credential_nothing_is_published_and_nothing_stored(
    guarded: Server,
) -> None:
    for channel in (news(), fresh("open:t")):
        answer = await guarded.post(events_of(channel), 1)
        assert (answer.status, answer.problem) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        stored = await guarded.get(events_of(channel), **bearer(ADMIN))
        assert stored.json()["events"] == []


async def test_public_namespaces_are_read_by_anybody_and_others_by_nobody(guarded: Server) -> None:
    for target in (events_of, value_of):
        assert (await guarded.get(target(fresh("open:t")))).status in (200, 404)
        for name in ("closed:x", "other:x", "plain", "openx"):
            answer = await guarded.get(target(name))
            assert (answer.status, answer.problem) == (401, "unauthorized"), name


@pytest.mark.parametrize(
    ("credential", "publish", "read", "delete"),
    [(ADMIN, 200, 200, 204), (WRITER, 200, 403, 204), (READER, 403, 200, 403)],
    ids=["admin", "writer", "reader"],
)
async def test_a_key_does_what_it_is_for_and_nothing_else(
    guarded: Server, credential: str, publish: int, read: int, delete: int
) -> None:
    channel, key = news(), bearer(credential)
    await guarded.publish(channel, 0, **bearer(ADMIN))
    assert (await guarded.post(events_of(channel), 1, **key)).status == publish
    assert (await guarded.get(events_of(channel), **key)).status == read
    assert (await guarded.get(value_of(channel), **key)).status == read
    assert (await guarded.post("/v1/poll", {"channels": {channel: "now"}}, **key)).status == read
    item = {"channel": channel, "data": 1}
    assert (await guarded.post("/v1/publish", item, **key)).status == publish
    assert (await guarded.ask("DELETE", value_of(channel), key)).status == delete


async def test_a_pattern_ends_where_it_ends(guarded: Server) -> None:
    for channel in ("new", "news", "News:x", "newsx:y"):
        answer = await guarded.post(events_of(channel), 1, **bearer(WRITER))
        assert (answer.status, answer.problem) == (403, "forbidden")


async def test_no_request_reaches_pushhubs_own_channels(guarded: Server) -> None:
    for credential in (ADMIN, token(read=["*"], publish=["*"], manage=["*"])):
        for method, target in (
            ("GET", value_of("%24secret:tickets")),
            ("GET", events_of("$secret:tickets")),
            ("POST", events_of("$tickets")),
            ("DELETE", value_of("$secret:tickets")),
        ):
            answer = await guarded.ask(method, target, bearer(credential))
            assert (answer.status, answer.problem) == (400, "bad-channel")


async def test_one_forbidden_channel_refuses_the_whole_request(guarded: Server) -> None:
    good, bad = news(), fresh("closed:t")
    answer = await guarded.post(
        "/v1/poll", {"channels": {good: "now", bad: "now"}}, **bearer(READER)
    )
    assert answer.status == 403
    items = [{"channel": good, "data": 1}, {"channel": bad, "data": 1}]
    answer = await guarded.post("/v1/publish", items, **bearer(WRITER))
    assert (answer.status, answer.json()["item"]) == (403, 1)
    assert (await guarded.get(events_of(good), **bearer(READER))).json()["events"] == []


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer phk_" + "x" * 43,
        "Bearer phk_short",
        "Bearer garbage",
        "Bearer",
        "Digest x",
        "Basic !!!",
        "Basic " + base64.b64encode(b"user:wrong").decode(),
        "Bearer " + token(-5, read=["*"]),
        "Bearer " + token(secret="another secret, long enough for it", read=["*"]),
        "Bearer " + jwt.encode({"exp": 9e9, "pushhub": {"read": ["*"]}}, "", "none"),
        "Bearer " + jwt.encode({"pushhub": {"read": ["*"]}}, SECRET, "HS256"),
        "Bearer " + jwt.encode({"exp": 9e9, "pushhub": {"read": "*"}}, SECRET, "HS256"),
    ],
)
async def test_a_bad_credential_is_refused_even_where_none_is_needed(
    guarded: Server, authorization: str
) -> None:
    answer = await guarded.get(events_of(fresh("open:t")), authorization=authorization)
    assert (answer.status, answer.problem) == (401, "unauthorized")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_basic_with_a_key_as_password_works(guarded: Server) -> None:
    basic = base64.b64encode(f"any:{WRITER}".encode()).decode()
    await guarded.publish(news(), 1, authorization=f"Basic {basic}")


async def test_a_token_reads_what_it_says(guarded: Server) -> None:
    channel = news()
    await guarded.publish(channel, 1, **bearer(WRITER))
    reads = bearer(token(read=[channel]))
    assert (await guarded.get(events_of(channel), **reads)).status == 200
    assert (await guarded.get(events_of(news()), **reads)).status == 403
    assert (await guarded.post(events_of(channel), 1, **reads)).status == 403


async def test_an_expired_token_is_refused_at_the_next_poll(guarded: Server) -> None:
    channel = news()
    headers = bearer(token(1.2, read=[channel]))
    target = f"{events_of(channel)}?since=now&wait=1"
    async with await guarded.connect() as client:
        assert (await client.ask("GET", target, headers)).status == 200
        for _ in range(3):
            answer = await client.ask("GET", target, headers)
            if answer.status != 200:
                break
        assert (answer.status, answer.problem) == (401, "unauthorized")


async def test_a_cookie_reads_and_publishes_only_from_the_same_site(guarded: Server) -> None:
    channel = news()
    cookie = {"cookie": f"a=b; pushhub_token={token(read=['news:*'], publish=['news:*'])}; c=d"}
    assert (await guarded.get(events_of(channel), **cookie)).status == 200
    assert (await guarded.post(events_of(channel), 1, **cookie)).status == 403
    for site, status in (("same-origin", 200), ("cross-site", 403)):
        headers = {**cookie, "sec_fetch_site": site}
        assert (await guarded.post(events_of(channel), 1, **headers)).status == status


async def test_metrics_and_the_list_are_an_admins(guarded: Server) -> None:
    for target in ("/metrics", "/v1/channels"):
        assert (await guarded.get(target)).status == 401
        assert (await guarded.get(target, **bearer(READER))).status == 403
        assert (await guarded.get(target, **bearer(ADMIN))).status == 200
    await guarded.publish(fresh("closed:t"), 1, **bearer(ADMIN))
    listed = (await guarded.get("/v1/channels", **bearer(WRITER))).json()["channels"]
    assert all(channel["channel"].startswith("news:") for channel in listed)


async def test_the_list_names_no_channel_of_others(guarded: Server) -> None:
    """Not as `next` either, and a page is full although others' channels lie between."""
    first, other, last = (f"{fresh('page')}:{letter}" for letter in "aaa")
    mine = [f"{first}:{number}" for number in range(3)] + [last]
    for channel in (*mine, f"{first}x", other, f"{last}:x"):
        await guarded.publish(channel, 1, **bearer(ADMIN))
    caller = bearer(token(manage=[last, f"{first}:*", f"{first}:1", "page-nowhere*"]))
    seen: list[str] = []
    target = "/v1/channels?limit=1"
    for _ in range(5):
        page = (await guarded.get(target, **caller)).json()
        names = [channel["channel"] for channel in page["channels"]]
        seen += names
        if "next" not in page:
            break
        assert page["next"] == names[-1]
        target = f"/v1/channels?limit=1&after={page['next']}"
    assert seen == mine
    none = (await guarded.get("/v1/channels?limit=1", **bearer(token(manage=["zz*"])))).json()
    assert none == {"channels": []}


async def test_health_asks_for_nothing(guarded: Server) -> None:
    for target in ("/livez", "/readyz"):
        assert (await guarded.get(target)).status == 200


# -- tickets -------------------------------------------------------------------


async def ticket(guarded: Server, credential: str) -> str:
    answer = await guarded.ask("POST", "/v1/tickets", bearer(credential))
    assert answer.status == 200
    assert answer.json()["expires_in"] == 3
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["ticket"])


async def test_a_ticket_opens_one_stream(guarded: Server) -> None:
    channel = news()
    await guarded.publish(channel, 1, **bearer(WRITER))
    target = f"{events_of(channel)}?ticket={await ticket(guarded, READER)}"
    async with guarded.streaming(target) as stream:
        await stream.next()
        assert (await stream.next()).data == "1"
    answer = await guarded.get(target)
    assert (answer.status, answer.problem) == (401, "unauthorized")


async def test_a_ticket_used_ten_times_at_once_opens_one(guarded: Server) -> None:
    target = f"{events_of(news())}?ticket={await ticket(guarded, READER)}"
    answers = await asyncio.gather(*(guarded.get(target) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 9


async def test_a_ticket_expires(guarded: Server) -> None:
    target = f"{events_of(news())}?ticket={await ticket(guarded, READER)}"
    await asyncio.sleep(3.1)
    answer = await guarded.get(target)
    assert (answer.status, answer.problem) == (401, "unauthorized")
    assert "expired" in answer.json()["detail"]


async def test_a_ticket_only_reads_and_only_what_its_token_read(guarded: Server) -> None:
    channel = news()
    text = await ticket(guarded, ADMIN)
    assert (await guarded.post(f"{events_of(channel)}?ticket={text}", 1)).status == 401
    assert (await guarded.ask("DELETE", f"{value_of(channel)}?ticket={text}")).status == 401
    assert (await guarded.get(f"/v1/channels?ticket={text}")).status == 401
    other = await ticket(guarded, token(read=[news()]))
    assert (await guarded.get(f"{events_of(channel)}?ticket={other}")).status == 403


async def test_a_ticket_is_no_token_and_a_token_no_ticket(guarded: Server) -> None:
    channel = news()
    text = await ticket(guarded, READER)
    assert (await guarded.get(events_of(channel), **bearer(text))).status == 401
    reads = token(read=["*"])
    assert (await guarded.get(f"{events_of(channel)}?ticket={reads}")).status == 401
    assert (await guarded.get(f"{events_of(channel)}?ticket=garbage")).status == 401


async def test_a_token_without_read_rights_gets_no_ticket(guarded: Server) -> None:
    assert (await guarded.ask("POST", "/v1/tickets")).status == 401
    assert (await guarded.ask("POST", "/v1/tickets", bearer(WRITER))).status in (401, 403)


async def test_a_stream_ends_with_the_token_that_opened_it(guarded: Server) -> None:
    channel = news()
    authorization = f"Bearer {token(3, read=[channel])}"
    async with guarded.streaming(events_of(channel), authorization=authorization) as stream:
        await stream.next()
        for number in range(1000):
            await guarded.publish(channel, number, **bearer(WRITER))
            try:
                await stream.next()
            except StopAsyncIteration:
                return
            await asyncio.sleep(0.02)
    pytest.fail("it is still open")


@pytest.mark.parametrize("target", [events_of, value_of], ids=["feed", "value"])
async def test_a_wait_ends_with_the_token_that_began_it(guarded: Server, target: Any) -> None:
    channel = news()
    key = bearer(token(2, read=[channel]))
    first = await guarded.get(target(channel) + "?wait=55", **key)
    # The wait ends normally, and the next request is refused.
    assert first.status == (200 if target is events_of else 404)
    await asyncio.sleep(0.5)
    await guarded.publish(channel, 1, **bearer(WRITER))
    answer = await guarded.get(target(channel) + "?wait=55", **key)
    assert (answer.status, answer.problem) == (401, "unauthorized")


async def test_a_wait_of_many_ends_with_its_token(guarded: Server) -> None:
    one, two = news(), news()
    body = {"channels": {one: "now", two: "now"}, "wait": 55}
    answer = await guarded.post("/v1/poll", body, **bearer(token(2, read=[one, two])))
    assert (answer.status, answer.json()["events"]) == (200, [])


async def test_a_stream_ends_with_its_token_and_says_so(guarded: Server) -> None:
    channel = news()
    authorization = f"Bearer {token(2, read=[channel])}"
    async with guarded.streaming(events_of(channel), authorization=authorization) as stream:
        await stream.next()
        message = await stream.next()
        assert message.type == "error"
        assert json.loads(message.data or "")["type"] == "urn:pushhub:problem:unauthorized"
        with pytest.raises(StopAsyncIteration):
            await stream.next()


async def test_a_stream_by_a_ticket_ends_with_the_token_behind_it(guarded: Server) -> None:
    channel = news()
    text = await ticket(guarded, token(2.5, read=[channel]))
    async with guarded.streaming(f"{events_of(channel)}?ticket={text}") as stream:
        await stream.next()
        assert (await stream.next()).type == "error"
