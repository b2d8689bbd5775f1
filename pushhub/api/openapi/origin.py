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
            "security": [{"bearer": []}, {"basic": []}, {"cookie": []}, {}],
            "parameters": [
                {
                    "name": "resources",
                    "in": "query",
                    "description": "The resources, separated by commas; the body may then be "
                    "anything, such as the JSON of another service. A comma, `&` and `%` of a path "
                    "are percent-encoded.",
                    "schema": {"type": "string"},
                    "example": "/orders/7,/customers/*",
                },
                {
                    "name": "source",
                    "in": "query",
                    "description": "A webhook of the setting `sources`: its signature takes the "
                    "place of a key, and it may notify the resources that it is configured for.",
                    "schema": {"type": "string"},
                    "example": "forge",
                },
            ],
            "requestBody": {
                "required": False,
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
                    },
                    "*/*": {"schema": {}},
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
