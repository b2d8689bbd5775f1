"""SIGHUP: the routes are read again from where the settings came from; nothing else changes.

What cannot be used changes nothing. A terminal that is closed sends the same signal, and still ends
who was started in it.
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
    """Reads settings again, and says what of them can be had without a restart.

    Args:
        settings: what the server was started with.
        read: what the same flags, environment and file say at the time.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        self._started = settings
        self._read = read
        # Who was started with nohup outlives the terminal, and takes the signal for the one wish.
        is_immune = HANGUP is not None and signal.getsignal(HANGUP) is signal.SIG_IGN
        self._had_terminal = not is_immune and _has_terminal()

    @property
    def is_end(self) -> bool:
        """Whether the signal came since the terminal is gone."""
        return self._had_terminal and not _has_terminal()

    def routed(self) -> Settings | None:
        """The settings of the start with the routes of now; None if there is no use in them.

        The log says what was wrong, and what else has changed and needs a restart.
        """
        try:
            now = self._read()
        except SettingsError as error:
            log.warning("routes.kept", error=" ".join(error.sentences))
            return None
        started = self._started
        changed = [
            name
            for name in Settings.model_fields
            if name != "routes" and getattr(now, name) != getattr(started, name)
        ]
        if _is_behind(now) != _is_behind(started):
            # Whether there is an origin decides where everything lives.
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
                "routes.kept",
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
