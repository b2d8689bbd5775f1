"""A plot of the delays of changes, in characters: time to the right, delay upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.trial.comparison import ObservedChange

# Two for each of four distances, and the zero.
ROWS = 9
# Columns beside the field: the numbers of the axis.
MARGIN = 8
POLLED, LONG_POLLED, BOTH = "○", "●", "◉"
# Distances of ticks, in seconds: the first that gives at most `_TICKS` of them.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_TICKS = 6
_DELAY_STEPS = (
    0.05,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    1.25,
    1.5,
    2,
    2.5,
    3,
    4,
    5,
    10,
    15,
    30,
    60,
    150,
    300,
    900,
)


def text_plot(
    changes: list[ObservedChange],
    seconds: float,
    width: int,
    paint: Callable[[str, str], str],
) -> list[str]:
    """The lines of the plot. `paint` gives a mark the colour of `polled` or `long_polled`."""
    columns = max(20, width - MARGIN)
    delays = [one for change in changes for one in (change.polled, change.long_polled) if one]
    step = delay_step(max(delays, default=1.0))
    top = 4 * step
    field: dict[tuple[int, int], str] = {}
    for change in changes:
        column = min(columns - 1, int(change.at / seconds * columns)) if seconds else 0
        for name, delay in (("polled", change.polled), ("long_polled", change.long_polled)):
            if delay is not None:
                row = round(delay / top * (ROWS - 1))
                place = (max(0, row), max(0, column))
                other = field.get(place)
                field[place] = name if other in (None, name) else "both"
    marks = {
        "polled": paint(POLLED, "polled"),
        "long_polled": paint(LONG_POLLED, "long_polled"),
        "both": paint(BOTH, "long_polled"),
    }
    lines = []
    for row in range(ROWS - 1, -1, -1):
        label = f"{row // 2 * step:g} s" if row % 2 == 0 else ""
        cells = "".join(marks.get(field.get((row, column), ""), " ") for column in range(columns))
        lines.append(f"{label:>{MARGIN - 2}} {'┤' if label else '│'}{cells.rstrip(' ')}")
    return [*lines, *_time_axis(seconds, columns)]


def delay_step(longest: float) -> float:
    """The round distance of four ticks for delays up to the longest."""
    return next((step for step in _DELAY_STEPS if 4 * step >= longest), longest / 4)


def tick_step(span: float, most: int = _TICKS) -> float:
    """A round distance of ticks for a span in seconds."""
    return next((step for step in _STEPS if span / step <= most), _STEPS[-1])


def _time_axis(seconds: float, columns: int) -> list[str]:
    step = tick_step(seconds)
    line, labels = ["─"] * columns, [" "] * (columns + MARGIN)
    number = 0
    while number * step <= seconds:
        column = min(columns - 1, round(number * step / seconds * columns)) if seconds else 0
        text = f"{number * step:g} s"
        begin = max(0, min(column, columns - len(text)))
        line[column] = "┬"
        labels[begin : begin + len(text)] = text
        number += 1
    pad = " " * (MARGIN - 1)
    return [f"{pad}└{''.join(line)}", f"{pad} {''.join(labels)}".rstrip()]
