"""The metrics of several workers as those of one server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Metrics that cannot be added up: the worst value matters to an operator.
_WORST: dict[str, Callable[[float, float], float]] = {
    "pushhub_build_info": max,
    "pushhub_store_ready": min,
    "pushhub_store_evicts": max,
    "pushhub_store_writable": min,
    "process_max_fds": min,
    "pushhub_draining": max,
    "pushhub_jwks_keys": min,
    "pushhub_jwks_age_seconds": max,
    "pushhub_stored_channels": max,
    "pushhub_namespace_bytes": max,
    "pushhub_namespace_limit_bytes": max,
    "pushhub_store_lag_seconds": max,
    "pushhub_canary_ok": min,
    "pushhub_canary_age_seconds": max,
    "pushhub_canary_interval_seconds": max,
    "pushhub_canary_seconds": max,
    # Each process knows the demand of all, and stretches to the same interval.
    "pushhub_origin_fetch_due": max,
    "pushhub_origin_stretched_seconds": max,
}


def _sum(one: float, other: float) -> float:
    return one + other


def add_up(texts: Iterable[str]) -> str:
    """One exposition in which each series is the sum of the workers', or the worst of them."""
    lines: dict[str, float | None] = {}
    for text in texts:
        for line in text.splitlines():
            if line.startswith("#"):
                lines.setdefault(line, None)
                continue
            series, _, value = line.rpartition(" ")
            known = lines.get(series)
            combine = _WORST.get(series.partition("{")[0], _sum)
            lines[series] = float(value) if known is None else combine(known, float(value))
    return "\n".join(_in_families(lines)) + "\n"


def _in_families(lines: dict[str, float | None]) -> Iterable[str]:
    """The lines, in families: a series of a later worker alone moves to its family."""
    families: dict[str, list[str]] = {}
    for line, value in lines.items():
        if value is None:
            families.setdefault(line.split(" ")[2], []).append(line)
            continue
        name = line.partition("{")[0]
        family = next(
            (
                stem
                for suffix in ("", "_bucket", "_sum", "_count")
                if (stem := name.removesuffix(suffix)) in families
            ),
            name,
        )
        number = int(value) if value == int(value) else value
        families.setdefault(family, []).append(f"{line} {number}")
    for members in families.values():
        yield from members
