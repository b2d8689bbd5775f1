"""The audit log of a running server: each endpoint that manages leaves a line, and so does each
refusal; publishes and reads leave none.
"""

import asyncio
import json
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pushhub.api.audit import audit_log
from pushhub.api.endpoints import ROUTES
from pushhub.api.grip import GRIP_ROUTES
from pushhub.app import create_app
from pushhub.auth.audit import AuditActor
from pushhub.hub.hub import Hub
from pushhub.runtime import Runtime
from pushhub.settings import Settings
from pushhub.store.base import Append, Outcome, StoreUnavailable
from pushhub.store.memory import MemoryStore
from tests.api.test_auth import ADMIN, KEYS, READER, SECRET, bearer, token
from tests.serving import Server, fresh, serve

# Endpoints that read or publish, or that keep a session of a client alive.
DATA = {
    "GET /v1/channels",
    "GET /v1/channels/{channel}",
    "GET /v1/channels/{channel}/events",
    "POST /v1/channels/{channel}/events",
    "GET /v1/request",
    "POST /v1/poll",
    "POST /v1/publish",
    "POST /v1/tickets",
    "POST /v1/notify",
    "GET /http-bind",
    "POST /http-bind",
    "POST /publish",
    "POST /publish/",
    "POST //publish/",
    "POST /recover",
    "POST /recover/",
    "GET /",
    # The figures of an open console, each second, and the replies of the processes.
    "GET /console/feed",
    "GET /console/now",
}

ID = "0123456789abcdef"
# Endpoint → request, its action in the audit log, and its target.
MANAGING: dict[str, tuple[str, bytes, str, str | None]] = {
    "DELETE /v1/channels/{channel}": ("/v1/channels/{c}", b"", "channel.delete", "{c}"),
    "DELETE /v1/channels": ("/v1/channels?prefix={c}", b"", "channel.delete", "{c}*"),
    "POST /v1/tokens/revoke": (
        "/v1/tokens/revoke",
        b'{"jti": "{c}", "exp": 4000000000}',
        "token.revoke",
        "jti:{c}",
    ),
    "POST /v1/reload": ("/v1/reload", b"", "settings.reload", None),
    "POST /console/session": ("/console/session", b"", "console.login", None),
    "POST /console/wish": (
        "/console/wish",
        json.dumps({"trace": ID, "channel": "{c}"}).encode(),
        "console.trace",
        "{c}",
    ),
    "GET /console/events": ("/console/events?channel={c}", b"", "console.read", "{c}"),
    "GET /console/settings": ("/console/settings", b"", "console.settings", None),
    "GET /console/audit": ("/console/audit?since=earliest", b"", "console.audit", None),
}


def endpoints() -> set[str]:
    app = create_app(Settings(dev=True, store="memory://"))
    routes = (*ROUTES, *app.console.routes, *GRIP_ROUTES)
    return {f"{method} {route.path}" for route in routes for method in route.endpoints}


def test_every_endpoint_is_of_one_kind() -> None:
    """A new endpoint is added to one of the two lists; one that manages then has its line."""
    assert not DATA & MANAGING.keys()
    assert endpoints() <= DATA | MANAGING.keys()


class Audited:
    """A server with an audit file."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self._file = file

    def records(self) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        return [json.loads(line) for line in self._file.read_text().splitlines()]


@pytest.fixture(scope="module", params=["front", "asgi"])
def audited(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Audited]:
    file = tmp_path_factory.mktemp("audit") / "audit.log"
    with serve(
        request.param,
        dev=False,
        api_keys=KEYS,
        token_keys=[{"algorithm": "HS256", "key": SECRET}],
        audit_file=str(file),
        audit_channel=True,
    ) as server:
        yield Audited(server, file)


@pytest.mark.parametrize("endpoint", MANAGING)
async def test_a_managing_endpoint_leaves_a_line(audited: Audited, endpoint: str) -> None:
    path, body, action, target = MANAGING[endpoint]
    channel = fresh("audited")
    server = audited.server
    put = f"/v1/channels/{channel}/events"
    if endpoint == "POST /v1/reload" and server.driver != "front":
        pytest.skip("only `pushhub serve` can read its settings again")
    assert (await server.ask("POST", put, bearer(ADMIN), b"secret-payload")).status == 200
    before = len(audited.records())
    method = endpoint.partition(" ")[0]
    path, body = path.replace("{c}", channel), body.replace(b"{c}", channel.encode())
    answer = await server.ask(method, path, {**bearer(ADMIN), "x-request-id": "id-1"}, body)
    assert answer.status in (200, 202, 204), answer
    (record,) = audited.records()[before:]
    assert (record["action"], record["outcome"], record["reason"]) == (action, "ok", "")
    actor = record["actor"]
    assert (actor["type"], actor["id"], actor["address"]) == ("key", "admin", "127.0.0.1")
    # A proxy on loopback is trusted; an ASGI server says nothing of the peer.
    assert actor["request_id"] == "id-1" or server.driver != "front"
    assert actor["request_id"]
    expected = None if target is None else target.replace("{c}", channel)
    assert expected == (record["target"] and record["target"]["id"])
    assert "secret-payload" not in json.dumps(record)
    assert ADMIN not in json.dumps(record)


async def test_what_failed_is_recorded(audited: Audited) -> None:
    before = len(audited.records())
    answer = await audited.server.ask("DELETE", f"/v1/channels/{fresh()}", bearer(ADMIN))
    assert answer.status == 404
    (record,) = audited.records()[before:]
    assert (record["outcome"], record["reason"]) == ("failed", "not-found")


# Endpoint → a request that cannot be served, and the reason.
INVALID = {
    "DELETE /v1/channels/{channel}": ("/v1/channels/$audit", b"", "bad-channel"),
    "DELETE /v1/channels": ("/v1/channels", b"", "bad-request"),
    "POST /v1/tokens/revoke": ("/v1/tokens/revoke", b'{"jti": 7}', "bad-body"),
    "POST /v1/reload": ("/v1/reload", b"", "not-implemented"),
}


def test_every_managing_endpoint_has_its_action() -> None:
    named = {
        f"{method} {route.path}": endpoint.action
        for route in ROUTES
        for method, endpoint in route.endpoints.items()
        if endpoint.action
    }
    of_api = {name: case[2] for name, case in MANAGING.items() if "/console/" not in name}
    assert named == of_api
    assert INVALID.keys() == of_api.keys()


@pytest.mark.parametrize("endpoint", INVALID)
async def test_an_invalid_request_of_an_operator_leaves_a_line(
    audited: Audited, endpoint: str
) -> None:
    path, body, reason = INVALID[endpoint]
    if endpoint == "POST /v1/reload" and audited.server.driver == "front":
        pytest.skip("`pushhub serve` can read its settings again")
    before, method = len(audited.records()), endpoint.partition(" ")[0]
    answer = await audited.server.ask(method, path, bearer(ADMIN), body)
    assert answer.status in (400, 501), answer
    (record,) = audited.records()[before:]
    assert (record["action"], record["outcome"]) == (MANAGING[endpoint][2], "failed")
    assert (record["reason"], record["target"]["id"]) == (reason, f"{method} {path}")
    answer = await audited.server.ask(method, path, bearer(READER), body)
    assert answer.status in (400, 401, 403), "a key that manages nothing is no operator"
    assert all(line["outcome"] != "failed" for line in audited.records()[before + 1 :])


async def test_publishes_and_reads_leave_no_line(audited: Audited) -> None:
    before, channel, server = len(audited.records()), fresh(), audited.server
    events = f"/v1/channels/{channel}/events"
    for method, path, body in (
        ("POST", events, b"1"),
        ("GET", events, b""),
        ("GET", f"/v1/channels/{channel}", b""),
        ("GET", "/v1/channels", b""),
        ("POST", "/v1/poll", json.dumps({"channels": {channel: "now"}}).encode()),
        ("POST", "/v1/publish", json.dumps({"channel": channel, "data": 1}).encode()),
        ("POST", "/v1/tickets", b""),
        ("GET", "/metrics", b""),
    ):
        assert (await server.ask(method, path, bearer(ADMIN), body)).status == 200, path
    assert len(audited.records()) == before


# Each is a flood of its own network, so that none is left out as a part of another one.
REFUSED = {
    "no credential": ("DELETE", "/v1/channels/a", {}, "none", ""),
    "an unknown key": ("GET", "/v1/channels/a", bearer("phk_" + "x" * 43), "none", ""),
    "an expired token": ("GET", "/v1/channels/a", bearer(token(-9, read=["*"])), "none", ""),
    "a forged token": (
        "GET",
        "/v1/channels/a",
        bearer(token(86_400, secret="x" * 64, read=["*"])),
        "none",
        "",
    ),
    "a key without the right": ("DELETE", "/v1/channels/a", bearer(READER), "key", "reader"),
    "a token without the right": (
        "DELETE",
        "/v1/channels/a",
        bearer(token(86_400, read=["*"])),
        "token",
        "",
    ),
    "an invalid ticket": ("GET", "/v1/channels/a/events?ticket=s3cret", {}, "none", ""),
    "metrics": ("GET", "/metrics", bearer(READER), "key", "reader"),
    "the console": ("POST", "/console/session", bearer(READER), "key", "reader"),
    "GRIP": ("POST", "/publish", bearer(READER), "key", "reader"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_leaves_a_line(audited: Audited, case: str) -> None:
    method, path, headers, kind, id = REFUSED[case]
    before = len(audited.records())
    body = b'{"items": [{"channel": "a", "formats": {"http-stream": {"content": "x"}}}]}'
    answer = await audited.server.ask(method, path, headers, body if method == "POST" else b"")
    assert answer.status in (401, 403), answer
    (record,) = audited.records()[before:]
    assert (record["action"], record["outcome"]) == ("auth.refused", "refused")
    assert (record["actor"]["type"], record["actor"]["id"]) == (kind, id)
    assert record["target"]["id"] == f"{method} {path.partition('?')[0]}"
    assert record["reason"] == ("unauthorized" if answer.status == 401 else "forbidden")
    assert "s3cret" not in json.dumps(record)


async def test_operators_read_the_log_from_the_store(audited: Audited) -> None:
    channel = fresh("audited")
    await audited.server.ask("DELETE", f"/v1/channels/{channel}", bearer(ADMIN))
    async with asyncio.timeout(20):
        while True:
            answer = await audited.server.ask(
                "GET", "/console/audit?since=earliest&limit=1000", bearer(ADMIN)
            )
            lines = [event["data"] for event in answer.json()["events"]]
            if any(line["target"] and line["target"]["id"] == channel for line in lines):
                break
    assert (await audited.server.ask("GET", "/console/audit", bearer(READER))).status == 403
    for path in ("/v1/channels/$audit", "/v1/channels/%24audit/events"):
        assert (await audited.server.ask("GET", path, bearer(ADMIN))).status == 400


async def test_a_drain_leaves_a_line(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    with serve("front", audit_file=str(file)) as server:
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.process.wait, 20)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["action"] for line in lines] == ["server.drain"]


async def test_without_a_file_the_lines_are_in_the_log() -> None:
    with serve("front", log_level="error") as server:
        await server.ask("DELETE", "/v1/channels/nothing")
        server.output.find(re.compile(r'^\{"time": .*"action": "channel\.delete"'), 20)


async def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with serve("front", audit_file=str(tmp_path / "none" / "audit.log")) as server:
        assert (await server.ask("DELETE", "/v1/channels/nothing")).status == 404
        server.output.find(re.compile(r'"event": "audit.file_failed"'), 20)
        assert await server.metric('pushhub_audit_dropped_total{reason="file"}') == 1


class FullStore(MemoryStore):
    """A store without room."""

    def append(self, appends: Sequence[Append], done: Callable[[list[Outcome]], None]) -> None:
        done([StoreUnavailable("The disk is full.", "disk-full")] * len(appends))


async def test_a_line_that_the_store_does_not_accept_is_counted() -> None:
    settings = Settings(dev=True, store="memory://", audit_channel=True)
    audit = audit_log(Hub(FullStore(lambda: 1e9)), settings, Runtime())
    audit.record("channel.delete", AuditActor("local"), "a")
    assert audit.dropped == {"rate": 0, "file": 0, "channel": 1}
