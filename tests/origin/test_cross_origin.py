"""Preflights for opt-ins, and the headers that pages of other origins may read."""

from typing import Any

import pytest

from pushhub.origin.client.response import UpstreamResponse
from pushhub.origin.cross_origin import Preflight
from pushhub.origin.exposed_headers import added_to, exposing
from pushhub.origin.request import ProxiedRequest
from pushhub.origin.routes import Routes
from pushhub.settings import Route, Settings
from tests.origin.conftest import listening
from tests.origin.scripted import Scripted
from tests.serving import serve

PAGE = "https://page.example"
ALLOWED = b"HTTP/1.1 204 No Content\r\nVary: Origin\r\nAccess-Control-Allow-Origin: %b\r\n"


def request(asked: str, method: str = "GET", **route: Any) -> ProxiedRequest:
    settings = Settings(origin="http://api", routes=[Route(**{"step": "poll", **route})])
    pairs = [(b"Host", b"api"), (b"Origin", PAGE.encode())]
    pairs += [(b"Access-Control-Request-Method", method.encode())]
    pairs += [(b"Access-Control-Request-Headers", asked.encode()), (b"X-Own", b"1")]
    request = ProxiedRequest("OPTIONS", "/orders", tuple(pairs))
    match = Routes(settings).find("api", "/orders")
    assert match is not None
    request.match = match
    return request


def answered(asked: str, head: bytes, **route: Any) -> UpstreamResponse:
    preflight = Preflight.of(request(asked, **route))
    assert preflight is not None
    return preflight.complete(UpstreamResponse(head + b"\r\n", "OPTIONS"))


@pytest.mark.parametrize(
    ("asked", "method", "route"),
    [
        ("if-none-match", "GET", {}),
        ("x-prefer", "GET", {}),
        ("", "GET", {}),
        ("prefer", "POST", {}),
        ("prefer", "GET", {"step": "pass"}),
        ("prefer", "GET", {"step": "grip"}),
        ("wait", "GET", {}),
        ("prefer", "REPORT", {"methods": ["GET", "POST"]}),
        ("prefer", "GET", {"opt_in": ["wait-param"]}),
    ],
)
def test_other_preflights_are_the_applications(
    asked: str, method: str, route: dict[str, object]
) -> None:
    assert Preflight.of(request(asked, method, **route)) is None


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("prefer", None),
        ("If-None-Match, PREFER", None),
        ("authorization,prefer", b"authorization"),
        ("x-a, prefer,,if-none-match , x-b", b"x-a, x-b"),
    ],
)
def test_the_application_is_asked_for_the_rest(asked: str, left: bytes | None) -> None:
    preflight = Preflight.of(request(asked))
    assert preflight is not None
    pairs = dict(preflight.request.pairs)
    assert pairs.pop(b"Access-Control-Request-Headers", None) == left
    assert list(pairs) == [b"Host", b"Origin", b"Access-Control-Request-Method", b"X-Own"]
    assert preflight.is_simple == (left is None)


@pytest.mark.parametrize(("method", "is_simple"), [("POST", True), ("REPORT", False)])
def test_a_method_that_reads_may_opt_in(method: str, is_simple: bool) -> None:
    preflight = Preflight.of(request("prefer", method, methods=["GET", method]))
    assert preflight is not None
    assert preflight.is_simple == is_simple


@pytest.mark.parametrize("origin", [PAGE.encode(), b"*"])
def test_an_allowed_page_may_send_the_opt_in(origin: bytes) -> None:
    head = ALLOWED % origin
    ours = b"Access-Control-Allow-Headers: "
    assert answered("prefer", head).raw == head + ours + b"Prefer, If-None-Match\r\n\r\n"
    listed = head + b"access-control-allow-headers: X-A, prefer\r\nX-Own: 1\r\n"
    expected = head + b"X-Own: 1\r\n" + ours + b"X-A, prefer, If-None-Match\r\n\r\n"
    assert answered("prefer", listed).raw == expected
    waits = answered("wait", head, opt_in=["wait"]).raw
    assert waits == head + ours + b"Wait, If-None-Match\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\n",
        ALLOWED % b"https://other.example",
        ALLOWED % b"null",
        (ALLOWED % b"*") + b"Access-Control-Allow-Origin: *\r\n",
        (ALLOWED % b"*").replace(b"204 No Content", b"400 Bad Request"),
        (ALLOWED % b"*").replace(b"204 No Content", b"405 Not Allowed"),
        (ALLOWED % b"*") + b"Access-Control-Allow-Headers: X-A, *\r\n",
        (ALLOWED % b"*") + b"Access-Control-Allow-Headers: if-none-match,prefer\r\n",
        b"HTTP/1.1 403 Forbidden\r\n",
    ],
)
def test_all_else_stays_to_the_byte(head: bytes) -> None:
    assert answered("prefer", head).raw == head + b"\r\n"


def test_with_credentials_a_star_is_a_name() -> None:
    credentials = (b"Access-Control-Allow-Credentials", b"true")
    star = (b"Access-Control-Expose-Headers", b"*")
    assert added_to((star,), b"access-control-expose-headers", (b"ETag",)) is None
    with_credentials = added_to((credentials, star), b"access-control-expose-headers", (b"ETag",))
    assert with_credentials == b"*, ETag"


def test_only_an_allowed_response_exposes_more() -> None:
    plain = ((b"ETag", b'"1"'), (b"Access-Control-Expose-Headers", b"X-A"))
    assert exposing(plain) is plain
    allowed = (*plain, (b"Access-Control-Allow-Origin", b"*"))
    exposed = dict(exposing(allowed))[b"Access-Control-Expose-Headers"]
    assert exposed == b"X-A, ETag, Preference-Applied, X-Polling-Index, X-Poll-Interval"


def test_an_application_without_options_is_asked_by_the_get_alone() -> None:
    told = answered("prefer, if-none-match", b"HTTP/1.1 405 Not Allowed\r\nAllow: GET\r\n")
    assert dict(told.pairs)[b"Access-Control-Allow-Origin"] == PAGE.encode()
    assert told.status == 204
    # With a header that the application would have to allow, it has refused.
    assert answered("prefer, x-own", b"HTTP/1.1 405 Not Allowed\r\n").status == 405


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_both_drivers(driver: str) -> None:
    with listening() as sock:
        async with Scripted(sock) as origin:
            origin.acts["/orders"] = ALLOWED % b"*" + b"\r\n"
            routes = [{"path": "/*", "step": "poll"}]
            with serve(driver, origin=f"http://127.0.0.1:{origin.port}", routes=routes) as hub:
                asked = {"origin": PAGE, "access-control-request-method": "GET"}
                asked["access-control-request-headers"] = "prefer"
                told = await hub.ask("OPTIONS", "/orders", asked)
                assert told.headers["access-control-allow-headers"] == "Prefer, If-None-Match"
                assert origin.calls[-1].all("access-control-request-headers") == []
