"""What a BOSH session and a message of it cost: pushhub, Prosody and ejabberd in turn.

Run as `python -m benchmarks.xmpp`. Each server starts afresh for each repeat; figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from benchmarks.machine import machine
from benchmarks.ring import Ring, RingError
from benchmarks.servers.bosh import Hub
from benchmarks.servers.ejabberd import Ejabberd
from benchmarks.servers.prosody import Prosody
from benchmarks.servers.server import Absent

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.servers.bosh import Bosh

SERVERS: dict[str, Callable[[], Bosh]] = {
    "pushhub": Hub,
    "prosody": Prosody,
    "ejabberd": Ejabberd,
}

# Of what a server does the first time, nothing is to be counted.
WARM_SESSIONS = 50
WARM_MESSAGES = 2000

TITLES = {
    "setup_us": "set-up CPU, µs",
    "message_us": "CPU/message, µs",
    "session_kib": "RSS/session, KiB",
    "messages_per_s": "messages/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "driver_us": "load's CPU/message, µs",
    "again": "out of order or twice",
}

# What pushhub may use, of what another server does.
GOALS = (
    ("message_us", "ejabberd", 1 / 2),
    ("message_us", "prosody", 1 / 5),
    ("setup_us", "ejabberd", 1 / 2),
    ("setup_us", "prosody", 1 / 5),
)
MOST_KIB = 20_000 / 1024

Figures = dict[str, float]


async def measure(server: Bosh, sessions: int, messages: int, tokens: int) -> Figures:
    """One run of one server."""
    processes = server.processes()
    warm = Ring(server.port, WARM_SESSIONS)
    await warm.gather()
    warm.wait()
    await warm.turn(10, WARM_MESSAGES, 120)
    await asyncio.sleep(1)
    gc.collect()
    gc.disable()
    ring = Ring(server.port, sessions)
    memory, begun = processes.rss(), processes.cpu()
    await ring.gather()
    ring.wait()
    await asyncio.sleep(1)
    setup = (processes.cpu() - begun) / sessions
    session = (processes.rss() - memory) / sessions
    used, ours, at = processes.cpu(), time.process_time(), time.monotonic()
    await ring.turn(tokens, messages, 600)
    passed, ours = time.monotonic() - at, time.process_time() - ours
    used = processes.cpu() - used
    figures = {
        "setup_us": setup * 1e6,
        "session_kib": session / 1024,
        "message_us": used / messages * 1e6,
        "messages_per_s": messages / passed,
        "driver_us": ours / messages * 1e6,
        "p50_ms": ring.percentile(50),
        "p99_ms": ring.percentile(99),
        "again": ring.twice,
    }
    ring.leave()
    warm.leave()
    gc.enable()
    if ring.errors:
        raise RingError(f"{len(ring.errors)} sessions ended: {ring.errors[0]}")
    return figures


def compare(options: argparse.Namespace) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Every server in turn, again and again."""
    runs: dict[str, list[Figures]] = {name: [] for name in options.servers}
    about: dict[str, str] = {}
    for repeat in range(options.repeat):
        for name in options.servers:
            try:
                with SERVERS[name]() as server:
                    about[name] = f"{server.version()}, {server.about}"
                    work = measure(server, options.sessions, options.messages, options.tokens)
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        figures = runner.run(work)
            except Absent as absent:
                about[name] = str(absent)
                continue
            runs[name].append(figures)
            said = ", ".join(f"{TITLES[key]} {value:.1f}" for key, value in figures.items())
            print(f"{name} #{repeat + 1}: {said}", file=sys.stderr, flush=True)
    return runs, about


def medians(runs: list[Figures]) -> Figures:
    """Of each figure."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def markdown(
    runs: dict[str, list[Figures]], about: dict[str, str], options: argparse.Namespace
) -> str:
    """The report."""
    found = {name: medians(each) for name, each in runs.items() if each}
    lines = ["# BOSH: sessions and messages\n"]
    lines += ["Made by `python -m benchmarks.xmpp`. " + _about(options), ""]
    lines += [f"- **{name}**: {text}" for name, text in about.items()]
    lines += ["", "| machine | |", "| --- | --- |"]
    lines += [f"| {name} | {text} |" for name, text in machine().items()]
    lines += ["", "| | " + " | ".join(found) + " |", "| --- |" + " ---: |" * len(found)]
    for key, title in TITLES.items():
        cells = " | ".join(f"{each[key]:,.1f}" for each in found.values())
        lines.append(f"| {title} | {cells} |")
    lines += ["", "| goal | at most | pushhub | |", "| --- | ---: | ---: | --- |"]
    ours = found["pushhub"]
    for key, peer, share in GOALS:
        if peer not in found:
            continue
        bound = found[peer][key] * share
        verdict = "met" if ours[key] <= bound else "**not met**"
        said = f"{share:.2f} x {peer} = {bound:,.0f}"
        ratio = f"{ours[key]:,.0f} ({ours[key] / found[peer][key]:.2f} x)"
        lines.append(f"| {TITLES[key]} | {said} | {ratio} | {verdict} |")
    verdict = "met" if ours["session_kib"] <= MOST_KIB else "**not met**"
    lines.append(f"| RSS/session, KiB | {MOST_KIB:.1f} | {ours['session_kib']:.1f} | {verdict} |")
    return "\n".join(lines) + "\n"


def _about(options: argparse.Namespace) -> str:
    return (
        f"{options.sessions:,} anonymous sessions stand in a ring and pass {options.tokens} "
        f"messages on, {options.messages:,} times in all, with one request for each; medians of "
        f"{options.repeat} runs. CPU is the time of all the server's processes in user and kernel "
        "mode; set-up is from the first byte of a session to its first request that is held."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.xmpp", description=__doc__)
    parser.add_argument(
        "--servers",
        type=lambda text: text.split(","),
        default=list(SERVERS),
        help=f"which, with commas between them: {', '.join(SERVERS)}",
    )
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=100, help="messages on their way at a time")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    runs, about = compare(options)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=2))
    if runs.get("pushhub"):
        report = markdown(runs, about, options)
        if options.markdown:
            options.markdown.write_text(report)
        sys.stdout.write(report)


if __name__ == "__main__":
    main()
