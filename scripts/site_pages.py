"""The pages of the site: every page of docs/, and each file of the repository that a page links to.

A page outside docs/ has its path under `project/`, and so has a file that is no page.
"""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

FENCE = re.compile(r"^(?:```|~~~)")
NAMED_FENCE = re.compile(r"^(```\w+) ([\w./-]+)$")
LINK = re.compile(
    r"(?P<before>!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(|\b(?:src|href)=\")(?P<target>[^)\s\"]+)"
)
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//|/", re.IGNORECASE)
CODE = re.compile(r"`[^`]+`")
LIST = re.compile(r"(?:[-*+]|\d+\.) ")
MADE = {"build", "dist", "node_modules", ".venv", ".outside"}
"""Folders whose files are not the repository's."""


class Pages:
    """The files of the site, by their path in the repository."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._texts: dict[str, str] = {}
        self._files: set[str] = set()
        self._errors: list[str] = []
        waiting = [f"docs/{path.name}" for path in sorted((root / "docs").glob("*.md"))]
        self._all = set(waiting)
        while waiting:
            source = waiting.pop(0)
            self._texts[source] = self._page(source, waiting)

    @property
    def names(self) -> set[str]:
        """The pages, as the navigation names them."""
        return {placed(source) for source in self._texts}

    def write(self, folder: Path) -> list[str]:
        """Write the pages and the files that they show; what is wrong with their links."""
        for source, text in self._texts.items():
            target = folder / placed(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        for source in self._files:
            target = folder / placed(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self._root / source).read_bytes())
        return self._errors

    def _page(self, source: str, waiting: list[str]) -> str:
        lines: list[str] = []
        fenced = False
        for line in (self._root / source).read_text().splitlines():
            if FENCE.match(line):
                fenced = not fenced
                # The forge shows nothing of a name behind the language, the generator a title.
                line = NAMED_FENCE.sub(r'\1 title="\2"', line)
            elif not fenced:
                if lines and begins_block(lines[-1], line):
                    lines.append("")
                if line.startswith("|"):
                    # The forge wants `\\|` in the code of a table, the generator `|`.
                    line = CODE.sub(lambda found: found[0].replace("\\|", "|"), line)
                line = LINK.sub(lambda found: self._link(found, source, waiting), line)
            lines.append(line)
        return "\n".join(lines) + "\n"

    def _link(self, found: re.Match[str], source: str, waiting: list[str]) -> str:
        before, target = found["before"], found["target"]
        if ABSOLUTE.match(target) or target.startswith("#"):
            return found[0]
        path, _, anchor = target.partition("#")
        meant = normpath(str(PurePosixPath(source).parent / path))
        file = self._root / meant
        if file.is_dir() and (file / "README.md").is_file():
            meant, file = f"{meant}/README.md", file / "README.md"
        if meant.startswith("..") or MADE & set(meant.split("/")) or not file.is_file():
            self._errors.append(f"{source} links to {target}, which is no file of the repository")
            return found[0]
        if meant.endswith(".md"):
            if meant not in self._all:
                self._all.add(meant)
                waiting.append(meant)
        else:
            self._files.add(meant)
        here = str(PurePosixPath(placed(source)).parent)
        return before + relpath(placed(meant), here) + (f"#{anchor}" if anchor else "")


def placed(source: str) -> str:
    """The path on the site of a file of the repository."""
    return source.removeprefix("docs/") if source.startswith("docs/") else f"project/{source}"


def begins_block(before: str, line: str) -> bool:
    """Whether a list or a table begins directly below a paragraph. On the forge it does; the
    generator wants an empty line between.
    """
    if not before.strip():
        return False
    if LIST.match(line):
        return not LIST.match(before) and not before.startswith(" ")
    return line.startswith("|") and not before.startswith("|")
