"""`doctor --through`: all probes of what stands in front of a hub, most at the same time.

The probes read, and publish on channels of their own, which they delete. A probe that fails in a
way of its own becomes a finding, so the others go on.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from pushhub.doctor import canary
from pushhub.doctor import through_findings as findings
from pushhub.doctor.finding import bad, ok, warn
from pushhub.doctor.probe_client import BROKEN, ProbeTarget, offers_http2
from pushhub.doctor.probes import GRACE_SECONDS, RESPONSE_SECONDS, Probes
from pushhub.log.event import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.doctor.finding import Finding
    from pushhub.doctor.through_findings import RequestArrival

# A key for the probes covers the channels with this prefix.
PREFIX = "doctor:"
KEY = f"read, publish and manage '{PREFIX}*'"


async def examine_through(
    url: str,
    key: str | None,
    *,
    seconds: float,
    wait: int | None,
    report: Callable[[Finding], None],
    progress: Callable[[float, float], None],
) -> None:
    """Run all probes within about so many seconds, and report each finding when it is known.
    `progress` gets the seconds so far, and those that are left at most, about once a second.

    Raises:
        ValueError: `url` is no HTTP URL.
    """
    target = ProbeTarget(url, key)
    probes = Probes(target, f"{PREFIX}{secrets.token_hex(6)}")
    begun = time.monotonic()
    try:
        response, arrival = await probes.arrival()
    except (TimeoutError, *BROKEN) as error:
        report(bad("access", f"{url} cannot be reached: {_why(error)}."))
        return
    if arrival is None:
        report(_no_access(url, response.status))
        return
    report(ok("access", f"{url} leads to pushhub {arrival.seen['version']}."))
    report(findings.proxy(arrival))
    report(findings.address(arrival))
    if (scheme := findings.scheme(arrival, target.is_secure)) is not None:
        report(scheme)
    ticker = asyncio.create_task(_tick(begun, seconds, progress))
    run = _Run(probes, arrival, report)
    try:
        await run.short()
        left = begun + seconds - time.monotonic()
        await run.long(wait, left)
    finally:
        ticker.cancel()
        await run.delete()


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no response within {RESPONSE_SECONDS:g} s"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).rstrip(".")


def _no_access(url: str, status: int) -> Finding:
    if status in (401, 403):
        return bad(
            "access",
            f"The hub at {url} refuses the key ({status}). The probes need one that may {KEY}: "
            "pushhub key new makes it. Give it by $PUSHHUB_KEY.",
        )
    return bad(
        "access",
        f"GET {url}/v1/request gets {status}, which is not a hub's response. Does the URL lead to "
        "a hub of this version? In front of an origin its routes are under /_pushhub.",
    )


async def _tick(begun: float, seconds: float, progress: Callable[[float, float], None]) -> None:
    # The run's end cancels the task.
    while True:
        gone = time.monotonic() - begun
        progress(gone, max(0.0, seconds - gone))
        await asyncio.sleep(1.0)


class _Run:
    """One run of the probes against a hub that was reached."""

    def __init__(
        self, probes: Probes, arrival: RequestArrival, report: Callable[[Finding], None]
    ) -> None:
        self._probes = probes
        self._arrival = arrival
        self._report = report

    async def _try(self, check: str, probe: Awaitable[Finding]) -> None:
        try:
            self._report(await probe)
        except (TimeoutError, *BROKEN) as error:
            self._report(bad(check, f"The probe failed: {_why(error)}."))

    async def short(self) -> None:
        """The probes that take seconds."""
        probes, arrival = self._probes, self._arrival
        secure = probes.target.is_secure

        async def http2() -> Finding:
            offered = secure and await offers_http2(probes.target, RESPONSE_SECONDS)
            return findings.http2(secure, offered)

        async def forged() -> Finding:
            return findings.forged(arrival, *await probes.forged())

        async def slash() -> Finding:
            return findings.slash(*await probes.slash())

        async def fields() -> Finding:
            return findings.fields(*await probes.fields())

        async def cache() -> Finding:
            return findings.cache(*await probes.cache())

        async def body() -> Finding:
            return findings.body(await probes.body(), MAX_EVENT_BYTES)

        async def headers() -> Finding:
            return findings.headers(*await probes.headers())

        async def leaving() -> Finding:
            hold, stream = await asyncio.gather(
                probes.leaving(":leaving", [("Prefer", "wait=30")]),
                probes.leaving(":leaving-stream", [("Accept", "text/event-stream")]),
            )
            return findings.leaving(hold[1], stream[1], was_seen=hold[0] and stream[0])

        async def checks_itself() -> Finding:
            response = await probes.ask("GET", "/metrics")
            text = response.body.decode("utf-8", "replace")
            return canary.judge(text) if response.status == 200 else canary.unseen(response.status)

        checks = {
            "canary": checks_itself,
            "http2": http2,
            "forged": forged,
            "slash": slash,
            "fields": fields,
        }
        checks |= {"cache": cache, "body": body, "headers": headers, "leaving": leaving}
        await asyncio.gather(*(self._try(check, probe()) for check, probe in checks.items()))

        # Other probes would delay the events, and look like a proxy that does.
        async def stream() -> Finding:
            return findings.stream(await probes.stream(":stream", "identity"))

        async def compression() -> Finding:
            return findings.compression(await probes.stream(":gzip", "gzip"))

        await self._try("stream", stream())
        await self._try("compression", compression())

    async def long(self, wait: int | None, left: float) -> None:
        """The probes that wait, at the same time."""
        probes, arrival = self._probes, self._arrival
        most = int(arrival.seen["max_wait"])
        asked = min(most if wait is None else wait, most, max(1, int(left - GRACE_SECONDS)))
        keep_alive = float(arrival.seen["keep_alive_seconds"])

        async def waits() -> Finding:
            return findings.wait(await probes.waits(asked), asked, most)

        async def lasting() -> Finding:
            return findings.lasting(*await probes.lasting(asked), asked)

        async def idle() -> Finding:
            if arrival.is_direct:
                return findings.idle(arrival, (), 0.0, 0)
            return findings.idle(arrival, *await probes.idle(keep_alive, max(1.0, left)))

        await asyncio.gather(
            self._try("wait", waits()),
            self._try("lasting", lasting()),
            self._try("idle", idle()),
        )

    async def delete(self) -> None:
        """Delete the channels of the probes."""
        try:
            deleted = await self._probes.delete()
        except (TimeoutError, *BROKEN):
            deleted = False
        if not deleted:
            stem = self._probes.stem
            self._report(
                warn(
                    "delete",
                    f"The channels of the probes were not deleted: pushhub delete --prefix {stem}.",
                )
            )
