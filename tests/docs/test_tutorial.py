"""docs/tutorial.md works as a newcomer types it, every block."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests import outside
from tests.docs.walk import Walk

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60.0


@pytest.mark.timeout(180)
def test_the_tutorial(tmp_path: Path) -> None:
    outside.require("curl")
    typed = []
    with ExitStack() as open_after:
        walk = Walk(tmp_path, open_after)
        for block, said in walk.walks("tutorial.md"):
            typed.append(said)
            state = re.search(r"-X PUT -d (\w+)", block.text)
            if "before.py" in block.text and block.language == "sh":
                walk.outputs[block.text].find(re.compile("'new'"), SECONDS)
            elif state:
                # The client that runs now prints the new state.
                client = next(
                    script for script in walk.terminals if re.search("before|after", script)
                )
                walk.outputs[client].find(re.compile(f"'{state[1]}'"), SECONDS)
                if "before" in client:
                    walk.stops("before.py")
            if "/v1/notify" in block.text:
                assert '{"notified":1}' in said
    assert len(typed) == 12, "each block of the page was typed"
