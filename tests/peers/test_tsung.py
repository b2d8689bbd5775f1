"""tsung's users of XMPP over BOSH: a few of those whom `python -m benchmarks.tsung` lets come."""

import json
import subprocess
import sys
from pathlib import Path

from tests import outside

USERS = 10
# tsung waits for twenty seconds, whatever it is to do.
SECONDS = 100


def test_tsung_s_users_log_in_chat_and_log_out() -> None:
    outside.require("tsung")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tsung", "--users", str(USERS), "--rate", "10"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert not [name for name in found if name.startswith("error_")]
    assert found["finish_users_count"] == USERS
    assert found["tr_login"]["count"] == found["tr_roster"]["count"] == USERS
    assert found["tr_chat"]["count"] == 5 * USERS
