"""Figures as tables: for a terminal, and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from pushhub.bench.figures import KINDS, cell, columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.bench.target import Figures


def table(title: str, rows: Mapping[str, Figures]) -> Table:
    """For a terminal: a row for every figure, a column for every server."""
    made = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    made.add_column("")
    for name in rows:
        made.add_column(name, justify="right")
    for figure in columns(rows.values()):
        made.add_row(KINDS[figure].title, *(cell(row, figure) for row in rows.values()))
    return made


def markdown(rows: Mapping[str, Figures]) -> str:
    """The same for a document."""
    lines = [
        [KINDS[figure].title, *(cell(row, figure) for row in rows.values())]
        for figure in columns(rows.values())
    ]
    head = ["", *rows]
    rule = ["---", *["---:"] * len(rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *lines])
