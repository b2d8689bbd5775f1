"""The scripted hub: serves the model log as docs/protocol.md says, unless a case responds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pushhub.conformance.model_log import ModelLog
from pushhub.conformance.scripted_request import to_json

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pushhub.conformance.scripted_request import ScriptedRequest

# Of a wait, as a hub that ends it up to a fifth early (docs/api.md).
_SHARE = 0.9
# Of the seconds that a hub's streams say, 2 to 5: short, since a case waits for it.
RETRY_MS = 2000


@dataclass(frozen=True, slots=True)
class ModelValue:
    """The value of the resource."""

    etag: str
    body: bytes
    content_type: str = "application/json"


def _text(document: Any) -> str:
    return to_json(document).decode()


class ModelHub:
    """Responds to requests, and holds them.

    Args:
        changed: is called when something has happened that a case may wait for.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        self.log = ModelLog("first0epoch")
        self.value: ModelValue | None = None
        self.token: str | None = None
        """The only valid token; without one no request needs a token."""
        self.next_responses: deque[Callable[[ScriptedRequest], None]] = deque()
        """What responds to the next requests in place of the hub: one request each."""
        self.requests: list[ScriptedRequest] = []
        self.held: list[ScriptedRequest] = []
        """Requests that wait, and open streams."""
        self.applies_waits = True
        self.ends_waits = True
        self.wait_share = _SHARE
        """Of each wait, the part after which it ends."""
        self.extra: dict[str, Any] = {}
        """Further members of each page."""
        self._positions: dict[int, dict[str, str]] = {}
        self._loop, self._changed = loop, changed

    # -- requests ------------------------------------------------------------------

    def receive(self, request: ScriptedRequest) -> None:
        """Respond, or hold."""
        self.requests.append(request)
        try:
            if self.next_responses:
                self.next_responses.popleft()(request)
            else:
                self.serve(request)
        except (KeyError, TypeError, ValueError) as error:
            # What a client of another contract sends; the case sees the request.
            request.refuse(400, "bad-request", detail=str(error))
        self._changed()

    def lost(self, request: ScriptedRequest) -> None:
        """The connection of a request has ended."""
        if request in self.held:
            self.held.remove(request)
        self._changed()

    def serve(self, request: ScriptedRequest) -> None:
        """Respond as the contract says."""
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            request.refuse(401, "unauthorized")
        elif request.is_read and not request.positions:
            request.refuse(400, "bad-body", detail="A poll needs 'channels'.")
        elif request.is_read and request.streams:
            self._stream(request)
        elif request.is_read:
            self._read(request)
        elif request.method == "GET":
            self._serve_value(request)
        else:
            request.refuse(404, "not-found")

    def _park(self, request: ScriptedRequest, end: Callable[[ScriptedRequest], None]) -> None:
        self.held.append(request)
        if self.ends_waits and request.wait:
            self._loop.call_later(self.wait_share * request.wait, self._end_wait, request, end)

    def _end_wait(self, request: ScriptedRequest, end: Callable[[ScriptedRequest], None]) -> None:
        if request in self.held:
            self.held.remove(request)
            end(request)
            self._changed()

    # -- pages ---------------------------------------------------------------------

    def _read(self, request: ScriptedRequest) -> None:
        positions = self._settle(request)
        found = self.page(request, positions)
        if found is None and request.wait and self.applies_waits:
            self._park(request, self.end_empty)
        else:
            self.respond_page(request, found or self._empty(request, positions))

    def _settle(self, request: ScriptedRequest) -> dict[str, str]:
        """The positions of a request, with a cursor in the place of `now`."""
        positions = {
            channel: self.log.read(channel, "now").cursor if since == "now" else since
            for channel, since in request.positions.items()
        }
        self._positions[id(request)] = positions
        return positions

    def page(self, request: ScriptedRequest, positions: dict[str, str]) -> dict[str, Any] | None:
        """The page after the positions, in the form of the request; None if nothing is new."""
        limit = request.document.get("limit") if request.many else request.query.get("limit")
        reads = {
            channel: self.log.read(channel, since, int(limit) if limit else None)
            for channel, since in positions.items()
        }
        if not any(read.events or read.gap for read in reads.values()):
            return None
        if not request.many:
            ((channel, read),) = reads.items()
            if read.gap:
                return {"gap": {"channel": channel} | read.gap}
            page: dict[str, Any] = {"events": read.events, "cursor": read.cursor}
            return page | ({} if read.more else {"up_to_date": True})
        moved = {
            channel: read.cursor
            for channel, read in reads.items()
            if read.cursor != request.positions.get(channel)
        }
        events = [
            {"channel": channel, **event}
            for channel, read in reads.items()
            for event in read.events
        ]
        gaps = {channel: read.gap for channel, read in reads.items() if read.gap}
        return {"events": events, "cursors": moved} | ({"gaps": gaps} if gaps else {})

    def _empty(self, request: ScriptedRequest, positions: dict[str, str]) -> dict[str, Any]:
        if request.many:
            reads = {c: self.log.read(c, at).cursor for c, at in positions.items()}
            cursors = {c: cursor for c, cursor in reads.items() if cursor != request.positions[c]}
            return {"events": [], "cursors": cursors}
        ((channel, since),) = positions.items()
        cursor = self.log.read(channel, since).cursor
        return {"events": [], "cursor": cursor, "up_to_date": True}

    def end_empty(self, request: ScriptedRequest) -> None:
        """End a wait without an event."""
        if request in self.held:
            self.held.remove(request)
        self.respond_page(request, self._empty(request, self._positions[id(request)]))

    def respond_page(
        self, request: ScriptedRequest, page: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        """Send a page, or a feed's gap."""
        if "gap" in page:
            request.refuse(410, "gap", headers, **page["gap"])
            return
        if not self.applies_waits and request.wait:
            body = to_json(page | self.extra)
            request.respond(200, body, {"Content-Type": "application/json"} | (headers or {}))
            return
        request.respond_json(page | self.extra, headers=headers)

    # -- streams -------------------------------------------------------------------

    def _stream(self, request: ScriptedRequest) -> None:
        positions = self._settle(request)
        request.begin_stream()
        if request.many:
            first = {"events": [], "cursors": dict(positions)}
            page = self.page(request, positions)
            request.write(self._message(page or first, RETRY_MS))
            self._advance(request, page)
        else:
            ((channel, since),) = positions.items()
            read = self.log.read(channel, since)
            if not read.gap:
                start = since if "-" in since else self.log.read(channel, since, 0).cursor
                if since == "earliest" and read.events:
                    start = self.log.cursor(read.events[0]["offset"] - 1)
                request.write(f"id: {start}\nretry: {RETRY_MS}\n\n".encode())
            self.write_news(request)
        self.held.append(request)

    @staticmethod
    def _message(page: dict[str, Any], retry: int | None = None) -> bytes:
        text = "event: gap\n" if page.get("gaps") else ""
        text += f"retry: {retry}\n" if retry else ""
        return f"{text}data: {_text(page)}\n\n".encode()

    def _advance(self, request: ScriptedRequest, page: dict[str, Any] | None) -> None:
        if page:
            self._positions[id(request)] = self._positions[id(request)] | page["cursors"]

    def write_news(self, request: ScriptedRequest) -> None:
        """Write to a stream what its client lacks."""
        positions = self._positions[id(request)]
        if request.many:
            page = self.page(request, positions)
            while page:
                request.write(self._message(page))
                self._advance(request, page)
                page = self.page(request, self._positions[id(request)])
            return
        ((channel, since),) = positions.items()
        read = self.log.read(channel, since)
        if read.gap:
            data = _text(read.gap)
            text = f"id: {read.cursor}\nevent: gap\nretry: {RETRY_MS}\ndata: {data}\n\n"
            request.write(text.encode())
            read = self.log.read(channel, read.cursor)
        for event in read.events:
            request.write(sse_message(event, envelope=request.query.get("envelope") == "true"))
        self._positions[id(request)] = {channel: read.cursor}

    # -- values --------------------------------------------------------------------

    def _serve_value(self, request: ScriptedRequest) -> None:
        value = self.value
        known = request.headers.get("if-none-match")
        if value is None and not (request.wait and self.applies_waits and known is None):
            request.refuse(404, "no-value")
        elif value is None or known == value.etag:
            if request.wait and self.applies_waits:
                self._park(request, self.end_unchanged)
            else:
                request.respond(304, headers={"ETag": known or ""})
        else:
            self.respond_value(request)

    def respond_value(self, request: ScriptedRequest) -> None:
        """Send the present value."""
        assert self.value is not None
        applied = {"Preference-Applied": f"wait={request.wait}"}
        fields = {"ETag": self.value.etag, "Content-Type": self.value.content_type}
        waits = applied if request.wait and self.applies_waits else {}
        request.respond(200, self.value.body, fields | waits)

    def end_unchanged(self, request: ScriptedRequest) -> None:
        """End the wait for a value without a change."""
        applied = {"Preference-Applied": f"wait={request.wait}"}
        if self.value is None:
            request.refuse(404, "no-value", applied)
        else:
            request.respond(304, headers={"ETag": self.value.etag} | applied)

    # -- what happens --------------------------------------------------------------

    def publish(self, channel: str, data: Any, **members: Any) -> str:
        """Append an event, and complete the requests that wait for it; its cursor."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cursor = self.log.append(channel, data, now, **members)
        self.wake()
        return cursor

    def wake(self) -> None:
        """Complete the requests for which the log has something new."""
        for request in list(self.held):
            if request.is_read and request.streaming:
                self.write_news(request)
            elif request.is_read:
                page = self.page(request, self._positions[id(request)])
                if page is not None:
                    self.held.remove(request)
                    self.respond_page(request, page)
        self._changed()

    def set_value(self, etag: str, value: Any) -> None:
        """Change the value, and complete the requests that wait for it."""
        self.value = ModelValue(etag, to_json(value))
        for request in list(self.held):
            if not request.is_read:
                self.held.remove(request)
                self.respond_value(request)
        self._changed()


def sse_message(event: dict[str, Any], *, envelope: bool) -> bytes:
    """An event as a message of a feed's stream."""
    text = f"id: {event['cursor']}\n"
    text += f"event: {event['type']}\n" if "type" in event else ""
    text += f"encoding: {event['encoding']}\n" if "encoding" in event else ""
    if envelope:
        data = _text(event)
    else:
        data = event["data"] if isinstance(event["data"], str) else _text(event["data"])
        if "content_type" not in event:
            data = _text(event["data"])
    return (text + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n").encode()
