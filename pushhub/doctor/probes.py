"""The measurements of `doctor --through`: each sends requests and returns what came of them.

All requests but those that `ask` sends are bounded by the probe's own time.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pushhub.doctor.probe_client import BROKEN, ProbeConnection, ProbeResponse, ask_once
from pushhub.doctor.through_findings import FORGED_ADDRESS, RequestArrival, Stream, Wait
from pushhub.log.event import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.doctor.probe_client import ProbeTarget

# A response without a wait comes within this time, or the deployment has a larger fault.
RESPONSE_SECONDS = 10.0
# A wait ends by itself up to this much later than asked, on a busy machine.
GRACE_SECONDS = 5.0
# A hub ends waits at random up to a fifth early; the longest of eight has 98 % of the time.
WAITS = 8
STREAM_EVENTS = 5
STREAM_PAUSE_SECONDS = 0.2
STREAM_SECONDS = 3.0
# Half of a token, a long token, and more than nginx and Apache take by default.
HEADER_BYTES = (2048, 4096, 7168, 12288)
LEAVING_SECONDS = 5.0
FIND_SECONDS = 5.0
PAUSE_SECONDS = 0.05
# So many connections of the proxy are recorded; two rounds of requests that ask for the records
# leave four of them idle, whichever the proxy uses first.
CONNECTIONS = 12
# Requests at the same time, and rounds of them, until the processes in question have responded.
AT_A_TIME = 4
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Probes:
    """All probes of one run: the target and the beginning of the names of its channels."""

    target: ProbeTarget
    stem: str

    async def ask(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> ProbeResponse:
        """One request on a connection of its own.

        Raises:
            TimeoutError, and `BROKEN`.
        """
        return await ask_once(self.target, method, path, headers, body, seconds=RESPONSE_SECONDS)

    def channel(self, name: str) -> str:
        """The path of a channel of this run."""
        return "/v1/channels/" + quote(f"{self.stem}{name}", safe="")

    async def publish(self, name: str, body: bytes, kind: str = "text/plain") -> ProbeResponse:
        return await self.ask(
            "POST", self.channel(name) + "/events", [("Content-Type", kind)], body
        )

    # Short probes

    async def arrival(self) -> tuple[ProbeResponse, RequestArrival | None]:
        """How a request arrives; None if the response is not a hub's."""
        async with asyncio.timeout(RESPONSE_SECONDS), ProbeConnection(self.target) as connection:
            own_name = connection.own_name
            response = await connection.ask("GET", "/v1/request")
        seen = _object(response)
        if response.status != 200 or "keep_alive_seconds" not in seen:
            return response, None
        names = response.headers.get
        return response, RequestArrival(seen, own_name, names("server", ""), names("via", ""))

    async def forged(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """How requests with forged headers arrive: one line, and two."""
        line = ("X-Forwarded-For", FORGED_ADDRESS)
        one = await self.ask("GET", "/v1/request", [line, ("X-Forwarded-Proto", "https")])
        two = await self.ask("GET", "/v1/request", [line, line])
        return _object(one), _object(two)

    async def slash(self) -> tuple[int, str | None, str]:
        """The status and the channel of a publish to a channel with a slash."""
        response = await self.publish("/slash", b"1")
        return response.status, _object(response).get("channel"), f"{self.stem}/slash"

    async def fields(self) -> tuple[int, str | None, str | None]:
        """A wait of a second for a value that does not change."""
        await self.publish(":fields", b"1")
        tag = (await self.ask("GET", self.channel(":fields"))).headers.get("etag")
        condition = [("If-None-Match", tag or '"none"'), ("Prefer", "wait=1")]
        response = await self.ask("GET", self.channel(":fields"), condition)
        return response.status, response.headers.get("preference-applied"), tag

    async def cache(self) -> tuple[list[bytes], list[bytes]]:
        """The values read after each of two publishes."""
        wanted, found = [b"first", b"second"], []
        for value in wanted:
            await self.publish(":cache", value)
            found.append(bytes((await self.ask("GET", self.channel(":cache"))).body))
        return found, wanted

    async def body(self) -> int:
        """The status of the largest event, published and read."""
        event = b"x" * MAX_EVENT_BYTES
        response = await self.publish(":body", event)
        if response.status == 200:
            response = await self.ask("GET", self.channel(":body"))
            if response.body != event:
                return 0
        return response.status

    async def headers(self) -> tuple[int, dict[int, int]]:
        """The longest header that passes, and the statuses of longer ones."""
        largest, refused = 0, {}
        for size in HEADER_BYTES:
            try:
                response = await self.ask("GET", "/v1/request", [("X-Doctor", "x" * size)])
                status = response.status
            except BROKEN:
                status = 0
            if status == 200:
                largest = size
            else:
                refused[size] = status
        return largest, refused

    # Waits and streams

    async def waits(self, seconds: int) -> list[Wait]:
        """The ends of several waits at the same time."""
        return list(await asyncio.gather(*(self._wait(seconds) for _ in range(WAITS))))

    async def _wait(self, seconds: int) -> Wait:
        response = ProbeResponse()
        path = self.channel(":wait") + "/events?since=now"
        # A connection that is refused is no end of a wait.
        async with ProbeConnection(self.target) as connection:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(seconds + GRACE_SECONDS):
                    response = await connection.ask("GET", path, [("Prefer", f"wait={seconds}")])
            except (TimeoutError, *BROKEN):
                pass
        applied = "preference-applied" in response.headers
        return Wait(time.monotonic() - begun, response.status, applied)

    async def stream(self, name: str, coding: str) -> Stream:
        """Events of a stream for a client that accepts the content coding."""
        accept = [("Accept", "text/event-stream"), ("Accept-Encoding", coding)]
        response, text = ProbeResponse(), bytearray()
        delays: list[float | None] = []
        async with ProbeConnection(self.target) as connection:
            begun = time.monotonic()
            connection.send("GET", self.channel(name) + "/events?since=now", accept)
            unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)

            async def until(marker: bytes) -> float | None:
                """The time at which the marker has arrived; None: not in time."""
                try:
                    async with asyncio.timeout(STREAM_SECONDS):
                        while marker not in text:
                            await connection.read(response)
                            raw = bytes(response.body)
                            response.body.clear()
                            text.extend(unpack.decompress(raw) if _coding(response) else raw)
                except (TimeoutError, zlib.error, *BROKEN):
                    return None
                return time.monotonic()

            # The first write of a stream is an `id` without an event.
            opened = await until(b"id:")
            if opened is None or response.status != 200:
                return Stream(response.status, None, (), _coding(response))
            for number in range(STREAM_EVENTS):
                await asyncio.sleep(STREAM_PAUSE_SECONDS)
                marker = f"marker-{number}."
                sent = time.monotonic()
                await self.publish(name, marker.encode())
                at = await until(marker.encode())
                delays.append(None if at is None else at - sent)
                if at is None:
                    break
        return Stream(response.status, opened - begun, tuple(delays), _coding(response))

    async def lasting(self, seconds: float) -> tuple[float, bool]:
        """How long a stream without events stays open, up to so many seconds."""
        response = ProbeResponse()
        async with ProbeConnection(self.target) as connection:
            begun = time.monotonic()
            path = self.channel(":lasting") + "/events?since=now"
            connection.send("GET", path, [("Accept", "text/event-stream")])
            try:
                async with asyncio.timeout(seconds):
                    while not response.is_complete:
                        await connection.read(response)
            except TimeoutError:
                return seconds, False
            except BROKEN:
                pass
            return time.monotonic() - begun, True

    # Clients that leave

    async def leaving(self, name: str, headers: Sequence[tuple[str, str]]) -> tuple[bool, float]:
        """Whether the hub showed a waiting request, and after which time none any more; the time is
        infinite if that was not seen.
        """
        async with ProbeConnection(self.target) as connection:
            connection.send("GET", self.channel(name) + "/events?since=now", headers)
            process = await self._process_with(name, 1, FIND_SECONDS)
            if process is None:
                return False, float("inf")
        left = time.monotonic()
        if await self._process_with(name, 0, LEAVING_SECONDS, process) is None:
            return True, float("inf")
        return True, time.monotonic() - left

    async def _process_with(
        self, name: str, holds: int, seconds: float, process: str | None = None
    ) -> str | None:
        """The process that has so many holds of a channel; None: not within the time."""
        path = "/v1/request?channel=" + quote(f"{self.stem}{name}", safe="")
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for seen in await self._seen(path):
                        found = str(seen.get("process"))
                        if seen.get("holds") == holds and process in (None, found):
                            return found
                    await asyncio.sleep(PAUSE_SECONDS)
        except (TimeoutError, *BROKEN):
            return None

    # Idle connections

    async def idle(self, limit: float, seconds: float) -> tuple[list[float | None], float, int]:
        """The idle seconds of the proxy's connections at their end, the seconds for which they were
        watched, and their number. The clients' own connections stay open for that time.
        """
        connections = [ProbeConnection(self.target) for _ in range(CONNECTIONS)]
        begun, records = time.monotonic(), []
        try:
            seen = [_object(one) for one in await self._open_all(connections)]
            peers = {str(one["peer"]): str(one["process"]) for one in seen if one.get("peer")}
            last = min(limit + 2.0, seconds)
            for point in sorted({min(limit * 0.3, last), min(limit * 0.85, last), last}):
                await asyncio.sleep(max(0.0, begun + point - time.monotonic()))
                records = await self._records(peers)
                if records and not any(one["open"] for one in records):
                    break
        finally:
            for connection in connections:
                if connection.is_open:
                    connection.leave()
        ends = [one["idle_seconds"] for one in records if not one["open"]]
        return ends, time.monotonic() - begun, len(records)

    async def _open_all(self, connections: Sequence[ProbeConnection]) -> list[ProbeResponse]:
        async def one(connection: ProbeConnection) -> ProbeResponse:
            await connection.__aenter__()
            return await connection.ask("GET", "/v1/request")

        async with asyncio.timeout(RESPONSE_SECONDS):
            return list(await asyncio.gather(*map(one, connections)))

    async def _records(self, peers: dict[str, str]) -> list[dict[str, Any]]:
        """The records of these connections, from the processes that keep them."""
        path = "/v1/request?peers=" + quote(",".join(peers), safe=",")
        missing, records = set(peers.values()), []
        for _ in range(ROUNDS):
            if not missing:
                break
            for seen in await self._seen(path):
                process = str(seen.get("process"))
                if process in missing:
                    missing.discard(process)
                    found = seen["connections"]
                    records += [one for one in found if peers.get(one["peer"]) == process]
        return records

    async def _seen(self, path: str) -> list[dict[str, Any]]:
        """The objects of several requests at the same time: one after another, a proxy would send
        all over the same connection, to the same process.
        """
        responses = await asyncio.gather(*(self.ask("GET", path) for _ in range(AT_A_TIME)))
        return [_object(one) for one in responses]

    async def delete(self) -> bool:
        """Delete the channels of this run."""
        path = "/v1/channels?prefix=" + quote(self.stem, safe="")
        return (await self.ask("DELETE", path)).status == 200


def _coding(response: ProbeResponse) -> str:
    return response.headers.get("content-encoding", "").lower().removeprefix("identity")


def _object(response: ProbeResponse) -> dict[str, Any]:
    """The body as a JSON object; empty if it is none."""
    try:
        value = json.loads(response.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
