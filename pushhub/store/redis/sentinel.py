"""The sentinels that watch a master: where the master is, and when it moves.

A planned failover leaves the old master alive, and Sentinel demotes it only some ten seconds after
the switch. Writes to it are lost. So this module listens to every sentinel: when a failover selects
a replica, publishes are refused; when the replica is promoted, the old master is left.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pushhub.store.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.store.redis.url import SentinelUrl

log = structlog.get_logger(__name__)

# One sentinel of several may be down, and is no reason to wait long.
SENTINEL_SECONDS = 0.5
# How often a sentinel is asked where the master is, for messages that were lost.
POLL_SECONDS = 1.0
# Pauses between attempts to reach a sentinel: doubled each time, drawn between a half and the
# whole.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
# How long publishes are refused for a failover at most. Sentinel sees a promotion within a second
# (INFO each second) or gives the failover up; ten times that, should it report neither.
HOLD_SECONDS = 10.0
# How long a sentinel may name a master that another one has replaced. They tell each other every
# two seconds; five times that.
SETTLE_SECONDS = 10.0

# How long a task may resist its cancellation (more than any attempt to connect takes), and the
# pause between two cancellations.
CLOSE_SECONDS, CANCEL_SECONDS = 10.0, 0.05

Address = tuple[str, int]

# What redis-py and uvloop raise where a sentinel cannot be reached.
_FAILURES = (RedisError, OSError, TimeoutError, RuntimeError)


class Sentinels:
    """The sentinels of a service, and the master that they name.

    Each reply has a configuration epoch, which rises with every failover; the reply with the
    highest epoch counts.
    """

    def __init__(self, told: SentinelUrl) -> None:
        options: dict[str, Any] = {
            "socket_timeout": SENTINEL_SECONDS,
            "socket_connect_timeout": SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if told.sentinel_password:
            options["password"] = told.sentinel_password
        self._service = told.service
        self._clients = [Redis(host=host, port=port, **options) for host, port in told.addresses]
        self._tasks: list[asyncio.Task[None]] = []
        self._moved: Callable[[], None] = lambda: None
        self._master: Address | None = None
        # The configuration epoch of `_master`, and when a sentinel last named it: loop's seconds.
        self._epoch = -1
        self._confirmed_at = 0.0
        self._refuse_until = 0.0

    @property
    def switching(self) -> bool:
        """Whether a failover is under way: what is written to the old master now may be lost."""
        return self._refuse_until > 0 and self._now() < self._refuse_until

    @property
    def current(self) -> Address | None:
        """The master by the last reply that counts."""
        return self._master

    async def master(self) -> Address:
        """Ask all sentinels where the master is.

        Raises:
            StoreUnavailable: no sentinel knows a living master of this name.
        """
        answers = await asyncio.gather(*map(self._ask, self._clients), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, _FAILURES):
                raise answer
        known = [answer for answer in answers if isinstance(answer, tuple)]
        if known:
            epoch, address = max(known)
            if self._learn(epoch, address):
                return address
        raise StoreUnavailable(f"Redis cannot be reached: No master found for {self._service!r}.")

    async def _ask(self, client: Redis) -> tuple[int, Address] | None:
        """A sentinel's reply: the configuration epoch and the address; None without a living
        master.
        """
        told = await _command(client, "MASTER", self._service)
        state = dict(zip(told[::2], told[1::2], strict=True))
        flags = state[b"flags"].split(b",")
        # While a failover ends, the sentinel names the new master already.
        if b"master" not in flags or (
            (b"s_down" in flags or b"o_down" in flags) and b"failover_in_progress" not in flags
        ):
            return None
        host, port = await _command(client, "GET-MASTER-ADDR-BY-NAME", self._service)
        return int(state[b"config-epoch"]), (_text(host), int(port))

    def _learn(self, epoch: int, address: Address) -> bool:
        """Take in a reply; whether it counts. A reply older than the known one does not."""
        now = self._now()
        if epoch < self._epoch and now - self._confirmed_at < SETTLE_SECONDS:
            return False
        if (epoch, address) != (self._epoch, self._master):
            before, self._epoch, self._master = self._master, epoch, address
            if before is not None and before != address:
                log.warning("sentinel.switched", master=f"{address[0]}:{address[1]}")
            self._refuse_until = 0.0
            self._moved()
        self._confirmed_at = now
        return True

    # Listening

    def watch(self, moved: Callable[[], None]) -> None:
        """Listen to every sentinel from now on; `moved` is called when `current` has changed."""
        self._moved = moved
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._listen(client)) for client in self._clients]

    async def _listen(self, client: Redis) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with client.pubsub() as feed:
                    await feed.psubscribe("*")
                    while True:
                        message = await feed.get_message(
                            ignore_subscribe_messages=True, timeout=POLL_SECONDS
                        )
                        # The reply to the subscription is None, too: a switch that came before it
                        # sends no message any more.
                        changed = message is None or self._receive(message)
                        if changed and (answer := await self._ask(client)):
                            self._learn(*answer)
                            pause = FIRST_PAUSE
            except _FAILURES as error:
                log.debug("sentinel.unreachable", error=str(error))
            except Exception:
                # An odd reply, as while the service is removed. Without this task a failover would
                # pass unnoticed.
                log.exception("sentinel.failed")
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _receive(self, message: dict[str, Any]) -> bool:
        """Take in a sentinel's message; whether the master may have changed.

        A sentinel that leads a failover announces it 0.1 s before it promotes the replica. Earlier
        writes have that time to reach the replica.
        """
        event, words = _text(message["channel"]), _text(message["data"]).split(" ")
        if event == "+switch-master":
            return words[:1] == [self._service]
        # `master NAME ip port`, or `slave name ip port @ NAME ip port`.
        about = words[words.index("@") + 1 :] if "@" in words else words[1:]
        if about[:1] != [self._service]:
            return False
        if event == "+failover-state-send-slaveof-noone":
            self._refuse_until = self._now() + HOLD_SECONDS
            log.warning("sentinel.failover", seconds=HOLD_SECONDS)
        elif event.startswith("-failover-abort"):
            self._refuse_until = 0.0
            log.warning("sentinel.aborted", why=event)
        return event in ("+promoted-slave", "+failover-state-reconf-slaves", "+failover-end")

    async def close(self) -> None:
        """Stop listening, and disconnect."""
        tasks, end = set(self._tasks), self._now() + CLOSE_SECONDS
        while tasks and self._now() < end:
            for task in tasks:
                task.cancel()
            # Again and again: redis-py connects within asyncio.wait_for, which before Python 3.12
            # forgets a cancellation that comes as the connection is made (CPython's gh-86296).
            _, tasks = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        for client in self._clients:
            await client.aclose()
        # redis-py does not wait for the end of a subscription's connection.
        await asyncio.sleep(0)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _command(client: Redis, *words: str) -> Any:
    return await client.execute_command("SENTINEL", *words)  # type: ignore[no-untyped-call]


def _text(data: Any) -> str:
    return data.decode() if isinstance(data, bytes) else str(data)
