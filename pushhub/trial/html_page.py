"""The result of a trial as one HTML page, without scripts and without anything from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pushhub.advice import toml_lines
from pushhub.trial.text_page import (
    clients_of,
    figure_rows,
    nothing_changed,
    request_rows,
    sentences,
    summary,
)
from pushhub.trial.text_plot import delay_step, tick_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.trial.trial import TrialResult

# The plot, in units of its drawing.
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 260, 72, 32, 16
RADIUS = 5

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1d2733; --soft: #5b6878; --line: #d8dee6;
  --polled: #b45309; --waiting: #0b66c3; --good: #1a7f37; --panel: #f5f7fa; }
@media (prefers-color-scheme: dark) { :root { --back: #12161c; --text: #e3e9f0; --soft: #9aa7b6;
  --line: #323b47; --polled: #f0a04b; --waiting: #5eb1ff; --good: #56d364; --panel: #1b212a; } }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 48rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.lead { font-size: 1.1rem; } .soft, figcaption { color: var(--soft); }
figure { margin: 1.5rem 0 0; } svg { width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; } svg line { stroke: var(--line); }
.polled { color: var(--polled); } .waiting { color: var(--waiting); } .good { color: var(--good); }
circle.polled { fill: var(--back); stroke: var(--polled); stroke-width: 2; }
circle.waiting { fill: var(--waiting); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; min-width: 26rem; width: 100%; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; }
th:first-child { text-align: left; font-weight: 400; } thead th { font-weight: 600; }
pre { background: var(--panel); padding: 1rem; overflow-x: auto; border-radius: 6px;
  font-size: .85rem; }
@media (max-width: 34rem) { svg text { font-size: 22px; } circle { r: 9px; }
  table { min-width: 0; font-size: .9rem; } th, td { padding: .3rem .2rem; } }
"""


def html_page(result: TrialResult) -> str:
    """The whole page."""
    url = escape(result.suggestion.survey.url)
    notes = "".join(f"<p>{escape(one)}</p>" for one in sentences(result))
    lines = escape("\n".join(toml_lines([result.suggestion])))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>pushhub try {url}</title><style>{_STYLE}</style>"
        f'<main><h1>{url}</h1><p class="lead">{escape(summary(result))}</p>'
        f"{''.join(_plot(result))}"
        f"<h2>The two clients</h2>{_table(result, figure_rows(result), 'The two clients')}"
        f"<h2>Requests a minute at the API, by the number of {clients_of(result)}</h2>"
        f"{_table(result, request_rows(result), 'Requests a minute')}{notes}"
        "<h2>The lines for pushhub.toml</h2>"
        f'<pre tabindex="0" role="region" aria-label="The lines">{lines}</pre>'
        f'<p class="soft">{escape(nothing_changed(result))}</p></main></html>\n'
    )


def _plot(result: TrialResult) -> Iterator[str]:
    if not result.changes:
        return
    longest = max([*result.polled_delays, *result.long_polled_delays], default=1.0)
    step = delay_step(longest)
    top, plain = 4 * step, HEIGHT - BOTTOM

    def x(seconds: float) -> float:
        return LEFT + seconds / result.seconds * (WIDTH - LEFT - RADIUS - 2)

    def y(delay: float) -> float:
        return plain - delay / top * (plain - TOP)

    yield (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Delay of each '
        'change, of both clients">'
    )
    for number in range(5):
        height = y(number * step)
        yield f'<line x1="{LEFT}" x2="{WIDTH}" y1="{height:.1f}" y2="{height:.1f}"/>'
        label = f"{number * step:g} s"
        yield f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{label}</text>'
    distance, number = tick_step(result.seconds), 0
    while number * distance <= result.seconds:
        place = x(number * distance)
        anchor = "end" if place > WIDTH - 30 else "middle"
        yield (
            f'<text x="{place:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">'
            f"{number * distance:g} s</text>"
        )
        number += 1
    for change in result.changes:
        for kind, delay in (("polled", change.polled), ("waiting", change.long_polled)):
            if delay is not None:
                yield (
                    f'<circle class="{kind}" cx="{x(change.at):.1f}" cy="{y(delay):.1f}" '
                    f'r="{RADIUS}"><title>{delay:.2f} s</title></circle>'
                )
    yield (
        '</svg><figcaption>Delay of each change: <span class="polled">○ polled every '
        f'{result.every:g} s</span>, <span class="waiting">● waits through pushhub</span>'
        "</figcaption></figure>"
    )


def _table(result: TrialResult, rows: list[tuple[str, str, str]], label: str) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{polled}</td><td>{waiting}</td></tr>'
        for label, polled, waiting in rows
    )
    heads = (
        f'<th class="polled">polled every {result.every:g} s</th>'
        '<th class="waiting">waits through pushhub</th>'
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )
