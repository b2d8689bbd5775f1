"""The generated parts of docs/capacity.md."""

from __future__ import annotations

from pushhub.capacity.figures import FIGURES
from pushhub.capacity.model import Workload, estimate

EXAMPLES = (
    Workload(holds=1000, channels=1000, publishes=10.0),
    Workload(holds=10_000, channels=1, publishes=1.0),
    Workload(holds=10_000, channels=10_000, publishes=500.0, event_bytes=1000, retained=100),
    Workload(holds=100_000, channels=1000, publishes=100.0, event_bytes=1000, retained=100),
)


def examples() -> str:
    """A table of loads and their needs."""
    lines = [
        "| holds | channels | publishes/s | bytes | kept | processes | MiB each | cores in all "
        "| descriptors each | Redis MiB | Redis cores |",
        "|" + " ---: |" * 11,
    ]
    for one in EXAMPLES:
        need = estimate(one)
        lines.append(
            f"| {one.holds:,} | {one.channels:,} | {one.publishes:,.0f} | {one.event_bytes:,} "
            f"| {one.retained:,} | {need.processes} | {need.process_mib:,.0f} | {need.cores:.2f} "
            f"| {need.descriptors:,} | {need.redis_mib:,.0f} | {need.redis_cores:.3f} |"
        )
    return "\n".join(lines)


def figures() -> str:
    """A table of the figures, and where each comes from."""
    lines = ["| figure | value | from | measured |", "| --- | ---: | --- | --- |"]
    lines += [
        f"| {one.about} | {one.value:,g} {one.unit} | {one.place} (`{one.command}`) "
        f"| {one.run.date}, {one.run.commit}: {one.run.machine} |"
        for one in FIGURES
    ]
    return "\n".join(lines)


def in_page(text: str) -> str:
    """The page with its generated parts as they are now."""
    for name, part in (("examples", examples()), ("figures", figures())):
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n{part}\n{end}{after}"
    return text
