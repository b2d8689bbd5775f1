"""The description of the BOSH endpoint for OpenAPI. The bodies are defined by XMPP, not here."""

from __future__ import annotations

from typing import Any

_POLL = "<body xmlns='http://jabber.org/protocol/httpbind' rid='4711' sid='…'/>"
_NOTHING = "<body xmlns='http://jabber.org/protocol/httpbind'/>"


def _xml(example: str) -> dict[str, Any]:
    return {"text/xml": {"schema": {"type": "string"}, "example": example}}


def described() -> dict[str, Any]:
    """The path's operations."""
    return {
        "get": {
            "operationId": "boshPage",
            "tags": ["XMPP"],
            "summary": "A page that explains this URL",
            "responses": {
                "200": {
                    "description": "The page.",
                    "content": {"text/html": {"schema": {"type": "string"}}},
                },
                "404": {"description": "No XMPP domain is served here."},
            },
            "security": [{}],
        },
        "post": {
            "operationId": "bosh",
            "tags": ["XMPP"],
            "summary": "Chat with XMPP clients over BOSH",
            "description": "One request of a session of XEP-0124 and XEP-0206, as Strophe.js and "
            "Converse.js send it. The request is held until the server has data for the client. "
            "Errors are in the response body too: `type='terminate'` with a condition.",
            "requestBody": {"required": True, "content": _xml(_POLL)},
            "responses": {
                "200": {"description": "A `<body/>`.", "content": _xml(_NOTHING)},
                "400": {"description": "For clients without `ver`: bad-request."},
                "403": {"description": "For clients without `ver`: policy-violation."},
                "404": {
                    "description": "For clients without `ver`: item-not-found. Or no XMPP domain"
                    " is served here."
                },
                "413": {"description": "The body is larger than 256 KiB."},
            },
            "security": [{}],
        },
    }
