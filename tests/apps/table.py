"""The table of docs/apps.md, from the modules of this folder: `python -m tests.apps.table`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import outside
from tests.apps.catalogue import APPLICATIONS

if TYPE_CHECKING:
    from tests.apps.application import Application

PAGE = outside.ROOT / "docs" / "apps.md"
BEGIN = "<!-- begin: python -m tests.apps.table writes this part -->\n"
END = "<!-- end -->\n"


def table() -> str:
    """The part of the page that the modules give: an overview, and the lines of each."""
    applications = sorted(APPLICATIONS.values(), key=lambda one: one.title.lower())
    rows = ["| application | clients poll | a change is | its own client |", "|---|---|---|---|"]
    rows += [
        f"| [{one.title}](#{_anchor(one.title)}) | {_polled(one)} | {one.noticed} "
        f"| {one.own_client.name} |"
        for one in applications
    ]
    return "\n".join(rows) + "\n\n" + "\n".join(map(_section, applications))


def _section(application: Application) -> str:
    lines = [f"### {application.title}", "", f"{_sentence(application.server)}."]
    if application.remark:
        lines.append(f"{_sentence(application.remark)}.")
    lines += ["", "```toml", application.routes.strip(), "```", ""]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    """A sentence begins with a capital letter, but names keep theirs."""
    first = text.split()[0]
    is_word = first in {
        "the",
        "a",
        "an",
        "it",
        "its",
        "each",
        "page",
        "users",
        "headers",
        "nothing",
    }
    return text[0].upper() + text[1:] if is_word else text


def _polled(application: Application) -> str:
    polls = [poll.shown for poll in application.polls]
    return ", ".join(dict.fromkeys(polls)) or f"`{application.always_new}`, in vain"


def _anchor(title: str) -> str:
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def page() -> str:
    """The page with its generated part as it should be."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page())
