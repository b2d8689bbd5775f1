"""The cases of streams: Server-Sent Events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.conformance.case import case, check
from pushhub.conformance.stage import GROWN_SECONDS, RETRY_SECONDS, SOON_SECONDS

if TYPE_CHECKING:
    from pushhub.conformance.scripted_request import ScriptedRequest
    from pushhub.conformance.stage import Stage

_STREAM = "Streams"


async def _open(stage: Stage, since: str, *, token: bool = False) -> ScriptedRequest:
    """Start the client; its open stream."""
    await stage.start({"orders": since}, token=token)

    def stream() -> ScriptedRequest | None:
        return next((one for one in stage.hub.held if one.streaming), None)

    found = await stage.until(stream, SOON_SECONDS * 5, "The client opens no stream.")
    assert found is not None
    return found


async def _next_stream(stage: Stage, last: ScriptedRequest, seconds: float) -> ScriptedRequest:
    """The request that opens the stream after `last`."""

    def stream() -> ScriptedRequest | None:
        later = stage.requests[stage.requests.index(last) + 1 :]
        return next((one for one in later if one.streams), None)

    found = await stage.until(stream, seconds, "The client does not open the stream again.")
    assert found is not None
    return found


@case(
    "stream",
    "stream",
    _STREAM,
    "Messages are printed as they come; comments and pieces of messages are not.",
)
async def stream(stage: Stage) -> None:
    opened = await _open(stage, "earliest")
    opened.write(b": nothing yet\n\n")
    stage.hub.publish("orders", {"text": "grün ✓"})
    await stage.line("event", data={"text": "grün ✓"})
    opened.kept_back = []
    stage.hub.publish("orders", "in pieces: ✓")
    message, opened.kept_back = b"".join(opened.kept_back), None
    # Between the bytes of a character, and between the two line ends.
    middle = message.index("✓".encode()) + 1
    for piece in (message[:middle], message[middle:-1], message[-1:]):
        opened.write(piece)
        await _flush()
    await stage.line("event", data="in pieces: ✓")
    stage.check_events({"text": "grün ✓"}, "in pieces: ✓")


async def _flush() -> None:
    """Let the client read a piece alone. A slow client reads several together, and may."""
    await asyncio.sleep(0.1)


@case("stream-last-id", "stream", _STREAM, "After a cut the stream continues from the last id.")
async def last_id(stage: Stage) -> None:
    opened = await _open(stage, "now")
    cursor = stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.hub.held.remove(opened)
    opened.cut()
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=RETRY_SECONDS)
    later = stage.requests[stage.requests.index(opened) + 1]
    check(
        later.positions == {"orders": cursor},
        f"The request after the cut does not have the id {cursor}: {later.shown}, "
        f"Last-Event-ID {later.headers.get('last-event-id')}.",
    )
    stage.check_events(1, 2)


@case(
    "stream-half",
    "stream",
    _STREAM,
    "A message that is cut after its id is no message: it is read again.",
)
async def half(stage: Stage) -> None:
    opened = await _open(stage, "now")
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    opened.kept_back = []
    stage.hub.publish("orders", 2)
    message, opened.kept_back = b"".join(opened.kept_back), None
    # Of a feed the line with the id, of many channels a part of the data.
    opened.write(message[: message.find(b"\n") + 1] if message.startswith(b"id") else message[:20])
    await _flush()
    stage.hub.held.remove(opened)
    opened.cut()
    await stage.line("event", data=2, seconds=RETRY_SECONDS)
    stage.check_events(1, 2)


@case("stream-first-id", "stream", _STREAM, "The first id comes without data, and counts too.")
async def first_id(stage: Stage) -> None:
    stage.hub.publish("orders", "old")
    opened = await _open(stage, "now")
    await _flush()
    stage.hub.held.remove(opened)
    opened.cut()
    stage.hub.publish("orders", "published while the client was away")
    away = "published while the client was away"
    await stage.line("event", data=away, seconds=RETRY_SECONDS)
    stage.check_events(away)


@case("stream-gap", "stream", _STREAM, "An event `gap` is printed, and the stream goes on.")
async def gap(stage: Stage) -> None:
    await _open(stage, "now")
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.hub.log.restart("second0epoch")
    stage.hub.publish("orders", "new epoch")
    await stage.line("gap", channel="orders", reason="epoch")
    await stage.line("event", data="new epoch")
    stage.check_events(1, "new epoch")


@case(
    "stream-retry",
    "stream",
    _STREAM,
    "`retry` gives the milliseconds before a stream is opened again.",
)
async def retry(stage: Stage) -> None:
    opened = await _open(stage, "now")
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.hub.held.remove(opened)
    opened.end_stream()
    later = await _next_stream(stage, opened, RETRY_SECONDS)
    pause = later.arrived - (opened.ended or 0)
    # A timer may be a little early.
    check(pause > 1.9, f"The client opens the stream after {pause:.1f} s, and not after 2.")
    check(later.positions == {"orders": stage.hub.log.cursor(1)}, "The last id is lost.")


@case(
    "stream-unauthorized",
    "stream",
    _STREAM,
    "After an event `error` the stream is opened with a new token.",
)
async def unauthorized(stage: Stage) -> None:
    opened = await _open(stage, "now", token=True)
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.change_token()
    stage.hub.held.remove(opened)
    opened.write(
        b'event: error\ndata: {"type":"urn:pushhub:problem:unauthorized","status":401}\n\n'
    )
    opened.end_stream()
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=RETRY_SECONDS * 2)
    stage.check_events(1, 2)


@case(
    "stream-retry-after",
    "stream",
    _STREAM,
    "`Retry-After` of a 503 is the least pause before a stream, too.",
)
async def retry_after(stage: Stage) -> None:
    opened = await _open(stage, "now")
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.hub.held.remove(opened)

    def refuse(request: ScriptedRequest) -> None:
        request.refuse(503, "overloaded", {"Retry-After": "4"})

    stage.hub.next_responses.append(refuse)
    opened.cut()
    refused = await stage.after(
        stage.requests.index(opened) + 1, RETRY_SECONDS, "The client does not connect again."
    )
    await stage.quiet(3.5, 0, "The client does not keep the Retry-After of 4 s.")
    check(refused.positions == {"orders": stage.hub.log.cursor(1)}, "The last id is lost.")
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=RETRY_SECONDS)
    stage.check_events(1, 2)


@case(
    "stream-backoff",
    "stream",
    _STREAM,
    "Streams that fail one after another are opened at most 8 times in 4 s.",
)
async def backoff(stage: Stage) -> None:
    opened = await _open(stage, "now")
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.hub.held.remove(opened)
    stage.hub.next_responses.extend([lambda request: request.cut()] * 1000)
    opened.cut()
    await stage.quiet(4, 8, "The client opens a failing stream too often.")
    stage.hub.next_responses.clear()
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=GROWN_SECONDS)
    stage.check_events(1, 2)


@case(
    "stream-not-stream",
    "stream",
    _STREAM,
    "A 200 that is no stream, such as a login page, is a failure.",
)
async def not_stream(stage: Stage) -> None:
    opened = await _open(stage, "now")
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    stage.hub.held.remove(opened)

    def page(request: ScriptedRequest) -> None:
        request.respond(200, b"<html>Log in to the network</html>", {"Content-Type": "text/html"})

    stage.hub.next_responses.extend([page] * 1000)
    opened.cut()
    await stage.quiet(4, 8, "The client repeats a request that brings no stream.")
    stage.hub.next_responses.clear()
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2, seconds=GROWN_SECONDS)
    stage.check_events(1, 2)


@case(
    "stream-forbidden", "stream", _STREAM, "A 403 is printed, and the stream is not opened again."
)
async def forbidden(stage: Stage) -> None:
    await stage.forbid()


@case("stream-cancel", "stream", _STREAM, "Cancelled, the client closes its stream and ends.")
async def cancel(stage: Stage) -> None:
    await _open(stage, "now")
    stage.client.close_input()
    status = await stage.client.status(SOON_SECONDS)
    check(status is not None, "The client does not end, although its stream was cancelled.")
    check(status == 0, f"The client ends with the status {status}.")
