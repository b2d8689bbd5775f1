"""The client of an HTTP request as the limits count it: by its address, and by its credential."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from pushhub.auth.limit_fields import policy_fields
from pushhub.http.client_address import counted_network
from pushhub.settings.limits import ADDRESS, KEY, SUBJECT

if TYPE_CHECKING:
    from pushhub.auth.limit_fields import LimitRefusal
    from pushhub.auth.limits import Limits
    from pushhub.http.forwarded import TrustedProxies
    from pushhub.http.response import Headers
    from pushhub.log.grant import Grant

# The back ends whose tokens have no subject.
NAMELESS = "-"
# Callers that are made once for all of their connections; an evicted one is made again.
MAX_CALLERS = 4096


class CountedHold(Protocol):
    """A request that waits; see `hub.hold.Hold`."""

    caller: Any
    done: bool

    @property
    def channel_count(self) -> int: ...


class Caller:
    """One client. Immutable, and shared by all of its connections.

    `address` is a network, or empty if limits do not count it. `scope` is `subject` or `key` with
    its `id`, or empty without a credential. A back end with an API key is not counted by address.
    """

    __slots__ = ("_counts", "_owners", "address", "id", "limits", "scope")

    def __init__(self, limits: Limits, address: str, scope: str, id: str) -> None:
        self.limits = limits
        self.address = address
        self.scope = scope
        self.id = id
        self._owners = tuple((s, i) for s, i in ((ADDRESS, address), (scope, id)) if i)
        # Each hold passes these twice, so nothing is looked up by name: the count, its name, the
        # key, and whether it counts holds or their channels.
        self._counts = tuple(
            (limits.counts[f"{owner}-{what}"], f"{owner}-{what}", key, what == "holds")
            for owner, key in self._owners
            for what in ("holds", "channels")
        )

    # Requests

    def request(self) -> LimitRefusal | None:
        """Count a request by its address."""
        return self.limits.admit("address-requests", self.address) if self.address else None

    def charge(self, cost: float = 1.0) -> None:
        """Count a request that was served already; a negative cost takes that back."""
        if self.address:
            self.limits.spend("address-requests", self.address, cost)
        if self.scope:
            self.limits.spend(f"{self.scope}-requests", self.id, cost)

    def credential_request(self) -> LimitRefusal | None:
        """Count a request by its credential; its address has counted it before."""
        return self.limits.admit(f"{self.scope}-requests", self.id)

    def serve(self) -> LimitRefusal | None:
        """Count a request whose response is at hand, by address and by credential."""
        return self._admit("requests")

    def body(self, size: int) -> LimitRefusal | None:
        """Count the bytes of a request's body."""
        return self._admit("bytes", size)

    # Publishes

    def publish(self, events: int) -> LimitRefusal | None:
        """Count the events of a publish, all or none."""
        return self._admit("publishes", events)

    def publish_fields(self) -> Headers:
        """The header fields of the credential's limit on publishes; none if it has no limit. An
        address has none, since its users would read of each other.
        """
        if not self.scope:
            return ()
        name = f"{self.scope}-publishes"
        state = self.limits.state(name, self.id)
        return () if state is None else policy_fields(name, self.limits.specs[name], *state)

    def creation(self) -> LimitRefusal | None:
        """The refusal if the client may not create a channel now."""
        for scope, id in self._owners:
            if refusal := self.limits.check(f"{scope}-creations", id):
                return refusal
        return None

    @property
    def may_create(self) -> bool:
        """Whether the client may create a channel now; `creation` counts as a refusal."""
        for scope, id in self._owners:
            state = self.limits.state(f"{scope}-creations", id)
            if state is not None and state[0] < 1:
                return False
        return True

    def created(self, channels: int) -> None:
        """Count channels that did not exist before."""
        for scope, id in self._owners:
            self.limits.spend(f"{scope}-creations", id, channels)

    # Holds

    def hold(self, hold: CountedHold) -> LimitRefusal | None:
        """Count a request that waits, until `release`; the refusal if it is one too many. One that
        has its reply already is not counted: nothing would release it.
        """
        if hold.done:
            return None
        channels = hold.channel_count
        for taken, (count, name, id, is_holds) in enumerate(self._counts):
            if not count.acquire(id, 1 if is_holds else channels):
                for former, _, former_id, counts_holds in self._counts[:taken]:
                    former.release(former_id, 1 if counts_holds else channels)
                return self.limits.refusal(name, id)
        hold.caller = self
        return None

    def add(self, hold: CountedHold) -> None:
        """Count the next turn of a stream that was allowed when it was opened."""
        if hold.done:
            return
        channels = hold.channel_count
        for count, _, id, is_holds in self._counts:
            count.add(id, 1 if is_holds else channels)
        hold.caller = self

    def stream(self) -> LimitRefusal | None:
        """The refusal if a stream would be one hold too many."""
        for count, name, id, is_holds in self._counts:
            if is_holds and count.most and count.count(id) >= count.most:
                return self.limits.refusal(name, id)
        return None

    def release(self, hold: CountedHold) -> None:
        """A request that was counted waits no more."""
        channels = hold.channel_count
        for count, _, id, is_holds in self._counts:
            count.release(id, 1 if is_holds else channels)

    def _admit(self, what: str, cost: float = 1.0) -> LimitRefusal | None:
        for scope, id in self._owners:
            refusal = self.limits.admit(f"{scope}-{what}", id, cost)
            if refusal is not None:
                if scope != ADDRESS and self.address:
                    # What one scope refuses, the other does not count.
                    self.limits.spend(f"{ADDRESS}-{what}", self.address, -cost)
                return refusal
        return None

    def __repr__(self) -> str:
        return f"<Caller {self.address} {self.scope} {self.id}>"


class Callers:
    """Makes the callers of a listener.

    Args:
        proxies: the trusted proxies.
    """

    __slots__ = ("limits", "network", "of")

    def __init__(self, limits: Limits, proxies: TrustedProxies) -> None:
        self.limits = limits

        def network(address: str) -> str:
            """The network of an address; empty if limits do not count it."""
            return counted_network(address, proxies)

        def of(address: str, scope: str = "", id: str = "") -> Caller | None:
            """The caller of a counted network with a credential; None if limits do not concern
            it."""
            return Caller(limits, address, scope, id) if address or id else None

        self.network = lru_cache(maxsize=MAX_CALLERS)(network)
        self.of = lru_cache(maxsize=MAX_CALLERS)(of)

    def with_grant(self, caller: Caller | None, grant: Grant) -> Caller | None:
        """The caller after its credential was verified.

        A back end has an API key, which has no end, or a token that publishes to every channel, as
        GRIP's libraries send.
        """
        if grant.is_back_end:
            return self.of("", KEY, grant.subject or NAMELESS)
        if not grant.subject:
            return caller
        return self.of("" if caller is None else caller.address, SUBJECT, grant.subject)

    def __repr__(self) -> str:
        return "<Callers>"
