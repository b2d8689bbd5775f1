"""The error sentence for an address that a server cannot listen on."""

from __future__ import annotations

import errno
import http.client
import json

# The time for a response of the program at the address, which is on this machine.
RESPONSE_SECONDS = 2.0
# The paths of a hub's OpenAPI document: without an origin, and in front of one.
_DESCRIPTIONS = ("/openapi.json", "/_pushhub/openapi.json")
# The most bytes that are read of a document; a hub's has some 60 kB.
_MOST_BYTES = 1 << 20


def sentence(host: str, port: int, option: str, error: OSError) -> str:
    """The reason why the server cannot listen on `host` and `port`, and the remedy; `option` names
    the flag.
    """
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
    connect_to = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return any(_describes_hub(connect_to, port, path) for path in _DESCRIPTIONS)


def _describes_hub(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=RESPONSE_SECONDS)
    try:
        connection.request("GET", path)
        document = json.loads(connection.getresponse().read(_MOST_BYTES))
        return bool(document["info"]["title"] == "pushhub")
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False
    finally:
        connection.close()
