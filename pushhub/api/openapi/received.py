"""`GET /v1/request` in the description of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = {"type": ["string", "null"]}
_SCHEMA = {
    "type": "object",
    "properties": {
        "process": {"type": "string", "description": "The host and the process."},
        "version": {"type": "string", "description": "The version of pushhub."},
        "client": {"type": "string", "description": "The client's address, for the limits."},
        "secure": {"type": "boolean", "description": "Whether the client uses TLS."},
        "http": _TEXT | {"description": "The version of the request, `1.0` or `1.1`."},
        "peer": _TEXT | {"description": "The address and port of the connection."},
        "peer_trusted": {"type": "boolean", "description": "Whether it is a trusted proxy."},
        "forwarded_for": _TEXT | {"description": "`X-Forwarded-For` as received."},
        "forwarded_proto": _TEXT | {"description": "`X-Forwarded-Proto` as received."},
        "keep_alive_seconds": {"type": "number"},
        "max_wait": {"type": "integer"},
        "holds": {"type": "integer", "description": "With `channel`."},
        "connections": {
            "type": "array",
            "description": "With `peers`.",
            "items": {
                "type": "object",
                "properties": {
                    "peer": {"type": "string"},
                    "open": {"type": "boolean"},
                    "idle_seconds": {"type": ["number", "null"]},
                },
                "required": ["peer", "open", "idle_seconds"],
            },
        },
    },
    "required": ["process", "version", "client", "secure", "keep_alive_seconds", "max_wait"],
}


def described(
    operation: Callable[..., dict[str, Any]], response: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """The operation, made by the functions of the document."""
    described = operation(
        "request",
        "Operate",
        "See how a request arrives",
        "The client, the connection and the version as the hub sees them behind all proxies. "
        "`pushhub doctor --through` uses it. The key must manage a channel.",
        responses={"200": response("The request.", {"application/json": {"schema": _SCHEMA}})},
        problems=("bad-channel", "forbidden"),
    )
    return described | {
        "parameters": [
            _parameter("channel", "Adds `holds`: the requests that wait on it in this process."),
            _parameter(
                "peers",
                "Addresses and ports of earlier requests to this URL, separated by commas. Adds "
                "`connections`: whether each is open, and how long it was idle when it was closed.",
            ),
        ]
    }


def _parameter(name: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": {"type": "string"}}
