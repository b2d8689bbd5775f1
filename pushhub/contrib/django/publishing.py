"""Publish when the transaction has been committed."""

from __future__ import annotations

import json
import logging
from functools import cache, partial
from threading import Lock
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.core.signals import setting_changed
from django.db import transaction

from pushhub.contrib.django.configuration import configuration
from pushhub.runtime import Runtime
from pushhub.store.refusals import RefusalLog
from pushhub_client import Client, PushhubError

_RUNTIME = Runtime()

logger = logging.getLogger("pushhub.contrib.django")


def publish(channel: str, data: Any, *, type: str | None = None, using: str | None = None) -> None:
    """Publish an event after the commit; immediately, if there is no transaction.

    A transaction that is rolled back publishes nothing. The data is read now, with Django's JSON
    encoder (dates, decimals, UUIDs, lazy texts). A publish that fails is logged as
    `pushhub.contrib.django`, at most once a minute for each kind of failure, and raises nothing,
    because the transaction has been committed.

    Args:
        channel: the channel's name.
        data: any JSON.
        type: the event's type.
        using: the database whose transaction counts.

    Raises:
        TypeError, ValueError: the data is no JSON.
    """
    body = json.dumps(data, cls=DjangoJSONEncoder, allow_nan=False).encode()
    transaction.on_commit(partial(_send, channel, body, type), using=using)


def _send(channel: str, body: bytes, label: str | None) -> None:
    timeout = configuration().timeout
    try:
        _client().publish(
            channel,
            body,
            content_type="application/json",
            type=label,
            timeout=timeout,
        )
    except PushhubError as error:
        text = f"The event for the channel {channel!r} was not published: {error}"
        with _lock:
            _failures.note(type(error).__name__, text, _RUNTIME.clock())


def _write(reason: str, text: str, count: int) -> None:
    logger.error("%s (%s, %d in the last minute)", text, reason, count)


# An outage of the hub would otherwise write a line for each request. Threads share it.
_failures = RefusalLog[str](_write)
_lock = Lock()


@cache
def _client() -> Client:
    """The client of this process. It is made with the first publish, so after a server's fork."""
    found = configuration()
    return Client(found.url, token=found.key)


def _forget(*, setting: str, **_: Any) -> None:
    """Tests change settings. The cache still has the client of the old ones."""
    if setting == "PUSHHUB" and _client.cache_info().currsize:
        _client().close()
        _client.cache_clear()


setting_changed.connect(_forget)
