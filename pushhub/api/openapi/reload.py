"""`POST /v1/reload` in the description of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def described(
    operation: Callable[..., dict[str, Any]], response: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """The operation, made by the functions of the document."""
    sentences = {"type": "array", "items": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {
            "changes": sentences,
            "needs_restart": sentences,
            "workers": {"type": "integer", "minimum": 0},
        },
        "required": ["changes", "needs_restart", "workers"],
    }
    return operation(
        "reload",
        "Operate",
        "Read the settings again",
        "API keys, token keys, limits, namespaces and routes, on all workers of this node, as on "
        "SIGHUP: all of them, or none if one is not valid. The response has a sentence for each "
        "change, and for each setting that needs a restart. The key must manage `*`.",
        responses={
            "200": response("The settings were read.", {"application/json": {"schema": schema}})
        },
        problems=("forbidden", "settings-rejected", "not-implemented"),
    )
