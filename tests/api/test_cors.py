"""Pages of allowed origins can read every response, errors included."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import Server, events_of, fresh, serve, value_of

APP = "https://app.example.com"
EXPOSED = {"ETag", "Preference-Applied", "Retry-After", "X-Poll-Interval"}
KEY = "phk_" + "k" * 43


@pytest.fixture(scope="module", params=["front", "asgi"])
def _strict_process(request: pytest.FixtureRequest) -> Iterator[Server]:
    key: dict[str, Any] = {"name": "all", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    key |= {"read": ["*"], "publish": ["*"], "manage": ["*"]}
    settings: dict[str, Any] = {"api_keys": [key], "cors_origins": [APP], "max_holds": 1}
    namespaces = {"open": {"public": True}}
    with serve(request.param, dev=False, namespaces=namespaces, **settings) as server:
        yield server


@pytest.fixture
def strict(_strict_process: Server) -> Iterator[Server]:
    """A server with keys, for pages of one origin."""
    yield _strict_process
    _strict_process.check()


def allowed(headers: dict[str, str], origin: str) -> bool:
    return headers.get("access-control-allow-origin") == origin


def readable(headers: dict[str, str]) -> set[str]:
    return set(headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize("target", ["/v1/poll", "/v1/publish", "/v1/tickets", "/v1/channels"])
async def test_a_preflight_needs_no_key(strict: Server, target: str) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "prefer"}
    answer = await strict.ask("OPTIONS", target, {"origin": APP, **asked})
    assert answer.status == 204
    assert answer.body == b""
    assert allowed(answer.headers, APP)
    assert "OPTIONS" in answer.headers["access-control-allow-methods"]
    names = answer.headers["access-control-allow-headers"].split(", ")
    assert {"Authorization", "If-None-Match", "Last-Event-ID", "Prefer", "Wait"} <= set(names)
    assert int(answer.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_headers_of_a_setting_are_allowed_beside_ours(driver: str) -> None:
    with serve(driver, cors_origins=[APP], cors_headers=["X-Request-Id", "X-Trace"]) as server:
        for target in ("/v1/poll", "/livez"):
            asked = {
                "origin": APP,
                "access-control-request-method": "GET",
                "access-control-request-headers": "x-request-id, prefer",
            }
            answer = await server.ask("OPTIONS", target, asked)
            assert answer.status in (200, 204)
            names = answer.headers["access-control-allow-headers"].lower().split(", ")
            assert {"x-request-id", "x-trace", "prefer", "authorization"} <= set(names)


async def test_a_preflight_lists_the_methods_of_the_url(strict: Server) -> None:
    answer = await strict.ask("OPTIONS", events_of("x"), {"origin": APP})
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"


async def test_another_origin_is_not_allowed(strict: Server) -> None:
    for origin in ("https://evil.example.com", "null", "http://app.example.com", APP + ".evil.com"):
        answer = await strict.get(value_of("open:x"), origin=origin)
        assert not any(name.startswith("access-control") for name in answer.headers), origin
        assert "Origin" in answer.headers["vary"]


async def test_a_request_without_an_origin_gets_no_cors_headers(strict: Server) -> None:
    answer = await strict.get(value_of("open:x"))
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_every_status_can_be_read(strict: Server) -> None:
    name = f"open:{fresh()}"
    key = {"authorization": f"Bearer {KEY}", "origin": APP}
    cursor = (await strict.publish(name, 1, **key))["cursor"]
    tag = f'"{cursor}"'
    answers = [
        await strict.get(value_of(name), origin=APP),
        await strict.get(value_of(name), origin=APP, if_none_match=tag),
        await strict.get(events_of(name) + "?since=x", origin=APP),
        await strict.get(value_of("closed:x"), origin=APP),
        await strict.get(value_of("open:none"), origin=APP),
        await strict.ask("PUT", value_of(name), {"origin": APP}),
        await strict.get(events_of(name) + "?since=e-1", origin=APP),
        await strict.post(events_of(name), 2, if_none_match="*", **key),
        await strict.post(events_of(name), "x" * 300_000, **key),
    ]
    statuses = [200, 304, 400, 401, 404, 405, 410, 412, 413]
    assert [answer.status for answer in answers] == statuses
    for answer in answers:
        assert allowed(answer.headers, APP), answer
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert readable(answer.headers) >= EXPOSED
        assert "Origin" in answer.headers["vary"]


async def test_the_end_of_a_wait_can_be_read(strict: Server) -> None:
    answer = await strict.get(events_of("open:x") + "?since=now&wait=1", origin=APP)
    assert answer.status == 200
    assert allowed(answer.headers, APP)


async def test_a_response_of_a_full_hub_can_be_read(strict: Server) -> None:
    async with await strict.connect() as first:
        first.send("GET", events_of("open:x") + "?since=now&wait=30")
        await strict.held(1, authorization=f"Bearer {KEY}")
        answer = await strict.get(events_of("open:x") + "?since=now&wait=30", origin=APP)
        assert allowed(answer.headers, APP)
        assert "x-poll-interval" in answer.headers
        assert "X-Poll-Interval" in readable(answer.headers)


async def test_a_stream_can_be_read(strict: Server) -> None:
    async with strict.streaming(events_of("open:x"), origin=APP) as stream:
        await stream.next()
    async with await strict.connect() as client:
        client.send("GET", events_of("open:x"), {"accept": "text/event-stream", "origin": APP})
        _, headers = await client.head()
        assert allowed(headers, APP)


async def test_pages_and_unknown_urls_can_be_read(strict: Server) -> None:
    for target, status in (("/livez", 200), ("/v2", 404), ("/metrics", 401)):
        answer = await strict.get(target, origin=APP)
        assert answer.status == status
        assert allowed(answer.headers, APP), target


async def test_in_development_all_origins_may_read_without_cookies(hub: Server) -> None:
    answer = await hub.get(value_of(fresh()), origin="https://anything.localhost")
    assert allowed(answer.headers, "*")
    assert "access-control-allow-credentials" not in answer.headers
