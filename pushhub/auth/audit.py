"""The audit log: a JSON line for each management action, and for each refusal of a credential.

A line says when, who, from where, what, on what, and with which result. It has no payload and no
secret. Publishes and reads leave no line. `AuditLog.record` is the one door.

Refusals come from strangers, so a flood of them is sampled: by network, and in bytes for the
process. Actions of users, who manage channels or nodes of their own, are sampled by user. The next
line that is written has the number of those that were left out, as `suppressed`.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.auth.rate_limit import Rate, RateLimit
from pushhub.http.client_address import client_network
from pushhub.http.problem import LIMITED
from pushhub.log.grant import EVERYTHING, NOTHING
from pushhub.settings.limits import ADDRESS, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.problem import Problem
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant

# The lines of refusals, for the operator's log and for fail2ban. `pushhub.audit` has the records.
log = structlog.get_logger("pushhub.auth")
_lines = logging.getLogger("pushhub.audit")

REFUSED_ACTION = "auth.refused"
REFUSED_STATUSES = frozenset({401, 403, 429})

# deploy/fail2ban bans after 15 lines in ten minutes, so 20 lines are enough. After them an address
# that goes on costs one line in five seconds.
NETWORK_RATE = Rate.per_second(0.2, 20)
# Bytes of the lines of all refusals: about 1,000 of usual length at once, and then three a second.
# An attacker with many networks (an IPv6 /48 has 65,536) writes at most 170 MiB a day. Refusals by
# a limit have a budget of their own, so that a flood of requests hides no guesses of passwords.
PROCESS_RATE = Rate.per_second(2048, 512 * 1024)
# Actions of one user: an honest one has some a minute.
USER_RATE = Rate.per_second(1, 1000)
# Networks that are remembered, 200 bytes each (`rate_limit.KEY_BYTES`).
MAX_NETWORKS = 10_000

# Bytes of the log line of a refusal without its names, as `telemetry` writes it in JSON.
EVENT_BYTES = 250

# Bytes of a field in JSON. A channel name has at most 255 bytes, which `\uXXXX` makes 510 or fewer;
# a JID has at most 3071 (RFC 7622 §3), of which the beginning is enough.
MAX_TARGET_BYTES = 1024
MAX_ID_BYTES = 512
MAX_REASON_BYTES = 512

# An open console repeats its requests; one line for each is enough within this time.
REPEAT_SECONDS = 600.0
MAX_REPEATS = 1000

# RFC 4648 is not sortable; ULIDs use Crockford's alphabet (github.com/ulid/spec).
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class AuditActor:
    """The origin of an action: `type` is key, token, account, local, signal, command or none."""

    type: str
    id: str = ""
    address: str = ""
    request_id: str = ""
    is_user: bool = False
    """Whether it manages only channels of its own, so that its actions are sampled."""


def actor_of(grant: Grant | None, address: str = "", request_id: str = "") -> AuditActor:
    """The actor of a request with a grant. Tokens always expire, and API keys never do."""
    if grant is None or grant is NOTHING:
        return AuditActor("none", "", address, request_id)
    if grant is EVERYTHING:
        # Development mode, or a control listener on loopback.
        return AuditActor("local", "", address, request_id)
    if grant.expires is None:
        return AuditActor("key", grant.subject, address, request_id)
    return AuditActor("token", grant.subject, address, request_id, is_user=not grant.is_admin)


# The field of `auth.refused` that has the name of the actor.
_NAMED = {"key": "key", "token": "subject", "account": "account"}


class AuditLog:
    """Records actions.

    Args:
        clock: seconds since 1970.
        random_bytes: returns that many unpredictable bytes, for the ids.
        node: the name of this machine.
        write: receives each line, without a newline; by default the logger `pushhub.audit`.
        append: receives each line too, for the audit channel; None if there is none.
        dropped: counts the lines that are lost, by reason; `rate` are those that were left out
            because there were too many.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        node: str,
        *,
        write: Callable[[str], None] = _lines.info,
        append: Callable[[str], None] | None = None,
        dropped: dict[str, int] | None = None,
    ) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._node = node
        self._write = write
        self._append = append
        self._networks = RateLimit(NETWORK_RATE, MAX_NETWORKS)
        self._process = RateLimit(PROCESS_RATE, 2)
        self._users = RateLimit(USER_RATE, MAX_NETWORKS)
        self._suppressed = 0
        self.dropped = {"rate": 0} if dropped is None else dropped
        # Action, actor and target of repeated actions → the time of the line.
        self._repeats: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def record(
        self,
        action: str,
        actor: AuditActor,
        target: str = "",
        *,
        target_type: str = "channel",
        outcome: str = "ok",
        reason: str = "",
        detail: str = "",
        repeats: bool = False,
    ) -> None:
        """Write the line of one action.

        Args:
            action: a dotted name, such as `channel.delete`.
            target: the name of the thing that was acted on.
            outcome: `ok`, `refused` or `failed`.
            reason: why it was refused or failed, in a word that programs compare.
            detail: the same in a sentence; neither has a secret or a payload.
            repeats: whether the same action of the same actor within ten minutes needs no line.
        """
        now = self._clock()
        by = f"{actor.type}:{actor.id}"
        if repeats and self._is_repeated((action, by, target), now):
            return
        if actor.is_user and not self._users.admit(by, now).allowed:
            self._suppress()
            return
        self._record(action, actor, target, target_type, outcome, reason, detail, now)

    def _record(
        self,
        action: str,
        actor: AuditActor,
        target: str,
        target_type: str,
        outcome: str,
        reason: str,
        detail: str,
        now: float,
    ) -> int:
        """Write a line; returns its bytes."""
        line: dict[str, Any] = {
            "time": _rfc3339(now),
            "id": _ulid(now, self._random_bytes(10)),
            "actor": {
                "type": actor.type,
                "id": _clipped(actor.id, MAX_ID_BYTES),
                "address": _clipped(actor.address, MAX_ID_BYTES),
                "request_id": _clipped(actor.request_id, MAX_ID_BYTES),
            },
            "action": action,
            "target": {"type": target_type, "id": _clipped(target, MAX_TARGET_BYTES)}
            if target
            else None,
            "outcome": outcome,
            "reason": _clipped(reason, MAX_REASON_BYTES),
            "node": self._node,
        }
        if detail:
            line["detail"] = _clipped(detail, MAX_REASON_BYTES)
        if self._suppressed:
            line["suppressed"], self._suppressed = self._suppressed, 0
        # ASCII only: U+2028, bidirectional and control characters could forge or hide a line.
        text = json.dumps(line, separators=(", ", ": "), ensure_ascii=True)
        self._write(text)
        if self._append is not None:
            self._append(text)
        return len(text)

    def actor(self, request: Request) -> AuditActor:
        """The actor of a request, which gets an id if it has none."""
        request.id = request.id or self._random_bytes(8).hex()
        return actor_of(request.grant, request.client, request.id)

    def refused(self, problem: Problem, request: Request, *, action: str = REFUSED_ACTION) -> None:
        """Write the lines of a request that was refused for its credential or its rate: one for
        the operator's log, with the event `auth.refused`, and one record. Other problems leave
        none.
        """
        if problem.status in REFUSED_STATUSES:
            target = f"{request.method} {request.path}"
            self.refuse(self.actor(request), problem.slug, target, action=action)

    def limited(self, problem: Problem) -> None:
        """Write the lines of a refusal by a limit before there is a request to name: of a
        connection, a repeated poll, or a wait. Its target is the limit.
        """
        if problem.limited is not None:
            name, scope, key = problem.limited
            actor = (
                AuditActor("none", "", key)
                if scope == ADDRESS
                else AuditActor("token" if scope == SUBJECT else "key", key)
            )
            self.refuse(actor, problem.slug, name, target_type="limit")

    def failed(self, problem: Problem, request: Request, action: str) -> None:
        """Write the line of a management request that failed before its action began, such as one
        with an invalid body. Requests without a right to manage leave none: they are no actions,
        and their number has no bound.
        """
        grant = request.grant
        if problem.status not in REFUSED_STATUSES and grant is not None and grant.manage:
            target = f"{request.method} {request.path}"
            self.record(
                action,
                self.actor(request),
                target,
                target_type="request",
                outcome="failed",
                reason=problem.slug,
            )

    def refuse(
        self,
        actor: AuditActor,
        reason: str,
        target: str = "",
        *,
        target_type: str = "request",
        action: str = REFUSED_ACTION,
    ) -> None:
        """Write the lines of a refusal, unless there are too many of them."""
        now = self._clock()
        network = client_network(actor.address) or f"{actor.type}:{actor.id}"
        budget = LIMITED if reason == LIMITED else "credential"
        if not self._networks.admit(network, now).allowed or self._process.wait(budget, now):
            self._suppress()
            return
        # The order is that of the failregex in deploy/fail2ban: the address comes first.
        named = {_NAMED[actor.type]: _clipped(actor.id, MAX_ID_BYTES)} if actor.id else {}
        log.warning(REFUSED_ACTION, client=actor.address, **named, reason=reason)
        size = self._record(action, actor, target, target_type, "refused", reason, "", now)
        self._process.spend(budget, now, size + EVENT_BYTES + len(json.dumps(named)))

    def _suppress(self) -> None:
        self._suppressed += 1
        self.dropped["rate"] += 1

    def _is_repeated(self, key: tuple[str, str, str], now: float) -> bool:
        repeats = self._repeats
        last = repeats.get(key)
        if last is not None and now - last < REPEAT_SECONDS:
            return True
        repeats[key] = now
        repeats.move_to_end(key)
        if len(repeats) > MAX_REPEATS:
            repeats.popitem(last=False)
        return False

    def __repr__(self) -> str:
        return f"<AuditLog of {self._node}>"


def _clipped(text: str, limit: int) -> str:
    """The beginning of a text whose form in JSON has at most `limit` bytes."""
    # An escape has at most 12 bytes for one character, so this bounds the work of the loop.
    text = text[:limit]
    if len(json.dumps(text)) - 2 <= limit:
        return text
    size = 3
    for index, character in enumerate(text):
        size += len(json.dumps(character)) - 2
        if size > limit:
            return text[:index] + "..."
    return text


def _rfc3339(seconds: float) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def _ulid(seconds: float, randomness: bytes) -> str:
    """A sortable id: 48 bits of milliseconds and 80 of randomness, in 26 characters."""
    number = int(seconds * 1000) << 80 | int.from_bytes(randomness, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
