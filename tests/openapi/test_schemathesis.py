"""schemathesis over openapi.json, against a real hub: no 500, and no undocumented status."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import outside
from tests.api.test_auth import ADMIN, KEYS, SECRET
from tests.serving import Server, serve

# scripts/attack makes more of them.
EXAMPLES = int(os.environ.get("PUSHHUB_SCHEMATHESIS_EXAMPLES", "10"))
SEED = "14"
# A wait of a poll lasts 55 s by default, which no test needs.
MAX_WAIT = 1


@pytest.fixture(scope="module", params=["open", "with a key", "without a key"])
def credential(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def described(credential: str) -> Iterator[Server]:
    settings = {"dev": True} if credential == "open" else {"dev": False, "api_keys": KEYS}
    with serve(
        "front",
        max_wait=MAX_WAIT,
        token_keys=[{"algorithm": "HS256", "key": SECRET}],
        **settings,
    ) as server:
        yield server
        server.check()


@pytest.mark.timeout(120 + 6 * EXAMPLES)
def test_every_response_is_documented(described: Server, credential: str, tmp_path: Path) -> None:
    program = Path(outside.require("schemathesis")) / "bin" / "schemathesis"
    base = f"http://127.0.0.1:{described.port}"
    header = ("-H", f"Authorization: Bearer {ADMIN}") if credential == "with a key" else ()
    done = subprocess.run(
        [
            *(str(program), "run", f"{base}/openapi.json", "--url", base, *header),
            *("--checks", "not_a_server_error,status_code_conformance"),
            *("--max-examples", str(EXAMPLES), "--seed", SEED, "--phases", "examples,fuzzing"),
            *("--request-timeout", "30", "--workers", "1", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d* generated", done.stdout) or "passed" in done.stdout
