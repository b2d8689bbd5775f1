"""`pushhub routes`: the routes of requests, and the results of requests."""

import asyncio
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from pushhub.cli.config import Json
from pushhub.cli.flags import with_settings
from pushhub.cli.help import GroupedCommand
from pushhub.cli.route_outcome import after_response, connection_reason
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, USAGE, fail, note, say, say_json
from pushhub.http.problem import Problem
from pushhub.origin.client.pool import OriginClient
from pushhub.origin.client.slots import PoolLimits
from pushhub.origin.explain import Explanation, describe, explain
from pushhub.origin.headers import to_origin
from pushhub.origin.request import ProxiedRequest
from pushhub.origin.routes import RouteRow, Routes
from pushhub.origin.shared.fetcher import Fetched, Fetcher, FetchFailed, Unshareable
from pushhub.origin.shared.representation import Representation
from pushhub.origin.shared.stability import difference
from pushhub.settings import Loaded, Settings

app = typer.Typer(help="List and explain the routes to the origin.", no_args_is_help=True)

# Methods that change nothing at the origin (RFC 9110 §9.2.1).
_SAFE = ("GET", "HEAD", "OPTIONS")
_METHOD = re.compile(r"[A-Z]{1,32}")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")

Headers = Annotated[
    list[str] | None,
    typer.Option("-H", metavar="'NAME: VALUE'", help="A header of the request; repeatable."),
]

_COLOURS = {"refused": "red", "passed": "yellow", "grip": "yellow"}


@app.command("list", cls=GroupedCommand, short_help="Print the routes in their order.")
@with_settings
def list_routes(loaded: Loaded, as_json: Json = False) -> None:
    """Print the routes in their order, the origin's own last, and mark those without
    requests."""
    routes = _routes(loaded.settings)
    rows = [(row, routes.covering(row)) for row in routes.rows]
    if as_json:
        say_json([_row(row) | {"unreached": other is not None} for row, other in rows])
        return
    width = max(len(_where(row)) for row, _ in rows)
    for row, other in rows:
        line = f"{row.index + 1:4}  {_where(row):{width}}  {row.route.step:6}  {row.target}"
        say(typer.style(line, fg="yellow" if other else None))
        if other:
            note(
                f"Route {row.index + 1} gets no request: route {other.index + 1} matches them all."
            )


@app.command(cls=GroupedCommand, short_help="Explain the route of a request.")
@with_settings
def check(
    loaded: Loaded,
    url: Annotated[str, typer.Argument(help="The URL or path of the request.")],
    header: Headers = None,
    method: Annotated[str, typer.Option(help="The method of the request.")] = "GET",
    dry: Annotated[bool, typer.Option("--dry", help="Do not call the origin.")] = False,
    as_json: Json = False,
) -> None:
    """Explain the route of a request and its result, and show the origin's response. A resource
    that requests may wait on is fetched again after a second, to see whether it always differs.

    Exit code 1: no route matches, or the origin does not respond.
    """
    settings = loaded.settings
    routes = _routes(settings)
    request = parse_request(url, method, header or [])
    if request.path.startswith(settings.prefix + "/"):
        fail(f"Paths under {settings.prefix}/ are pushhub's own, and never reach the origin.")
    result = explain(routes, request, settings.max_wait)
    response = None
    if result.match is not None and not dry and request.method in _SAFE:
        response = asyncio.run(_call_origin(settings, result, request))
    if response is not None and result.is_shared:
        result = after_response(result, response)
    fields = _fields(result, request) | ({"answer": response} if response is not None else {})
    if as_json:
        say_json(fields)
    else:
        _print(result, request, fields)
        if result.match is not None and response is None:
            why = "with --dry" if dry else f"because {request.method} may change something there"
            if not dry and result.is_shared:
                why = f"because this command has no body for a {request.method}"
            note(f"The origin was not called, {why}.")
    failed = result.problem is not None or (response is not None and "problem" in response)
    raise typer.Exit(FAILED if failed else 0)


def _routes(settings: Settings) -> Routes:
    routes = Routes(settings)
    if not routes.rows:
        fail(
            "There is no origin: give --origin http://host:port, or [[routes]] with a target in "
            "the file of settings.",
            code=USAGE,
        )
    return routes


def parse_request(url: str, method: str, headers: list[str]) -> ProxiedRequest:
    """The request as a client would send it; an invalid one ends the command."""
    try:
        parts = urlsplit(url)
        host = parts.netloc
        _ = parts.port
    except ValueError:
        fail(f"{url!r} is neither a URL nor a path.", code=USAGE)
    if not url.startswith("/") and (parts.scheme not in ("http", "https") or not parts.hostname):
        fail(f"{url!r} is neither a URL such as http://host/path nor a path.", code=USAGE)
    target = url if url.startswith("/") else url.partition("://")[2].removeprefix(host) or "/"
    target = target.partition("#")[0]
    if not re.fullmatch(r"[\x21-\x7e]+", target):
        fail("Clients send a path percent-encoded, such as /caf%C3%A9.", code=USAGE)
    if target.startswith("?"):
        target = "/" + target
    if not _METHOD.fullmatch(method.upper()):
        fail(f"{method!r} is no method.", code=USAGE)
    pairs = []
    for line in headers:
        if not (found := _HEADER.fullmatch(line)):
            fail(f"A header is 'Name: value', not {line!r}.", code=USAGE)
        pairs.append((found[1].encode(), found[2].strip().encode("utf-8", "surrogateescape")))
    if not any(name.lower() == b"host" for name, _ in pairs):
        host = "localhost" if url.startswith("/") else host.rpartition("@")[2]
        pairs.insert(0, (b"Host", host.encode("idna") if not host.isascii() else host.encode()))
    return ProxiedRequest(method.upper(), target, tuple(pairs), client="127.0.0.1")


# -- fetching --------------------------------------------------------------------------------------


async def _call_origin(
    settings: Settings, result: Explanation, request: ProxiedRequest
) -> dict[str, Any]:
    """The response of the origin, as a member of the JSON."""
    client = OriginClient(
        settings.origin_connect_seconds, settings.origin_seconds, PoolLimits.of(1)
    )
    client.open()
    try:
        if result.is_shared:
            return await _fetch(client, settings, result, request)
        return await _pass(client, settings, result, request)
    except Problem as problem:
        return {"problem": problem.to_dict()} | await connection_reason(result)
    finally:
        client.close()


async def _fetch(
    client: OriginClient, settings: Settings, result: Explanation, request: ProxiedRequest
) -> dict[str, Any]:
    """The result of a shared fetch."""
    key = result.key(request)
    assert key is not None
    fetcher = Fetcher(client, settings.forwarded, 1)
    match await fetcher.fetch(key, fetcher.headers_for(key, request), None, request.match.route):
        case Fetched(representation, vary):
            shared: dict[str, Any] = {"shared": True, "varies_by": sorted(vary)}
            if representation.succeeded:
                shared["differs"] = await difference(fetcher, request)
            return _summary(representation) | shared
        case Unshareable(reason):
            # The fetch does not keep this response; a request that passes through gets it.
            passed = await _pass(client, settings, result, request)
            return passed | {"shared": False, "why_not": reason}
        case FetchFailed(problem, representation):
            if representation is not None:
                return _summary(representation) | {"shared": False, "error": True}
            assert problem is not None
            return {"problem": problem.to_dict()} | await connection_reason(result)
    raise AssertionError("nothing was known before, so nothing can be unchanged")


async def _pass(
    client: OriginClient, settings: Settings, result: Explanation, request: ProxiedRequest
) -> dict[str, Any]:
    """Send the request itself, and read only the head of the response."""
    assert result.match is not None
    url = result.match.target + request.target
    pairs = to_origin(request, settings.forwarded)
    response = await client.request(request.method, url, pairs)
    try:
        summary = _summary(Representation(response.status, response.reason, response.pairs, b""))
    finally:
        response.close()
    if summary["validator"] is not None and summary["validator"]["by"] == "pushhub":
        # It would be computed from the body, which is not read.
        summary["validator"] = None
    return summary


def _summary(representation: Representation) -> dict[str, Any]:
    lines = {
        name: ", ".join(
            value.decode("latin-1") for key, value in representation.headers if key.lower() == name
        )
        or None
        for name in (b"vary", b"cache-control", b"content-type", b"grip-hold")
    }
    etag = representation.header(b"etag")
    ours = representation.has_generated_tag or etag is None
    value = f'W/"{representation.tag}"' if ours else (etag or b"").decode("latin-1")
    return {
        "status": representation.status,
        "reason": representation.reason.decode("latin-1"),
        "validator": {"value": value, "by": "pushhub" if ours else "origin"},
        **{name.decode().replace("-", "_"): text for name, text in lines.items()},
    }


# -- printing --------------------------------------------------------------------------------------


def _row(row: RouteRow) -> dict[str, Any]:
    given = row.route.model_dump(mode="json", exclude_defaults=True)
    usual = {"host": row.route.host, "path": row.route.path, "step": row.route.step}
    return {"route": row.index + 1} | usual | given | {"target": row.target}


def _where(row: RouteRow) -> str:
    return row.route.path if row.route.host == "*" else f"{row.route.host} {row.route.path}"


def _fields(result: Explanation, request: ProxiedRequest) -> dict[str, Any]:
    """The explanation for programs."""
    fields: dict[str, Any] = {
        "method": request.method,
        "host": request.host,
        "target": request.target,
        "outcome": result.outcome,
        "because": result.because,
        "takes": None if result.row is None else _row(result.row),
        "earlier": [_row(missed.row) | {"why_not": missed.why} for missed in result.skipped],
    }
    if result.problem is not None:
        return fields | {"problem": result.problem.to_dict()}
    assert result.match is not None
    fields |= {"names": result.match.names, "asks": result.match.target + request.target}
    if result.wait_request is not None:
        fields |= {
            "wait": result.wait_request.wait,
            "has": describe(result.wait_request.condition) or None,
        }
    if (key := result.key(request)) is not None:
        route = result.match.route
        parts: dict[str, Any] = {
            "host": request.headers.get("host", ""),
            "headers": list(key.names),
        }
        if route.identity_cookies:
            parts["cookies"] = sorted(route.identity_cookies)
        if request.method != "GET":
            parts |= {"method": request.method, "body": True}
        fields |= {
            "asks": key.url,
            "key": parts,
            "sent": [
                name
                for name in key.names
                if (key.cookies if name == "cookie" else name in request.headers)
            ],
            "interval": route.interval if route.step == "poll" else None,
            "slowest": route.longest_pause if route.step == "poll" else None,
            "max_age": route.max_age,
        }
    return fields


def _print(result: Explanation, request: ProxiedRequest, fields: dict[str, Any]) -> None:
    """Print the explanation for people."""
    say(
        typer.style(
            f"{request.method} {request.headers.get('host', '')}{request.target}", bold=True
        )
    )
    for missed in result.skipped:
        say(
            typer.style(
                f"  not {missed.row.index + 1:3}   {_where(missed.row)}: {missed.why}", dim=True
            )
        )
    if result.row is not None:
        names = "".join(f", {name} = {value}" for name, value in fields["names"].items())
        _line(
            "route",
            f"{result.row.index + 1}, {_where(result.row)} (step {result.row.route.step}){names}",
        )
    if (
        result.wait_request is not None
        and result.row is not None
        and result.row.route.step in ("poll", "notify")
    ):
        wait = result.wait_request.wait
        _line("opt-in", "none" if wait is None else f"recognised, {wait} s are granted")
        _line("has", fields["has"] or "nothing yet")
    _line(
        "outcome",
        f": {result.because}",
        result.outcome,
        _COLOURS.get(result.outcome, "green"),
    )
    if "asks" in fields:
        _line("asks", fields["asks"])
    if result.is_shared:
        _line(
            "shared",
            "by all requests with the same URL, Host and Accept-Encoding, "
            + ("method and body, " if "body" in fields["key"] else "")
            + "and "
            + (_headers_of(fields["key"]) or "no other header")
            + (f" (this one sends {', '.join(fields['sent'])})" if fields["sent"] else ""),
        )
        _line("fetches", _fetches(result))
    if "answer" in fields:
        _print_response(result, fields["answer"])


def _headers_of(key: dict[str, Any]) -> str:
    """The headers of a key, and the cookies that alone count where the route names some."""
    cookies = f"cookie ({', '.join(key['cookies'])} alone)" if "cookies" in key else "cookie"
    return ", ".join(cookies if name == "cookie" else name for name in key["headers"])


def _fetches(result: Explanation) -> str:
    assert result.match is not None
    route = result.match.route
    if route.step == "notify":
        how = "after a notification of a change"
        return f"{how}, or by the channel {route.channel}" if route.channel else how
    slower = (
        f" while it changes, up to every {route.longest_pause:g} s while not"
        if route.longest_pause > route.interval
        else " while a request waits"
    )
    return f"every {route.interval:g} s{slower}, and never without a waiting request"


def _print_response(result: Explanation, response: dict[str, Any]) -> None:
    if (problem := response.get("problem")) is not None:
        _line("response", "", f"{problem['status']} {problem['detail']}", "red")
        if "reason" in response:
            _line("reason", response["reason"])
        return
    _line("response", f"{response['status']} {response['reason']}".rstrip())
    validator = response["validator"]
    if validator is None:
        _line("validator", "none from the origin")
    else:
        by = (
            "the origin's own"
            if validator["by"] == "origin"
            else "computed by pushhub from the body"
        )
        _line("validator", f"{validator['value']} ({by})")
    _line("vary", response["vary"] or "none")
    if response["grip_hold"] and result.outcome == "grip":
        _line("hold", f"Grip-Hold: {response['grip_hold']}")
    if response.get("shared") is True:
        more = [
            name for name in response["varies_by"] if result.match and name not in _known(result)
        ]
        joins = f": {', '.join(more)} also separates requests" if more else ""
        _line("can be", joins, "shared", "green")
        if (differs := response.get("differs")) is not None:
            _line("but", f": {differs}. Each wait would end immediately.", "always new", "yellow")
    elif "error" in response:
        _line("can be", ": the API fails; waiting requests get its error", "not shared", "red")
    elif "why_not" in response:
        _line("can be", f": {response['why_not']}", "not shared", "yellow")


def _known(result: Explanation) -> set[str]:
    assert result.match is not None
    return {*result.match.route.vary, *result.match.route.identity_headers}


def _line(title: str, text: str, word: str = "", colour: str | None = None) -> None:
    """Print a line, with a coloured word before its text. An origin's headers and a client's path
    may contain control characters of a terminal (CWE-150).
    """
    marked = typer.style(printable(word), fg=colour, bold=True) if word else ""
    say(f"  {typer.style(f'{title:9}', fg='cyan')} {marked}{printable(text)}")
