"""Types the blocks of a page, from the first to the last, as a reader would, in one folder.

A block whose first line is a comment with the name of a file is that file. An `sh` block whose
last command is a server goes on in a terminal of its own; all others are typed in one terminal and
end. A `json` block directly after an `sh` block has the shape of what that block prints last.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from tests import outside
from tests.docs.test_blocks import compare
from tests.docs.test_readme import Reader, end
from tests.serving import Output

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

BLOCK = re.compile(r"^```(?P<language>\w+)[^\n`]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//|<!--) (?P<name>[\w.-]+\.\w+)(?: -->)?\n")
SERVER = re.compile(r"^(?:python3 \w+\.py|.*pushhub serve|uvicorn)\b", re.MULTILINE)
VARIABLE = re.compile(r"^(?:export )?(\w+)=", re.MULTILINE)
HUB = re.compile(r"pushhub serve")
LISTENS = re.compile(r"pushhub is at|Uvicorn running on")


class Block(NamedTuple):
    language: str
    text: str
    shown: str | None  # the `json` block after it


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    text = (outside.ROOT / "docs" / page).read_text()
    found = list(BLOCK.finditer(text))
    told = []
    for number, one in enumerate(found):
        after = found[number + 1] if number + 1 < len(found) else None
        shown = None
        if after and after["language"] == "json" and not text[one.end() : after.start()].strip():
            shown = after["text"]
        told.append(Block(one["language"], one["text"], shown))
    return told


class Walk(Reader):
    """A reader of a page, with the terminals of its servers."""

    def __init__(self, folder: Path, open_after: ExitStack) -> None:
        super().__init__(folder, open_after)
        self.environ["PATH"] = f"{sys.prefix}/bin:{os.environ['PATH']}"
        self.terminals: dict[str, subprocess.Popen[str]] = {}
        self.outputs: dict[str, Output] = {}
        # The keys of `pushhub init` go with the port of this walk.
        self.environ["PUSHHUB_PORT"] = self.ports["8080"]
        (folder / "variables").touch()

    def save(self, text: str) -> str:
        """Save a block that is a file; its name."""
        named = FILE.match(text)
        assert named, text
        (self._folder / named["name"]).write_text(self._typed(text))
        return named["name"]

    def starts(self, script: str) -> Output:
        """Start a server, and return when it listens; a client without a port, immediately."""
        shell = self._shell(script)
        self._open_after.callback(end, shell)
        assert shell.stdout is not None
        assert shell.stderr is not None
        output = self.outputs[script] = Output(shell.stdout, shell.stderr)
        self.terminals[script] = shell
        if "pushhub serve" in script or "uvicorn" in script:
            output.find(LISTENS, 60.0)
        elif "api.py" in script:
            self._answers("8000")
        return output

    def stops(self, words: str) -> None:
        """Ctrl-C in the terminal of a server, by a part of its command."""
        script = next(one for one in self.terminals if words in one)
        end(self.terminals.pop(script))

    def types_block(self, block: Block) -> str:
        """What the block prints; the variables of earlier blocks are there."""
        names = " ".join(VARIABLE.findall(block.text))
        kept = f"declare -p {names} >> variables 2>/dev/null || true" if names else ""
        said = self.types(f". ./variables\n{block.text}\n{kept}").strip()
        if block.shown is not None:
            last = said.replace("\r\n", "\n").rpartition("\n\n")[2].strip().splitlines()[-1]
            wrong = list(compare(json.loads(block.shown), json.loads(last)))
            assert not wrong, f"{block.text}{said}\n{wrong}"
        return said

    def walks(self, page: str) -> Iterator[tuple[Block, str]]:
        """Do what each block says; the block and what it printed."""
        for block in blocks(page):
            if FILE.match(block.text):
                yield block, self.save(block.text)
            elif block.language == "sh" and SERVER.search(block.text):
                if HUB.search(block.text) and any(HUB.search(one) for one in self.terminals):
                    self.stops("pushhub serve")
                self.starts(block.text)
                yield block, ""
            elif block.language == "sh":
                yield block, self.types_block(block)
