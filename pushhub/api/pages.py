"""The pages on Starlette, which need no speed: health, metrics, OpenAPI, and the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from pushhub.api import metrics
from pushhub.api.assets import DEMO_MARK, asset, folder, static
from pushhub.api.host_meta import host_meta
from pushhub.api.metrics_sum import add_up
from pushhub.api.openapi.document import document
from pushhub.http.problem import Problem
from pushhub.http.request import Request as ParsedRequest
from pushhub.log.grant import NOTHING, Grant
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from pushhub.api.service import Service

# Pages that people open by hand, perhaps with a slash at the end.
_PAGES = ("docs", "demo", "console")

# The browser client, for a script tag and as a module: what `npm run build` in clients/js writes.
CLIENT = ("client.js", "client.js.map", "client.mjs", "client.mjs.map", "client.d.ts")


def pages(service: Service, trusts: Callable[[ParsedRequest], bool] | None = None) -> list[Route]:
    """The routes of the pages. A request that `trusts` accepts needs no key for the metrics, and
    `/readyz` shows it the store's own error.
    """
    demo = service.settings.shows_demo
    left_out = None if demo else DEMO_MARK
    return [
        Route("/", _demo_first if demo else asset("home.html")),
        Route("/livez", _livez),
        Route("/readyz", _readyz(service, trusts)),
        Route("/metrics", _metrics(service, trusts)),
        Route("/openapi.json", _openapi()),
        Route("/.well-known/host-meta", host_meta(service, json=False)),
        Route("/.well-known/host-meta.json", host_meta(service, json=True)),
        Route("/docs", asset("docs.html", left_out=left_out)),
        Route("/docs.css", asset("docs.css")),
        Route("/docs.js", asset("docs.js")),
        *(Route(f"/{name}", asset(name)) for name in CLIENT),
        Route("/page.css", asset("page.css")),
        *(_demo(service) if demo else ()),
    ]


def _demo(service: Service) -> tuple[Route, ...]:
    return (
        Route("/demo", asset("demo.html")),
        Route("/demo/faces.json", _demo_settings(service)),
        Route("/demo/{file}", folder("demo")),
    )


async def _demo_first(request: Request) -> Response:
    # Relative, since a proxy may serve this under a path prefix that only the proxy knows.
    return RedirectResponse("demo", 307)


async def _livez(request: Request) -> Response:
    """The process runs and its loop turns. This fails only if a restart would help."""
    return JSONResponse({"live": True}, headers={"cache-control": "no-store"})


def _openapi() -> Callable[[Request], Awaitable[Response]]:
    body = bytes(JSONResponse(document()).body)
    return static(body, "application/json", headers={"cache-control": "no-cache"})


def _readyz(
    service: Service, trusts: Callable[[ParsedRequest], bool] | None
) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(request: Request) -> Response:
        """Whether a balancer should send requests here: not while leaving, without store, or while
        reads fail; nor while publishes fail, if the settings say so. Only an operator sees the
        store's own error.
        """
        in_full = _grant(service, trusts, request).is_admin
        hub = service.hub
        works = hub.store.ready and hub.health.reads is None
        if service.settings.ready_writes:
            works = works and hub.health.writes is None
        ready = not service.leaving and works
        body = {
            "ready": ready,
            "leaving": service.leaving,
            "store": hub.store.ready,
            "reads": _works(hub.health.reads, in_full=in_full),
            "writes": _works(hub.health.writes, in_full=in_full),
        }
        return JSONResponse(body, 200 if ready else 503, headers={"cache-control": "no-store"})

    return readyz


def _works(error: StoreError | None, *, in_full: bool) -> dict[str, object]:
    if error is None:
        return {"ok": True}
    detail = str(error) if in_full else error.public
    return {"ok": False, "reason": error.reason, "detail": detail}


def _grant(
    service: Service, trusts: Callable[[ParsedRequest], bool] | None, request: Request
) -> Grant:
    """The grant of a request; nothing with an invalid credential, so that `/readyz` responds to
    all clients.
    """
    try:
        return service.authority.grant(_parsed(service, trusts, request))
    except Problem:
        return NOTHING


def _parsed(
    service: Service, trusts: Callable[[ParsedRequest], bool] | None, request: Request
) -> ParsedRequest:
    headers, peer = dict(request.headers), request.client.host if request.client else ""
    client = service.proxies.client(peer, headers)
    parsed = ParsedRequest("GET", request.url.path, headers=headers, client=client)
    parsed.id = service.proxies.request_id(peer, headers)
    parsed.trusted = trusts is not None and trusts(parsed)
    return parsed


def _demo_settings(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def endpoints(request: Request) -> Response:
        """The settings of the demo: the XMPP domain that serves anonymous readers over BOSH."""
        settings = service.settings
        served = service.bosh is not None and (settings.dev or settings.xmpp_anonymous)
        domain = (*settings.xmpp_domains, "localhost")[0]
        body = {"bosh": domain if served else None}
        return JSONResponse(body, headers={"cache-control": "no-store"})

    return endpoints


def guarded(
    service: Service, page: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """A page that is served only under a `Host` that the guard accepts."""

    async def checked(request: Request) -> Response:
        try:
            service.guard.check_host(request.headers)
        except Problem as problem:
            return _problem(service, problem)
        return await page(request)

    return checked


def _metrics(
    service: Service, trusts: Callable[[ParsedRequest], bool] | None
) -> Callable[[Request], Awaitable[Response]]:
    async def metrics_page(request: Request) -> Response:
        parsed = _parsed(service, trusts, request)
        try:
            service.guard.check_host(parsed.headers)
            service.authority.require_admin(service.authority.grant(parsed))
        except Problem as problem:
            return _problem(service, problem, parsed)
        try:
            store = service.hub.store
            service.stored = await store.count()
            service.retained = {
                name: await store.retained(name) for name in service.settings.namespace_limits
            }
        except StoreError:
            pass  # The last figure stays; other metrics show that the store is unavailable.
        text = metrics.render(service)
        if service.peers is not None:
            text = add_up([text, *await service.peers.metrics()])
        return PlainTextResponse(
            text,
            headers={"content-type": metrics.CONTENT_TYPE, "cache-control": "no-store"},
        )

    return metrics_page


def _problem(service: Service, problem: Problem, request: ParsedRequest | None = None) -> Response:
    response = service.refuse(problem, request)
    headers = {name.decode(): value.decode() for name, value in response.headers}
    return Response(response.body, response.status, headers=headers)


def problem_handlers(
    service: Service, prefix: str = ""
) -> dict[int, Callable[[Request, Exception], Awaitable[Response]]]:
    """Starlette's own errors, as problems like all others."""

    async def not_found(request: Request, error: Exception) -> Response:
        name = request.url.path.removesuffix("/").rpartition("/")[2]
        if request.url.path.endswith("/") and name in _PAGES:
            return RedirectResponse(f"../{name}", 307)
        docs = f"{request.scope.get('root_path', '').rstrip('/')}{prefix}/docs"
        return _problem(
            service,
            Problem("not-found", f"There is no page at this URL; {docs} lists all pages."),
        )

    async def method_not_allowed(request: Request, error: Exception) -> Response:
        allowed = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        headers = tuple((name.lower().encode(), value.encode()) for name, value in allowed.items())
        return _problem(
            service,
            Problem("method-not-allowed", "The method is not allowed.", headers=headers),
        )

    return {404: not_found, 405: method_not_allowed}
