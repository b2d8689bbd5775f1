"""Error sentences for settings, with each setting's name as the user has spelled it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pushhub.settings.access import SHA256_PATTERN, ApiKey, TokenKey
from pushhub.settings.change_source import ChangeSource
from pushhub.settings.field import is_secret
from pushhub.settings.limits import Limit
from pushhub.settings.model import Settings
from pushhub.settings.namespace import Namespace
from pushhub.settings.route import Route
from pushhub.settings.xmpp import MECHANISM_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

# The tables inside settings, for suggestions about their keys.
_INSIDE: Mapping[str, type[BaseModel]] = {
    "namespaces": Namespace,
    "api_keys": ApiKey,
    "token_keys": TokenKey,
    "routes": Route,
    "limits": Limit,
    "sources": ChangeSource,
}

# pydantic's error type: what the setting is, completed from the error's context.
_RULES = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
}

# The rule of a text with a pattern, by the pattern.
_PATTERNS = {
    SHA256_PATTERN: "must be 64 hexadecimal digits in lower case",
    MECHANISM_PATTERN: "must be the name of a SASL mechanism, such as SCRAM-SHA-256",
}


class SettingsError(ValueError):
    """The settings are invalid; `sentences` has one sentence for each error."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def sentences(error: ValidationError, spell: Callable[[str], str]) -> list[str]:
    """One sentence for each error; `spell` returns a setting's name as the user has written it."""
    return [_sentence(mistake, spell) for mistake in error.errors(include_url=False)]


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known name, if there is one."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else "."


def _sentence(mistake: ErrorDetails, spell: Callable[[str], str]) -> str:
    loc = [part for part in mistake["loc"] if part != "[key]"]
    if not loc:  # the settings contradict each other
        return _stated(mistake)
    setting = str(loc[0])
    if mistake["type"] == "extra_forbidden":
        return _unknown(loc, spell)
    where = _where(loc, spell)
    rule = _RULES.get(mistake["type"])
    if mistake["type"] == "string_pattern_mismatch":
        rule = _PATTERNS[mistake["ctx"]["pattern"]]
    if rule is not None:
        sentence = f"{where} {rule.format(**mistake.get('ctx', {}))}"
        return f"{sentence}{_instead(setting, mistake)}."
    return f"{where}: {_stated(mistake)}"


def _unknown(loc: list[Any], spell: Callable[[str], str]) -> str:
    """A key inside a table; `load` has already looked for unknown settings."""
    known = _INSIDE[str(loc[0])].model_fields
    what = f"{_where(loc[:-1], spell)} has the unknown key"
    name = str(loc[-1])
    if name in Settings.model_fields:
        # In TOML all keys after a table's header belong to the table.
        return f"{what} {name!r}; that is a setting, and in a file they stand above any [table]."
    return f"{what} {name!r}{suggestion(name, known)}"


def _where(loc: list[Any], spell: Callable[[str], str]) -> str:
    """`token_keys[0].kid`, with the entries of a list counted from 0."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:])
    return spell(str(loc[0])) + path


def _stated(mistake: ErrorDetails) -> str:
    """The sentence of one of our own validators, without pydantic's words before it."""
    if isinstance(reason := mistake.get("ctx", {}).get("error"), ValueError):
        return str(reason)
    return mistake["msg"] + "."


def _instead(setting: str, mistake: ErrorDetails) -> str:
    """The given value, where it helps and cannot be a secret."""
    given, field = mistake["input"], Settings.model_fields.get(setting)
    if mistake["type"] == "missing" or field is None or is_secret(field):
        return ""
    return f", not {str(given)[:100]!r}" if isinstance(given, str | int | float) else ""
