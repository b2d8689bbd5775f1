"""What the probes through a proxy mean: pure functions from measurements to findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushhub.doctor.finding import bad, ok, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.doctor.finding import Finding

# The address that the probes of forged headers claim (TEST-NET-1, RFC 5737).
FORGED_ADDRESS = "192.0.2.66"
# A proxy without delay adds a few milliseconds to an event, HAProxy without `http-no-delay` 203.
LATE_SECONDS = 0.1
# A client that leaves is to be noticed within this time.
NOTICE_SECONDS = 2.0
# A hub ends a wait up to a fifth early, so that clients do not come back together.
EARLIEST_SHARE = 0.75
# Below this, the clocks of a proxy and the hub may decide by accident which of them closes first.
IDLE_MARGIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RequestArrival:
    """How a request arrived at the hub (`seen`), and what its client knows."""

    seen: dict[str, Any]
    own_name: str
    server: str = ""
    via: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether the hub's peer is the client's own socket: no proxy is between them."""
        return bool(self.own_name) and self.seen.get("peer") == self.own_name

    @property
    def own_address(self) -> str:
        return self.own_name.rpartition(":")[0]


def proxy(arrival: RequestArrival) -> Finding:
    """What stands in front, and the version of HTTP that it speaks to the hub."""
    if arrival.is_direct:
        return ok("proxy", "Nothing stands in front of the hub: the connection is its own.")
    names = " ".join(filter(None, (arrival.server, arrival.via and f"via {arrival.via}")))
    what = f"A proxy stands in front ({names or 'it does not name itself'})"
    match arrival.seen.get("http"):
        case "1.0":
            return warn(
                "proxy",
                f"{what} and speaks HTTP/1.0 to the hub: each request opens a connection, and some "
                "proxies then hold streams back. nginx: proxy_http_version 1.1; and "
                'proxy_set_header Connection "";.',
            )
        case "1.1":
            return ok("proxy", f"{what} and speaks HTTP/1.1 to the hub.")
    return ok("proxy", f"{what}; the ASGI server of this hub does not say which HTTP it speaks.")


def http2(is_secure: bool, is_offered: bool) -> Finding:
    """The version of HTTP to the client."""
    if is_offered:
        return ok("http2", "Clients get HTTP/2: a browser has one connection for all its waits.")
    why = "" if is_secure else " Browsers speak HTTP/2 only over TLS."
    return warn(
        "http2",
        "Clients get HTTP/1.1: a browser opens six connections to a host, so the seventh tab that "
        f"waits blocks the site, unless it uses pushhub's client.{why} Let the proxy offer HTTP/2.",
    )


def slash(status: int, stored: str | None, channel: str) -> Finding:
    """Whether a channel with a slash in its name can be used."""
    if stored == channel:
        return ok("slash", "A channel with %2F in its name arrives unchanged.")
    got = f"as {stored!r}" if stored else f"as another URL ({status})"
    return bad(
        "slash",
        f"The proxy decodes %2F: the channel {channel!r} arrives {got}. nginx: proxy_pass without "
        "a path after the host. Apache: AllowEncodedSlashes NoDecode and nocanon. Otherwise use "
        "names without a slash.",
    )


def address(arrival: RequestArrival) -> Finding:
    """Whether the hub knows the client's address."""
    seen = arrival.seen
    client, peer = seen["client"], str(seen.get("peer") or "").rpartition(":")[0]
    if arrival.is_direct or (client == arrival.own_address and seen.get("forwarded_for")):
        return ok("address", f"The hub sees this client at its address, {client}.")
    if not seen.get("forwarded_for"):
        return bad(
            "address",
            f"The hub sees {client} as the client, which is the proxy: no X-Forwarded-For arrives, "
            "and limits by address count all clients as one. nginx: proxy_set_header "
            "X-Forwarded-For $remote_addr;. HAProxy: http-request set-header X-Forwarded-For "
            "%[src].",
        )
    if not seen.get("peer_trusted") and peer:
        return bad(
            "address",
            f"The hub sees {client} as the client, which is the proxy: it sends X-Forwarded-For, "
            f"but {peer} is not in trusted_proxies. Name its network there.",
        )
    # Behind a translation of addresses this machine does not know its own.
    return ok(
        "address",
        f"The hub sees this client at {client}, here it is {arrival.own_address}; they differ if "
        "a NAT is between, or if trusted_proxies lacks a proxy.",
    )


def forged(arrival: RequestArrival, one_line: dict[str, Any], two_lines: dict[str, Any]) -> Finding:
    """Whether a client chooses its address or scheme."""
    if arrival.is_direct:
        if FORGED_ADDRESS in (one_line["client"], two_lines["client"]):
            return warn(
                "forged",
                f"The hub believes this machine ({arrival.own_address}) about addresses, since "
                "trusted_proxies has it; check through the proxy that it is for.",
            )
        return ok("forged", "The hub ignores X-Forwarded-For of this client.")
    if FORGED_ADDRESS in (one_line["client"], two_lines["client"]):
        return bad(
            "forged",
            "A client chooses its address by X-Forwarded-For, and passes limits by address. Let "
            "the proxy set the header, not pass it. nginx: proxy_set_header X-Forwarded-For "
            "$remote_addr;. HAProxy: http-request set-header X-Forwarded-For %[src]. Envoy: "
            "use_remote_address.",
        )
    if one_line["secure"] != arrival.seen["secure"]:
        return bad(
            "forged",
            "A client chooses its scheme by X-Forwarded-Proto, so the hub believes in TLS where "
            "there is none. Let the proxy set the header. nginx: proxy_set_header "
            "X-Forwarded-Proto $scheme;.",
        )
    return ok("forged", "X-Forwarded-For and X-Forwarded-Proto of a client change nothing.")


def scheme(arrival: RequestArrival, is_secure: bool) -> Finding | None:
    """Whether the hub knows of the client's TLS."""
    if arrival.seen["secure"] == is_secure or not is_secure:
        return None
    return bad(
        "scheme",
        "Clients use TLS, and the hub does not know: passwords by BOSH are refused, and links "
        "begin with http. Let the proxy set X-Forwarded-Proto to https, and name it in "
        "trusted_proxies.",
    )


def fields(status: int, applied: str | None, tag: str | None) -> Finding:
    """Whether the headers of a conditional wait pass, from the response to one."""
    lost = [name for name, value in (("Preference-Applied", applied), ("ETag", tag)) if not value]
    if status == 304 and not lost:
        return ok("fields", "Prefer, If-None-Match and ETag pass in both directions.")
    what = " and ".join(lost) or "If-None-Match"
    return bad(
        "fields",
        f"A wait for a value got {status} without {what}: the proxy removes or changes headers "
        "(Prefer, If-None-Match, ETag), so clients poll without waiting. Let it pass them.",
    )


def cache(values: Sequence[bytes], wanted: Sequence[bytes]) -> Finding:
    """Whether two reads around a publish got their own values."""
    if list(values) == list(wanted):
        return ok("cache", "A read after a publish has the new value: nothing is cached.")
    return bad(
        "cache",
        "A read after a publish has an old value: the proxy caches responses in spite of "
        "Cache-Control: no-store. nginx: no proxy_cache and no proxy_ignore_headers for the hub.",
    )


def body(status: int, size: int) -> Finding:
    """Whether the largest event passes."""
    if status == 200:
        return ok("body", f"An event of {size // 1024} KiB, the largest, passes both ways.")
    return bad(
        "body",
        f"An event of {size // 1024} KiB, the largest, gets {status}. nginx: "
        "client_max_body_size 4m;.",
    )


def headers(largest: int, refused: dict[int, int]) -> Finding:
    """The longest header that passes; `refused` has the statuses by size."""
    if not refused:
        return ok("headers", f"A header of {largest // 1024} KiB, such as a long token, passes.")
    size, status = min(refused.items())
    got = f"gets {status}" if status else "breaks the connection"
    finding = warn if largest >= 4096 else bad
    return finding(
        "headers",
        f"A header of {size // 1024} KiB {got}, one of {largest // 1024} KiB passes: longer tokens "
        "are refused. nginx: large_client_header_buffers 4 16k;. HAProxy: tune.bufsize 32768.",
    )


@dataclass(frozen=True, slots=True)
class Wait:
    """The end of one wait. `status` is 0 if the connection broke."""

    seconds: float
    status: int
    is_applied: bool = True


def wait(waits: Sequence[Wait], asked: int, most: int) -> Finding:
    """The longest wait that gets through."""
    cut = [one for one in waits if one.status != 200]
    if cut:
        first = min(cut, key=lambda one: one.seconds)
        how = f"with {first.status}" if first.status else "by closing the connection"
        return bad(
            "wait",
            f"The proxy ends a wait after {first.seconds:.1f} s {how}; the hub grants {most} s. "
            "Give it 20 s more than the hub. nginx: proxy_read_timeout 75s;. HAProxy: timeout "
            "client 75s and timeout server 75s. Envoy: timeout 0s for the route. Otherwise set a "
            "smaller max_wait.",
        )
    early = [one for one in waits if not one.is_applied or one.seconds < asked * EARLIEST_SHARE]
    if early:
        return warn(
            "wait",
            f"A wait of {asked} s ended after {early[0].seconds:.1f} s with an empty response: the "
            "hub shuts down or is full, or the proxy removes Prefer.",
        )
    longest = max(one.seconds for one in waits)
    if asked < most:
        return warn(
            "wait",
            f"A wait of {longest:.1f} s gets through; the hub grants {most} s, which --seconds or "
            "--wait did not leave time for.",
        )
    return ok("wait", f"A wait of {longest:.1f} s gets through; the hub grants {most} s.")


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of events. `delays` has one entry for each event; None if it did not arrive."""

    status: int
    opened: float | None
    delays: tuple[float | None, ...]
    coding: str = ""


_FLUSH = (
    "nginx: proxy_http_version 1.1; and no proxy_ignore_headers X-Accel-Buffering, or "
    "proxy_buffering off;. A compression or a cache on the way must let text/event-stream pass."
)


def stream(measured: Stream) -> Finding:
    """Whether events arrive immediately."""
    return _stream("stream", measured, "Events of a stream")


def compression(measured: Stream) -> Finding:
    """Whether events arrive immediately for a client that accepts compression."""
    how = f"Compressed events ({measured.coding})" if measured.coding else "Uncompressed events"
    return _stream("compression", measured, f"{how} of a stream, for a client that accepts gzip,")


def _stream(check: str, measured: Stream, subject: str) -> Finding:
    known = [delay for delay in measured.delays if delay is not None]
    least = min(known, default=None)
    if measured.opened is None or measured.status != 200:
        got = f"gets {measured.status}" if measured.status else "does not begin"
        return bad(check, f"A stream {got}: the proxy holds it back. {_FLUSH}")
    if least is None or len(known) < len(measured.delays):
        return bad(check, f"{subject} do not arrive within 3 s: they are buffered. {_FLUSH}")
    if least > LATE_SECONDS:
        return warn(
            check,
            f"{subject} arrive {least * 1000:.0f} ms late. HAProxy: option http-no-delay.",
        )
    return ok(check, f"{subject} arrive within {least * 1000:.0f} ms.")


def lasting(seconds: float, was_cut: bool, most: float) -> Finding:
    """Whether a stream stays open."""
    if was_cut:
        return bad(
            "lasting",
            f"The proxy cuts a stream after {seconds:.1f} s, though the hub writes a comment every "
            "15 s. Envoy: timeout 0s for the route. HAProxy: timeout server 75s. nginx: "
            "proxy_read_timeout 75s;.",
        )
    return ok("lasting", f"A stream stayed open for {most:.0f} s.")


def leaving(hold: float | None, of_stream: float | None, *, was_seen: bool) -> Finding:
    """Whether the hub notices clients that leave; None: not within the time of the probe."""
    if not was_seen:
        return warn(
            "leaving",
            "The waiting request was not found on any process that responded, so nothing is known "
            "of clients that leave; with many nodes, try again.",
        )
    slow = [
        what
        for what, took in (("a wait", hold), ("a stream", of_stream))
        if took is None or took > NOTICE_SECONDS
    ]
    if slow:
        return bad(
            "leaving",
            f"The hub does not notice within {NOTICE_SECONDS:g} s that the client of "
            f"{' and of '.join(slow)} has left, so such holds pile up. HAProxy: option "
            "abortonclose in defaults. nginx: no proxy_ignore_client_abort. Apache cannot.",
        )
    longest = max(hold or 0.0, of_stream or 0.0)
    return ok("leaving", f"The hub notices a client that leaves within {longest:.1f} s.")


def idle(
    arrival: RequestArrival, ends: Sequence[float | None], watched: float, found: int
) -> Finding:
    """Whether proxy or hub closes an idle connection first. `ends` are the idle seconds of recorded
    connections at their end, `found` counts all that were recorded.
    """
    limit = float(arrival.seen["keep_alive_seconds"])
    if arrival.is_direct:
        return ok("idle", f"The hub closes a connection after {limit:g} s without a request.")
    by_hub = [end for end in ends if end is not None and end >= limit]
    by_proxy = [end for end in ends if end is not None and end < limit]
    if by_hub:
        return bad(
            "idle",
            f"The hub closes idle connections of the proxy, after {limit:g} s (keep_alive_seconds)"
            ": a POST that the proxy sends at that moment becomes a 502. Let the proxy close first."
            " nginx: keepalive_timeout 60s; in upstream. Caddy: keepalive 60s. Traefik: "
            "idleConnTimeout 60s. Envoy: idle_timeout 60s. Or set a larger keep_alive_seconds.",
        )
    if by_proxy:
        last = max(by_proxy)
        if last < 1:
            return ok("idle", "The proxy closes a connection within a second, so none gets old.")
        if last > limit - min(IDLE_MARGIN_SECONDS, limit / 4):
            return warn(
                "idle",
                f"The proxy closes an idle connection after about {last:.0f} s, hardly before the "
                f"hub, which does after {limit:g} s (keep_alive_seconds). Make the first shorter.",
            )
        return ok(
            "idle",
            f"The proxy closes an idle connection after about {last:.0f} s, before the hub, which "
            f"does after {limit:g} s (keep_alive_seconds).",
        )
    if not found:
        return warn("idle", "The hub has no record of the proxy's connections: see --seconds.")
    if watched >= limit:
        return warn(
            "idle",
            f"The proxy used its connections all the time, for {watched:.0f} s, so none was idle "
            f"until its end. Compare its idle time with the hub's {limit:g} s "
            "(keep_alive_seconds): it must be shorter.",
        )
    return warn(
        "idle",
        f"The proxy keeps an idle connection for {watched:.0f} s or longer; the hub closes one "
        f"after {limit:g} s (keep_alive_seconds). --seconds {limit + 10:.0f} shows which closes "
        "first.",
    )
