"""`PushHub.waits`: an endpoint of the application itself that may wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pushhub.embedding.route_run import MAX_KEPT_BYTES
from tests.embedding.hosted import WAIT, Hosted, hosted, hub
from tests.waiting import until


class Order(BaseModel):
    id: str
    total: int


class Shop:
    """An application with state, and with dependencies that count what they have open."""

    def __init__(self) -> None:
        self.push = push = hub()
        self.totals = {"7": 1}
        self.readers = {"ada", "bob"}
        self.runs = self.open = 0
        self.fails = False
        self.app = app = FastAPI(lifespan=push.lifespan)

        async def database() -> AsyncIterator[dict[str, int]]:
            self.open += 1
            try:
                yield self.totals
            finally:
                self.open -= 1

        def reader(x_user: Annotated[str, Header()] = "ada") -> str:
            if x_user not in self.readers:
                raise HTTPException(403, "not a reader")
            return x_user

        router = APIRouter(prefix="/shops/{shop}", dependencies=[Depends(reader)])

        @app.get("/orders/{id}", response_model=Order, dependencies=[Depends(reader)])
        @push.waits("orders:{id}")
        async def order(id: str, totals: Annotated[dict[str, int], Depends(database)]) -> Any:
            self.runs += 1
            if self.fails:
                raise RuntimeError("the database is away")
            return {"id": id, "total": totals[id], "secret": "no field of the model"}

        @router.get("/orders/{id}")
        @push.waits("{shop}:{id}")
        def shops_order(shop: str, id: str) -> dict[str, Any]:
            return {"shop": shop, "id": id, "total": self.totals.get(id, 0)}

        app.include_router(router)
        app.mount("/push", push)


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Shop, Hosted]]:
    shop = Shop()
    async with hosted(shop.app, shop.push) as running:
        yield shop, running


async def test_without_opt_in_nothing_changes(shop: tuple[Shop, Hosted]) -> None:
    _, running = shop
    response = await running.ask("/orders/7")
    assert (response.status, response.json()) == (200, {"id": "7", "total": 1})
    assert "etag" not in response.headers
    assert "vary" not in response.headers


async def test_a_request_with_the_tag_waits_for_another_response(
    shop: tuple[Shop, Hosted],
) -> None:
    it, running = shop
    first = await running.ask("/orders/7", WAIT)
    assert first.headers["preference-applied"] == "wait=20"
    assert first.headers["vary"] == "Prefer"
    assert first.headers["cache-control"] == "no-store"
    async with running.waiting("/orders/7", first.headers["etag"]) as response:
        assert it.open == 0, "a dependency is open during the wait"
        it.totals["7"] = 2
        receipt = await it.push.publish("orders:7", {"total": 2})
        news = await response
    assert (news.status, news.json()) == (200, {"id": "7", "total": 2})
    assert news.headers["etag"] != first.headers["etag"]
    assert receipt.channel == "orders:7"


async def test_an_event_that_changes_nothing_leaves_the_request_waiting(
    shop: tuple[Shop, Hosted],
) -> None:
    it, running = shop
    etag = (await running.ask("/orders/7", WAIT)).headers["etag"]
    async with running.waiting("/orders/7", etag) as response:
        runs = it.runs
        await it.push.publish("orders:7", "seen")
        await until(lambda: it.runs == runs + 1)
        await until(lambda: it.push.service.hub.parked == 1)
        assert not response.done()
        it.totals["7"] = 5
        await it.push.notify("orders:7")
        assert (await response).json()["total"] == 5


async def test_an_event_between_two_requests_is_not_missed(shop: tuple[Shop, Hosted]) -> None:
    it, running = shop
    etag = (await running.ask("/orders/7", WAIT)).headers["etag"]
    it.totals["7"] = 3
    news = await running.ask("/orders/7", {**WAIT, "if-none-match": etag})
    assert (news.status, news.json()["total"]) == (200, 3)


async def test_the_end_of_a_wait_is_a_304(shop: tuple[Shop, Hosted]) -> None:
    _, running = shop
    etag = (await running.ask("/orders/7", WAIT)).headers["etag"]
    async with running.waiting("/orders/7", etag, wait=1) as response:
        end = await response
    assert (end.status, end.body) == (304, b"")
    assert end.headers["etag"] == etag
    assert end.headers["preference-applied"] == "wait=1"


async def test_rights_are_checked_again_for_each_caller(shop: tuple[Shop, Hosted]) -> None:
    it, running = shop
    etag = (await running.ask("/orders/7", WAIT)).headers["etag"]
    async with (
        running.waiting("/orders/7", etag, headers={"x-user": "ada"}) as ada,
        running.waiting("/orders/7", etag, headers={"x-user": "bob"}) as bob,
    ):
        it.readers.remove("bob")
        it.totals["7"] = 4
        await it.push.publish("orders:7", None)
        assert (await ada).json()["total"] == 4
        assert (await bob).status == 403


async def test_an_error_of_the_endpoint_passes(shop: tuple[Shop, Hosted]) -> None:
    it, running = shop
    etag = (await running.ask("/orders/7", WAIT)).headers["etag"]
    async with running.waiting("/orders/7", etag) as response:
        it.fails = True
        await it.push.publish("orders:7", None)
        assert (await response).status == 500


async def test_a_router_with_a_prefix_and_a_plain_function(shop: tuple[Shop, Hosted]) -> None:
    it, running = shop
    etag = (await running.ask("/shops/north/orders/7", WAIT)).headers["etag"]
    async with running.waiting("/shops/north/orders/7", etag) as response:
        it.totals["7"] = 9
        await it.push.publish("north:7", None)
        assert (await response).json() == {"shop": "north", "id": "7", "total": 9}


async def test_a_client_that_leaves_is_dropped(shop: tuple[Shop, Hosted]) -> None:
    it, running = shop
    etag = (await running.ask("/orders/7", WAIT)).headers["etag"]
    async with running.waiting("/orders/7", etag):
        assert it.push.service.hub.parked == 1
    await until(lambda: it.push.service.hub.parked == 0)
    assert len(it.push._wakes) == 0


async def test_a_full_hub_keeps_its_clients_polling() -> None:
    push = hub(max_holds=1)
    app = Starlette(routes=[Route("/", push.waits("a")(_plain))], lifespan=push.lifespan)
    async with hosted(app, push) as running:
        etag = (await running.ask("/", WAIT)).headers["etag"]
        async with running.waiting("/", etag):
            response = await running.ask("/", {**WAIT, "if-none-match": etag})
    assert response.status == 304
    assert "preference-applied" not in response.headers
    assert int(response.headers["x-poll-interval"]) >= 2


async def _plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("one")


async def test_an_end_of_the_server_completes_its_waits() -> None:
    push = hub(drain_seconds=1)
    app = Starlette(routes=[Route("/", push.waits("a")(_plain))], lifespan=push.lifespan)
    async with hosted(app, push) as running:
        etag = (await running.ask("/", WAIT)).headers["etag"]
        async with running.waiting("/", etag) as response:
            push.leave()
            end = await response
    assert end.status == 304


class Counting:
    """Middleware of a route."""

    def __init__(self, app: ASGIApp, counts: list[str]) -> None:
        self.app = app
        self.counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.counts.append(scope["path"])
        await self.app(scope, receive, send)


async def test_middleware_of_the_route_runs_again_and_that_of_the_application_does_not() -> None:
    push, of_route, of_app, state = hub(), list[str](), list[str](), {"n": 1}

    @push.waits(lambda request: f"user:{request.headers['x-user']}")
    async def mine(request: Request) -> JSONResponse:
        return JSONResponse(state)

    inner = Route("/mine", mine, middleware=[Middleware(Counting, counts=of_route)])
    app = Starlette(
        routes=[Mount("/api", routes=[inner])],
        middleware=[Middleware(Counting, counts=of_app)],
        lifespan=push.lifespan,
    )
    async with hosted(app, push) as running:
        etag = (await running.ask("/api/mine", {**WAIT, "x-user": "ada"})).headers["etag"]
        async with running.waiting("/api/mine", etag, headers={"x-user": "ada"}) as response:
            before = len(of_route), len(of_app)
            state["n"] = 2
            await push.publish("user:ada", None)
            assert (await response).json() == {"n": 2}
        assert (len(of_route), len(of_app)) == (before[0] + 1, before[1])


async def test_an_endpoint_with_a_tag_of_its_own_says_304_itself() -> None:
    push, state, bodies = hub(), {"tag": '"v1"'}, list[str]()

    @push.waits("page")
    async def page(request: Request) -> PlainTextResponse:
        if request.headers.get("if-none-match") == state["tag"]:
            return PlainTextResponse(status_code=304, headers={"etag": state["tag"]})
        bodies.append(state["tag"])
        return PlainTextResponse(state["tag"], headers={"etag": state["tag"]})

    app = Starlette(routes=[Route("/", page)], lifespan=push.lifespan)
    async with hosted(app, push) as running:
        assert (await running.ask("/", WAIT)).headers["etag"] == '"v1"'
        async with running.waiting("/", '"v1"') as response:
            assert bodies == ['"v1"']
            state["tag"] = '"v2"'
            await push.notify("page")
            assert (await response).headers["etag"] == '"v2"'
        async with running.waiting("/", '"v2"', wait=1) as response:
            end = await response
        assert (end.status, end.headers["etag"]) == (304, '"v2"')


@pytest.mark.parametrize("size", [MAX_KEPT_BYTES + 1, None], ids=["large", "stream"])
async def test_a_response_that_cannot_be_kept_passes_through(size: int | None) -> None:
    push = hub()

    @push.waits("big")
    async def big(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"x" * ((size or 4000) // 4 + 1)

        kind = "application/octet-stream" if size else "text/event-stream"
        return StreamingResponse(pieces(), media_type=kind)

    app = Starlette(routes=[Route("/", big)], lifespan=push.lifespan)
    async with hosted(app, push) as running:
        response = await running.ask("/", {**WAIT, "if-none-match": '"x"'})
    assert response.status == 200
    assert len(response.body) >= (size or 4000)
    assert "preference-applied" not in response.headers


async def test_runs_after_an_event_are_bounded() -> None:
    push, state = hub(), {"n": 0}
    running_now = most = 0

    @push.waits("all", concurrency=3)
    async def all_of_them(request: Request) -> JSONResponse:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.01)
        running_now -= 1
        return JSONResponse(state)

    app = Starlette(routes=[Route("/", all_of_them)], lifespan=push.lifespan)
    async with hosted(app, push) as running, contextlib.AsyncExitStack() as stack:
        etag = (await running.ask("/", WAIT)).headers["etag"]
        waits = [await stack.enter_async_context(running.waiting("/", etag)) for _ in range(12)]
        most, state["n"] = 0, 1
        await push.publish("all", None)
        assert {(await each).json()["n"] for each in waits} == {1}
    assert most == 3


def test_a_name_with_something_else_in_braces_is_refused() -> None:
    with pytest.raises(ValueError, match="path parameters only"):
        hub().waits("orders:{id.x}")


async def test_a_name_with_a_parameter_that_the_path_lacks_stops_the_start() -> None:
    push = hub()
    app = Starlette(routes=[Route("/{id}", push.waits("a:{di}")(_endpoint()))])
    with pytest.raises(ValueError, match=r"\['di'\]"):
        async with push.lifespan(app):
            pass


def _endpoint() -> Any:
    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse("one")

    return endpoint


async def test_an_endpoint_outside_of_the_application_is_named_in_the_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    push = hub()
    push.waits("a")(_endpoint())
    async with push.lifespan(Starlette()):
        pass
    # Where an earlier test has configured the log, it goes through the standard library.
    assert "do not wait" in capsys.readouterr().out + caplog.text
