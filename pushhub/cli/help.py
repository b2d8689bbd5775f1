"""The help of a command: its own options first, then the settings by subject."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from pushhub.settings.field import PANELS

OWN = "Options"
MOST_USED = "Settings / Most used"
# The settings that a first start needs, in the order of the examples.
FIRST = ("host", "port", "store", "workers", "origin", "control", "dev")


def section(panel: str) -> str:
    """The title of the settings of one panel."""
    return f"Settings / {panel}"


class GroupedCommand(TyperCommand):
    """A command whose options are listed by their help panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and then one section for each panel that has options."""
        arguments: list[tuple[str, str]] = []
        sections: dict[str, list[tuple[str, str]]] = {
            title: [] for title in (OWN, MOST_USED, *map(section, PANELS))
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append(record)
            else:
                panel = getattr(parameter, "rich_help_panel", None) or OWN
                sections.setdefault(panel, []).append(record)
        for title, records in (("Arguments", arguments), *sections.items()):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
