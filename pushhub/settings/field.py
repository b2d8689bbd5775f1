"""The declaration of a setting: its description, and its group in help and reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# The panels of `--help` and the tables of the reference, in their order.
SERVER = "Server"
ORIGIN = "Origin"
CHANNELS = "Channels"
XMPP = "XMPP"
ACCESS = "Access"
LIMITS = "Limits"
LEAVING = "Leaving"
LOGS = "Logs and metrics"
PANELS = (SERVER, ORIGIN, CHANNELS, XMPP, ACCESS, LIMITS, LEAVING, LOGS)


def setting(panel: str, description: str, **extra: Any) -> Any:
    """A field. `unit`, `secret` and `reload` are for the reference, for `config show`, for
    `…_FILE` and for reloads. A secret is left out of `repr`.
    """
    notes: dict[str, Any] = {"panel": panel}
    notes |= {key: extra.pop(key) for key in ("unit", "secret", "reload") if key in extra}
    if notes.get("secret"):
        extra["repr"] = False
    return Field(description=description, json_schema_extra=notes, **extra)


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting can hold a secret, and so can be read from a file."""
    return _noted(field, "secret")


def is_reloaded(field: FieldInfo) -> bool:
    """Whether a reload takes the present value of a setting, without a restart."""
    return _noted(field, "reload")


def _noted(field: FieldInfo, note: str) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get(note))
