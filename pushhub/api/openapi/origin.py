"""The description of notifications for OpenAPI."""

from __future__ import annotations

from typing import Any

from pushhub.origin.shared.notifications import MAX_RESOURCES


def described(problems: dict[str, Any]) -> dict[str, Any]:
    """The path's operations; `problems` are the error responses of every endpoint."""
    return {
        "post": {
            "operationId": "notify",
            "tags": ["Origin"],
            "summary": "Notify of changed resources of the origin",
            "description": "pushhub fetches each resource with waiting requests once, and "
            "completes every hold. A resource is a path as clients request it, with or without its "
            "query; a prefix with a final `*`; or a pattern with `{name}` for one segment. The key "
            "needs to publish to channels of these names.",
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
                    "description": "Every node receives the notification.",
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
