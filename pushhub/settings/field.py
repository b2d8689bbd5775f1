"""The declaration of a setting: its description, and its group in help and reference."""

from __future__ import annotations

from typing import Any

from pydantic import Field

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
    """A field. `unit` and `secret` are for the reference, for `config show` and for `_FILE`."""
    notes: dict[str, Any] = {"panel": panel}
    notes |= {key: extra.pop(key) for key in ("unit", "secret") if key in extra}
    return Field(description=description, json_schema_extra=notes, **extra)
