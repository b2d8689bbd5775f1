"""Checks of the configured Redis: its setup, the rights of the user, latency and clock."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from pushhub.doctor.finding import bad, ok, warn
from pushhub.doctor.redis_setup import Setup, judge
from pushhub.store.redis.frame import topics
from pushhub.store.redis.url import SENTINEL, read_sentinel_url
from pushhub.store.urls import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings

# The same timeout as in store/redis/open.py.
RESPONSE_SECONDS = 2.0
PINGS = 20
# On one network a response takes 0.1 to 1 ms; more means another building, or a busy server.
SLOW_PING_SECONDS = 0.005
# This machine's clock checks tokens, the clock of Redis dates events.
SKEW_SECONDS = 1.0
CONFIGURED = (
    *("appendfsync", "save", "min-replicas-to-write", "client-output-buffer-limit"),
    "stream-node-max-bytes",
)


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings about the connection to Redis, its setup and its clock."""
    where = without_password(settings.store)
    try:
        with closing(connect(settings.store)) as client:
            client.ping()
            yield ok("store", f"Redis responds at {where}.")
            yield from judge(_read_setup(client), settings)
            yield from _rights(client)
            if settings.ack == "fsync":
                yield _waitaof(client)
            yield _latency(client)
            yield _clock(client)
    except AuthenticationError as error:
        yield bad("store", f"Redis at {where} rejects this user and password: {_text(error)}.")
    except NoPermissionError as error:
        yield bad("rights", f"The user of {where} lacks rights that pushhub needs: {_text(error)}.")
    except (RedisError, OSError, ValueError, TypeError) as error:
        yield bad("store", f"Redis at {where} cannot be used: {_text(error)}.")


def connect(url: str) -> redis.Redis:
    """A client that tries once. Nothing is sent yet, except to sentinels.

    Raises:
        ValueError, TypeError: the URL is invalid.
        RedisError: no sentinel knows the master.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": RESPONSE_SECONDS,
        "socket_timeout": RESPONSE_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "pushhub-doctor",
    }
    if urlsplit(url).scheme != SENTINEL:
        return redis.Redis.from_url(url, **options)
    parts = read_sentinel_url(url)
    sentinels = redis.Sentinel(  # type: ignore[no-untyped-call]
        parts.addresses, sentinel_kwargs={**options, "password": parts.sentinel_password}
    )
    try:
        host, port = sentinels.discover_master(parts.service)  # type: ignore[no-untyped-call]
    except MasterNotFoundError:
        # redis-py's message has internals of the connection.
        hosts = ", ".join(f"{host}:{port}" for host, port in parts.addresses)
        raise ValueError(
            f"no sentinel at {hosts} knows a master with the name {parts.service!r}"
        ) from None
    finally:
        for sentinel in sentinels.sentinels:
            sentinel.close()
    login: dict[str, Any] = {
        "username": parts.username,
        "password": parts.password,
        "db": parts.database,
    }
    return redis.Redis(host=host, port=port, **login, **options)


def _text(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _read_setup(client: redis.Redis) -> Setup:
    """The server's INFO, and its configuration if this user may read that."""
    info: dict[str, Any] = {}
    for section in ("server", "memory", "persistence", "replication", "cluster"):
        info |= client.info(section)
    config: dict[str, str] = {}
    try:
        for name in CONFIGURED:
            config |= {str(k): str(v) for k, v in client.config_get(name).items()}
    except ResponseError:
        # The command is denied to this user, or disabled, as in managed Redis services.
        return Setup(info, None)
    return Setup(info, config)


def _rights(client: redis.Redis) -> Iterator[Finding]:
    """Whether this user may run scripts and subscribe to channels. Key patterns are not checked:
    that would need a write.
    """
    try:
        client.execute_command(  # type: ignore[no-untyped-call]
            "EVALSHA", client.script_load("return 1"), 0
        )
        topic = topics(int(client.get_connection_kwargs().get("db") or 0)) + b"$doctor"
        with closing(client.pubsub()) as feed:  # type: ignore[no-untyped-call]
            feed.subscribe(topic)
            feed.get_message(timeout=RESPONSE_SECONDS)
    except ResponseError as error:
        yield bad(
            "rights",
            "The user lacks the rights to run scripts or follow channels, which pushhub needs: "
            f"{_text(error)}.",
        )


def _waitaof(client: redis.Redis) -> Finding:
    try:
        client.execute_command("WAITAOF", 0, 0, 100)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        return bad(
            "ack",
            "With ack=fsync pushhub does not start: this server does not report what is on its "
            f"disk (WAITAOF came with Redis 7.2). Choose another ack, or server: {_text(error)}.",
        )
    return ok("ack", "ack=fsync: the server reports what is on its disk (WAITAOF).")


def _latency(client: redis.Redis) -> Finding:
    took = []
    for _ in range(PINGS):
        begun = time.perf_counter()
        client.ping()
        took.append(time.perf_counter() - begun)
    median, worst = statistics.median(took), max(took)
    sentence = f"A response of Redis takes {median * 1000:.2f} ms (at worst {worst * 1000:.1f})"
    if median > SLOW_PING_SECONDS:
        return warn(
            "latency",
            f"{sentence}, and every publish and every read of the log waits for one: move Redis "
            "nearer, or find the cause of its load (SLOWLOG GET).",
        )
    return ok("latency", f"{sentence}.")


def _clock(client: redis.Redis) -> Finding:
    begun = time.time()
    seconds, micros = client.time()
    skew = seconds + micros / 1e6 - (begun + time.time()) / 2
    if abs(skew) > SKEW_SECONDS:
        side = "ahead of" if skew > 0 else "behind"
        return warn(
            "clock",
            f"Redis' clock is {abs(skew):.1f} s {side} this machine's: the one dates events, the "
            "other checks tokens. Let both follow NTP.",
        )
    return ok("clock", f"Redis' clock and this machine's differ by {abs(skew) * 1000:.0f} ms.")
