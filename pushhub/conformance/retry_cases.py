"""The cases of failures, pauses, credentials, redirects and the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.conformance.case import case, check
from pushhub.conformance.scripted_server import ScriptedServer
from pushhub.conformance.stage import GROWN_SECONDS, RETRY_SECONDS, SOON_SECONDS, TOKENS

if TYPE_CHECKING:
    from pushhub.conformance.scripted_request import ScriptedRequest
    from pushhub.conformance.stage import Stage

_RETRY = "Failures and pauses"
_AUTH = "Credentials and redirects"
_END = "The end"

# First retries whose pauses are compared. Of eight pauses that are drawn from a second, the second
# shortest and the second longest differ by less than 50 ms once in 100,000 runs.
_SAMPLES = 8
_LEAST_SPREAD = 0.05
# For so long nothing listens, as during a restart.
_AWAY_SECONDS = 2.0


async def _reading(stage: Stage, *, token: bool = False) -> ScriptedRequest:
    """A client that has printed event 1 and waits for the next."""
    stage.hub.publish("orders", 1)
    await stage.start({"orders": "earliest"}, token=token)
    await stage.line("event", data=1, seconds=SOON_SECONDS * 5)
    held = await stage.held(SOON_SECONDS)
    stage.hub.held.remove(held)
    return held


async def _continues(stage: Stage, held: ScriptedRequest, seconds: float) -> ScriptedRequest:
    """The request after `held`: it has the same cursor, and brings event 2 once."""
    number = stage.requests.index(held) + 1
    again = await stage.after(number, seconds, "The client does not send its request again.")
    check(
        again.positions == held.positions,
        f"The request is repeated from another position: {again.shown}, after {held.shown}.",
    )
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=seconds)
    stage.check_events(1, 2)
    return again


@case(
    "cut", "feed", _RETRY, "After a connection that is cut the request is repeated with its cursor."
)
async def cut(stage: Stage) -> None:
    held = await _reading(stage)
    held.cut()
    await _continues(stage, held, RETRY_SECONDS)


@case(
    "half-response",
    "feed",
    _RETRY,
    "A response that is cut is no response: its events are read again.",
)
async def half_response(stage: Stage) -> None:
    held = await _reading(stage)
    text = b'{"events":[{"channel":"orders","offset":2,"cursor":"first0epoch-2",'
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n"
        b"Preference-Applied: wait=2\r\n\r\n"
    )
    held.connection.write(head + text)
    held.end(close=True)
    await _continues(stage, held, RETRY_SECONDS)


@case(
    "not-json", "feed", _RETRY, "A 200 that is not the hub's, such as a login page, is a failure."
)
async def not_json(stage: Stage) -> None:
    held = await _reading(stage)
    held.respond(200, b"<html>Log in to the network</html>", {"Content-Type": "text/html"})
    await _continues(stage, held, RETRY_SECONDS)


@case("bad-gateway", "feed", _RETRY, "A proxy's own error page is a failure like any other.")
async def bad_gateway(stage: Stage) -> None:
    held = await _reading(stage)
    held.respond(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
    await _continues(stage, held, RETRY_SECONDS)
    check(not stage.printed("error"), "The client gives up after a 502.")


@case("retry-after", "feed", _RETRY, "`Retry-After` of a 429 or 503 is the least pause.")
async def retry_after(stage: Stage) -> None:
    held = await _reading(stage)
    held.refuse(503, "overloaded", {"Retry-After": "3"})
    await stage.quiet(2.5, 0, "The client does not keep the Retry-After of 3 s.")
    again = await _continues(stage, held, RETRY_SECONDS)
    check(again.arrived - (held.ended or 0) > 2.9, "The client is early.")


@case(
    "retry-after-429",
    "feed",
    _RETRY,
    "A 429 is no refusal: the request is repeated after its pause.",
)
async def too_many(stage: Stage) -> None:
    held = await _reading(stage)
    held.refuse(429, "too-many-requests", {"Retry-After": "3"})
    await stage.quiet(2.5, 0, "The client does not keep the Retry-After of 3 s.")
    await _continues(stage, held, RETRY_SECONDS)
    check(not stage.printed("error"), "The client gives up after a 429.")


@case("retry-ms", "feed", _RETRY, "`retry_ms` in a page is the pause before the next request.")
async def retry_ms(stage: Stage) -> None:
    held = await _reading(stage)
    stage.hub.extra = {"retry_ms": 3000}
    stage.hub.end_empty(held)
    stage.hub.extra = {}
    await stage.quiet(2.5, 0, "The client does not keep the retry_ms of 3 s.")
    await _continues(stage, held, RETRY_SECONDS)


@case(
    "backoff",
    "feed",
    _RETRY,
    "While failures last, the pauses grow: no more than 8 requests in 4 s.",
)
async def backoff(stage: Stage) -> None:
    held = await _reading(stage)

    def fail(request: ScriptedRequest) -> None:
        request.respond(500, b"", {"Content-Length": "0"})

    stage.hub.next_responses.extend([fail] * 1000)
    fail(held)
    await stage.quiet(4, 8, "The client repeats a failing request too often.")
    stage.hub.next_responses.clear()
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=GROWN_SECONDS)
    stage.check_events(1, 2)


@case(
    "jitter",
    "feed",
    _RETRY,
    "The pause before a retry is random, so that clients do not return together.",
)
async def jitter(stage: Stage) -> None:
    held = await _reading(stage)
    pauses = []
    for number in range(_SAMPLES):
        held.refuse(500, "internal")
        failed = held
        count = stage.requests.index(held) + 1
        again = await stage.after(count, RETRY_SECONDS, "The client does not try again.")
        pauses.append(again.arrived - (failed.ended or 0))
        # A success in between: each failure is the first.
        stage.hub.publish("orders", number + 2)
        await stage.line("event", data=number + 2, seconds=RETRY_SECONDS)
        held = await stage.held(SOON_SECONDS)
        stage.hub.held.remove(held)
    pauses.sort()
    shown = ", ".join(f"{pause:.2f}" for pause in pauses)
    check(
        pauses[-2] - pauses[1] > _LEAST_SPREAD,
        f"The pauses before first retries are all the same: {shown} s.",
    )


@case(
    "deleted",
    "feed",
    _RETRY,
    "A channel that is deleted during a wait is read on: its offsets go on.",
)
async def deleted(stage: Stage) -> None:
    held = await _reading(stage)
    held.refuse(404, "deleted", channel="orders")
    await _continues(stage, held, RETRY_SECONDS)


# -- credentials -----------------------------------------------------------------------------------


@case("token", "feed", _AUTH, "The token is sent in `Authorization`, and never in the URL.")
async def token(stage: Stage) -> None:
    held = await _reading(stage, token=True)
    for request in stage.requests:
        check(TOKENS[0] not in request.url, f"The URL has the token: {request.url}.")
    check(
        held.headers.get("authorization") == f"Bearer {TOKENS[0]}",
        "The request has no `Authorization: Bearer` with the token.",
    )


@case("new-token", "feed", _AUTH, "After a 401 the client gets a new token; the cursor is kept.")
async def new_token(stage: Stage) -> None:
    held = await _reading(stage, token=True)
    stage.change_token()
    held.refuse(401, "unauthorized")
    await _continues(stage, held, RETRY_SECONDS)


@case(
    "bad-token",
    "feed",
    _AUTH,
    "A token that is refused again and again is not sent without a pause.",
)
async def bad_token(stage: Stage) -> None:
    held = await _reading(stage, token=True)
    stage.refuse_tokens()
    held.refuse(401, "unauthorized")
    await stage.quiet(4, 8, "The client repeats a refused request too often.")


@case("forbidden", "feed", _AUTH, "A 403 is printed, and not repeated.")
async def forbidden(stage: Stage) -> None:
    await stage.forbid()


@case("redirect", "feed", _AUTH, "A redirect is followed unchanged, or is a failure.")
async def redirect(stage: Stage) -> None:
    held = await _reading(stage, token=True)
    held.respond(307, b"", {"Location": "/moved" + held.url})
    number = stage.requests.index(held) + 1
    moved = await stage.after(number, RETRY_SECONDS, "The client gives up after a redirect.")
    check(
        moved.positions == held.positions or moved.url == "/moved" + held.url,
        f"The redirect changes the request: {moved.shown}, after {held.shown}.",
    )
    check(moved.method == held.method, f"The redirect changes the method to {moved.method}.")
    if moved.url.startswith("/moved"):
        check(moved.body == held.body, f"The redirect changes the body to {moved.body!r}.")
        for name in ("authorization", "prefer"):
            check(
                moved.headers.get(name) == held.headers.get(name),
                f"The redirect loses the header {name}.",
            )
    check(not stage.printed("error"), "The client gives up after a redirect.")


@case("redirect-origin", "feed", _AUTH, "A redirect to another origin never gets the credentials.")
async def redirect_origin(stage: Stage) -> None:
    others: list[ScriptedRequest] = []

    def receive(request: ScriptedRequest) -> None:
        others.append(request)
        request.refuse(404, "not-found")

    async with ScriptedServer(receive, lambda _: None) as other:
        held = await _reading(stage, token=True)
        held.respond(307, b"", {"Location": other.url + held.url})
        await stage.quiet(3, 20, "The client repeats a redirected request too often.")
    sent = [
        request.headers["authorization"] for request in others if "authorization" in request.headers
    ]
    check(not sent, f"The client sends its token to another origin: {sent[:1]}.")


# -- the end ---------------------------------------------------------------------------------------


@case(
    "drain",
    "feed",
    _END,
    "A hub that leaves ends the wait; the client returns to the next with its cursor.",
)
async def drain(stage: Stage) -> None:
    held = await _reading(stage)
    stage.hub.extra = {"retry_ms": 1000}
    stage.hub.respond_page(
        held,
        {"events": [], "cursor": held.positions["orders"], "cursors": {}, "up_to_date": True},
        {"Connection": "close"},
    )
    stage.hub.extra = {}
    stage.server.shut()
    await asyncio.sleep(_AWAY_SECONDS)
    await stage.server.open()
    # Three refused connections at most: 1, 2 and 4 s, each with up to 1 s more.
    await _continues(stage, held, 2 * RETRY_SECONDS)
    check(not stage.printed("gap"), "The client prints a gap after a drain.")


@case("cancel", "feed", _END, "Cancelled, the client ends its request that waits, and itself.")
async def cancel(stage: Stage) -> None:
    stage.hub.ends_waits = False
    await stage.start({"orders": "now"}, wait=30)
    await stage.held()
    stage.client.close_input()
    status = await stage.client.status(SOON_SECONDS)
    check(status is not None, "The client does not end, although its request was cancelled.")
    check(status == 0, f"The client ends with the status {status}.")


@case("cancel-pause", "feed", _END, "Cancelled during a pause, the client ends immediately.")
async def cancel_pause(stage: Stage) -> None:
    held = await _reading(stage)
    held.refuse(503, "overloaded", {"Retry-After": "60"})
    await stage.quiet(1, 0, "The client does not keep the Retry-After of 60 s.")
    stage.client.close_input()
    status = await stage.client.status(SOON_SECONDS)
    check(status is not None, "The client does not end during its pause.")
    check(status == 0, f"The client ends with the status {status}.")
