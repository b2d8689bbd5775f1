"""The audit lines of commands that change the store without a server."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pushhub.cli.terminal import note
from pushhub.runtime import Runtime
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.hub.hub import Hub
    from pushhub.settings import Settings


class ActionFailed(Exception):
    """An action has failed in a way that is no error of the program; the message says how."""


@contextmanager
def command_audit(
    settings: Settings,
    action: str,
    target: str,
    *,
    target_type: str,
    hub: Hub | None = None,
    expected: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Record the action of the block, and whether it failed: with the message of an error whose
    messages are for operators (`expected` are more of these), else with its type alone. The line
    goes to the file of the settings, and with a `hub` to the audit channel, where those are set.
    """
    try:
        yield
    except BaseException as error:
        sentence = str(error) if isinstance(error, (ActionFailed, StoreError, *expected)) else ""
        _record(settings, action, target, target_type, hub, type(error).__name__, sentence)
        raise
    _record(settings, action, target, target_type, hub)


def _record(
    settings: Settings,
    action: str,
    target: str,
    target_type: str,
    hub: Hub | None,
    failure: str = "",
    sentence: str = "",
) -> None:
    # Imported here, so that other commands start faster.
    from pushhub.api.audit import audit_append, node_name
    from pushhub.auth.audit import AuditActor, AuditLog
    from pushhub.auth.audit_file import AuditFile

    def write(line: str) -> None:
        if settings.audit_file is not None:
            try:
                AuditFile(settings.audit_file).write(line)
            except OSError as error:
                note(f"The audit line cannot be written to {settings.audit_file}: {error}.")
        if hub is not None and settings.audit_channel:
            hub.record([audit_append(settings, line)], lambda outcomes: None)

    runtime = Runtime()
    AuditLog(runtime.clock, runtime.random_bytes, node_name(), write=write).record(
        action,
        AuditActor("command", _user()),
        target,
        target_type=target_type,
        outcome="failed" if failure else "ok",
        reason=failure,
        detail=sentence,
    )


def _user() -> str:
    """The name of the user that runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
