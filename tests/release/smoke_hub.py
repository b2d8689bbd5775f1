"""Use an installed pushhub: its command, its API for Python and its hub. Standard library only.

python -I smoke_hub.py ADDRESS VERSION
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ADDRESS, VERSION = sys.argv[1:]
SECONDS = 30


def ask(path: str, data: object = None, **headers: str) -> Any:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(ADDRESS + path, body, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        text = response.read()
    return json.loads(text) if path.startswith("/v1/") else text


def main() -> None:
    program = Path(sys.prefix) / "bin" / "pushhub"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"pushhub {VERSION}", said.stdout

    import pushhub

    assert Path(pushhub.__file__).is_relative_to(sys.prefix), pushhub.__file__
    assert callable(pushhub.PushHub)

    receipt = ask("/v1/channels/smoke/events", {"n": 1})
    assert receipt["duplicate"] is False, receipt
    read = ask("/v1/channels/smoke/events", None, Prefer="wait=5")
    assert [event["data"] for event in read["events"]] == [{"n": 1}], read
    # Files that a wheel may lack.
    for path in ("/client.js", "/client.mjs", "/demo", "/docs", "/openapi.json"):
        assert ask(path), path


main()
