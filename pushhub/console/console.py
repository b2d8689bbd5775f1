"""The operator's console of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from pushhub.api.assets import CONSOLE_HEADERS, DEMO_MARK, asset, folder
from pushhub.api.pages import guarded
from pushhub.console.agent import ConsoleAgent
from pushhub.console.auth import ConsoleAuth
from pushhub.console.routes import console_routes

if TYPE_CHECKING:
    from pushhub.api.endpoints import Endpoints
    from pushhub.api.service import Service


class Console:
    """The console: its endpoints, its pages, and the agent that sends this process's part of them.

    Until `open` it neither reads nor sends.
    """

    def __init__(self, service: Service) -> None:
        self.auth = ConsoleAuth(lambda: service.hub.now())
        self.agent = ConsoleAgent(service)
        self.routes = console_routes(self.auth, self.agent)
        left_out = None if service.settings.shows_demo else DEMO_MARK
        page = asset("console.html", CONSOLE_HEADERS, left_out=left_out)
        self.pages = (
            Route("/console", guarded(service, page)),
            Route("/console/{file}", guarded(service, folder("console", CONSOLE_HEADERS))),
        )

    def open(self, endpoints: Endpoints) -> None:
        """Start the agent; it traces the requests to `endpoints`."""
        self.agent.open(endpoints)

    def close(self) -> None:
        """Stop the agent."""
        self.agent.close()
