"""The settings as an operator may see them: each value, where it was set, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.settings import Settings
from pushhub.settings.field import is_secret
from pushhub.settings.reference import names, panel
from pushhub.settings.sources import env_name, flag_name
from pushhub.store.urls import without_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.settings.access import ApiKey, TokenKey

HIDDEN = "(set, and not shown)"


def shown(settings: Settings) -> list[dict[str, Any]]:
    """Every setting: its value without secrets, its origin, default, and how it can be set."""
    values = settings.model_dump(mode="json")
    return [
        {
            "name": name,
            "panel": panel(field),
            "meaning": str(field.description),
            "value": _safe(settings, name, values[name]) if is_secret(field) else values[name],
            "origin": settings.origin_of(name),
            "flag": flag_name(name),
            "variable": env_name(name),
        }
        for name in names()
        for field in [Settings.model_fields[name]]
    ]


def _safe(settings: Settings, name: str, value: Any) -> Any:
    """The visible part of a setting that can hold a secret. An unknown one is hidden."""
    match name:
        case "store":
            return without_password(settings.store)
        case "api_keys":
            return _keys(settings.api_keys)
        case "token_keys":
            return _token_keys(settings.token_keys)
    return HIDDEN if value else value


def _keys(keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
    return [key.model_dump(mode="json", exclude={"sha256"}) for key in keys]


def _token_keys(keys: Sequence[TokenKey]) -> list[dict[str, Any]]:
    return [{"algorithm": key.algorithm, "kid": key.kid, "key": HIDDEN} for key in keys]
