"""docs/grip.md is held to the code and to the cases."""

import json
import re
from pathlib import Path

from pushhub.api.grip import GRIP_ROUTES
from pushhub.grip import instruct as instruct_module
from pushhub.grip import item as item_module
from pushhub.grip.filters import FEATURES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grip.md").read_text()
PEERS = ROOT / "tests" / "peers"
CASES = "".join((PEERS / f"test_grip_{name}.py").read_text() for name in ("cases", "waits"))


def test_every_case_has_a_row_and_a_test() -> None:
    rows = re.findall(r"^\| G(\d+) \|", PAGE, re.MULTILINE)
    assert rows == [str(n) for n in range(1, 33)]
    cases = re.findall(r"^async def (?:test_)?g(\d+)_", CASES, re.MULTILINE)
    assert {int(number) for number in cases} == set(range(1, 33))


def test_a_case_that_differs_has_its_decision() -> None:
    for row in re.findall(r"^\| G\d+ \|.*\|$", PAGE, re.MULTILINE):
        _, case, _, _, ours, decision, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        assert decision or ours.startswith(("the same", "held", "200, and")), case


def test_bounds_are_those_of_the_code() -> None:
    assert f"`{', '.join(FEATURES)}`" in PAGE
    for bound in (
        f"{instruct_module.MAX_CHANNELS:,} channels, {instruct_module.MAX_FILTERS} filters",
        f"{instruct_module.MAX_TIMEOUT:,}",
        f"{instruct_module.MAX_KEEP_ALIVE_BYTES:,} bytes",
        f"{instruct_module.MAX_META} values",
        f"at most {instruct_module.MAX_HOLD_BODY_BYTES:,} bytes",
        f"at most {item_module.MAX_ITEMS:,} items",
    ):
        assert bound in PAGE, bound


def test_every_route_is_named() -> None:
    for route in GRIP_ROUTES:
        assert f"{route.path.rstrip('/')}" in PAGE


def test_libraries_are_those_of_the_locks() -> None:
    locked = (ROOT / "requirements-dev.txt").read_text()
    for name in ("gripcontrol", "pubcontrol", "django-eventstream"):
        version = re.search(rf"^{name}==(\S+)", locked, re.MULTILINE)
        assert version
        assert f"`{name}` {version[1]}" in PAGE
    package = json.loads((ROOT / "tests" / "peers" / "js" / "package.json").read_text())
    for name, version in package["dependencies"].items():
        assert f"`{name}` {version}" in PAGE
