"""The tables of `pushhub top`, for 80 columns or more."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pushhub.cli.tail import printable
from pushhub.cli.top_figures import NodeFigures, summed
from pushhub.cli.top_nodes import WatchedNode

# Beyond this, an operator should look: wake and append as in docs/metrics.md, the loop too.
SLOW_SECONDS = 0.1
_SUM = "all"


def count(value: float) -> str:
    """A number in at most six characters."""
    for limit, divisor, unit in ((1e4, 1, ""), (1e7, 1e3, "k"), (1e10, 1e6, "M")):
        if value < limit:
            scaled = value / divisor
            return f"{scaled:.1f}{unit}" if 0 < scaled < 10 and value % 1 else f"{scaled:.0f}{unit}"
    return f"{value / 1e9:.0f}G"


def milliseconds(seconds: float | None) -> str:
    """A latency in milliseconds; a dash if nothing was measured."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f}" if seconds < 0.1 else f"{seconds * 1000:.0f}"


def size(value: float) -> str:
    """Bytes in MiB or GiB; a dash where the system has no such figure."""
    mib = value / 2**20
    return "-" if not value else f"{mib:.0f}M" if mib < 10_000 else f"{mib / 1024:.1f}G"


def names(urls: Sequence[str]) -> list[str]:
    """Short names of the nodes: host and port, without what all have in common."""
    hosts = [urlsplit(url).netloc.rpartition("@")[2] for url in urls]
    return hosts if len(set(hosts)) == len(hosts) else list(urls)


def snapshot(nodes: Sequence[WatchedNode]) -> dict[str, Any]:
    """The state of all nodes as JSON."""
    return {
        "nodes": [
            {"url": node.url, "version": node.version or None, "away": node.away or None}
            | ({} if node.figures is None else asdict(node.figures))
            for node in nodes
        ],
        "sum": asdict(summed(node.figures for node in nodes if node.figures is not None)),
    }


def state(node: NodeFigures) -> str:
    """A word for the state of a node."""
    if node.draining:
        return "leaves"
    return "ok" if node.store_ready else "no store"


def view(nodes: Sequence[WatchedNode]) -> RenderableType:
    """All tables."""
    known = [
        (name, node.figures)
        for name, node in zip(names([node.url for node in nodes]), nodes, strict=True)
        if node.figures is not None
    ]
    rows = [*known, (_SUM, summed(one for _, one in known))] if len(known) > 1 else known
    parts: list[RenderableType] = [_traffic(rows), *_without(nodes)]
    if rows:
        parts.append(_insides(rows))
    if any(one.origin_resources or one.origin_rate for _, one in known):
        parts.append(_origin(rows))
    if rows and rows[-1][1].limited:
        parts.append(_limits(rows[-1][1]))
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold cyan")
    table.add_column(title, overflow="ellipsis", no_wrap=True, min_width=10, max_width=24)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _marked(text: str, *, bad: bool) -> Text:
    return Text(text, style="bold red" if bad else "")


def _slow(seconds: float | None) -> Text:
    return _marked(milliseconds(seconds), bad=(seconds or 0) > SLOW_SECONDS)


def _without(nodes: Sequence[WatchedNode]) -> list[Text]:
    """A line for each node without figures, with the reason."""
    lines = []
    for name, node in zip(names([node.url for node in nodes]), nodes, strict=True):
        if node.figures is None:
            reason = f"away: {node.away}" if node.away else "first sample"
            line = _marked(printable(f"{name:24} {reason}"), bad=bool(node.away))
            line.no_wrap, line.overflow = True, "ellipsis"
            lines.append(line)
    return lines


def _traffic(rows: Sequence[tuple[str, NodeFigures]]) -> Table:
    table = _table("NODE", "holds", "chans", "in/s", "out/s", "p50ms", "p99ms", "ref/s", "state")
    for name, one in rows:
        table.add_row(
            printable(name),
            count(one.holds),
            count(one.channels),
            count(one.published_rate),
            count(one.delivered_rate),
            milliseconds(one.wake_p50),
            _slow(one.wake_p99),
            _marked(count(one.refused_rate), bad=one.refused_rate > 0),
            _marked(state(one), bad=state(one) != "ok"),
        )
    return table


def _insides(rows: Sequence[tuple[str, NodeFigures]]) -> Table:
    columns = ("wrk", "cpu%", "memory", "fds", "loop99", "store99", "lag s", "left/s", "gaps/s")
    table = _table("\nPROCESS", *(f"\n{column}" for column in columns))
    for name, one in rows:
        table.add_row(
            printable(name),
            count(one.workers),
            f"{one.cpu * 100:.0f}",
            size(one.memory),
            count(one.descriptors),
            _slow(one.loop_p99),
            _slow(one.append_p99),
            _marked(f"{one.store_lag:.1f}", bad=one.store_lag > 1),
            count(one.left_rate),
            _marked(count(one.gaps_rate), bad=one.gaps_rate > 0),
        )
    return table


def _origin(rows: Sequence[tuple[str, NodeFigures]]) -> Table:
    columns = ("resources", "fetch/s", "fail/s", "queue", "stretched")
    table = _table("\nORIGIN", *(f"\n{column}" for column in columns))
    for name, one in rows:
        table.add_row(
            printable(name),
            count(one.origin_resources),
            count(one.origin_rate),
            _marked(count(one.origin_failed_rate), bad=one.origin_failed_rate > 0),
            count(one.origin_queue),
            f"{one.origin_stretched:.0f} s",
        )
    return table


def _limits(total: NodeFigures) -> Table:
    table = _table("\nLIMIT", "\nrefused", "\nref/s")
    for name, refused in sorted(total.limited.items()):
        rate = total.limited_rates.get(name, 0.0)
        table.add_row(printable(name), count(refused), _marked(count(rate), bad=rate > 0))
    return table
