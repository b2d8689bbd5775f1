"""The description of notifications for OpenAPI."""

from __future__ import annotations

from typing import Any

from pushhub.origin.shared.notifications import MAX_RESOURCES


def described(problems: dict[str, Any]) -> dict[str, Any]:
    """The path's operations; `problems` are the answers that every endpoint may give."""
    return {
        "post": {
            "operationId": "notify",
            "tags": ["Origin"],
            "summary": "Say that resources of the origin have changed",
            "description": "pushhub fetches each of them that somebody waits on, once, and answers"
            " every hold. A resource is a path as clients ask for it, with or without its query; a"
            " prefix with a final `*`; or a pattern with `{name}` for one segment. The key needs to"
            " publish to channels of these names.",
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["resources"],
                            "properties": {
                                "resources": {
                                    "type": "array",
                                    "items": {"type": "string", "pattern": "^/"},
                                    "minItems": 1,
                                    "maxItems": MAX_RESOURCES,
                                }
                            },
                        },
                        "example": {"resources": ["/orders/7", "/customers/*"]},
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "Every node will hear of it.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["notified"],
                                "properties": {"notified": {"type": "integer"}},
                            },
                            "example": {"notified": 2},
                        }
                    },
                },
                **problems,
            },
        }
    }
