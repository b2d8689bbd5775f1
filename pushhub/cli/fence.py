"""`pushhub store fence`: a planned restart of Redis that no reader is told of."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from pushhub.cli.flags import ConfigFile, read_settings
from pushhub.cli.terminal import FAILED, USAGE, fail, note, say
from pushhub.settings import Settings
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.store.redis.fence import Fence

# Longer than a restart takes, of a Redis that has some gigabytes to load.
DEFAULT_SECONDS = 120
# As store/redis/fence.py has it, which takes a while to import.
MAX_SECONDS = 3600
# How often the waiting is told to end, once a signal has come.
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
        kept = asyncio.run(_fence(settings, seconds))
    except StoreError as error:
        fail(str(error))
    if not kept:
        raise typer.Exit(FAILED)


async def _fence(settings: Settings, seconds: int) -> bool:
    """Whether the epoch was kept."""
    # redis-py takes a while to import.
    from pushhub.store.redis.fence import Fence

    around = Fence(settings.store, seconds)
    loop = asyncio.get_running_loop()
    try:
        # Before the fence stands, so that no signal leaves one behind.
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        await around.set()
        waiting = asyncio.ensure_future(_restarted(around, seconds))
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        restarted = waiting.done() and waiting.result()
        while not waiting.done():
            # Again and again: before Python 3.12 a connection attempt may forget a cancellation.
            waiting.cancel()
            await asyncio.wait((waiting,), timeout=CANCEL_SECONDS)
        if not await around.lift():
            note(
                "The data of this Redis lacks the fence, so events may be missing: readers receive "
                "a gap."
            )
            return False
        say(f"Lifted; the log continues in epoch {around.epoch}.")
        if not restarted:
            note("Redis was not restarted.")
        return restarted
    finally:
        await around.close()


async def _restarted(around: "Fence", seconds: int) -> bool:
    """Wait for another process of Redis; whether one came in time."""
    try:
        kept = await around.keep()
    except StoreError as error:
        # It is being restarted already, perhaps; the fence stands.
        kept = str(error)
    note(f"Publishes are refused for {seconds} s at most. {kept}")
    say("Fenced. Restart Redis now, or switch its master; Ctrl-C lifts the fence.")
    return await around.restarted()
