"""A site whose pages use a hub of another origin: pages by their paths, from memory."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

TYPES = {"js": "text/javascript", "mjs": "text/javascript", "json": "application/json"}


class Site:
    """Serves on a free port of loopback. A page is text, or a function that makes it."""

    def __init__(self) -> None:
        self.pages: dict[str, str | Callable[[], str]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                page = site.pages.get(path)
                text = page() if callable(page) else page
                self.send_response(404 if text is None else 200)
                kind = TYPES.get(path.rpartition(".")[2], "text/html")
                self.send_header("content-type", f"{kind}; charset=utf-8")
                self.send_header("cache-control", "no-store")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
