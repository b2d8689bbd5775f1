"""`pushhub store fence`: a planned restart of Redis without a gap for readers."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from pushhub.cli.audit import ActionFailed, command_audit
from pushhub.cli.flags import ConfigFile, read_settings
from pushhub.cli.terminal import FAILED, USAGE, fail, note, say
from pushhub.settings import Settings
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.store.redis.fence import Fence

# Longer than the restart of a Redis with some gigabytes to load.
DEFAULT_SECONDS = 120
# The same as in store/redis/fence.py, whose import is slow.
MAX_SECONDS = 3600
# How often the wait is cancelled after a signal.
CANCEL_SECONDS = 0.05


def fence(
    seconds: Annotated[
        int,
        typer.Option(min=10, max=MAX_SECONDS, help="The longest time for the fence, in seconds."),
    ] = DEFAULT_SECONDS,
    config: ConfigFile = None,
) -> None:
    """Refuse publishes while Redis is restarted, or its master is switched, so that readers
    receive no gap.

    Start the command, restart Redis when it says so, and leave it running: it exits when Redis is
    back. Ctrl-C lifts the fence.
    """
    settings = read_settings(config).settings
    if settings.store.startswith(("sqlite:", "memory:")):
        fail(
            "Only a log in Redis needs a fence; SQLite keeps its epoch over a restart.", code=USAGE
        )
    try:
        with command_audit(settings, "store.fence", f"{seconds} s", target_type="store"):
            asyncio.run(_fence(settings, seconds))
    except StoreError as error:
        fail(str(error))
    except ActionFailed as error:
        note(str(error))
        raise typer.Exit(FAILED) from None


async def _fence(settings: Settings, seconds: int) -> None:
    """Set the fence until Redis has restarted.

    Raises:
        ActionFailed: Redis has not restarted, or has lost the fence.
    """
    # The import of redis-py is slow.
    from pushhub.store.redis.fence import Fence

    redis_fence = Fence(settings.store, seconds)
    loop = asyncio.get_running_loop()
    try:
        # Before the fence is set, so that no signal leaves it behind.
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        await redis_fence.set()
        waiting = asyncio.ensure_future(_restarted(redis_fence, seconds))
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        restarted = waiting.done() and waiting.result()
        while not waiting.done():
            # Repeatedly: before Python 3.12 a connection attempt may lose a cancellation.
            waiting.cancel()
            await asyncio.wait((waiting,), timeout=CANCEL_SECONDS)
        if not await redis_fence.lift():
            raise ActionFailed(
                "The data of this Redis lacks the fence, so events may be missing: readers receive "
                "a gap."
            )
        say(f"Lifted; the log continues in epoch {redis_fence.epoch}.")
        if not restarted:
            raise ActionFailed("Redis was not restarted.")
    finally:
        await redis_fence.close()


async def _restarted(redis_fence: "Fence", seconds: int) -> bool:
    """Wait for the next process of Redis; returns whether it came in time."""
    try:
        kept = await redis_fence.keep()
    except StoreError as error:
        # Redis is perhaps restarting already; the fence is set.
        kept = str(error)
    note(f"Publishes are refused for {seconds} s at most. {kept}")
    say("Fenced. Restart Redis now, or switch its master; Ctrl-C lifts the fence.")
    return await redis_fence.restarted()
