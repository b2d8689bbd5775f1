"""Checks of the limits: which are on, and whether they count what they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.doctor.finding import ok, warn
from pushhub.http.forwarded import TrustedProxies
from pushhub.settings.host import is_local
from pushhub.settings.limits import ADDRESS, LIMIT_SPECS, SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding for each scope, and one for the addresses that do not count."""
    for scope in SCOPES:
        specs = {name: settings.limit(name) for name in LIMIT_SPECS if name.startswith(f"{scope}-")}
        shown = [f"{name.removeprefix(f'{scope}-')} {spec.default}" for name, spec in specs.items()]
        on = [one for one in shown if not one.endswith(" off")]
        off = [one.removesuffix(" off") for one in shown if one.endswith(" off")]
        sentence = f"Limits by {scope}: {'; '.join(on) or 'none'}."
        if off:
            sentence += f" Off: {', '.join(off)}."
        yield ok(f"limits-{scope}", sentence)
    namespaces = [f"{name} {most:,}" for name, most in settings.namespace_limits.items()]
    yield ok("limits-namespace", f"Retained bytes by namespace: {', '.join(namespaces) or 'off'}.")
    proxies = TrustedProxies(settings.trusted_proxies)
    if not proxies.names_proxy and settings.limit(f"{ADDRESS}-requests").rate:
        finding = ok if settings.dev or not is_local(settings.host) else warn
        yield finding(
            "addresses",
            "Limits by address do not count private addresses, because trusted_proxies names no"
            " proxy beyond loopback. With a proxy in front, name its network there.",
        )
