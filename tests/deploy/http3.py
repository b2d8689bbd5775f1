"""GETs on one HTTP/3 connection: `python http3.py PORT PATH COUNT [PING_SECONDS]`.

A program of its own, for the Python of the outside part `proxies`, which has aioquic. It prints a
JSON list of a status and seconds for each response; status 0 is a connection that ended before.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

# Longer than any wait: the proxy's idle time decides.
IDLE_SECONDS = 90.0


class Http3(QuicConnectionProtocol):  # type: ignore[misc]
    """A client that sends GETs and remembers their statuses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = H3Connection(self._quic)
        self._statuses: dict[int, int] = {}
        self._ends: dict[int, asyncio.Future[None]] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            for end in self._ends.values():
                if not end.done():
                    end.set_result(None)
        for each in self._http.handle_event(event):
            if isinstance(each, HeadersReceived):
                self._statuses[each.stream_id] = int(dict(each.headers)[b":status"])
            if isinstance(each, HeadersReceived | DataReceived) and each.stream_ended:
                self._ends[each.stream_id].set_result(None)

    async def get(self, port: int, path: str) -> tuple[int, float]:
        stream, begun = self._quic.get_next_available_stream_id(), time.monotonic()
        end = self._ends[stream] = asyncio.get_running_loop().create_future()
        head = {":method": "GET", ":scheme": "https", ":authority": f"localhost:{port}"}
        fields = [(name.encode(), text.encode()) for name, text in (head | {":path": path}).items()]
        self._http.send_headers(stream, fields, end_stream=True)
        self.transmit()
        await end
        return self._statuses.get(stream, 0), time.monotonic() - begun


async def main(port: int, path: str, count: int, ping_seconds: float | None) -> None:
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        verify_mode=ssl.CERT_NONE,
        server_name="localhost",
        idle_timeout=IDLE_SECONDS,
    )
    async with connect(
        "127.0.0.1", port, configuration=configuration, create_protocol=Http3
    ) as client:

        async def keep_up(seconds: float) -> None:
            while True:
                await asyncio.sleep(seconds)
                await client.ping()

        pings = asyncio.create_task(keep_up(ping_seconds)) if ping_seconds else None
        responses = await asyncio.gather(*(client.get(port, path) for _ in range(count)))
        if pings:
            pings.cancel()
    print(json.dumps(responses))


if __name__ == "__main__":
    ping = float(sys.argv[4]) if len(sys.argv) > 4 else None
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), ping))
