"""`pushhub doctor`: on real servers what they say, and by a table what it means."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushhub.doctor import Finding, Severity, machine, redis_setup, sqlite
from pushhub.doctor import redis as redis_checks
from pushhub.doctor.redis_setup import Setup, judge
from pushhub.settings import Settings
from tests import redis_servers
from tests.cli.running import answer, pushhub, scripted
from tests.ports import free_port
from tests.redis_servers import KINDS, Rack, RedisServer
from tests.store.test_redis_faults import LEAST_RIGHTS

# Findings whatever the store is.
OF_ALL = (
    "addresses",
    "expat",
    "limits-address",
    "limits-key",
    "limits-namespace",
    "limits-subject",
)


def doctor(store: str, *arguments: str, **environ: str) -> dict[str, tuple[str, str]]:
    """What it finds: check → level and sentence."""
    free = ["--port", "0", "--dev", "--max-holds", "1"]
    result = pushhub("doctor", "--json", "--store", store, *free, *arguments, **environ)
    assert result.stderr == ""
    told = json.loads(result.stdout)
    found = {one["check"]: (one["level"], one["sentence"]) for one in told["findings"]}
    is_bad = any(level == "bad" for level, _ in found.values())
    assert result.exit_code == (1 if is_bad else 0)
    assert told["ok"] is not is_bad
    for _, sentence in found.values():
        assert sentence.endswith(".")
    return found


def test_the_limits_that_are_on() -> None:
    limits = json.dumps({"address-holds": {"most": 7}})
    found = doctor("memory://", "--limits", limits)
    level, sentence = found["limits-address"]
    assert level == "ok"
    assert "holds 7;" in sentence
    assert "requests 1,000/s, burst 10,000;" in sentence
    assert found["limits-key"][1].startswith("Limits by key: none. Off: requests, publishes,")
    assert found["limits-namespace"] == ("ok", "Retained bytes by namespace: off.")
    limited = {"news": {"retained_bytes": 5000}, "free": {}}
    of_namespaces = doctor("memory://", "--namespaces", json.dumps(limited))["limits-namespace"]
    assert of_namespaces == ("ok", "Retained bytes by namespace: news 5,000.")
    assert "trusted_proxies names no proxy" in found["addresses"][1]
    trusting = doctor("memory://", "--trusted-proxies", '["10.0.0.0/8"]')
    assert "addresses" not in trusting


# -- real servers --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _rack() -> Iterator[Rack]:
    rack = Rack()
    yield rack
    rack.close()


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, _rack: Rack) -> RedisServer:
    return _rack.start(
        KINDS[request.param],
        maxmemory="64mb",
        appendonly="yes",
        appendfsync="everysec",
    )


def test_a_server_that_is_set_up_well(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "stream-node-max-bytes", "256")
    try:
        found = doctor(server.url())
    finally:
        server.ask("CONFIG", "SET", "stream-node-max-bytes", "4096")
    assert {check: level for check, (level, _) in found.items()} == dict.fromkeys(
        (
            *("settings", "files", "listen", "store", "version", "role", "eviction", "memory"),
            *("persistence", "replication", "feed", "streams", "latency", "clock"),
            *OF_ALL,
        ),
        "ok",
    )
    assert found["version"][1].split()[0] == ("Valkey" if "valkey" in server.kind.name else "Redis")
    assert "everysec" in found["persistence"][1]
    assert "64 MiB" in found["memory"][1]


def test_a_server_that_is_not(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.ask("CONFIG", "SET", "appendonly", "no")
    server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 512kb 60")
    try:
        found = doctor(server.url(), "--ack", "replicated")
        assert found["eviction"][0] == "bad"
        assert "allkeys-lru" in found["eviction"][1]
        assert "noeviction" in found["eviction"][1]
        assert found["persistence"][0] == "warn"
        assert found["feed"][0] == "warn"
        assert found["streams"][0] == "warn"
        assert "4.6 kB" in found["streams"][1]
        assert found["replication"][0] == "bad"
        assert "there are 0" in found["replication"][1]
    finally:
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.ask("CONFIG", "SET", "appendonly", "yes")
        server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_fsync_needs_a_server_that_can_say(server: RedisServer) -> None:
    found = doctor(server.url(), "--ack", "fsync")
    assert found["ack"][0] == ("ok" if server.kind.has_waitaof else "bad")
    assert "WAITAOF" in found["ack"][1]


def test_a_replica_takes_no_publishes(rack: Rack) -> None:
    master, replica = rack.start(KINDS["valkey9"]), rack.start(KINDS["valkey9"])
    replica.follow(master)
    replica.until(lambda: replica.caught_up_with(master))
    assert doctor(replica.url())["role"][0] == "bad"
    found = doctor(master.url(), "--ack", "replicated")
    assert found["replication"][0] == "warn"
    assert "min-replicas-to-write is 0" in found["replication"][1]
    master.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    assert doctor(master.url())["replication"][0] == "ok"


def test_sentinels_lead_to_the_master(rack: Rack) -> None:
    master = rack.start(KINDS["valkey9"])
    sentinel = rack.start(KINDS["valkey9"], sentinel=True)
    sentinel.ask("SENTINEL", "MONITOR", "main", "127.0.0.1", master.port, 1)
    found = doctor(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0")
    assert found["role"] == ("ok", "This is a master.")
    lost = doctor(f"redis+sentinel://127.0.0.1:{sentinel.port}/other/0")
    assert lost["store"][0] == "bad"
    assert "no sentinel at 127.0.0.1:" in lost["store"][1]
    assert "'other'" in lost["store"][1]


def test_a_user_of_few_rights(rack: Rack) -> None:
    server = rack.start(KINDS["valkey9"], maxmemory="64mb")
    rules = ["on", ">s3cret", *LEAST_RIGHTS.split()]
    server.ask("ACL", "SETUSER", "hub", *rules)
    url = f"redis://hub:s3cret@127.0.0.1:{server.port}/0"
    found = doctor(url)
    assert found["config"][0] == "warn"
    assert "config|get" in found["config"][1]
    assert found["persistence"][0] == "warn"
    assert "rights" not in found
    for less in ("resetchannels", "-evalsha", "-script|load", "-info"):
        server.ask("ACL", "SETUSER", "hub", less)
        assert doctor(url)["rights"][0] == "bad", less
        server.ask("ACL", "SETUSER", "hub", *rules)


def test_passwords_are_not_printed(rack: Rack) -> None:
    server = rack.start(KINDS["valkey9"])
    server.ask("CONFIG", "SET", "requirepass", "s3cret")
    for store in (
        f"redis://:s3cret@127.0.0.1:{server.port}/0",
        f"redis://:s3cret2@127.0.0.1:{server.port}/0",
        f"redis://127.0.0.1:{server.port}/0?password=s3cret",
        f"redis://127.0.0.1:{server.port}/0?password=s3cret&nonsense=1",
        f"redis+sentinel://u:s3cret@127.0.0.1:{server.port}/x?sentinel_password=s3cret",
        f"redis://:s3cret@127.0.0.1:{free_port()}/0",
    ):
        for extra in ([], ["--json"]):
            result = pushhub("doctor", "--dev", "--port", "0", "--store", store, *extra)
            assert "s3cret" not in result.stdout + result.stderr
            assert "Traceback" not in result.stdout + result.stderr


def test_a_redis_that_is_not_there() -> None:
    found = doctor(f"redis://127.0.0.1:{free_port()}/0")
    assert found["store"][0] == "bad"
    assert "Connection refused" in found["store"][1]
    assert "version" not in found


def test_a_server_without_a_response_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_checks, "RESPONSE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = doctor(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
    assert found["store"][0] == "bad"
    assert "imeout" in found["store"][1]


def test_a_clock_that_differs_and_a_long_way(
    redis_shelf: redis_servers.Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = redis_shelf.url("valkey9")
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() - 10)
    monkeypatch.setattr(redis_checks, "SLOW_PING_SECONDS", 0.0)
    found = doctor(url)
    assert found["clock"][0] == "warn"
    assert "10.0 s ahead of" in found["clock"][1]
    assert found["latency"][0] == "warn"


# -- what settings of Redis mean -----------------------------------------------------------------

GOOD_INFO: dict[str, Any] = {
    "redis_version": "7.0.15",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "maxmemory": 100 << 20,
    "used_memory": 1 << 20,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "connected_slaves": 0,
}
GOOD_CONFIG = {
    "appendfsync": "always",
    "save": "",
    "min-replicas-to-write": "0",
    "client-output-buffer-limit": "normal 0 0 0 slave 1 1 60 pubsub 33554432 8388608 60",
}


def judged(
    info: dict[str, Any] | None = None,
    config: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
) -> dict[str, Finding]:
    setup = Setup(GOOD_INFO | (info or {}), GOOD_CONFIG | (config or {}))
    return {one.check: one for one in judge(setup, Settings(dev=True, **(settings or {})))}


def test_nothing_is_wrong_with_a_good_one() -> None:
    assert {one.level for one in judged().values()} == {Severity.OK}


@pytest.mark.parametrize(
    ("versions", "level", "told"),
    [
        ({"redis_version": "6.0.16"}, Severity.BAD, "Redis 6.0.16 is too old"),
        ({"redis_version": "6.2.0"}, Severity.OK, "Redis 6.2.0"),
        ({"redis_version": "7.4.1"}, Severity.OK, "Redis 7.4.1"),
        ({"redis_version": "8.0.0"}, Severity.WARN, "newer"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, Severity.WARN, "older"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.0"}, Severity.OK, "Valkey 8.0.0"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, Severity.OK, "Valkey 9.1.2"),
        ({"redis_version": "7.2.4", "valkey_version": "10.0.0"}, Severity.WARN, "newer"),
    ],
)
def test_versions(versions: dict[str, str], level: Severity, told: str) -> None:
    finding = judged(versions)["version"]
    assert (finding.level, told in finding.sentence) == (level, True)


ONLINE = {"connected_slaves": 1, "slave0": {"state": "online"}}
SYNCING = {"connected_slaves": 1, "slave0": {"state": "wait_bgsave"}}


@pytest.mark.parametrize(
    ("info", "config", "settings", "check", "level", "told"),
    [
        ({"cluster_enabled": 1}, {}, {}, "role", Severity.BAD, "cluster"),
        ({"role": "slave"}, {}, {}, "role", Severity.BAD, "replica"),
        ({"maxmemory_policy": "volatile-ttl"}, {}, {}, "eviction", Severity.BAD, "noeviction"),
        ({"maxmemory": 0}, {}, {}, "memory", Severity.WARN, "no limit"),
        ({"used_memory": 90 << 20}, {}, {}, "memory", Severity.WARN, "90 of 100 MiB"),
        ({"aof_last_write_status": "err"}, {}, {}, "persistence", Severity.BAD, "failed"),
        ({}, {"appendfsync": "everysec"}, {}, "persistence", Severity.OK, "about a second"),
        ({}, {"appendfsync": "no"}, {}, "persistence", Severity.WARN, "30 s"),
        ({"aof_enabled": 0}, {}, {}, "persistence", Severity.WARN, "the whole log"),
        ({"aof_enabled": 0}, {"save": "60 1"}, {}, "persistence", Severity.WARN, "save 60 1"),
        (
            {"aof_enabled": 0, "rdb_last_bgsave_status": "err"},
            *({"save": "60 1"}, {}, "persistence", Severity.BAD, "snapshot failed"),
        ),
        ({"aof_enabled": 0}, {}, {"ack": "fsync"}, "persistence", Severity.BAD, "appendonly yes"),
        ({}, {}, {"ack": "replicated"}, "replication", Severity.BAD, "there are 0"),
        (SYNCING, {}, {"ack": "replicated"}, "replication", Severity.BAD, "there are 0"),
        (ONLINE, {}, {"ack": "replicated"}, "replication", Severity.WARN, "Of 1 replicas 1"),
        (
            *(ONLINE, {}, {"ack": "replicated", "ack_replicas": 2}),
            *("replication", Severity.BAD, "there is 1"),
        ),
        (ONLINE, {"min-replicas-to-write": "1"}, {}, "replication", Severity.OK, "write 1"),
        (
            {},
            {"client-output-buffer-limit": "normal 0 0 0 slave 1 1 60 pubsub 1048576 0 0"},
            *({}, "feed", Severity.WARN, "1.0 MiB behind"),
        ),
        (
            {},
            {"client-output-buffer-limit": "normal 0 0 0 slave 1 1 60 pubsub 0 0 0"},
            *({}, "feed", Severity.OK, "room"),
        ),
    ],
)
def test_findings_of_redis_settings(
    info: dict[str, Any],
    config: dict[str, str],
    settings: dict[str, Any],
    check: str,
    level: Severity,
    told: str,
) -> None:
    finding = judged(info, config, settings)[check]
    assert (finding.level, told in finding.sentence) == (level, True), finding


def test_without_the_right_to_see_the_configuration_nothing_is_invented() -> None:
    setup = Setup(GOOD_INFO, None)
    found = {one.check: one for one in judge(setup, Settings(dev=True))}
    assert found["config"].level is Severity.WARN
    assert "unknown" in found["persistence"].sentence
    assert "feed" not in found
    assert redis_setup.FULL < 1


# -- SQLite and memory -----------------------------------------------------------------------------


def test_a_file_that_is_not_there_yet_leaves_nothing(tmp_path: Path) -> None:
    found = doctor(f"sqlite:///{tmp_path / 'hub.db'}")
    assert {check: level for check, (level, _) in found.items()} == dict.fromkeys(
        ("settings", "files", "listen", "store", "disk", "fsync", *OF_ALL), "ok"
    )
    assert "will be made" in found["store"][1]
    assert list(tmp_path.iterdir()) == []


def test_the_size_of_the_log_has_both_files(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(bytes(3 << 20))
    (tmp_path / "hub.db-wal").write_bytes(bytes(2 << 20))
    assert "5.0 MiB" in doctor(f"sqlite:///{tmp_path / 'hub.db'}")["store"][1]


def test_folders_and_files_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "does not exist" in doctor(f"sqlite:///{tmp_path}/none/hub.db")["store"][1]
    (tmp_path / "folder").mkdir()
    assert "is no file" in doctor(f"sqlite:///{tmp_path}/folder")["store"][1]
    (tmp_path / "hub.db").touch()
    # Root may do everything, so the system's answer is played.
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and path != tmp_path)
    assert "may not be written to" in doctor(f"sqlite:///{tmp_path}/hub.db")["store"][1]
    monkeypatch.setattr(
        os, "access", lambda path, mode: may(path, mode) and path != tmp_path / "hub.db"
    )
    assert "may not be read and written" in doctor(f"sqlite:///{tmp_path}/hub.db")["store"][1]


def test_a_slow_or_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SLOW_FSYNC_SECONDS", 0.0)
    monkeypatch.setattr(sqlite, "FEW_FREE_BYTES", 1 << 60)
    found = doctor(f"sqlite:///{tmp_path / 'hub.db'}")
    assert (found["fsync"][0], found["disk"][0]) == ("warn", "warn")
    monkeypatch.setattr(sqlite, "LEAST_FREE_BYTES", 1 << 60)
    assert doctor(f"sqlite:///{tmp_path / 'hub.db'}")["disk"][0] == "bad"


def test_memory_is_for_trying_things_out() -> None:
    assert doctor("memory://")["store"][0] == "warn"


# -- this machine ----------------------------------------------------------------------------------


def test_fewer_files_than_holds() -> None:
    found = doctor("memory://", "--max-holds", "10000000")
    assert found["files"][0] == "warn"
    assert "LimitNOFILE=10000500" in found["files"][1]


def listening(port: int, host: str = "127.0.0.1") -> Finding:
    return machine.listening(Settings(dev=True, host=host, port=port))


def test_a_port_that_is_free() -> None:
    port = free_port()
    assert listening(port) == Finding("listen", Severity.OK, f"127.0.0.1:{port} is free.")


def test_a_port_with_another_program() -> None:
    with scripted(answer(200, {"hello": 1}), answer(200, b"hello"), answer(200, [])) as other:
        for _ in range(3):
            finding = listening(int(other.url.rpartition(":")[2]))
            assert finding.level is Severity.BAD
            assert "Another program" in finding.sentence


@pytest.mark.parametrize(
    ("status", "leaving", "store", "level", "told"),
    [
        (200, False, True, Severity.OK, "is ready"),
        (503, True, True, Severity.WARN, "shutting down"),
        (503, False, False, Severity.BAD, "its store is unavailable"),
    ],
)
def test_a_port_with_a_hub(
    status: int, leaving: bool, store: bool, level: Severity, told: str
) -> None:
    body = {"ready": status == 200, "leaving": leaving, "store": store}
    with scripted(answer(status, body)) as hub:
        finding = listening(int(hub.url.rpartition(":")[2]))
    assert (finding.level, told in finding.sentence) == (level, True)


def test_a_real_hub_is_known(hub_url: str) -> None:
    finding = listening(int(hub_url.rpartition(":")[2]))
    assert finding.level is Severity.OK
    assert "is ready" in finding.sentence


def test_an_address_of_another_machine() -> None:
    finding = machine.listening(Settings(host="192.0.2.1", port=free_port()))
    assert finding.level is Severity.BAD
    assert "not an address of this machine" in finding.sentence


# -- the command -----------------------------------------------------------------------------------


def test_settings_that_would_not_start_are_bad() -> None:
    result = pushhub("doctor", "--port", "0", "--store", "memory://")
    assert result.exit_code == 1
    assert "pushhub key new" in result.stdout
    assert result.stdout.startswith("bad  settings ")


def test_it_is_coloured_for_a_terminal_alone() -> None:
    arguments = ("doctor", "--dev", "--port", "0", "--store", "memory://")
    assert "\x1b[" not in pushhub(*arguments).stdout
    assert "ok   settings" in pushhub(*arguments).stdout
    from typer.testing import CliRunner

    from pushhub.cli.app import app

    assert "\x1b[33m\x1b[1mwarn" in CliRunner().invoke(app, arguments, color=True).stdout
