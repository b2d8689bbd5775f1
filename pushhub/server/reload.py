"""A reload: the settings are read again from the same flags, environment and files.

SIGHUP and `POST /v1/reload` both call it. Invalid settings change nothing. A terminal that is
closed sends SIGHUP, too; a server that was started in it exits.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import structlog

from pushhub.api.reload import ReloadOutcome
from pushhub.auth.authenticator import Authenticator
from pushhub.auth.tokens import TokenKeyError
from pushhub.settings import SettingsError
from pushhub.settings.changes import reloaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.settings import Settings

log = structlog.get_logger(__name__)

HANGUP = getattr(signal, "SIGHUP", None)


class Reload:
    """Reads the settings again, and takes from them what needs no restart.

    Args:
        settings: the settings of the start.
        read: reads the same flags, environment and files again.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        self._present = settings
        self._read = read
        # A server under nohup outlives its terminal, so SIGHUP always means a reload.
        is_immune = HANGUP is not None and signal.getsignal(HANGUP) is signal.SIG_IGN
        self._had_terminal = not is_immune and _has_terminal()

    @property
    def is_end(self) -> bool:
        """Whether the terminal was closed, so that the signal means an exit."""
        return self._had_terminal and not _has_terminal()

    def run(self) -> tuple[Settings | None, ReloadOutcome]:
        """The settings to use from now on, or None if the present ones remain; and the sentences
        for the operator, which the log has, too. One call at a time.
        """
        try:
            read = self._read()
            if (refusal := read.refusal()) is not None:
                raise SettingsError(refusal)
            result = reloaded(self._present, read)
            # All keys must be usable before a worker takes one of them.
            Authenticator(result.settings, lambda: 0.0)
        except (SettingsError, TokenKeyError) as error:
            sentence = " ".join(str(error).split("\n"))
            log.warning("settings.rejected", error=sentence)
            return None, ReloadOutcome(error=sentence)
        for sentence in result.changes:
            log.info("settings.changed", change=sentence)
        for sentence in result.needs_restart:
            log.warning("settings.need_restart", setting=sentence)
        self._present = result.settings
        return result.settings, ReloadOutcome(result.changes, result.needs_restart)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
