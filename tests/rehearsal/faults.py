"""The faults of the rehearsal, as a table: what an operator or the world does, and the rule."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio import to_thread as thread
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis

from tests.rehearsal.diary import CHAT, LOG
from tests.rehearsal.rules import KILLED, STEADY, STORE, Rule
from tests.rehearsal.stage import abusers_token
from tests.rehearsal.writers import Abuser

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.deploy.proxies import RunningProxy
    from tests.redis_servers import RedisServer
    from tests.rehearsal.diary import Strike
    from tests.rehearsal.stage import Stage

MOVED_SECONDS = 60.0
STEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault works with."""

    stage: Stage
    proxy: RunningProxy
    strike: Strike

    def note(self, text: str) -> None:
        """Something that the report should say."""
        self.strike.notes.append(text)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    name: str
    what: str
    strike: Callable[[Scene], Awaitable[None]]
    rule: Rule
    loses: frozenset[str] = field(default=frozenset())
    """The histories in which a gap may be told. Nothing may ever be lost without one."""


async def upgrade(scene: Scene) -> None:
    """Each hub is replaced by the new version, one after the other."""
    for hub in scene.stage.hubs:
        await hub.leave()
        hub.version("")
        await hub.start()
        await hub.serving()
        # nginx tries a hub that refused a connection again after a second.
        await asyncio.sleep(2)


async def failover(scene: Scene) -> None:
    """An operator moves the master."""
    stage = scene.stage
    old = await thread(stage.master)
    while True:
        try:
            await thread(stage.sentinels[0].ask, "SENTINEL", "FAILOVER", "main")
            break
        except redis.ResponseError as error:
            if "NOGOODSLAVE" not in str(error):
                raise
            await asyncio.sleep(0.2)
    await _moved(stage, old)
    await thread(_demoted, old)


async def master_killed(scene: Scene) -> None:
    """The master dies, and comes back as a replica."""
    stage = scene.stage
    old = await thread(stage.master)
    await thread(old.kill)
    await _moved(stage, old)
    await thread(old.start)
    await thread(_demoted, old)


async def _moved(stage: Stage, old: RedisServer) -> None:
    def everywhere() -> bool:
        ask = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return all(int(one.ask(*ask)[1]) != old.port for one in stage.sentinels)

    await thread(stage.sentinels[0].until, everywhere, MOVED_SECONDS)


def _demoted(server: RedisServer) -> None:
    def is_replica() -> bool:
        try:
            return server.info("replication").get("master_link_status") == "up"
        except redis.RedisError:
            return False

    server.until(is_replica, MOVED_SECONDS)


async def worker_killed(scene: Scene) -> None:
    """SIGKILL of a worker, with its requests."""
    hub = scene.stage.hubs[0]
    worker = hub.workers()[0]
    os.kill(worker, signal.SIGKILL)
    await thread(hub.until_workers, 2, worker)


async def worker_hung(scene: Scene) -> None:
    """SIGSTOP of a worker: the supervisor replaces it after `worker_hung_seconds`."""
    hub = scene.stage.hubs[1]
    worker = hub.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    await thread(hub.until_workers, 2, worker)


async def proxy_reloaded(scene: Scene) -> None:
    """The proxy reads its file again, three times."""
    for _ in range(3):
        await thread(scene.proxy.reload)
        await asyncio.sleep(2)


async def disk_full(scene: Scene) -> None:
    """The disk with the master's append-only file is full for a while."""
    stage = scene.stage
    if not stage.small_disks:
        scene.note("left out: this machine allows no mount namespace")
        return
    master = await thread(stage.master)
    file = stage.disk(master) / "fill"
    await thread(_fill, file)
    await asyncio.sleep(stage.seconds)
    await thread(file.unlink)
    moved = await thread(stage.master) is not master
    scene.note("Sentinel moved the master" if moved else "the master stayed")
    if moved:
        await thread(_demoted, master)


def _fill(file: os.PathLike[str]) -> None:
    with open(file, "wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(1 << 16))
        except OSError:
            pass
        try:
            while True:
                out.write(b"0")
        except OSError:
            pass


async def redis_paused(scene: Scene) -> None:
    """`CLIENT PAUSE 4000` on the master: connections stay, without a reply."""
    master = await thread(scene.stage.master)
    await thread(master.ask, "CLIENT", "PAUSE", "4000", "ALL")
    await asyncio.sleep(4)


async def bad_deploy(scene: Scene) -> None:
    """One hub is replaced by a version that does not start, thrice, and then by the good one."""
    hub = scene.stage.hubs[1]
    await hub.leave()
    broken = hub.path / "broken"
    (broken / "pushhub").mkdir(parents=True, exist_ok=True)
    (broken / "pushhub" / "__init__.py").write_text("import not_there\n")
    bad = {
        "a wrong setting": {"PUSHHUB_WORKERS": "many"},
        "an import error": {"PYTHONPATH": f"{hub.path}{os.pathsep}{broken}"},
        "no store": {"PUSHHUB_STORE": "redis://127.0.0.1:1/0"},
    }
    for name, changes in bad.items():
        status = await hub.fails_to_start(15, **changes)
        scene.note(f"{name}: status {status}")
    await hub.start()
    await hub.serving()


async def clock_stepped(scene: Scene) -> None:
    """The wall clock of one hub goes ten minutes forward, and back again."""
    hub = scene.stage.hubs[0]
    hub.step(STEP_SECONDS)
    await asyncio.sleep(scene.stage.seconds)
    hub.step(0.0)


async def abused(scene: Scene) -> None:
    """One client sends as fast as it can."""
    diary = scene.stage.diary
    await Abuser(scene.proxy, diary, abusers_token()).run(scene.stage.seconds)
    statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(diary.abuse.items()))
    scene.note(f"the abuser got {statuses}")


# A BOSH session whose process was killed is gone; a log whose end was lost says so.
BOTH, SESSIONS = frozenset({LOG, CHAT}), frozenset({CHAT})
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("upgrade", "rolling upgrade of both hubs", upgrade, STEADY),
        Fault("failover", "planned failover (`SENTINEL FAILOVER`)", failover, STORE, BOTH),
        Fault("reload", "the proxy reloads, thrice", proxy_reloaded, STEADY),
        Fault("worker-killed", "SIGKILL of one of two workers", worker_killed, KILLED, SESSIONS),
        Fault("clock", "a hub's clock: 10 minutes forward, and back", clock_stepped, STEADY),
        Fault("pause", "`CLIENT PAUSE` of 4 s on the master", redis_paused, STORE),
        Fault("bad-deploy", "a bad deploy of a hub, rolled back", bad_deploy, STEADY),
        Fault("abuser", "a client that floods", abused, STEADY),
        Fault("worker-hung", "SIGSTOP of one of two workers", worker_hung, KILLED, SESSIONS),
        Fault("disk", "the master's disk is full", disk_full, STORE, BOTH),
        Fault(
            "master-killed", "unplanned failover: SIGKILL of the master", master_killed, STORE, BOTH
        ),
    )
}
