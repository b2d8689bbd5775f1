"""One run's world: nodes, log, origin, network, clock, and the story of what happens."""

from __future__ import annotations

import asyncio
import traceback
from base64 import b32encode
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import jwt
import structlog
from pydantic import SecretStr

from pushhub.auth.api_keys import secret_hash
from pushhub.log.grant import grant_from_claim
from pushhub.runtime import Runtime
from pushhub.settings import Settings
from pushhub.settings.access import ApiKey, TokenKey
from pushhub.settings.namespace import Namespace
from pushhub.settings.route import Route
from pushhub.store.base import StoreUnavailable
from pushhub.testing.simulation.asgi import AsgiClient
from pushhub.testing.simulation.http import SimulatedClient
from pushhub.testing.simulation.log import Log, SharedLog, View
from pushhub.testing.simulation.messages import MessageOracle
from pushhub.testing.simulation.network import Network
from pushhub.testing.simulation.node import PUBLIC_HOST, Node
from pushhub.testing.simulation.oracle import Oracle
from pushhub.testing.simulation.origin import ScriptedOrigin
from pushhub.testing.simulation.registers import unexpected
from pushhub.testing.simulation.scales import LIMITS, grown
from pushhub.testing.simulation.work import WorkBound
from pushhub.xmpp.storage.accounts import AccountError

if TYPE_CHECKING:
    from typing import Any

    from pushhub.testing.simulation.loop import SimulatedLoop
    from pushhub.testing.simulation.plan import Plan

# 2027-01-15, a Friday: what the wall clock says at the loop's zero.
EPOCH_SECONDS = 1_800_000_000.0
# After trouble has ended, so long may its traces last: a retry, a reread, a client's pause.
TRACE_SECONDS = 6.0
# A process that ends with an error is started again after that time (`Restart=on-failure` and
# `RestartSec` of systemd), and the log is away for less than that many starts.
RESTART_SECONDS, MOST_STARTS = 1.0, 600
# A full tail of the heartbeats of `FetchPace`: 100 of them, each with a node and some origins.
HEARTBEATS_BYTES = 100 * 256
# At how many moments nodes are weighed, and how far apart these are: a channel that a sweep has
# read stays for 60 s, and no multiple of a heartbeat's interval may lie between two moments, or a
# heartbeat is under way at all of them.
WEIGHED, WEIGHED_SECONDS = 3, 41.3

ROUTES = [
    Route(path="/poll/*", step="poll", interval=1),
    Route(path="/notify/*", step="notify"),
    Route(path="/grip/*", step="grip"),
]
NAMESPACES: dict[str, Namespace] = {
    "small": Namespace(retention_events=5, retention_age=60),
    "private": Namespace(public=False),
}
# 32 bytes, none of them random: what an actor may do is no secret here.
API_KEY = "phk_" + "A" * 43
TOKEN_KEY = "k" * 32
# Who can log in over XMPP.
ACCOUNTS = ("ada", "bob", "cyd")
# Two more, of one actor alone.
COUPLE = ("dan", "eve")
PASSWORD = "Neither, fair saint"
EVERYTHING: dict[str, list[str]] = {"read": ["*"], "publish": ["*"], "manage": ["*"]}


@dataclass(slots=True)
class Trouble:
    """A time in which something is wrong with a node. `drains`: it leaves as it should."""

    begin: float
    drains: bool
    end: float = float("inf")

    def overlaps(self, begin: float, end: float) -> bool:
        """Whether it was there in that time."""
        return self.begin <= end and self.end >= begin


class World:
    """All parts of a run: nodes, log, origin, network, clock, oracles and story."""

    def __init__(self, loop: SimulatedLoop, plan: Plan) -> None:
        self.loop = loop
        self.plan = plan
        self.random = Random(f"{plan.seed}:world")
        self.network = Network(loop)
        self.origin = ScriptedOrigin(self.network)
        self.oracle = Oracle(self)
        self.messages = MessageOracle(self, self.oracle)
        self.routes = list(ROUTES)
        # With the smaller one the two polled resources of the actors stretch the pace.
        self.fetch_rate = Random(f"{plan.seed}:budget").choice((10.0, 1.0))
        self._settings: tuple[list[Route], Settings] | None = None
        self.story: list[str] = []
        self.clock_offset = EPOCH_SECONDS
        self.steps: list[float] = []
        """When the clock was set to another time."""
        self.requests = 0
        self.acts: Counter[str] = Counter()
        """How often each kind of actor did each of its acts."""
        self.over = False
        self.resting = asyncio.Event()
        self.working = asyncio.Event()
        self.working.set()
        # Node → what was wrong with it.
        self._troubles: dict[str, list[Trouble]] = {}
        self._runtime = Runtime(
            lambda: self.loop.time() + self.clock_offset,
            self.random.uniform,
            self.random.randbytes,
        )
        self.is_certain = plan.nodes == 1 and not plan.is_shared
        self._shared = None if self.is_certain else SharedLog(self._runtime.clock, self._epoch)
        self.log: Log = self._shared or Log(self._runtime.clock, self._epoch)
        self.nodes: list[Node] = []
        self.work = WorkBound(self)

    # Its parts

    def settings(self) -> Settings:
        """What every node is started with; made once for each set of routes."""
        if self._settings is not None and self._settings[0] is self.routes:
            return self._settings[1]
        settings = Settings(
            public=True,
            namespaces=NAMESPACES,
            api_keys=[ApiKey(name="back end", sha256=secret_hash(API_KEY), **EVERYTHING)],
            token_keys=[TokenKey(algorithm="HS256", key=SecretStr(TOKEN_KEY))],
            xmpp_domains=["example.com"] if self.plan.has_xmpp else [],
            xmpp_anonymous=self.plan.has_xmpp,
            store="memory://",
            origin="http://origin:80",
            control_hosts=[PUBLIC_HOST],
            routes=self.routes,
            fetch_rate=self.fetch_rate,
            drain_delay=0.5,
            drain_seconds=2,
        )
        self._settings = (self.routes, settings)
        return settings

    async def start(self) -> None:
        """Start every node."""
        for number in range(self.plan.nodes):
            await self.add_node(f"node{number}")

    async def add_node(self, name: str) -> Node:
        """Start a node; one of the same name that is down is replaced.

        A process that cannot reach the log while it starts ends with an error, and the service
        manager starts another one.
        """
        for _ in range(MOST_STARTS):
            node = self._new_node(name)
            try:
                await node.start()
                if self.plan.has_xmpp:
                    await node.inside(self._add_accounts(node))
                break
            except StoreUnavailable:
                await self.abandon(node)
                await asyncio.sleep(RESTART_SECONDS)
        else:
            raise AssertionError(f"{name} did not start in {MOST_STARTS} attempts")
        self.nodes = [other for other in self.nodes if other.name != name] + [node]
        self.nodes.sort(key=lambda n: n.name)
        self.oracle.forget_node(name)
        return node

    def _new_node(self, name: str) -> Node:
        if self._shared is None:
            self.log = Log(self._runtime.clock, self._epoch)
            store: Any = self.log
        else:
            store = View(self._shared, self._latency, self._feed_seconds)
        return Node(self.network, name, self.settings(), store, self._runtime)

    def check_stopped(self, node: Node) -> None:
        """A closed application leaves no task and no timer in its process. Then that ends."""
        if left := node.left_over():
            self.oracle.find("left", node.name, f"after its end: {left}")
        node.end()

    async def abandon(self, node: Node) -> None:
        """End a process as SIGKILL does; its connection to the log closes, too."""
        node.crash()
        view = self.view(node)
        if view is not None:
            await view.close()

    async def _add_accounts(self, node: Node) -> None:
        """Make the accounts, in a log that does not have them."""
        assert node.app.xmpp is not None
        accounts = node.app.xmpp.accounts
        for name in (*ACCOUNTS, *COUPLE):
            try:
                await accounts.add(name, "example.com", PASSWORD, grant_from_claim(EVERYTHING))
            except AccountError:
                pass  # It is there since another node's start.

    def view(self, node: Node) -> View | None:
        """A node's way to the shared log, if there is one."""
        return node.store if isinstance(node.store, View) else None

    def has_lost(self, node: str, channel: str, offset: int) -> bool:
        """Whether the feed of a node has lost that event alone, so that the node cannot know."""
        views = (self.view(found) for found in self.nodes if found.name == node)
        return any(view is not None and (channel, offset) in view.dropped for view in views)

    @property
    def shared(self) -> SharedLog | None:
        """The log of several nodes, if it is one."""
        return self._shared

    def _latency(self) -> float:
        return self.random.uniform(0.0002, 0.002)

    def _feed_seconds(self) -> float:
        return self.random.choice((0.0002, 0.001, 0.01, 0.1))

    def _epoch(self) -> str:
        return b32encode(self.random.randbytes(8))[:12].lower().decode()

    # What happens

    def now(self) -> float:
        """Virtual seconds."""
        return self.loop.time()

    def tell(self, actor: str, words: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.now():14.3f}  {actor:<12} {words}")

    def trouble(self, node: str, *, drains: bool = False) -> Trouble:
        """Something is wrong with a node until it is healed. One that `drains` loses nothing."""
        trouble = Trouble(self.now(), drains)
        self._troubles.setdefault(node, []).append(trouble)
        return trouble

    def heal(self, *troubles: Trouble) -> None:
        """They are over."""
        for trouble in troubles:
            trouble.end = self.now() + TRACE_SECONDS

    def troubled(self, node: str, begin: float, end: float) -> bool:
        """Whether anything was wrong with a node, or with all, in that time."""
        troubles = [*self._troubles.get(node, []), *self._troubles.get("*", [])]
        return any(trouble.overlaps(begin, end) for trouble in troubles)

    def whole_since(self, node: str, begin: float) -> float:
        """From when on nothing was wrong with a node: `begin`, or later if something was then."""
        since, now = begin, self.now()
        for trouble in (*self._troubles.get(node, []), *self._troubles.get("*", [])):
            if trouble.overlaps(begin, now):
                since = max(since, trouble.end)
        return since

    def dropped(self, node: str) -> float:
        """When a node's feed last lost a message alone."""
        return next(
            (
                n.store.dropped_at
                for n in self.nodes
                if n.name == node and isinstance(n.store, View)
            ),
            0.0,
        )

    def troubled_any(self, begin: float, end: float, *, drains: bool = True) -> bool:
        """Whether anything was wrong with any node in that time, or with the origin; without
        `drains`, a node that left as it should does not count."""
        return any(
            trouble.overlaps(begin, end) and (drains or not trouble.drains)
            for troubles in self._troubles.values()
            for trouble in troubles
        )

    def step_clock(self, seconds: float) -> None:
        """Set every node's wall clock forward, or back."""
        self.clock_offset += seconds
        self.steps.append(self.now())

    def token(self, seconds: float) -> tuple[str, float, float]:
        """A token that reads private channels for so long at most, its end, and what is left until
        then. The hub takes the whole seconds of `exp`.
        """
        clock = self._runtime.clock()
        expires = float(int(clock + seconds))
        claims = {
            "exp": expires,
            "sub": "juliet",
            "pushhub": {"read": ["private:*"]},
        }
        return jwt.encode(claims, TOKEN_KEY, "HS256"), expires, expires - clock

    def client(
        self, host: str, address: str, *, asgi: bool = False
    ) -> SimulatedClient | AsgiClient:
        """A client of a node, by one driver or the other."""
        if asgi:
            return AsgiClient(lambda: self._named(host), host, address)
        return SimulatedClient(self.network, host, address)

    def _named(self, host: str) -> Node | None:
        return next((node for node in self.nodes if node.name == host and node.is_up), None)

    async def rest(self, seconds: float) -> None:
        """Let all actors sleep."""
        self.working.clear()
        await asyncio.sleep(seconds)
        self.working.set()

    async def weigh(self) -> dict[str, dict[str, int]]:
        """What every node has, at the least of some moments: a sign of life may be under way."""
        least: dict[str, dict[str, int]] = {}
        for number in range(WEIGHED):
            await asyncio.sleep(WEIGHED_SECONDS if number else 0)
            for node in self.nodes:
                if node.is_up:
                    before, now = least.get(node.name), node.weigh()
                    kept = now if before is None else {k: now[k] for k in before if k in now}
                    least[node.name] = {k: min(n, (before or now)[k]) for k, n in kept.items()}
        return least

    def check_rest(self, before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> None:
        """When all have left, nothing is left of them but caches, each within its limit."""
        for name, weights in now.items():
            if more := grown(before[name], weights, LIMITS):
                self.oracle.find("leak", name, str(more))
        for node in self.nodes:
            for text in node.miscounted() if node.is_up else ():
                self.oracle.find("miscount", node.name, text)

    def check_visits(
        self, before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]
    ) -> None:
        """When the same was asked for again, nothing has grown, caches included: but the tail of
        the nodes' heartbeats, which come by the clock."""
        for name, weights in now.items():
            room = {"Tail.events": before[name].get("Tail.events", 0) + HEARTBEATS_BYTES}
            if more := grown(before[name], weights, room):
                self.oracle.find("leak", name, f"by the same requests again: {more}")

    def check_registers(self) -> None:
        """When all have left, pushhub's own channels have what is durable, and no more."""
        nodes = [
            node.app.xmpp.membership.id
            for node in self.nodes
            if node.is_up and node.app.xmpp is not None
        ]
        accounts = [f"{name}@example.com" for name in (*ACCOUNTS, *COUPLE)]
        if left := sorted(unexpected(self.log.registers, accounts, nodes)):
            self.oracle.find("register", "log", f"{len(left)} are left behind: {left[:5]}")

    def check_timers(self) -> None:
        """Check that each entry of a wheel has one deadline."""
        for node in self.nodes:
            entries = node.app.service.hub.wheel.entries() if node.is_up else []
            if more := [entry for entry, count in Counter(entries).items() if count > 1]:
                self.oracle.find("timer", node.name, f"{more[0]} has more than one deadline")


def capture_log(world: World) -> None:
    """Have the log go into the story; an error in it is a finding."""

    def keep(_: object, level: str, event: Any) -> Any:
        fields = {name: value for name, value in event.items() if name not in ("event", "exc_info")}
        world.tell("log", f"{level} {event.get('event')} {fields}")
        if level in ("error", "critical", "exception") or event.get("exc_info"):
            world.oracle.find("log", "node", f"{event} {traceback.format_exc()}")
        raise structlog.DropEvent

    structlog.configure(processors=[keep], cache_logger_on_first_use=False)


def mute_log() -> None:
    """Have the log go nowhere."""

    def drop(_: object, level: str, event: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop], cache_logger_on_first_use=False)
