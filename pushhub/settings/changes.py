"""What a reload changes: the settings to use from now on, and one sentence for each change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pushhub.settings.errors import SettingsError
from pushhub.settings.field import is_reloaded, is_secret
from pushhub.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from pushhub.settings.access import ApiKey, TokenKey
    from pushhub.settings.change_source import ChangeSource
    from pushhub.settings.namespace import Namespace
    from pushhub.settings.route import Route

RELOADED = tuple(name for name, field in Settings.model_fields.items() if is_reloaded(field))

# More sentences would help nobody, and 10,000 keys may change together.
MAX_SENTENCES = 100


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The result of a reload: the settings to use, and sentences about the differences."""

    settings: Settings
    changes: tuple[str, ...]
    needs_restart: tuple[str, ...]


def reloaded(present: Settings, read: Settings) -> Reloaded:
    """The present settings with the reloadable ones of the settings that were read.

    Raises:
        SettingsError: a new value relies on another setting, whose new value needs a restart.
    """
    differing = [
        name for name in Settings.model_fields if getattr(read, name) != getattr(present, name)
    ]
    taken = [name for name in differing if name in RELOADED]
    if is_behind(read) != is_behind(present):
        # With an origin all of pushhub's own routes have a prefix.
        taken = [name for name in taken if name != "routes"]
    kept = [name for name in differing if name not in taken]
    settings = present.model_copy(update={name: getattr(read, name) for name in taken})
    settings._origins.update({name: read.origin_of(name) for name in taken})
    try:
        Settings.model_validate(dict(settings))
    except ValidationError:
        what = " and ".join(kept)
        raise SettingsError(
            f"The new settings rely on {what or 'each other'}, which needs a restart."
        ) from None
    changes = [sentence for name in taken for sentence in _sentences(name, present, settings)]
    return Reloaded(
        settings,
        _bounded(changes),
        tuple(f"{name} has changed, and needs a restart." for name in kept),
    )


def is_behind(settings: Settings) -> bool:
    """Whether there is a server behind pushhub."""
    return settings.origin is not None or bool(settings.routes)


def closed_channels(old: Settings, new: Settings) -> Callable[[str], bool] | None:
    """Whether a channel was public and is no longer, as a function of its name; None if there is
    no such channel. The grants of keys end by themselves.
    """
    own = {name: its.public for name, its in old.namespaces.items() if its.public is not None}
    new_own = {name: its.public for name, its in new.namespaces.items() if its.public is not None}
    if (old.public and not new.public) or own != new_own:
        return lambda channel: old.is_public(channel) and not new.is_public(channel)
    return None


def _bounded(sentences: list[str]) -> tuple[str, ...]:
    if len(sentences) <= MAX_SENTENCES:
        return tuple(sentences)
    more = len(sentences) - MAX_SENTENCES
    return (*sentences[:MAX_SENTENCES], f"There are {more} other changes.")


def _sentences(name: str, old: Settings, new: Settings) -> Iterable[str]:
    before, now = getattr(old, name), getattr(new, name)
    match name:
        case "api_keys":
            return _compared(_keys(before), _keys(now), _key_change)
        case "token_keys":
            return _compared(_token_keys(before), _token_keys(now), _token_key_change)
        case "namespaces":
            return _compared(_namespaces(before), _namespaces(now), _namespace_change)
        case "sources":
            return _compared(_sources(before), _sources(now), _source_change)
        case "routes":
            return _compared(_routes(before), _routes(now), _route_change)
    if is_secret(Settings.model_fields[name]):
        return [f"{name} has changed."]
    return [f"{name} is {now!r} instead of {before!r}."]


def _compared(
    before: Mapping[Hashable, tuple[str, Any]],
    now: Mapping[Hashable, tuple[str, Any]],
    change: Callable[[Any, Any], str],
) -> Iterable[str]:
    """A sentence for each entry that is new, absent or different. Entries are by what names them,
    each with this name in words.
    """
    for key, (what, _) in before.items():
        if key not in now:
            yield f"{what} was removed."
    for key, (what, entry) in now.items():
        if key not in before:
            yield f"{what} was added."
        elif before[key][1] != entry:
            yield f"{what} {change(before[key][1], entry)}."
    if list(before) != list(now) and set(before) == set(now):
        yield "The order has changed."


def _keys(keys: list[ApiKey]) -> dict[Hashable, tuple[str, Any]]:
    return {key.name: (f"The API key {key.name!r}", key) for key in keys}


def _key_change(old: ApiKey, new: ApiKey) -> str:
    rights = [
        f"{action} {', '.join(getattr(new, action)) or 'nothing'}"
        for action in ("read", "publish", "manage")
        if getattr(old, action) != getattr(new, action)
    ]
    secret = [] if old.sha256 == new.sha256 else ["has another secret"]
    return " and ".join([*secret, *([f"may now {'; '.join(rights)}"] if rights else [])])


def _token_keys(keys: list[TokenKey]) -> dict[Hashable, tuple[str, Any]]:
    named: dict[Hashable, tuple[str, Any]] = {}
    for index, key in enumerate(keys):
        what = f"{key.algorithm} {key.kid!r}" if key.kid else f"{key.algorithm} (number {index})"
        named[key.algorithm, key.kid or index] = (f"The token key {what}", key)
    return named


def _token_key_change(old: TokenKey, new: TokenKey) -> str:
    return "has another key" if old.material() != new.material() else "is read from elsewhere"


def _namespaces(named: dict[str, Namespace]) -> dict[Hashable, tuple[str, Any]]:
    return {name: (f"The namespace {name!r}", its) for name, its in named.items()}


def _namespace_change(old: Namespace, new: Namespace) -> str:
    changed = [
        f"{name} {getattr(new, name)} instead of {getattr(old, name)}"
        for name in type(new).model_fields
        if getattr(old, name) != getattr(new, name)
    ]
    return f"has {', '.join(changed)}"


def _sources(sources: list[ChangeSource]) -> dict[Hashable, tuple[str, Any]]:
    return {source.name: (f"The source {source.name!r}", source) for source in sources}


def _source_change(old: ChangeSource, new: ChangeSource) -> str:
    changed = [name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)]
    return f"has another {', '.join(changed) or 'secret'}"


def _routes(routes: list[Route]) -> dict[Hashable, tuple[str, Any]]:
    return {(r.host, r.path): (f"The route of {r.host} {r.path}", r) for r in routes}


def _route_change(old: Route, new: Route) -> str:
    changed = [
        f"{name} {getattr(new, name)!r}"
        for name in type(new).model_fields
        if getattr(old, name) != getattr(new, name)
    ]
    return f"has another {', '.join(changed)}"
