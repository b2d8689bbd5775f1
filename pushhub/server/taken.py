"""The sentence about an address that a server cannot listen on."""

from __future__ import annotations

import errno
import http.client
import json

# How long the program at the address may take to identify itself: it is on this machine.
ASK_SECONDS = 2.0
# Where a hub describes its API: alone, and in front of an origin.
_DESCRIPTIONS = ("/openapi.json", "/_pushhub/openapi.json")
# The most that is read of a description; a hub's has some 60 kB.
_MOST_BYTES = 1 << 20


def sentence(host: str, port: int, option: str, error: OSError) -> str:
    """Why nothing listens on `host` and `port` now, and what to do; `option` names the flag."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno != errno.EADDRINUSE:
        return f"{shown} cannot be listened on: {error.strerror}. Choose another {option}."
    if is_hub(host, port):
        return (
            f"A hub already runs at http://{shown}. Stop it (Ctrl-C in its terminal), or choose "
            f"another {option}."
        )
    return f"{shown} is in use by another program. Stop that program, or choose another {option}."


def is_hub(host: str, port: int) -> bool:
    """Whether the program that listens there is a pushhub."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return any(_describes_hub(reached, port, path) for path in _DESCRIPTIONS)


def _describes_hub(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", path)
        document = json.loads(connection.getresponse().read(_MOST_BYTES))
        return bool(document["info"]["title"] == "pushhub")
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False
    finally:
        connection.close()
