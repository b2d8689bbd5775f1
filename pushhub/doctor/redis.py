"""Asking the Redis of the configured address how it is set up, and measuring the way to it."""

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

# As pushhub itself waits (store/redis/open.py).
ANSWER_SECONDS = 2.0
PINGS = 20
# On one network an answer takes 0.1 to 1 ms; more is another building, or a server with too much to
# do.
SLOW_PING_SECONDS = 0.005
# Tokens are judged by this machine's clock, events are dated by Redis'.
SKEW_SECONDS = 1.0
CONFIGURED = (
    *("appendfsync", "save", "min-replicas-to-write", "client-output-buffer-limit"),
    "stream-node-max-bytes",
)


def examine(settings: Settings) -> Iterator[Finding]:
    """The way to Redis, how it is set up, and whether its clock is ours."""
    where = without_password(settings.store)
    try:
        with closing(connect(settings.store)) as client:
            client.ping()
            yield ok("store", f"Redis responds at {where}.")
            yield from judge(_ask(client), settings)
            yield from _rights(client)
            if settings.ack == "fsync":
                yield _waitaof(client)
            yield _latency(client)
            yield _clock(client)
    except AuthenticationError as error:
        yield bad("store", f"Redis at {where} rejects this user and password: {_say(error)}.")
    except NoPermissionError as error:
        yield bad("rights", f"The user of {where} lacks rights that pushhub needs: {_say(error)}.")
    except (RedisError, OSError, ValueError, TypeError) as error:
        yield bad("store", f"Redis at {where} cannot be used: {_say(error)}.")


def connect(url: str) -> redis.Redis:
    """A client that tries once. Nothing is sent yet, except to sentinels.

    Raises:
        ValueError, TypeError: the address cannot be read.
        RedisError: no sentinel knows the master.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": ANSWER_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "pushhub-doctor",
    }
    if urlsplit(url).scheme != SENTINEL:
        return redis.Redis.from_url(url, **options)
    told = read_sentinel_url(url)
    sentinels = redis.Sentinel(  # type: ignore[no-untyped-call]
        told.addresses, sentinel_kwargs={**options, "password": told.sentinel_password}
    )
    try:
        host, port = sentinels.discover_master(told.service)  # type: ignore[no-untyped-call]
    except MasterNotFoundError:
        # redis-py's words show how it connects.
        hosts = ", ".join(f"{host}:{port}" for host, port in told.addresses)
        raise ValueError(
            f"no sentinel at {hosts} knows a master with the name {told.service!r}"
        ) from None
    finally:
        for sentinel in sentinels.sentinels:
            sentinel.close()
    login: dict[str, Any] = {
        "username": told.username,
        "password": told.password,
        "db": told.database,
    }
    return redis.Redis(host=host, port=port, **login, **options)


def _say(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _ask(client: redis.Redis) -> Setup:
    """What the server says of itself; the configuration only if it is told to this user."""
    info: dict[str, Any] = {}
    for section in ("server", "memory", "persistence", "replication", "cluster"):
        info |= client.info(section)
    config: dict[str, str] = {}
    try:
        for name in CONFIGURED:
            config |= {str(k): str(v) for k, v in client.config_get(name).items()}
    except ResponseError:
        # Denied to this user; or disabled, as where Redis is rented.
        return Setup(info, None)
    return Setup(info, config)


def _rights(client: redis.Redis) -> Iterator[Finding]:
    """Whether this user may run scripts and follow channels. Key patterns are not tried: that
    would write.
    """
    try:
        client.execute_command(  # type: ignore[no-untyped-call]
            "EVALSHA", client.script_load("return 1"), 0
        )
        topic = topics(int(client.get_connection_kwargs().get("db") or 0)) + b"$doctor"
        with closing(client.pubsub()) as feed:  # type: ignore[no-untyped-call]
            feed.subscribe(topic)
            feed.get_message(timeout=ANSWER_SECONDS)
    except ResponseError as error:
        yield bad(
            "rights",
            "The user lacks the rights to run scripts or follow channels, which pushhub needs: "
            f"{_say(error)}.",
        )


def _waitaof(client: redis.Redis) -> Finding:
    try:
        client.execute_command("WAITAOF", 0, 0, 100)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        return bad(
            "ack",
            "With ack=fsync pushhub does not start: this server does not report what is on its "
            f"disk (WAITAOF came with Redis 7.2). Choose another ack, or server: {_say(error)}.",
        )
    return ok("ack", "ack=fsync: the server reports what is on its disk (WAITAOF).")


def _latency(client: redis.Redis) -> Finding:
    took = []
    for _ in range(PINGS):
        begun = time.perf_counter()
        client.ping()
        took.append(time.perf_counter() - begun)
    median, worst = statistics.median(took), max(took)
    told = f"A response of Redis takes {median * 1000:.2f} ms (at worst {worst * 1000:.1f})"
    if median > SLOW_PING_SECONDS:
        return warn(
            "latency",
            f"{told}, and every publish and every read of the log waits for one: move Redis "
            "nearer, or find the cause of its load (SLOWLOG GET).",
        )
    return ok("latency", f"{told}.")


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
