"""Findings about the configuration of a Redis that has the log. Pure: from INFO and CONFIG to
findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushhub.doctor.finding import bad, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings

MIB = 1024 * 1024
# Above this share of its memory Redis will soon refuse publishes.
FULL = 0.8
# Redis' own default for a subscriber: with more unsent bytes Redis closes its connection.
FEED_BUFFER_BYTES = 32 * MIB
# Redis reserves a whole node for a stream's first entry, 4096 bytes by default.
STREAM_NODE_BYTES = 256


@dataclass(frozen=True, slots=True)
class Setup:
    """The replies to INFO, and to CONFIG GET if the user may run that."""

    info: Mapping[str, Any]
    config: Mapping[str, str] | None


def judge(setup: Setup, settings: Settings) -> Iterator[Finding]:
    """The findings, the most important first."""
    yield _version(setup)
    yield _role(setup)
    yield _eviction(setup, settings)
    yield _memory(setup)
    if setup.config is None:
        yield warn(
            "config",
            "The user may not read the configuration (CONFIG GET), so appendfsync, save, "
            "min-replicas-to-write and client-output-buffer-limit are not checked. pushhub does "
            "not need it; `ACL SETUSER … +config|get` lets doctor check more.",
        )
    yield _persistence(setup, settings)
    yield _replication(setup, settings)
    yield from _feed_buffer(setup)
    yield from _stream_nodes(setup)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _version(setup: Setup) -> Finding:
    valkey = str(setup.info.get("valkey_version", ""))
    version = valkey or str(setup.info.get("redis_version", ""))
    name = f"{'Valkey' if valkey else 'Redis'} {version}"
    numbers = _numbers(version)
    if not valkey and numbers < (6, 2):
        return bad("version", f"{name} is too old: pushhub needs Redis 6.2, or Valkey 8.")
    if numbers >= (10,) if valkey else numbers >= (8,):
        return warn("version", f"{name} is newer than the tested versions.")
    if valkey and numbers < (8,):
        return warn("version", f"{name} is older than the tested versions: Valkey 8 and 9.")
    return ok("version", f"{name} is supported.")


def _role(setup: Setup) -> Finding:
    if setup.info.get("cluster_enabled"):
        return bad("role", "This is a node of a cluster, which pushhub does not support.")
    if setup.info.get("role") != "master":
        return bad(
            "role",
            "This is a replica, which accepts no publishes: name the master, or the sentinels "
            "(redis+sentinel://), which know the master.",
        )
    return ok("role", "This is a master.")


def _eviction(setup: Setup, settings: Settings) -> Finding:
    policy = setup.info.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return ok("eviction", "Nothing is evicted (maxmemory-policy noeviction).")
    if policy.startswith("volatile"):
        return bad(
            "eviction",
            f"maxmemory-policy is {policy}: when memory is short, Redis drops idempotency keys, "
            "and a publish that is sent again appears twice. Set it to noeviction.",
        )
    if settings.store_may_evict:
        return warn(
            "eviction",
            f"maxmemory-policy is {policy}, and store_may_evict accepts silent loss of logs.",
        )
    return bad(
        "eviction",
        f"maxmemory-policy is {policy}, so pushhub does not start: when memory is short, Redis "
        "would evict logs and the metadata that keeps their offsets, without a gap for readers. "
        "Set it to noeviction; publishes are then refused (503) instead.",
    )


def _memory(setup: Setup) -> Finding:
    limit = int(setup.info.get("maxmemory") or 0)
    used = int(setup.info.get("used_memory") or 0)
    if not limit:
        return warn(
            "memory",
            f"Redis uses {used / MIB:,.0f} MiB and has no limit: when the machine has no more "
            "memory, the system kills Redis. Set maxmemory, so that publishes are refused (503) "
            "instead.",
        )
    sentence = f"Redis uses {used / MIB:,.0f} of {limit / MIB:,.0f} MiB (maxmemory)"
    if used > FULL * limit:
        return warn(
            "memory",
            f"{sentence}; when that is full, publishes are refused. Increase it, or keep less "
            "(retention_events, retention_age).",
        )
    return ok("memory", f"{sentence}.")


def _persistence(setup: Setup, settings: Settings) -> Finding:
    """The loss after a crash. After every restart of Redis readers receive a gap, because Redis
    cannot prove that nothing is missing.
    """
    info = setup.info
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status", "ok") != "ok":
            return bad("persistence", "Redis' last write to its log on disk failed; see its log.")
        return _append_only((setup.config or {}).get("appendfsync"))
    if settings.ack == "fsync":
        return bad(
            "persistence",
            "With ack=fsync pushhub needs Redis' log on disk, which is off: set appendonly yes.",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return bad(
            "persistence",
            "Redis' last snapshot failed, and it may refuse publishes for that reason "
            "(stop-writes-on-bgsave-error); see its log.",
        )
    if setup.config is None or (save := setup.config.get("save")):
        rule = "if there are any" if setup.config is None else f"save {save}"
        return warn(
            "persistence",
            f"A crash loses all events after the last snapshot ({rule}). appendonly yes limits "
            "that to a second.",
        )
    return warn(
        "persistence",
        "Redis writes nothing to disk: a restart loses the whole log, and readers receive a gap. "
        "Set appendonly yes, unless this is intended.",
    )


def _append_only(forced: str | None) -> Finding:
    match forced:
        case "always":
            lost = "loses nothing"
        case "everysec":
            lost = "loses about a second, and one of Redis alone nothing"
        case "no":
            return warn(
                "persistence",
                "A crash of the machine loses all that its system has not written yet, often 30 s "
                "(appendfsync no). everysec limits that to a second.",
            )
        case _:
            return ok(
                "persistence", "Redis keeps a log on disk; the value of appendfsync is unknown."
            )
    return ok(
        "persistence",
        f"A crash of the machine {lost} (appendonly yes, appendfsync {forced}); readers receive a "
        "gap after every restart of Redis.",
    )


def _replication(setup: Setup, settings: Settings) -> Finding:
    info = setup.info
    count = int(info.get("connected_slaves") or 0)
    replicas = [info.get(f"slave{index}", {}) for index in range(count)]
    online = sum(1 for replica in replicas if replica.get("state") == "online")
    sentence = f"Of {count} replicas {online} are online"
    if settings.ack == "replicated" and online < settings.ack_replicas:
        return bad(
            "replication",
            f"With ack=replicated every publish waits for {settings.ack_replicas} (ack_replicas), "
            f"and there {'is' if online == 1 else 'are'} {online}: each takes ack_seconds "
            f"({settings.ack_seconds:g}), and its receipt says `memory`.",
        )
    if not count:
        return ok("replication", "There is no replica: while Redis is away, publishes are refused.")
    needed = (setup.config or {}).get("min-replicas-to-write")
    if needed == "0":
        return warn(
            "replication",
            f"{sentence}, and min-replicas-to-write is 0: a master that is cut off from them goes "
            "on accepting publishes that a failover loses (readers receive a gap). Set it to 1.",
        )
    return ok(
        "replication", f"{sentence}" + (f" (min-replicas-to-write {needed})." if needed else ".")
    )


def _stream_nodes(setup: Setup) -> Iterator[Finding]:
    """The memory that Redis reserves for the first event of a channel, independent of its size."""
    limit = (setup.config or {}).get("stream-node-max-bytes")
    if limit is None:
        return
    if int(limit) == 0 or int(limit) > STREAM_NODE_BYTES:
        yield warn(
            "streams",
            f"Each channel takes about 4.6 kB at least (stream-node-max-bytes {limit}). With many "
            f"channels of few events set it to {STREAM_NODE_BYTES}: a channel with one small event "
            f"then takes about 0.7 kB.",
        )
    else:
        yield ok("streams", f"A channel of few events is small (stream-node-max-bytes {limit}).")


def _feed_buffer(setup: Setup) -> Iterator[Finding]:
    """`client-output-buffer-limit` is `class hard soft seconds` four times, in bytes."""
    words = (setup.config or {}).get("client-output-buffer-limit", "").split()
    if "pubsub" not in words[:-3]:
        return
    at = words.index("pubsub")
    hard, soft, seconds = (int(word) for word in words[at + 1 : at + 4])
    if 0 < hard < FEED_BUFFER_BYTES or 0 < soft < FEED_BUFFER_BYTES // 4:
        yield warn(
            "feed",
            f"Redis closes the feed of a worker that is {hard / MIB:,.1f} MiB behind, or "
            f"{soft / MIB:,.1f} for {seconds} s (client-output-buffer-limit pubsub). Nothing is "
            f"lost with it, but a burst makes every waiting channel read its log. The default is "
            f"32 MiB, 8 MiB for 60 s.",
        )
    else:
        yield ok("feed", "A burst of news has room (client-output-buffer-limit pubsub).")
