"""Chromium and what drives it, as tests use them."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests import outside

FOLDER = Path(__file__).parent
SECONDS = 400  # pictures take minutes; pytest ends a test after 120 s


def drive(scenario: str, **arguments: Any) -> Any:
    """Run a scenario; what it returns. On no page may anything break its policy or fail.

    `url` is the hub's, `far` that of another node.
    """
    node, chromium = outside.require("node"), outside.require("chromium")
    outside.require("pages")
    given = json.dumps({"chromium": chromium, **arguments})
    done = subprocess.run(
        [node, "drive.mjs", scenario, given],
        cwd=FOLDER,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["violations"] == [], "the pages keep to their Content Security Policy"
    assert found["errors"] == []
    ours = (arguments["url"], arguments.get("far", "data:"), "data:")
    elsewhere = [url for url in found["requests"] if not url.startswith(ours)]
    assert elsewhere == [], "the pages load nothing from elsewhere"
    if "key" in arguments and not arguments.get("key_in_address"):
        assert not [url for url in found["requests"] if arguments["key"] in url]
    return found["result"]
