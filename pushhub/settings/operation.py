"""What operators set: when a worker is replaced, when a node is ready, how long channels stay."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from pushhub.settings.field import CHANNELS, LOGS, SERVER, setting


class OperationSettings(BaseModel):
    """The settings of operation; part of `Settings`."""

    # A worker's loop never stops for a second. Ten are for a machine that swaps or was stopped.
    worker_hung_seconds: Annotated[
        float,
        setting(
            SERVER,
            "After how long a worker that gives no sign of life is killed and replaced.",
            unit="s",
            ge=5,
            le=3600,
        ),
    ] = 10.0
    ready_writes: Annotated[
        bool,
        setting(
            LOGS,
            "Whether `/readyz` is 503 while publishes fail, though reads work. It always says "
            "which of them fail, and why.",
        ),
    ] = False
    # A day at least: shorter than any usual retention, it would be a retention by another name.
    channel_idle_age: Annotated[
        int,
        setting(
            CHANNELS,
            "After how long without a publish a channel is removed, its last event too; 0 is "
            "never. Memory and SQLite.",
            unit="s",
            ge=0,
            le=315_360_000,
        ),
    ] = 0
