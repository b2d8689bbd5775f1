"""The report of a rehearsal: Markdown, JSON and plots."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.rehearsal.diary import ORIGIN
from tests.rehearsal.faults import FAULTS
from tests.rehearsal.verdict import SHOWN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rehearsal.diary import Diary
    from tests.rehearsal.play import Run
    from tests.rehearsal.verdict import Row, Verdict

HEAD = """\
| fault | rule | seconds to the repair | requests | 503 of pushhub | 502, 504, broken | \
longest silence, s | delivery p50, ms | p99, ms | findings |
|---|---|---|---|---|---|---|---|---|---|"""


def as_json(run: Run, verdict: Verdict) -> dict[str, Any]:
    """The result for programs."""
    return {
        "minutes": run.plan.minutes,
        "clients": run.cast,
        "proxy": run.plan.proxy,
        "faults": [
            {
                "fault": row.fault,
                "rule": row.rule.name,
                "repair_s": round(row.healed - row.begun, 2),
                "requests": row.requests,
                "statuses": {str(status): n for status, n in sorted(row.statuses.items())},
                "stale": row.stale,
                "silence_s": round(row.silence, 2),
                "silent": row.silent,
                "p50_ms": round(1000 * row.wake(0.5), 1),
                "p99_ms": round(1000 * row.wake(0.99), 1),
                "notes": row.notes,
                "findings": row.findings,
            }
            for row in verdict.rows
        ],
        "histories": {
            name: {
                "acknowledged": history.acknowledged,
                "delivered": history.delivered,
                "told": history.told,
                "lost_untold": history.lost,
                "findings": [str(finding) for finding in history.findings],
            }
            for name, history in verdict.histories.items()
        },
        "failures": run.failures,
    }


def as_markdown(run: Run, verdict: Verdict) -> str:
    """The report for people."""
    plan, machine = run.plan, run.machine
    readers = sum(count for kind, count in run.cast.items())
    cast = ", ".join(f"{count:,} {kind}" for kind, count in run.cast.items())
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    lost = ", ".join(f"{name} {history.lost}" for name, history in verdict.histories.items())
    found = len(verdict.findings) + len(run.failures)
    lines = [
        "# The rehearsal",
        "",
        "<!-- Written by `deploy/rehearse --report`. -->",
        "",
        "A site on one machine goes through faults, and the report says what its clients saw.",
        "",
        f"`deploy/rehearse --minutes {plan.minutes:g} --clients {plan.clients}"
        f" --proxy {plan.proxy}`,"
        f" {day}: {readers:,} clients ({cast}) in one process, on a machine with"
        f" {machine['cores']} cores that others used, too (load {machine['load']:.1f} at the end),"
        f" Python {machine['python']}.",
        "",
        f"**Lost untold: {lost}. Findings: {found}.**",
        *(
            []
            if not found
            else ["", "[The page above](../README.md#known-findings) says what is known of them."]
        ),
        "",
        HEAD,
        *(_line(row) for row in verdict.rows),
        "",
        "Silence is the longest time between two deliveries to one client; a channel has an event"
        " every 5 s on average, and plain pollers ask every 4 s. Delivery is the time from the"
        " publisher's request to a client that waits.",
        "",
        "| rule | meaning |",
        "|---|---|",
        *(
            f"| {rule.name} | {rule.what} |"
            for rule in {row.rule.name: row.rule for row in verdict.rows}.values()
        ),
        "",
        "![The longest silence of a client per fault](silence.svg)",
        "",
        "![The delay of deliveries over the run](delays.svg)",
        "",
        "![Responses a second over the run](responses.svg)",
        "",
        "| history | acknowledged | delivered | told as gaps | lost untold |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {history.acknowledged:,} | {_delivered(name, history.delivered)}"
            f" | {history.told:,} | {history.lost} |"
            for name, history in verdict.histories.items()
        ),
        "",
    ]
    if notes := [f"- {row.fault}: {note}" for row in verdict.rows for note in row.notes]:
        lines += ["## Notes", "", *notes, ""]
    if stale := sum(row.stale for row in verdict.rows):
        lines += [
            f"{stale:,} requests met a kept connection that the proxy was closing, and were"
            " repeated, as every HTTP client does.",
            "",
        ]
    if found:
        lines += ["## Findings", "", *_findings(run, verdict), ""]
    return "\n".join(lines)


def _delivered(name: str, count: int) -> str:
    return "the last value" if name == ORIGIN else f"{count:,}"


def _line(row: Row) -> str:
    broken = ", ".join(
        f"{row.statuses[status] - (row.stale if not status else 0)}" for status in (502, 504, 0)
    )
    what = FAULTS[row.fault].what if row.fault in FAULTS else row.fault
    return (
        f"| {what} | {row.rule.name} | {row.healed - row.begun:.1f} | {row.requests:,}"
        f" | {row.statuses[503]:,} | {broken} | {row.silence:.1f}"
        f" | {1000 * row.wake(0.5):.0f} | {1000 * row.wake(0.99):.0f} | {len(row.findings)} |"
    )


def _findings(run: Run, verdict: Verdict) -> list[str]:
    lines = [f"- {text}" for text in run.failures]
    for row in verdict.rows:
        lines += [f"- {row.fault}: {text}" for text in row.findings[:SHOWN]]
        if len(row.findings) > SHOWN:
            lines.append(f"- {row.fault}: {len(row.findings) - SHOWN} more")
    for name, history in verdict.histories.items():
        kinds = Counter(finding.kind for finding in history.findings)
        shown: Counter[str] = Counter()
        for finding in history.findings:
            shown[finding.kind] += 1
            if shown[finding.kind] <= SHOWN:
                lines.append(f"- {name}: {finding}")
        lines += [f"- {name}: {n} × {kind} in all" for kind, n in kinds.items() if n > SHOWN]
    return lines


def draw(diary: Diary, verdict: Verdict, folder: Path) -> None:
    """The plots, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "pushhub"
    from matplotlib.figure import Figure

    rows = verdict.rows
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.barh([row.fault for row in rows], [row.silence for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("longest silence of a client, s")
    figure.savefig(folder / "silence.svg", metadata={"Date": None})

    end = int(diary.now()) + 1
    for name, series in (("delays", _delays(diary)), ("responses", _responses(diary))):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        for label, points in series.items():
            axes.plot(list(points), list(points.values()), label=label, linewidth=1)
        for row in rows[1:]:
            axes.axvspan(row.begun, row.healed, alpha=0.15, color="red", linewidth=0)
            axes.text(row.begun, axes.get_ylim()[1], row.fault, rotation=60, fontsize=7)
        axes.set_yscale("symlog", linthresh=0.01 if name == "delays" else 1.0)
        axes.set_xlim(0, min(end, rows[-1].ended + 20))
        axes.set_xlabel("seconds")
        axes.set_ylabel("seconds" if name == "delays" else "a second")
        axes.legend(fontsize=7, loc="upper right")
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def _delays(diary: Diary) -> dict[str, dict[int, float]]:
    invoked: dict[str, float] = {}
    seconds: dict[int, list[float]] = {}
    for record in diary.books["log"].records:
        if record["type"] == "invoke":
            invoked.setdefault(record["id"], record["at"])
        elif record["type"] == "read" and not record.get("plain"):
            for _, _, id in record["events"]:
                if id in invoked:
                    at = record["at"]
                    seconds.setdefault(int(at), []).append(max(1e-4, at - invoked[id]))
    ordered = {at: sorted(delays) for at, delays in sorted(seconds.items())}
    return {
        "median": {at: delays[len(delays) // 2] for at, delays in ordered.items()},
        "longest": {at: delays[-1] for at, delays in ordered.items()},
    }


def _responses(diary: Diary) -> dict[str, dict[int, float]]:
    counts: dict[str, Counter[int]] = {
        "below 500": Counter(),
        "503 of pushhub": Counter(),
        "502, 504, broken": Counter(),
    }
    for one in diary.exchanges:
        label = "below 500" if 0 < one.status < 500 else "502, 504, broken"
        label = "503 of pushhub" if one.status == 503 and one.ours else label
        if not one.stale:
            counts[label][int(one.ended)] += 1
    last = int(max((one.ended for one in diary.exchanges), default=0))
    return {label: {at: float(n[at]) for at in range(last)} for label, n in counts.items()}
