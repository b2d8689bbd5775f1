"""The description of the API, as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any


def document() -> dict[str, Any]:
    """The document that `/openapi.json` answers."""
    return {"openapi": "3.1.0", "info": {"title": "pushhub", "version": "0"}, "paths": {}}
