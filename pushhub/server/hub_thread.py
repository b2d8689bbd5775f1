"""A hub that runs in a thread of this process: for a trial, and for the conformance test."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from pushhub.app import App
from pushhub.server.server import Server
from pushhub.server.sockets import bind_one

if TYPE_CHECKING:
    from types import TracebackType

    from pushhub.settings import Settings

# A start takes half a second; the end must wait for requests that are being written.
START_SECONDS = 20.0
STOP_SECONDS = 15.0


class HubFailed(Exception):
    """The hub did not start; the message is a sentence."""


class HubThread:
    """A hub on loopback, in the time of a `with` block.

    Args:
        settings: its settings; `port` may be 0 for a free port.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.app = App(settings)
        self.port = 0
        self._listening = threading.Event()
        self._server = Server(self.app, self._started)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _started(self, port: int, *_: int) -> None:
        self.port = port
        self._listening.set()

    def _run(self) -> None:
        try:
            self._server.run(sockets=bind_one("127.0.0.1", self._settings.port))
        finally:
            self._listening.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(START_SECONDS)
        if not self.port:
            raise HubFailed("The hub did not start; the lines above say why.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)

    @property
    def url(self) -> str:
        """The URL of the hub."""
        return f"http://127.0.0.1:{self.port}"
