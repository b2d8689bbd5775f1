"""SIGHUP: the routes are read again from the same flags, environment and file, and nothing else.

Invalid settings change nothing. A terminal that is closed sends the same signal; a server that was
started in it exits.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import structlog

from pushhub.settings import SettingsError
from pushhub.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

HANGUP = getattr(signal, "SIGHUP", None)


class Reload:
    """Reads the settings again, and takes from them what needs no restart.

    Args:
        settings: the settings of the start.
        read: reads the same flags, environment and file again.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        self._started = settings
        self._read = read
        # A server under nohup outlives its terminal, so SIGHUP always means a reload.
        is_immune = HANGUP is not None and signal.getsignal(HANGUP) is signal.SIG_IGN
        self._had_terminal = not is_immune and _has_terminal()

    @property
    def is_end(self) -> bool:
        """Whether the terminal was closed, so that the signal means an exit."""
        return self._had_terminal and not _has_terminal()

    def routed(self) -> Settings | None:
        """The settings of the start with the present routes; None if those cannot be used.

        The log has the errors, and the names of changed settings that need a restart.
        """
        try:
            now = self._read()
        except SettingsError as error:
            log.warning("routes.rejected", error=" ".join(error.sentences))
            return None
        started = self._started
        changed = [
            name
            for name in Settings.model_fields
            if name != "routes" and getattr(now, name) != getattr(started, name)
        ]
        if _is_behind(now) != _is_behind(started):
            # With an origin all of pushhub's own routes have a prefix.
            changed.append("routes")
        if changed:
            log.warning("settings.need_restart", settings=changed)
        if "routes" in changed or not _is_behind(started):
            return None
        routed = started.model_copy(update={"routes": now.routes})
        try:
            Settings.model_validate(dict(routed))
        except ValueError:
            log.warning(
                "routes.rejected",
                error="A route relies on another setting that has changed; restart pushhub.",
            )
            return None
        return routed


def _is_behind(settings: Settings) -> bool:
    """Whether there is a server behind pushhub."""
    return settings.origin is not None or bool(settings.routes)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
