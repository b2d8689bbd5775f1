"""Many BOSH sessions in one process for a long time, while clients come, go and lose their
connections: is a session or a message lost?

Run as `python -m benchmarks.soak`. Most sessions stay: they stand in a ring and pass messages on,
each after a moment. Every second some of their connections are cut, and they send the same request
again on another; and some clients come, talk to themselves, and leave as Strophe.js does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from contextlib import suppress

import uvloop

from benchmarks.ring import MESSAGE, Client, Ring, RingError
from benchmarks.servers.bosh import Hub

# A message that does not move for so long is lost: a client passes it on within two seconds.
STUCK_SECONDS = 60.0
MOMENT_SECONDS = 2.0
# Messages in one request: a body has its bounds.
AT_ONCE = 200


class Lingering(Ring):
    """A ring whose clients pass messages on after a moment, until they are told to stop."""

    running = True

    def heard(self, client: Client, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        if b"<message" not in body:
            client.send()
            return
        loop.call_later(random.uniform(0, MOMENT_SECONDS), self._go_on, client, body)

    def _go_on(self, client: Client, body: bytes) -> None:
        if not self.running:
            self.most = 0
        super().heard(client, body)
        now = time.monotonic()
        for token, hops in enumerate(self.seen):
            if hops != self.counts[token]:
                self.counts[token], self.moved[token] = hops, now

    def begin(self, tokens: int) -> None:
        """Send messages on their way."""
        self.counts = [0] * tokens
        self.moved = [time.monotonic()] * tokens
        self.spawn(self.turn(tokens, sys.maxsize, 1e9))

    def stuck(self) -> list[int]:
        """Messages that do not move any more."""
        now = time.monotonic()
        return [token for token, at in enumerate(self.moved) if now - at > STUCK_SECONDS]


class Roll(Ring):
    """Everybody is told something once, from outside, and keeps it."""

    async def call(self, seconds: float) -> int:
        """How many have heard it in time."""
        for client in self.clients:
            client.ring = self
        self.there: set[int] = set()
        said = [self.message(client, client.number, 0) for client in self.clients]
        for start in range(0, len(said), AT_ONCE):
            outsider = Client(self, -1)
            await outsider.login()
            outsider.send("".join(said[start : start + AT_ONCE]))
        with suppress(TimeoutError):
            await asyncio.wait_for(self.finished.wait(), seconds)
        return len(self.there)

    def heard(self, client: Client, body: bytes) -> None:
        if client.number >= 0 and MESSAGE.search(body):
            self.there.add(client.number)
        if len(self.there) == len(self.clients):
            self.finished.set()
        client.send()


class Guest(Client):
    """A session that is over soon."""

    async def stay(self) -> None:
        """Log in, say something to oneself, leave.

        Raises:
            RingError: that does not work.
        """
        await self.login()
        said = (
            f"<message xmlns='jabber:client' type='chat' to='{self.jid}'><body>x</body></message>"
        )
        if b"<body>x</body>" not in await self.ask(said):
            raise RingError("A guest does not hear himself.")
        leave = "<presence xmlns='jabber:client' type='unavailable'/>"
        if b"terminate" not in await self.ask(leave, " type='terminate'"):
            raise RingError("A guest cannot leave.")
        self.leave()


async def soak(server: Hub, options: argparse.Namespace) -> dict[str, object]:
    """Run it; what has happened."""
    processes = server.processes()
    ring = Lingering(server.port, options.sessions)
    empty = processes.rss()
    await ring.gather()
    ring.wait()
    await asyncio.sleep(2)
    full = processes.rss()
    ring.begin(options.tokens)
    guests, failures, cuts = 0, [], 0
    used, begun = processes.cpu(), time.monotonic()

    async def host() -> None:
        nonlocal guests
        try:
            await Guest(ring, -1).stay()
            guests += 1
        except (RingError, TimeoutError, OSError) as error:
            failures.append(repr(error))

    end = begun + options.minutes * 60
    said = begun
    while time.monotonic() < end:
        for _ in range(options.guests):
            ring.spawn(host())
        for client in random.sample(ring.clients, options.cuts):
            if client.last and client.transport is not None:
                cuts += 1
                client.transport.abort()
        await asyncio.sleep(1)
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(
                f"{(said - begun) / 60:.0f} min: {ring.heard_messages} messages, {guests} guests, "
                f"{cuts} cuts, {len(ring.errors)} ended, {len(ring.stuck())} stuck, "
                f"{processes.rss() / 2**20:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    passed = time.monotonic() - begun
    used = processes.cpu() - used
    ring.running = False
    await asyncio.sleep(MOMENT_SECONDS + 5)
    # Everybody is still there: each hears one more message, which comes from outside.
    lost = ring.stuck()
    later = processes.rss()
    before = ring.heard_messages
    final = Roll(server.port, options.sessions, clients=ring.clients)
    there = await final.call(60)
    ring.leave()
    return {
        "minutes": round(passed / 60, 1),
        "sessions": options.sessions,
        "messages": before,
        "messages lost": len(lost),
        "messages twice or out of order": ring.twice,
        "sessions ended": len(ring.errors) + len(final.errors),
        "first of them": (ring.errors + final.errors)[:1],
        "sessions that heard the last message": there,
        "connections cut": cuts,
        "requests sent again": ring.reconnects,
        "guests": guests,
        "guests that failed": len(failures),
        "first failure": failures[:1],
        "CPU of the server, cores": round(used / passed, 2),
        "RSS per session, KiB": round((full - empty) / options.sessions / 1024, 1),
        "RSS at the beginning, MiB": round(full / 2**20, 1),
        "RSS at the end, MiB": round(later / 2**20, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000, help="that stay")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--tokens", type=int, default=200, help="messages on their way at a time")
    parser.add_argument("--guests", type=int, default=5, help="that come in a second")
    parser.add_argument("--cuts", type=int, default=20, help="connections in a second")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Hub() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(soak(server, options))
        # It has made no mistake that it knows of.
        found["errors in the log"] = server.said().count('"level": "error"')
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")
    bad = ("messages lost", "sessions ended", "guests that failed", "errors in the log")
    everybody = found["sessions that heard the last message"] == options.sessions
    return int(any(found[name] for name in bad) or not everybody)


if __name__ == "__main__":
    sys.exit(main())
