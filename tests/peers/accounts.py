"""Accounts as their operator makes them: by `pushhub user add`."""

import os
import subprocess
import sys

PASSWORD = "wherefore art thou"


def make_accounts(store: str, *names: str) -> None:
    """Make accounts of the domain localhost in a store that no server has open."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    environ |= {"PUSHHUB_STORE": store, "PUSHHUB_DEV": "true"}
    for name in names:
        subprocess.run(
            [sys.executable, "-m", "pushhub", "user", "add", f"{name}@localhost"],
            input=PASSWORD + "\n",
            env=environ,
            text=True,
            check=True,
            capture_output=True,
        )
