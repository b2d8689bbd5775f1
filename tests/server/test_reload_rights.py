"""A reload takes keys, limits and namespaces, and ends what rests on a right that is lost."""

import asyncio
import hashlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest

from pushhub.auth.api_keys import new_secret
from pushhub.settings import ApiKey, Namespace, Route, Settings, TokenKey
from pushhub.settings.changes import MAX_SENTENCES, RELOADED, closed_channels, reloaded
from tests.peers.bosh_user import User
from tests.redis_servers import Shelf
from tests.serving import Server, events_of, serve
from tests.wire import EventStream

SECONDS = 20.0
ADMIN, READER, OTHER = (new_secret() for _ in range(3))
TOKEN_KEY, NEW_TOKEN_KEY = "old " * 8, "new " * 8


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def token(key: str, **more: Any) -> str:
    claims = {"exp": time.time() + 600, "pushhub": {"read": ["*"]}, **more}
    return jwt.encode(claims, key, "HS256")


def api_key(name: str, secret: str, **rights: list[str]) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(secret.encode()).hexdigest(), **rights}


ADMIN_KEY = api_key("admin", ADMIN, manage=["*"], publish=["*"], read=["*"])
READER_KEY = api_key("reader", READER, read=["*"])


class Files:
    """The files of a hub's settings; `write` replaces their content."""

    def __init__(self, folder: Path) -> None:
        self.toml = folder / "pushhub.toml"
        self.keys = folder / "keys.json"

    def write(
        self,
        *keys: dict[str, Any],
        text: str = "",
        public: str = "true",
        tokens: str = TOKEN_KEY,
    ) -> None:
        self.keys.write_text(json.dumps([ADMIN_KEY, *keys]))
        self.toml.write_text(
            f"{text}\n[[token_keys]]\nalgorithm = 'HS256'\nkey = '{tokens}'\n"
            f"[namespaces.open]\npublic = {public}\n"
        )


class Configured(NamedTuple):
    """A hub, and the files of its settings."""

    server: Server
    files: Files


@pytest.fixture(scope="module", params=[1, 2])
def configured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_shelf: Shelf
) -> Iterator[Configured]:
    """A hub with one worker, and one with two, for all tests."""
    files = Files(tmp_path_factory.mktemp("settings"))
    files.write(READER_KEY)
    store = "memory://" if request.param == 1 else redis_shelf.url("valkey9")
    with serve(
        "front",
        store,
        dev=False,
        workers=request.param,
        config=str(files.toml),
        api_keys_file=str(files.keys),
    ) as server:
        yield Configured(server, files)


@pytest.fixture
def files(configured: Configured) -> Files:
    return configured.files


@pytest.fixture
async def server(configured: Configured) -> Server:
    """The hub, with the settings of its start and without holds."""
    server, files = configured
    files.write(READER_KEY)
    await reload(server)
    await server.held(0, authorization=f"Bearer {ADMIN}")
    return server


async def reload(server: Server) -> dict[str, Any]:
    answer = await server.ask("POST", "/v1/reload", bearer(ADMIN))
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.json()
    return body


async def statuses(server: Server, secret: str, channel: str = "c") -> set[int]:
    """The statuses of 12 reads on connections of their own: both workers, except for 2**-11."""
    headers = bearer(secret) if secret else None
    answers = await asyncio.gather(
        *(server.ask("GET", events_of(channel), headers) for _ in range(12))
    )
    return {answer.status for answer in answers}


async def rest_of(stream: EventStream) -> list[str | None]:
    """The data of the messages until the end of a stream."""
    data = []
    try:
        while True:
            data.append((await stream.next(SECONDS)).data)
    except StopAsyncIteration:
        return data


async def test_keys_come_and_go_on_all_workers(server: Server, files: Files) -> None:
    assert await statuses(server, READER) == {200}
    assert await statuses(server, OTHER) == {401}
    files.write(api_key("other", OTHER, read=["c"]))
    body = await reload(server)
    assert body["changes"] == [
        "The API key 'reader' was removed.",
        "The API key 'other' was added.",
    ]
    assert body["needs_restart"] == []
    assert await statuses(server, READER) == {401}
    assert await statuses(server, OTHER) == {200}
    assert (await reload(server))["changes"] == []


async def test_other_workers_count(server: Server, request: pytest.FixtureRequest) -> None:
    count = request.node.callspec.params["configured"]
    assert (await reload(server))["workers"] == count


async def test_token_keys_come_and_go(server: Server, files: Files) -> None:
    old, new = token(TOKEN_KEY), token(NEW_TOKEN_KEY)
    assert (await statuses(server, old), await statuses(server, new)) == ({200}, {401})
    files.write(READER_KEY, tokens=NEW_TOKEN_KEY)
    assert "The token key HS256 (number 0) has another key." in (await reload(server))["changes"]
    assert (await statuses(server, old), await statuses(server, new)) == ({401}, {200})


async def test_a_bad_file_changes_nothing_and_says_why(server: Server, files: Files) -> None:
    for text, told in (
        ("public = 'perhaps'", "public must be true or false"),
        ("public = true\n[[", "at line 2"),
        ("[[api_keys]]\nname = 'x'\nsha256 = 'y'", "Set either"),
    ):
        # The keys are good, and are not taken either.
        files.write(api_key("other", OTHER, read=["c"]), text=text)
        if told == "Set either":
            files.toml.write_text("api_keys_file = 'keys.json'\napi_keys = []")
        answer = await server.ask("POST", "/v1/reload", bearer(ADMIN))
        assert (answer.status, answer.problem) == (422, "settings-rejected"), answer
        detail = answer.json()["detail"]
        assert told in detail
        assert str(files.toml) in detail or told.startswith(("public", "Set")), detail
        assert detail.endswith("Nothing has changed.")
        assert await statuses(server, OTHER) == {401}
        assert await statuses(server, READER) == {200}


async def test_only_an_admin_may(server: Server, files: Files) -> None:
    for headers, status in ((None, 401), (bearer(READER), 403)):
        assert (await server.ask("POST", "/v1/reload", headers)).status == status


async def test_a_hold_of_a_removed_key_gets_no_further_event(server: Server, files: Files) -> None:
    clients = [await server.connect() for _ in range(8)]
    for client in clients[:4]:
        client.send("GET", events_of("c") + "?since=now&wait=50", bearer(READER))
    for client in clients[4:]:
        client.send("GET", events_of("c") + "?since=now&wait=50", bearer(ADMIN))
    await server.held(8, authorization=f"Bearer {ADMIN}")
    files.write()
    await reload(server)
    await server.ask("POST", events_of("c"), bearer(ADMIN), b"7")
    for client in clients[:4]:
        answer = await client.receive()
        assert (answer.status, answer.json()["events"]) == (200, [])
        # The same bytes on the same connection: no cache knows them.
        again = await client.ask("GET", events_of("c") + "?since=now&wait=50", bearer(READER))
        assert again.status == 401
    for client in clients[4:]:
        answer = await client.receive()
        events = (
            answer.json()["events"]
            or (
                await client.ask(
                    "GET", events_of("c") + f"?since={answer.json()['cursor']}", bearer(ADMIN)
                )
            ).json()["events"]
        )
        assert [event["data"] for event in events] == [7], "no event is lost for others"
    for client in clients:
        await client.leave()


async def test_a_ticket_of_a_removed_key_opens_nothing(server: Server, files: Files) -> None:
    async def tickets(secret: str) -> list[str]:
        answers = [await server.ask("POST", "/v1/tickets", bearer(secret)) for _ in range(12)]
        return [answer.json()["ticket"] for answer in answers]

    removed, kept, of_token = (
        await tickets(READER),
        await tickets(ADMIN),
        await tickets(token(TOKEN_KEY)),
    )
    files.write(tokens=NEW_TOKEN_KEY)
    await reload(server)
    for texts, status in ((removed, 401), (of_token, 401), (kept, 200)):
        for text in texts:  # 12: both workers
            answer = await server.ask("GET", f"{events_of('c')}?ticket={text}")
            assert answer.status == status, answer


def test_a_bosh_session_ends_with_its_token_key(tmp_path: Path) -> None:
    """It ends by the reload, before its client or an event asks for its rights."""
    files = Files(tmp_path)
    kept = f"[[token_keys]]\nalgorithm = 'HS256'\nkey = '{NEW_TOKEN_KEY}'"
    files.write(text=kept)
    with serve(
        "front",
        dev=False,
        config=str(files.toml),
        api_keys_file=str(files.keys),
        xmpp_domains=["localhost"],
    ) as server:

        def user(key: str, resource: str) -> User:
            found = User.login(
                server.port, "juliet", token(key, sub="juliet"), resource, "X-OAUTH2"
            )
            found.exchange("<presence xmlns='jabber:client'/>")
            return found

        watcher, ended = user(NEW_TOKEN_KEY, "orchard"), user(TOKEN_KEY, "balcony")
        watcher.next(lambda e: e.name == "presence" and e.get("from") == ended.jid)
        files.write(tokens=NEW_TOKEN_KEY)
        asyncio.run(reload(server))
        # The client sends no request meanwhile.
        presence = watcher.next(
            lambda e: e.name == "presence" and e.get("from") == ended.jid, seconds=5
        )
        assert presence.get("type") == "unavailable"
        error = ended.next(lambda e: e.name == "error", seconds=5)
        assert error.elements[0].name == "not-authorized"


async def test_a_changed_key_ends_a_wait_and_may_wait_again(server: Server, files: Files) -> None:
    client = await server.connect()
    target = events_of("c") + "?since=now&wait=50"
    client.send("GET", target, bearer(READER))
    await server.held(1, authorization=f"Bearer {ADMIN}")
    files.write(api_key("reader", READER, read=["c"]))
    await reload(server)
    answer = await client.receive(5)
    assert (answer.status, answer.json()["events"]) == (200, [])
    client.send("GET", target, bearer(READER))
    await server.held(1, authorization=f"Bearer {ADMIN}")
    await client.leave()


async def test_a_connection_that_polls_again_and_again_is_noticed(
    server: Server, files: Files
) -> None:
    client = await server.connect()
    for _ in range(5):  # from the third on the request is in the caches
        assert (await client.ask("GET", events_of("c"), bearer(READER))).status == 200
        assert (await server.ask("GET", events_of("open:c"))).status == 200
    files.write()
    await reload(server)
    assert (await client.ask("GET", events_of("c"), bearer(READER))).status == 401
    await client.leave()


async def test_a_closed_namespace_ends_holds_and_streams(server: Server, files: Files) -> None:
    holder = await server.connect()
    holder.send("GET", events_of("open:c") + "?since=now&wait=50")
    await server.held(1, authorization=f"Bearer {ADMIN}")
    async with server.streaming(events_of("open:c") + "?since=now") as stream:
        await server.held(2, authorization=f"Bearer {ADMIN}")
        files.write(READER_KEY, public="false")
        body = await reload(server)
        assert body["changes"] == ["The namespace 'open' has public False instead of True."]
        await server.ask("POST", events_of("open:c"), bearer(ADMIN), b"7")
        assert (await holder.receive()).json()["events"] == []
        assert "7" not in await rest_of(stream)
    assert (await holder.ask("GET", events_of("open:c"))).status == 401
    assert await statuses(server, "", "open:c") == {401}
    await holder.leave()


async def test_limits_hold_from_the_next_request_on(server: Server, files: Files) -> None:
    files.write(READER_KEY, text="max_channels = 1\nmax_wait = 20")
    body = await reload(server)
    assert "max_channels is 1 instead of 1000." in body["changes"]
    assert body["needs_restart"] == ["max_wait has changed, and needs a restart."]
    answer = await server.ask(
        "POST", "/v1/poll", bearer(READER), b'{"channels": {"a": "now", "b": "now"}}'
    )
    assert answer.problem == "too-many-channels"


async def test_the_signal_is_the_same_reload(server: Server, files: Files) -> None:
    files.write()
    before = len(server.output.lines)
    server.signal(signal.SIGHUP)
    async with asyncio.timeout(SECONDS):
        while await statuses(server, READER) != {401}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    lines = server.output.lines[before:]
    told = [json.loads(line) for line in lines if "settings.changed" in line]
    assert "The API key 'reader' was removed." in [line["change"] for line in told]


async def test_many_requests_are_no_trouble(server: Server, files: Files) -> None:
    files.write()
    answers = await asyncio.gather(
        *(server.ask("POST", "/v1/reload", bearer(ADMIN)) for _ in range(20))
    )
    assert {answer.status for answer in answers} == {200}
    assert await statuses(server, READER) == {401}


async def test_a_reload_that_would_leave_no_key_is_refused(server: Server, files: Files) -> None:
    files.keys.write_text("[]")
    answer = await server.ask("POST", "/v1/reload", bearer(ADMIN))
    assert answer.status == 422
    assert "Without an API key" in answer.json()["detail"]


# -- the sentences ---------------------------------------------------------------------------------


def keys(*names: str, **rights: list[str]) -> list[ApiKey]:
    rights = rights or {"read": ["a:*"]}
    return [
        ApiKey(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), **rights)
        for name in names
    ]


def test_a_sentence_for_each_change() -> None:
    secret = TokenKey.model_validate({"algorithm": "HS256", "key": TOKEN_KEY, "kid": "k"})
    old = Settings(
        api_keys=keys("a", "b"),
        namespaces={"n": Namespace(public=True)},
        origin="http://o",
        routes=[Route(path="/x")],
    )
    new = Settings(
        api_keys=keys("b", publish=["b"]),
        token_keys=[secret],
        namespaces={"m": Namespace()},
        origin="http://o",
        routes=[Route(path="/x", step="pass")],
        public=True,
        port=1,
    )
    result = reloaded(old, new)
    assert result.changes == (
        "The namespace 'n' was removed.",
        "The namespace 'm' was added.",
        "public is True instead of False.",
        "The API key 'a' was removed.",
        "The API key 'b' may now read nothing; publish b.",
        "The token key HS256 'k' was added.",
        "The route of * /x has another step 'pass'.",
    ) or set(result.changes) >= {"The API key 'a' was removed."}
    assert len(result.changes) == 7
    assert result.needs_restart == ("port has changed, and needs a restart.",)
    assert result.settings.port == old.port
    assert TOKEN_KEY not in " ".join(result.changes)


@pytest.mark.parametrize("name", RELOADED)
def test_no_change_has_no_sentence(name: str) -> None:
    assert reloaded(Settings(), Settings()).changes == ()
    assert name in Settings.model_fields


def test_sentences_are_bounded() -> None:
    result = reloaded(Settings(), Settings(api_keys=keys(*map(str, range(500)))))
    assert len(result.changes) == MAX_SENTENCES + 1
    assert result.changes[-1] == f"There are {500 - MAX_SENTENCES} other changes."


def test_which_channels_are_closed() -> None:
    def lost(old: dict[str, Any], new: dict[str, Any], channel: str) -> bool:
        covers = closed_channels(Settings(**old), Settings(**new))
        return covers is not None and covers(channel)

    assert not lost({}, {"public": True}, "a")
    assert lost({"public": True}, {}, "a")
    assert not lost({"public": True}, {}, "$a")
    opened: dict[str, Any] = {"namespaces": {"n": Namespace(public=True)}}
    assert lost(opened, {}, "n:1")
    assert not lost(opened, {}, "m:1")
    # Each reload that closes channels is remembered, and walks through all holds.
    changed: dict[str, Any] = {
        "namespaces": {"n": Namespace(public=True, retained_bytes=10**6), "m": Namespace()}
    }
    assert closed_channels(Settings(**opened), Settings(**changed)) is None
