"""The settings of operation: replacement of workers, age of streams, readiness of a node, idle
channels."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, field_validator

from pushhub.settings.field import CHANNELS, LIMITS, LOGS, SERVER, setting

# A shorter time would act as a retention; a time below 300 s would remove idempotency keys too
# early.
LEAST_IDLE_SECONDS = 86_400

_ADDRESS = re.compile(r"[^@/\s]+@[^@/\s]+")


class OperationSettings(BaseModel):
    """The settings of operation; part of `Settings`."""

    # A worker's loop never stops for a second. Ten are for a machine that swaps or was stopped.
    worker_hung_seconds: Annotated[
        float,
        setting(
            SERVER,
            "The time after which a worker without a sign of life is killed and replaced.",
            unit="s",
            ge=5,
            le=3600,
        ),
    ] = 10.0
    # A start takes a second or two, on a busy machine ten. A failed one ends sooner: a connection
    # to Redis times out after seconds.
    worker_start_seconds: Annotated[
        float,
        setting(
            SERVER,
            "The time after which a worker that is not ready to serve is killed and replaced; at "
            "the first start `serve` exits with 1.",
            unit="s",
            ge=5,
            le=3600,
        ),
    ] = 60.0
    # Each end costs a request, and some clients end with it, such as curl. Mercure ends streams
    # after the same time (write_timeout).
    stream_seconds: Annotated[
        float,
        setting(
            LIMITS,
            "The age at which a stream ends, up to a fifth earlier at random; its client comes "
            "back with its position. 0 is without end. A proxy that is reloaded cuts streams that "
            "are older than its time for a shutdown, so set this shorter.",
            unit="s",
            ge=0,
            le=86_400,
        ),
    ] = 600.0
    ready_writes: Annotated[
        bool,
        setting(
            LOGS,
            "Makes `/readyz` 503 while publishes fail, even if reads work. Its body always says "
            "which of them fail, and why.",
        ),
    ] = False
    # An operator's alert waits for two rounds and a half (150 s): fewer rounds would be noticed
    # later, and more would notice nothing that a client of the hub does not notice first.
    canary: Annotated[
        float,
        setting(
            LOGS,
            "The time between two rounds of the canary, the checks that each process runs on "
            "itself: at least 1 s; 0 turns it off.",
            unit="s",
            ge=0,
            le=300,
            reload=True,
        ),
    ] = 60.0
    canary_account: Annotated[
        str | None,
        setting(
            LOGS,
            "The XMPP account of the canary, such as `canary@chat.example.com`, with which each "
            "process logs in and sends a message to itself. Without it the login is ANONYMOUS, if "
            "`xmpp_anonymous` allows that.",
            min_length=3,
            max_length=1024,
            reload=True,
        ),
    ] = None
    canary_password: Annotated[
        str | None,
        setting(
            LOGS,
            "The password of `canary_account`.",
            secret=True,
            min_length=1,
            max_length=1024,
            reload=True,
        ),
    ] = None
    channel_idle_age: Annotated[
        int,
        setting(
            CHANNELS,
            "The time without a publish after which a channel is removed, with its last event: at "
            "least a day (86,400 s); 0 is never.",
            unit="s",
            ge=0,
            le=315_360_000,
        ),
    ] = 0

    @field_validator("canary")
    @classmethod
    def _is_interval(cls, seconds: float) -> float:
        if 0 < seconds < 1:
            raise ValueError("The canary's interval is 1 s at least, or 0.")
        return seconds

    @field_validator("canary_account")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None and not _ADDRESS.fullmatch(address):
            raise ValueError("The canary's account is an address such as canary@chat.example.com.")
        return address

    @field_validator("channel_idle_age")
    @classmethod
    def _is_long(cls, seconds: int) -> int:
        if 0 < seconds < LEAST_IDLE_SECONDS:
            raise ValueError(
                f"The age of idle channels is {LEAST_IDLE_SECONDS} s (a day) at least, or 0."
            )
        return seconds
