"""The check whether a Redis is fit for a log, by its reply to INFO. CONFIG GET is often forbidden,
and is not needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.store.redis.link import Ask

log = structlog.get_logger(__name__)

_LINE = re.compile(rb"^(\w+):([^\r\n]*)", re.MULTILINE)


class ServerCheck:
    """The check of the server at each connection, and of its memory policy from then on.

    Args:
        may_evict: serve although Redis may evict: readers do not notice the loss.
    """

    def __init__(self, *, may_evict: bool = False) -> None:
        self._may_evict = may_evict
        # Whether Redis may evict what has no expiry, as logs have none.
        self.evicts = False

    async def prepare(self, ask: Ask) -> None:
        """Check a new connection's server.

        Raises:
            StoreError: it is a node of a cluster, or may evict logs.
        """
        told = b""
        for section in (b"cluster", b"memory"):
            reply = await ask((b"INFO", section))
            told += reply if isinstance(reply, bytes) else b""
        if _fields(told).get("cluster_enabled") == "1":
            raise StoreError(
                "This Redis is a node of a cluster, which pushhub does not support: its scripts"
                " need keys of several slots. Use one master, with replicas and Sentinel."
            )
        self.look(told)
        if self.evicts and not self._may_evict:
            raise StoreError(
                f"This Redis may evict logs (maxmemory-policy {self._policy(told)}), and readers "
                "would not notice: set maxmemory-policy to noeviction, or accept the loss with "
                "--store-may-evict."
            )

    def look(self, told: Any) -> None:
        """Take in the reply to INFO memory."""
        if not isinstance(told, bytes):
            return
        policy = self._policy(told)
        if policy is None:
            return
        # `volatile-…` evicts what expires: idempotency keys, whose loss is a duplicate.
        evicts = policy.startswith("allkeys")
        if evicts and not self.evicts:
            log.error(
                "redis.evicts",
                policy=policy,
                problem="Redis may evict logs, and readers would not notice.",
                do="CONFIG SET maxmemory-policy noeviction",
            )
        elif self.evicts and not evicts:
            log.info("redis.no_eviction", policy=policy)
        self.evicts = evicts

    def _policy(self, told: bytes) -> str | None:
        return _fields(told).get("maxmemory_policy")


def _fields(told: bytes) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in _LINE.findall(told)}
