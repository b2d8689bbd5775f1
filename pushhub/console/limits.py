"""The limits of one process for the console: their values, their use and their refusals.

The use of a limit by client is that of the client that is nearest to it. Without an open view of
the limits nothing is computed; with one, each limit costs one pass over its clients (20,000 of a
rate at most) in three seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.settings.limits import ADDRESS, LIMIT_SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.api.service import Service
    from pushhub.auth.limits import Limits

# Characters of a client that the view shows: an address, or the beginning of a long subject.
MAX_CLIENT = 100


def limits_snapshot(service: Service) -> dict[str, Any]:
    """All limits, those by client first."""
    limits = service.callers.limits
    return {
        "limits": [*_by_client(service), *_of_process(service)],
        "uncounted": not service.proxies.names_proxy and bool(limits.rates[f"{ADDRESS}-requests"]),
        "degraded": limits.degraded,
    }


def _by_client(service: Service) -> Iterator[dict[str, Any]]:
    limits = service.callers.limits
    now = limits.now()
    for name in LIMIT_SPECS:
        spec = limits.specs[name]
        rate = limits.rates.get(name)
        if spec.is_count:
            count = limits.counts[name]
            client, used = count.busiest()
            clients = len(count)
        else:
            client, used = ("", 0) if rate is None else rate.busiest(now)
            clients = 0 if rate is None else len(rate)
        yield {
            "name": name,
            "what": spec.what,
            "unit": spec.unit,
            "is_on": bool(spec.most if spec.is_count else spec.rate),
            "most": spec.most if spec.is_count else spec.burst,
            "rate": None if spec.is_count else spec.rate,
            "used": used,
            "client": client[:MAX_CLIENT],
            "clients": clients,
            "refused": limits.limited[name],
            "last": _last(limits, name),
        }


def _last(limits: Limits, name: str) -> dict[str, Any] | None:
    """The client that this limit refused last, and the seconds since."""
    if name not in limits.last_refused:
        return None
    client, at = limits.last_refused[name]
    return {"client": client[:MAX_CLIENT], "ago": round(limits.now() - at, 1)}


def _of_process(service: Service) -> Iterator[dict[str, Any]]:
    settings, hub, budget = service.settings, service.hub, service.budget
    yield _row(
        "max_holds",
        "requests that wait, once for each channel",
        "requests",
        settings.max_holds,
        hub.channel_waits,
        hub.stats.refused_holds,
    )
    yield _row(
        "max_body_bytes",
        "bytes of incomplete requests",
        "bytes",
        budget.total,
        budget.used,
        budget.refused["process"],
    )
    client, used = budget.busiest()
    yield _row(
        "max_body_bytes_per_address",
        "bytes of incomplete requests of one address",
        "bytes",
        budget.share,
        used,
        budget.refused["client"],
        client,
    )
    if service.notifications is not None:
        tunnels = service.notifications.table.origin.tunnels
        yield _row(
            "max_tunnels",
            "WebSockets to the origin",
            "websockets",
            tunnels.limit,
            len(tunnels),
            tunnels.refused["process"],
        )
        client, used = tunnels.busiest()
        yield _row(
            "max_tunnels_per_address",
            "WebSockets of one address to the origin",
            "websockets",
            tunnels.per_client,
            used,
            tunnels.refused["client"],
            client,
        )
    if service.sessions is not None and service.session_bytes is not None:
        yield _row(
            "bosh_sessions",
            "BOSH sessions",
            "sessions",
            settings.bosh_sessions,
            service.sessions(),
        )
        yield _row(
            "bosh_total_bytes",
            "bytes of all BOSH sessions",
            "bytes",
            settings.bosh_total_bytes,
            service.session_bytes(),
        )


def _row(
    name: str,
    what: str,
    unit: str,
    most: int,
    used: int,
    refused: int | None = None,
    client: str = "",
) -> dict[str, Any]:
    return {
        "name": name,
        "what": what,
        "unit": unit,
        "is_on": True,
        "most": most,
        "rate": None,
        "used": used,
        "client": client[:MAX_CLIENT],
        "clients": None,
        "refused": refused,
        "last": None,
    }
