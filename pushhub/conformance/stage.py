"""What a case plays on: the scripted hub, the client, and what is expected of it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pushhub.conformance.case import NotConforming, check
from pushhub.conformance.client_process import ClientProcess
from pushhub.conformance.model_hub import ModelHub
from pushhub.conformance.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushhub.conformance.scripted_request import ScriptedRequest

Found = TypeVar("Found")

START_SECONDS = 20.0
"""For the first request: a client may be compiled at its start, and the machine may be busy."""
SOON_SECONDS = 6.0
"""For what a client does immediately, on a busy machine."""
RETRY_SECONDS = 10.0
"""For a retry after one failure: at most 2 s of pause, on a busy machine."""
GROWN_SECONDS = 34.0
"""For a retry after 4 s of failures. With full jitter (a random part of 1 s, 2 s, 4 s ...) the
fifth pause, of up to 16 s, has begun by then in one of six runs, and the sixth, of up to 32 s, in
one of 120."""
WAIT = 2
"""Seconds that the client asks a hub to wait: short, so that a case ends soon."""
NO_PAUSE_SECONDS = 0.9
"""A shorter pause is none, on a busy machine. After a failure it would be 1 s or more."""
TOKENS = ("first-token", "second-token")
"""The tokens of the file, before and after its change."""


class Unsupported(Exception):
    """The client does not support the mode of the case."""


class Stage:
    """One case's server and client."""

    def __init__(self, command: Sequence[str], mode: str) -> None:
        self._command, self._mode = command, mode
        self._loop = asyncio.get_running_loop()
        self._something = asyncio.Event()
        self.hub = ModelHub(self._loop, self._something.set)
        self.server = ScriptedServer(self.hub.receive, self.hub.lost)
        self.client = ClientProcess(self._something.set)
        self._folder = tempfile.TemporaryDirectory()
        self._token_file = Path(self._folder.name, "token")

    async def __aenter__(self) -> Self:
        await self.server.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.kill()
        self.server.shut()
        self._folder.cleanup()

    # -- the client ----------------------------------------------------------------

    async def start(
        self,
        channels: dict[str, str] | None = None,
        *,
        url: str = "",
        wait: int = WAIT,
        every: float = 3,
        token: bool = False,
    ) -> None:
        """Start the client: to read channels, each from its position, or else the value."""
        variables = {
            "CONFORMANCE_MODE": self._mode,
            "CONFORMANCE_URL": url or self.server.url + ("" if channels else "/prices"),
            "CONFORMANCE_CHANNELS": json.dumps(channels or {}),
            "CONFORMANCE_WAIT": str(wait),
            "CONFORMANCE_EVERY": str(every),
            "CONFORMANCE_TOKEN_FILE": "",
        }
        if token:
            self._token_file.write_text(TOKENS[0])
            self.hub.token = TOKENS[0]
            variables["CONFORMANCE_TOKEN_FILE"] = str(self._token_file)
        await self.client.start(self._command, variables)

    def change_token(self) -> None:
        """Let only the next token be valid, and let the client find it."""
        self._token_file.write_text(TOKENS[1])
        self.hub.token = TOKENS[1]

    def refuse_tokens(self) -> None:
        """Let no token be valid."""
        self.hub.token = "no token that a client has"

    # -- what the client does ------------------------------------------------------

    async def until(
        self, found: Callable[[], Found], seconds: float, sentence: str | Callable[[], str]
    ) -> Found:
        """Wait for something that the client does.

        Raises:
            NotConforming: it has not done so within the seconds, or has ended.
            Unsupported: it does not know the mode.
        """
        end = self._loop.time() + seconds
        while not (result := found()):
            if any(line.get("type") == "unsupported" for line in self.client.lines):
                raise Unsupported
            said = sentence if isinstance(sentence, str) else sentence()
            if not self.client.has_output:
                raise NotConforming(f"{said} The client has ended.")
            self._something.clear()
            try:
                await asyncio.wait_for(self._something.wait(), end - self._loop.time())
            except TimeoutError:
                raise NotConforming(f"{said} ({seconds:.0f} s)") from None
        return result

    @property
    def requests(self) -> list[ScriptedRequest]:
        """All requests so far."""
        return self.hub.requests

    async def first(self) -> ScriptedRequest:
        """The first request."""
        await self.until(lambda: self.requests, START_SECONDS, "The client sends no request.")
        return self.requests[0]

    async def held(self, seconds: float = START_SECONDS) -> ScriptedRequest:
        """A request that waits now, or an open stream."""

        def newest() -> ScriptedRequest | None:
            return self.hub.held[-1] if self.hub.held else None

        def said() -> str:
            last = self.requests[-1].shown if self.requests else "none"
            return f"No request of the client waits; the last request: {last}."

        held = await self.until(newest, seconds, said)
        assert held is not None
        return held

    async def after(self, count: int, seconds: float, sentence: str) -> ScriptedRequest:
        """The request number `count`, counted from 0."""
        await self.until(lambda: len(self.requests) > count, seconds, sentence)
        return self.requests[count]

    async def pause_after_wait(self) -> tuple[float, ScriptedRequest]:
        """The shorter pause after two waits that end normally, and the request after the second.

        A busy machine may delay one request; a client that counts the end as a failure pauses at
        both.
        """
        pauses = []
        held = await self.held()
        for _ in range(2):
            ended = held
            await self.until(lambda one=ended: one.ended, SOON_SECONDS, "The wait does not end.")  # type: ignore[misc]
            held = await self.held(SOON_SECONDS)
            pauses.append(held.arrived - (ended.ended or 0))
        return min(pauses), held

    async def quiet(self, seconds: float, at_most: int, sentence: str) -> None:
        """Let some time pass, in which the client sends at most so many requests."""
        before, end = len(self.requests), self._loop.time() + seconds
        await asyncio.sleep(seconds)
        # On a busy machine the sleep takes longer, and a request after its end is in time.
        sent = sum(request.arrived < end for request in self.requests[before:])
        if sent > at_most:
            raise NotConforming(f"{sentence} It sent {sent} requests in {seconds:.0f} s.")

    async def forbid(self) -> None:
        """Respond to every request with 403, which the client prints and does not repeat."""
        self.hub.next_responses.extend(
            [lambda request: request.refuse(403, "forbidden", channel="orders")] * 1000
        )
        await self.start({"orders": "now"})
        await self.first()
        await self.line("error", status=403)
        check(len(self.requests) <= 2, "The client repeats a request that is forbidden.")

    # -- what the client prints ----------------------------------------------------

    def printed(self, kind: str) -> list[dict[str, Any]]:
        """The printed lines of a type."""
        return [line for line in self.client.lines if line.get("type") == kind]

    async def line(
        self, kind: str, seconds: float = SOON_SECONDS, **members: Any
    ) -> dict[str, Any]:
        """A printed line of a type, with these members."""

        def found() -> dict[str, Any] | None:
            for line in self.printed(kind):
                if all(line.get(name) == value for name, value in members.items()):
                    return line
            return None

        def said() -> str:
            wanted = json.dumps({"type": kind, **members}, ensure_ascii=False)
            last = json.dumps(self.client.lines[-3:], ensure_ascii=False)
            return f"The client does not print {wanted}; its last lines: {last[:600]}."

        result = await self.until(found, seconds, said)
        assert result is not None
        return result

    def check_events(self, *expected: Any, channel: str | None = None) -> None:
        """Compare the data of all printed events, in their order.

        Raises:
            NotConforming: others were printed.
        """
        data = [
            line.get("data")
            for line in self.printed("event")
            if channel is None or line.get("channel") == channel
        ]
        if data != list(expected):
            shown = json.dumps(data, ensure_ascii=False)
            wanted = json.dumps(list(expected), ensure_ascii=False)
            raise NotConforming(f"The client printed the events {shown}, and not {wanted}.")
