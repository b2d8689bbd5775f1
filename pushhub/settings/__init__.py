"""The settings: one model, filled from flags, environment and TOML."""

from pushhub.settings.access import ApiKey, TokenKey
from pushhub.settings.errors import SettingsError
from pushhub.settings.model import Settings
from pushhub.settings.namespace import Namespace
from pushhub.settings.route import Route
from pushhub.settings.sources import Loaded, load

__all__ = [
    "ApiKey",
    "Loaded",
    "Namespace",
    "Route",
    "Settings",
    "SettingsError",
    "TokenKey",
    "load",
]
