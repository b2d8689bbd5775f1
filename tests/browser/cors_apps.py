"""Applications whose own CORS lets the pages of one origin read `/orders`, and has no `Prefer`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests import outside, programs
from tests.ports import free_port
from tests.waiting import block_until

FOLDER = Path(__file__).parent

# The number that `/orders` has, and that a test changes.
SetVersion = Callable[[int], None]
App = tuple[int, SetVersion]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _wsgi(app: Any) -> Iterator[int]:
    server: WSGIServer = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def flask_cors(origin: str) -> Iterator[App]:
    """flask-cors with its defaults for one origin."""
    from flask import Flask
    from flask_cors import CORS

    app, version = Flask("orders"), {"n": 1}
    CORS(app, origins=[origin])
    app.add_url_rule("/orders", view_func=lambda: dict(version), endpoint="orders")
    with _wsgi(app) as port:
        yield port, lambda n: version.update(n=n)


@contextmanager
def django_cors_headers(origin: str) -> Iterator[App]:
    """django-cors-headers with cookies, in a process of its own: Django has global settings."""
    with _process([sys.executable, str(FOLDER / "cors_django.py"), origin]) as app:
        yield app


@contextmanager
def starlette_cors(origin: str) -> Iterator[App]:
    """Starlette's CORSMiddleware, which refuses a preflight for a header that it does not know."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    version = {"n": 1}

    async def orders(request: object) -> JSONResponse:
        return JSONResponse(dict(version))

    cors = Middleware(CORSMiddleware, allow_origins=[origin], allow_credentials=True)
    app = Starlette(routes=[Route("/orders", orders)], middleware=[cors])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    block_until(lambda: server.started)
    try:
        yield port, lambda n: version.update(n=n)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def express_cors(origin: str) -> Iterator[App]:
    """Express with its package `cors`, which allows whatever a preflight asks for."""
    outside.require("cors-express")
    with _process([outside.require("node"), str(FOLDER / "cors_express/app.js"), origin]) as app:
        yield app


@contextmanager
def nginx_add_header(origin: str) -> Iterator[App]:
    """nginx with `add_header` over a file; it answers no OPTIONS."""
    nginx, port = outside.require("nginx"), free_port()
    with tempfile.TemporaryDirectory(prefix="pushhub-nginx-") as name:
        folder = Path(name)
        (folder / "orders").write_text('{"n":1}')
        (folder / "nginx.conf").write_text(
            f"worker_processes 1; daemon off; error_log stderr crit; {programs.nginx_user()}"
            f"pid {folder}/pid; events {{}}\n"
            "http { access_log off; default_type application/json;"
            f"{programs.nginx_folders(folder)}"
            f"server {{ listen 127.0.0.1:{port}; root {folder};"
            f"add_header Access-Control-Allow-Origin {origin}; }} }}\n"
        )
        command = [nginx, "-c", str(folder / "nginx.conf"), "-p", name, "-e", "stderr"]

        def change(n: int) -> None:
            # nginx knows a version by the second of the change and by the size.
            (folder / "new").write_text(f'{{"n":{n}}}' + n * " ")
            (folder / "new").replace(folder / "orders")

        with programs.run([command], [port], folder / "log"):
            yield port, change


@contextmanager
def _process(command: list[str]) -> Iterator[App]:
    """A program that prints its port, and takes a version by POST /version/N."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def change(n: int) -> None:
            import urllib.request

            url = f"http://127.0.0.1:{port}/version/{n}"
            urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10).close()

        yield port, change
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


APPS = {
    "starlette": starlette_cors,
    "flask-cors": flask_cors,
    "django-cors-headers": django_cors_headers,
    "express": express_cors,
    "nginx": nginx_add_header,
}
# Those that let the page send cookies.
WITH_CREDENTIALS = {"starlette", "django-cors-headers"}
