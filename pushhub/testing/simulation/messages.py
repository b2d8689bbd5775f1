"""What was said over XMPP: each message once per session, and at least once per account."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.testing.simulation.oracle import DELIVERY_SECONDS

if TYPE_CHECKING:
    from pushhub.testing.simulation.oracle import Oracle
    from pushhub.testing.simulation.scene import Scene

# An archive keeps 30 days; clocks step by hours.
ARCHIVE_SECONDS = 29 * 86_400.0
# After a block is acknowledged, messages that are on their way may still arrive; then none may.
BLOCK_SECONDS = 2.0


@dataclass(slots=True)
class Sent:
    """A message."""

    id: str
    scope: str
    """The session that sent it: within one, messages keep their order."""
    number: int
    by: str
    to: str
    """The bare address of the receiver."""
    begun: float
    resource: str = ""
    """The resource that it is for, empty if it is for the account."""
    acked: float | None = None
    """When the sender knew that it was accepted."""
    refused: bool = False


@dataclass(slots=True)
class Block:
    """A time in which an account blocks another."""

    owner: str
    peer: str
    begin: float
    end: float = float("inf")


class MessageOracle:
    """All messages of a run, and the checks on them."""

    def __init__(self, scene: Scene, oracle: Oracle) -> None:
        self._scene = scene
        self._oracle = oracle
        self._sent: dict[str, Sent] = {}
        self._to: dict[str, list[Sent]] = defaultdict(list)
        # Session → ids that it received, and the latest number of each sending session.
        self._seen: dict[str, set[str]] = defaultdict(set)
        # Session → ids of which it received copies (XEP-0280).
        self._copied: dict[str, set[str]] = defaultdict(set)
        self._latest: dict[tuple[str, str], int] = {}
        self._got: dict[str, set[str]] = defaultdict(set)
        self._blocks: list[Block] = []
        # Until when a log that was lost excuses everything.
        self._forgiven = 0.0
        # When sessions were last lost with their node: what they had is delivered again.
        self._crashes: list[float] = []

    def forgive(self) -> None:
        """The log has lost events; what was sent until now may be lost."""
        self._forgiven = self._scene.now()

    def crashed(self) -> None:
        """A node was killed: messages to its sessions come once more."""
        self._crashes.append(self._scene.now())

    def has_crashed(self, begin: float, end: float) -> bool:
        """Whether a node was killed in that time."""
        return any(begin <= at <= end for at in self._crashes)

    # Senders

    def send(self, sent: Sent) -> None:
        """A message is about to be sent."""
        self._sent[sent.id] = sent
        self._to[sent.to].append(sent)

    def accept(self, id: str) -> None:
        """The sender knows that the server has it."""
        sent = self._sent[id]
        if not sent.refused and sent.acked is None:
            sent.acked = self._scene.now()

    def refuse(self, id: str) -> None:
        """The sender got an error."""
        if id in self._sent:
            self._sent[id].refused = True

    # Receivers

    def receive(self, actor: str, session: str, account: str, id: str, *, late: bool) -> None:
        """A session has received a message, not as a copy. `late` is whether it has a delay."""
        scene, sent = self._scene, self._sent.get(id)
        if sent is None or sent.to != account:
            self._oracle.find("content", actor, f"{account} got {id!r}, which is {sent}")
            return
        self._note(actor, session, sent, self._seen[session], late=late)
        self._got[account].add(id)
        if late:
            return
        for block in self._blocks:
            is_pair = (block.owner, block.peer) == (account, sent.by)
            is_inside = block.begin + BLOCK_SECONDS < sent.begun and scene.now() < block.end
            if is_pair and is_inside and not scene.troubled_any(block.begin, scene.now()):
                text = f"{id} came from {sent.by}, blocked at {block.begin:.3f} s"
                self._oracle.find("blocked", actor, text)

    def copy(
        self, actor: str, session: str, account: str, id: str, which: str, *, late: bool = False
    ) -> None:
        """A session has received a copy of a message that its account has `received` or `sent`.
        `late` is whether the message in it has a delay."""
        sent = self._sent.get(id)
        if sent is None or account != (sent.to if which == "received" else sent.by):
            self._oracle.find("content", actor, f"{account} {which} {id!r}, which is {sent}")
            return
        self._note(actor, session, sent, self._copied[session], late=late)
        if which == "received":
            # XEP-0280 §7: a client shows the copy as it shows the message.
            self._got[account].add(id)

    def _note(self, actor: str, session: str, sent: Sent, ids: set[str], *, late: bool) -> None:
        """A session has a message, or a copy: once, and in order."""
        oracle = self._oracle
        is_known = sent.id in self._seen[session] or sent.id in self._copied[session]
        if is_known and not self._comes_again(sent):
            oracle.find("twice", actor, f"{sent.id} came to one session twice")
        ids.add(sent.id)
        if late:
            return
        latest = self._latest.get((session, sent.scope), 0)
        if sent.number < latest and not self._comes_again(sent):
            text = f"{sent.id} is number {sent.number} of its sender, after {latest}"
            oracle.find("order", actor, text)
        self._latest[session, sent.scope] = max(latest, sent.number)

    def _comes_again(self, sent: Sent) -> bool:
        return sent.begun <= self._forgiven or any(at >= sent.begun for at in self._crashes)

    def block(self, owner: str, peer: str) -> None:
        """An account has blocked another."""
        self._blocks.append(Block(owner, peer, self._scene.now()))

    def unblock(self, owner: str, peer: str) -> None:
        """It is about to block it no longer."""
        for block in self._blocks:
            if (block.owner, block.peer) == (owner, peer):
                block.end = min(block.end, self._scene.now())

    # What must have come

    def check_session(
        self, actor: str, session: str, account: str, since: float, resource: str = ""
    ) -> None:
        """A session that took messages since then has got those of that time. With its `resource`
        it has asked for copies, and has one of what was for another resource."""
        scene = self._scene
        now = scene.now()
        for sent in self._due(account, now):
            has = sent.id in self._seen[session]
            if resource and sent.resource not in ("", resource):
                has = has or sent.id in self._copied[session]
            is_missing = sent.begun >= since and not has
            if is_missing and not scene.troubled_any(sent.begun, now, drains=False):
                self._oracle.find("missed", actor, f"{account} has not got {sent}")

    def check_copies(self, actor: str, session: str, account: str, since: float) -> None:
        """A session that asked for copies has those of what others of its account sent."""
        scene = self._scene
        now = scene.now()
        for sent in self._sent.values():
            is_due = sent.by == account and sent.acked is not None
            is_due = is_due and since <= sent.begun and sent.begun < now - 2 * DELIVERY_SECONDS
            is_missing = sent.scope != session and sent.id not in self._copied[session]
            is_missing = is_due and is_missing
            if is_missing and not scene.troubled_any(sent.begun, now, drains=False):
                self._oracle.find("missed", actor, f"{account} has no copy of {sent}")

    def check_account(self, actor: str, account: str, archive: set[str]) -> None:
        """At the end: every message has come, and is in the archive."""
        scene = self._scene
        now = scene.now()
        for sent in self._due(account, now):
            if sent.begun <= self._forgiven or sent.begun < now - ARCHIVE_SECONDS:
                continue
            if sent.id not in self._got[account]:
                self._oracle.find("lost", actor, f"{account} never got {sent}")
            if sent.id not in archive:
                self._oracle.find("archive", actor, f"the archive of {account} lacks {sent}")

    def _due(self, account: str, now: float) -> list[Sent]:
        before = now - 2 * DELIVERY_SECONDS
        return [s for s in self._to[account] if s.acked is not None and s.acked < before]
