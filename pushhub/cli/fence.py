"""`pushhub store fence`: a planned restart of Redis that no reader is told of."""

import asyncio
import signal
from contextlib import suppress
from typing import Annotated

import typer

from pushhub.cli.flags import ConfigFile, read_settings
from pushhub.cli.terminal import FAILED, USAGE, fail, note, say
from pushhub.settings import Settings
from pushhub.store.base import StoreError

# Longer than a restart takes, of a Redis that has some gigabytes to load.
DEFAULT_SECONDS = 120
# As store/redis_fence.py has it, which takes a while to import.
MAX_SECONDS = 3600


def fence(
    seconds: Annotated[
        int,
        typer.Option(min=10, max=MAX_SECONDS, help="How long the fence may stand."),
    ] = DEFAULT_SECONDS,
    config: ConfigFile = None,
) -> None:
    """Refuse publishes while Redis is restarted, or its master is switched, so that readers need
    not be told of a gap.

    Run it, restart Redis when it says so, and leave it running: it ends by itself when Redis is
    back. Ctrl-C lifts the fence.
    """
    settings = read_settings(config).settings
    if settings.store.startswith(("sqlite:", "memory:")):
        fail("Only a log in Redis is fenced; SQLite keeps its epoch over a restart.", code=USAGE)
    try:
        kept = asyncio.run(_fence(settings, seconds))
    except StoreError as error:
        fail(str(error))
    if not kept:
        raise typer.Exit(FAILED)


async def _fence(settings: Settings, seconds: int) -> bool:
    """Whether the epoch was kept."""
    # redis-py takes a while to import.
    from pushhub.store.redis_fence import Fence

    around = Fence(settings.store, seconds)
    try:
        await around.set()
        note(f"Publishes are refused for {seconds} s at most. {await around.keep()}")
        say("Fenced. Restart Redis now, or switch its master; Ctrl-C lifts the fence.")
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(around.restarted())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, waiting.cancel)
        restarted = False
        with suppress(asyncio.CancelledError):
            restarted = await waiting
        if not await around.lift():
            note("The data of this Redis lacks the fence, so events may be missing: a gap is told.")
            return False
        say(f"Lifted; the log goes on in epoch {around.epoch}.")
        if not restarted:
            note("Redis was not restarted.")
        return restarted
    finally:
        await around.close()
