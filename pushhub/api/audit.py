"""The audit log of a server: its file or logger, and its channel."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pushhub.auth.audit import AuditLog
from pushhub.auth.audit_file import AuditFile
from pushhub.log.event import Draft
from pushhub.store.base import Append, Retention, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub
    from pushhub.runtime import Runtime
    from pushhub.settings import Settings
    from pushhub.store.base import Outcome

log = structlog.get_logger(__name__)

# The names of pushhub's own channels begin with `$`, so no client can read or write this one.
AUDIT_CHANNEL = "$audit"


def node_name() -> str:
    """The name of this machine and process in the audit log."""
    return f"{socket.gethostname()}:{os.getpid()}"


def audit_log(hub: Hub, settings: Settings, runtime: Runtime) -> AuditLog:
    """The audit log that the settings describe."""
    dropped = {"rate": 0, "file": 0, "channel": 0}
    append = _channel(hub, settings, dropped) if settings.audit_channel else None
    make = partial(
        AuditLog,
        runtime.clock,
        runtime.random_bytes,
        node_name(),
        append=append,
        dropped=dropped,
    )
    if settings.audit_file is None:
        return make()
    file = AuditFile(settings.audit_file)

    def write(line: str) -> None:
        try:
            file.write(line)
        except OSError as error:
            # The action has happened: its line goes to the log, and the operator is told why.
            dropped["file"] += 1
            hub.log.warning(log, "audit.file_failed", error=str(error), line=line)

    return make(write=write)


def audit_append(settings: Settings, line: str) -> Append:
    """The append of a line to the audit channel."""
    retention = Retention(settings.audit_channel_events, settings.audit_channel_age)
    return Append(AUDIT_CHANNEL, Draft(line.encode()), retention)


def _channel(hub: Hub, settings: Settings, dropped: dict[str, int]) -> Callable[[str], None]:
    def settled(outcomes: list[Outcome]) -> None:
        if isinstance(outcomes[0], StoreError):
            dropped["channel"] += 1
            hub.log.warning(log, "audit.not_stored", error=str(outcomes[0]))

    return lambda line: hub.record([audit_append(settings, line)], settled)
