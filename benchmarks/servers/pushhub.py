"""pushhub, configured as for production: keys to publish, signed tokens to read, and CORS."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
from dataclasses import replace

import jwt

from benchmarks.servers.server import Server
from pushhub import __version__
from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.bench.dialect import ORIGIN, FeedDialect, bearer
from pushhub.bench.target import Target
from pushhub.settings.limits import LIMIT_SPECS

STORES = {
    "memory": "memory://",
    "sqlite": "sqlite:///bench.db",
    "redis": "unix://",
}

# A page's token is good for longer than any run.
TOKEN_SECONDS = 86_400
# For Redis to open its socket.
START_SECONDS = 5.0


# All load comes from one address, and the server is to be measured, not its limits.
NO_LIMITS = {name: {"most" if one.is_count else "rate": 0} for name, one in LIMIT_SPECS.items()}


class _Pushhub(Server):
    about = "a JWT (HS256) and CORS in every poll, an API key to publish"

    def __init__(self, store: str) -> None:
        super().__init__()
        self.store = store
        self.key = new_secret()
        self.secret = secrets.token_urlsafe(32)

    def version(self) -> str:
        return f"pushhub {__version__}"

    def environ(self) -> dict[str, str]:
        """Its settings."""
        everything = {"read": ["*"], "publish": ["*"], "manage": ["*"]}
        key = {"name": "bench", "sha256": secret_hash(self.key), **everything}
        return {
            "PUSHHUB_STORE": STORES[self.store],
            "PUSHHUB_API_KEYS": json.dumps([key]),
            "PUSHHUB_TOKEN_KEYS": json.dumps([{"algorithm": "HS256", "key": self.secret}]),
            "PUSHHUB_CORS_ORIGINS": json.dumps([ORIGIN]),
            "PUSHHUB_LIMITS": json.dumps(NO_LIMITS),
            "PUSHHUB_DRAIN_SECONDS": "0",
            "PUSHHUB_LOG_LEVEL": "warning",
            "PUSHHUB_LOG_FORMAT": "json",
        }

    def tokens(self, count: int) -> list[str]:
        """Tokens of so many users."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + TOKEN_SECONDS, "pushhub": {"read": ["*"]}}
        return [
            jwt.encode(claims | {"sub": f"reader-{number}"}, self.secret, "HS256")
            for number in range(count)
        ]

    def target(self) -> Target:
        host = f"127.0.0.1:{self.port}"
        metrics = f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n{bearer(self.key)}\r\n"
        feed = FeedDialect(host, self.tokens(1)[0], self.key)
        return Target(
            "127.0.0.1",
            self.port,
            feed,
            processes=self.processes(),
            cheap=replace(feed, wait=0).poll("bench-probe", b"now"),
            metrics=metrics.encode(),
            tokens=self.tokens,
        )


class Front(_Pushhub):
    """`pushhub serve`."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.name = "front" if store == "memory" else f"front-{store}"

    def launch(self) -> None:
        command = (sys.executable, "-m", "pushhub", "serve", "--port", str(self.port))
        self.spawn(*command, **self.environ())


class OnRedis(Front):
    """`pushhub serve` on a Redis server beside it, whose CPU is not counted."""

    about = "with Debian's Redis beside it, without persistence; its CPU is not counted"

    def __init__(self, workers: int = 1) -> None:
        super().__init__("redis")
        self.workers = workers
        if workers > 1:
            self.name += f"-{workers}"

    def missing(self) -> str | None:
        return None if shutil.which("redis-server") else "redis-server is not installed"

    def environ(self) -> dict[str, str]:
        socket = f"unix://{self.folder / 'redis.sock'}"
        return super().environ() | {"PUSHHUB_STORE": socket, "PUSHHUB_WORKERS": str(self.workers)}

    def launch(self) -> None:
        options = ("--port", "0", "--save", "", "--appendonly", "no")
        redis = self.spawn("redis-server", "--unixsocket", "redis.sock", *options)
        end = time.monotonic() + START_SECONDS
        while not (self.folder / "redis.sock").exists() and time.monotonic() < end:
            time.sleep(0.02)
        # The first child is the one that is measured.
        self.children.clear()
        super().launch()
        self.children.append(redis)


class Asgi(_Pushhub):
    """pushhub as a plain ASGI application, in a server that knows nothing of holds."""

    most_holds = 5000
    most_publishes = 5

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.name = "asgi" if store == "memory" else f"asgi-{store}"

    def launch(self) -> None:
        options = ("--http", "httptools", "--loop", "uvloop", "--no-access-log")
        self.spawn(
            *(sys.executable, "-m", "uvicorn", "--factory", "pushhub.app:create_app"),
            *("--port", str(self.port), *options, "--timeout-graceful-shutdown", "1"),
            *("--timeout-keep-alive", "75", "--log-level", "warning", "--backlog", "4096"),
            **self.environ(),
        )
