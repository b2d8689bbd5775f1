"""A fence around a planned restart of Redis, or a planned failover, that keeps the epoch.

From the fence on the log takes no event. The fence is the last thing that is written, and Redis
loses writes only from the end; so data that still has the fence has every event before it. A secret
lifts the fence. It is shown to one server, once: no other can go on in the same epoch.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.store.epoch import draw_epoch
from pushhub.store.redis.frame import EPOCH_KEY, FORMAT
from pushhub.store.redis.link import COMMAND_SECONDS, FIRST_PAUSE, LONGEST_PAUSE
from pushhub.store.redis.open import Opener
from pushhub.store.redis.scripts import BEGIN, FENCE, LIFT
from pushhub.store.redis.store import begun
from pushhub.store.redis.wire import Wire

if TYPE_CHECKING:
    from pushhub.store.redis.scripts import LuaScript
    from pushhub.store.redis.wire import Command, Reply

# The longest that a fence may stand: publishes are refused all the while, and if the
# process that set it has ended, nothing ends it sooner.
MAX_SECONDS = 3600
# How long before its end a fence is lifted where nothing was restarted: its own round trips.
MARGIN_SECONDS = 3.0
# The pause between two checks whether the snapshot is written.
SNAPSHOT_PAUSE = 0.1


class Fence:
    """One fence. Set it, restart Redis or switch the master, lift it.

    Args:
        url: the store's address.
        seconds: how long it may stand.
    """

    def __init__(self, url: str, seconds: int) -> None:
        self._opener = Opener(url)
        self._seconds = seconds
        self._secret = secrets.token_hex(16)
        self._ends = 0.0
        # The process that was fenced.
        self._server = b""
        # Whether the secret was shown, and so is of no more use.
        self._shown = False
        self.epoch = ""

    async def set(self) -> None:
        """Refuse every append and delete from now on.

        Raises:
            StoreError: Redis cannot be reached, or is fenced already.
        """
        wire = await self._open()
        try:
            self._server = wire.server
            self._ends = asyncio.get_running_loop().time() + self._seconds
            begun(await self._run(wire, BEGIN, draw_epoch(), FORMAT))
            digest = hashlib.sha1(self._secret.encode(), usedforsecurity=False).hexdigest()
            reply = await self._run(wire, FENCE, digest, self._seconds * 1000, draw_epoch())
            if not isinstance(reply, list):
                raise StoreError(f"Redis refuses the fence: {reply}.")
            if reply[0] == b"fenced":
                raise StoreError(
                    f"A fence stands already, for {reply[1] / 1000:.0f} s more: end its command."
                )
            self.epoch = reply[1].decode()
        finally:
            wire.abort()

    async def keep(self) -> str:
        """Make sure that a restart finds the fence: where no AOF has it, in a snapshot. Returns the
        result as a sentence. A server that forbids the commands is no error: without the fence in
        its data, readers receive a gap.
        """
        wire = await self._open()
        try:
            told = await self._info(wire)
            if told.get("aof_enabled") == "1":
                return "The AOF has it; end Redis by SHUTDOWN or SIGTERM, which write the rest."
            before = told.get("rdb_last_save_time")
            reply = await wire.ask((b"BGSAVE",), COMMAND_SECONDS)
            while isinstance(reply, bytes) and self._left() > 0:
                await asyncio.sleep(SNAPSHOT_PAUSE)
                told = await self._info(wire)
                if told.get("rdb_bgsave_in_progress") == "0":
                    if told.get("rdb_last_bgsave_status") == "ok" and before:
                        return "A snapshot has it."
                    break
            return (
                "Redis has no AOF, and did not write a snapshot: end it by SHUTDOWN SAVE, or every "
                "reader receives a gap."
            )
        finally:
            wire.abort()

    async def restarted(self) -> bool:
        """Wait for another process to be the master; False if none was in time."""
        pause = FIRST_PAUSE
        while self._left() > MARGIN_SECONDS:
            try:
                wire = await self._open()
            except StoreError:
                pass
            else:
                wire.abort()
                if wire.server != self._server:
                    return True
            await asyncio.sleep(min(pause, max(0.0, self._left() - MARGIN_SECONDS)))
            pause = min(2 * pause, LONGEST_PAUSE)
        return False

    async def lift(self) -> bool:
        """Lift the fence on the present master; whether its log goes on in the same epoch.

        Raises:
            StoreError: Redis cannot be reached, or did not reply. The fence runs out then, and
                readers receive a gap.
        """
        wire = await self._connect()
        try:
            if self._shown:
                raise StoreError("The fence's secret was used already.")
            # From here on Redis may have received the secret, whatever it replies.
            self._shown = True
            reply = await self._run(wire, LIFT, self._secret)
            return isinstance(reply, list) and reply[0] == b"ok"
        finally:
            wire.abort()

    async def close(self) -> None:
        """Disconnect from sentinels."""
        await self._opener.close()

    def _left(self) -> float:
        return self._ends - asyncio.get_running_loop().time()

    async def _connect(self) -> Wire:
        """A connection, as soon as there is one: a server that has just started may still load."""
        pause = FIRST_PAUSE
        while True:
            try:
                wire = await self._open()
                reply = await wire.ask((b"PING",), COMMAND_SECONDS)
                if reply == b"PONG":
                    return wire
                wire.abort()
                raise StoreUnavailable(f"Redis cannot be used: {reply}.")
            except StoreError:
                if self._left() <= 0:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _open(self) -> Wire:
        return await self._opener.open(Wire(asyncio.get_running_loop(), lambda: None))

    async def _run(self, wire: Wire, script: LuaScript, *arguments: bytes | str | int) -> Reply:
        reply = await wire.ask((b"SCRIPT", b"LOAD", script.source), COMMAND_SECONDS)
        if reply != script.sha:
            raise StoreError(f"Redis refuses the fence: {reply}.")
        command: Command = script.call((EPOCH_KEY,), *arguments)
        return await wire.ask(command, COMMAND_SECONDS)

    async def _info(self, wire: Wire) -> dict[str, str]:
        told = await wire.ask((b"INFO", b"persistence"), COMMAND_SECONDS)
        lines = told.decode().split("\r\n") if isinstance(told, bytes) else []
        return dict(line.split(":", 1) for line in lines if ":" in line)
