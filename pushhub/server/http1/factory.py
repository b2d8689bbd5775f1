"""The factory of a listener's connections; uvicorn calls it for each new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.server.http1.connection import Connection
from pushhub.server.http1.context import ConnectionContext
from pushhub.server.http1.reader import RequestReader
from pushhub.server.http1.writer import ResponseWriter

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from pushhub.api.control import Control
    from pushhub.app import App
    from pushhub.canary.listener import CanaryListener


class ConnectionFactory:
    """The connections of one listener, with their reader and writer."""

    def __init__(self, app: App | Control | CanaryListener) -> None:
        self.context = ConnectionContext(app)
        self.context.reader = RequestReader(self.context)
        self.context.writer = ResponseWriter(self.context)

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """The protocol of a new connection."""
        context = self.context
        if not context.tick:
            context.start(config, server_state, app_state)
        return Connection(context)
