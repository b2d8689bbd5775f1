"""The drawings of ARCHITECTURE.md, made from the code.

Rooms come from the layers of import-linter and the first sentence of each package; states come from
the table that connections move by.
"""

import ast
import re
import sys
import tomllib

from pushhub.server.http1.states import MEANINGS, NAMES, TRANSITIONS
from tests.arch.sources import ROOT

PAGE = ROOT / "ARCHITECTURE.md"
PURE = {"log", "http", "polls", "grip", "bosh", "xml", "capacity"}


def rooms() -> str:
    """One line for each room, with its floor."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(one for one in contracts["contracts"] if one["type"] == "layers")["layers"]
    lines = []
    for floor, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for room in re.findall(r"pushhub\.(\w+)", layer):
            mark = "pure" if room in PURE else ""
            lines.append(f"{floor:>2}  {room:<8}  {mark:<4}  {subject(room)}".rstrip())
    return "\n".join(lines)


def subject(room: str) -> str:
    """The first sentence of a room."""
    folder = ROOT / "pushhub" / room
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    sentence = " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    return sentence.replace(", pure:", ":")


def states() -> str:
    """The states of a connection: what each is, and what leads out of it."""
    lines = []
    for state, moves in TRANSITIONS.items():
        lines.append(f"{NAMES[state].upper():<7} {MEANINGS[state]}")
        lines += [f"        → {NAMES[after].upper():<7} {event}" for event, after in moves.items()]
    return "\n".join(lines)


def drawn(page: str) -> str:
    """The page with both drawings as they are now."""
    for name, drawing in (("rooms", rooms()), ("states", states())):
        page, count = re.subn(
            rf"(<!-- drawing: {name} -->\n```text\n).*?(```)",
            lambda found: f"{found[1]}{drawing}\n{found[2]}",  # noqa: B023
            page,
            flags=re.DOTALL,
        )
        assert count == 1, f"the page has a place for {name}"
    return page


def main() -> int:
    """Write the page, or check it."""
    page = PAGE.read_text()
    now = drawn(page)
    if "--check" in sys.argv:
        print("current" if now == page else "ARCHITECTURE.md is not current: run scripts/draw.")
        return now != page
    PAGE.write_text(now)
    return 0


if __name__ == "__main__":
    sys.exit(main())
