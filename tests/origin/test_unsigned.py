"""An origin that is asked by GRIP without a signature: whoever starts pushhub is told."""

import json
import re
from typing import Any

import pytest

from pushhub.settings import Settings
from tests.cli.running import pushhub
from tests.origin.grip.test_bad import SECRET
from tests.serving import serve

ORIGIN = "http://127.0.0.1:9"
ALL = {"path": "/*", "step": "poll"}
GRIP = {"path": "/live/*", "target": ORIGIN}


@pytest.mark.parametrize(
    ("given", "is_unsigned"),
    [
        ({}, False),
        ({"origin": ORIGIN}, True),
        ({"origin": ORIGIN, "grip_key": SECRET}, False),
        ({"origin": ORIGIN, "routes": [ALL]}, False),
        ({"origin": ORIGIN, "routes": [{"path": "/a/*", "step": "pass"}]}, True),
        ({"origin": ORIGIN, "routes": [{**ALL, "host": "a.example"}]}, True),
        ({"routes": [GRIP]}, True),
        ({"routes": [{**GRIP, "step": "notify"}]}, False),
    ],
)
def test_when_requests_are_not_signed(given: dict[str, Any], is_unsigned: bool) -> None:
    settings = Settings.model_validate({"store": "memory://", **given})
    assert (settings.unsigned() is not None) is is_unsigned


@pytest.mark.parametrize(
    ("given", "is_told"), [({}, True), ({"grip_key": SECRET}, False), ({"dev": True}, False)]
)
def test_the_start_says_so(given: dict[str, Any], is_told: bool) -> None:
    settings: dict[str, Any] = {"dev": False, "control": "127.0.0.1:0", **given}
    with serve(origin=ORIGIN, **settings) as server:
        if is_told:
            server.output.find(re.compile("WARNING: Without a grip_key"), 10)
        else:
            server.output.find(re.compile("control is at"), 10)
    assert ("grip_key" in str(server.output)) is is_told


def test_the_doctor_says_so() -> None:
    free = ["--port", "0", "--dev", "--max-holds", "1", "--store", "memory://"]
    for more, levels in ([], ["warn"]), (["--grip-key", SECRET], []):
        result = pushhub("doctor", "--json", *free, "--origin", ORIGIN, *more)
        findings = json.loads(result.stdout)["findings"]
        assert [one["level"] for one in findings if one["check"] == "grip"] == levels
