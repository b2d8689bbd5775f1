"""The description of `POST /v1/tokens/revoke`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TIME = {"type": "number", "description": "Seconds since 1970."}
_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
_BODY = {
    "type": "object",
    "properties": {
        "jti": _NAME | {"description": "The id of one token."},
        "exp": _TIME | {"description": "With `jti`: the `exp` of the token."},
        "sub": _NAME | {"description": "The subject of tokens."},
        "before": _TIME | {"description": "With `sub`: tokens with an earlier `iat`; now."},
        "key": _NAME | {"description": "The name of an API key."},
        "reason": {"type": "string", "maxLength": 255, "description": "For the log."},
    },
    "oneOf": [{"required": ["jti"]}, {"required": ["sub"]}, {"required": ["key"]}],
}
_ENTRY = {
    "type": "object",
    "properties": {
        "jti": _NAME,
        "sub": _NAME,
        "key": _NAME,
        "before": _TIME,
        "until": {"type": ["number", "null"], "description": "The end of the entry, if any."},
        "reached": {
            "enum": ["memory", "replicated", "fsync"],
            "description": "The level that the entry has reached, where `ack` asks for more than "
            "`memory`. With `memory` a failover may lose it: send it again.",
        },
    },
    "required": ["before", "until"],
}


def described(operation: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The operation, made by the `_operation` of the document."""
    return operation(
        "revoke",
        "Manage",
        "Revoke a token, the tokens of a subject, or an API key",
        "Holds, streams and BOSH sessions that rest on it end within a second on every node, and "
        "later requests are refused. The request needs a credential that manages `*`.",
        body={"application/json": {"schema": _BODY, "example": {"sub": "juliet"}}},
        responses={
            "200": {
                "description": "The entry is in the log.",
                "content": {"application/json": {"schema": _ENTRY}},
            }
        },
        problems=("bad-body", "unsupported-coding", "forbidden", "store-unavailable"),
    )
