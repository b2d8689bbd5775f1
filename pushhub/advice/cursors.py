"""A cursor in a URL: which parameter has it, and where the body has the next one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pushhub.log.json_body import JsonError, load

if TYPE_CHECKING:
    from pushhub.advice.observation import Observation, Survey

_SINCE = re.compile(r"(?i)(?:since|after|cursor|offset|from|last|min|start)(?:_?(?:id|seq|event))?")
_VERSION = re.compile(r"(?i)(?:version|rev|revision|index|known)")
_NEXT = re.compile(r"(?i)next(?:_?(?:cursor|since|id|offset))?|cursor|last(?:_?(?:id|seq))?|since")


def cursor_options(survey: Survey) -> dict[str, Any]:
    """The options of a route whose clients name a cursor in the query; empty without one."""
    if not survey.query or not survey.given:
        return {}
    root = _root(survey.given[-1])
    for name, value in parse_qsl(survey.query, keep_blank_values=True):
        if _VERSION.fullmatch(name) and name in root:
            return {"cursor": "version", "since_param": name, "version_field": name}
        if not _SINCE.fullmatch(name) or not value:
            continue
        options: dict[str, Any] = {"cursor": "since"}
        if name != "since":
            options["since_param"] = name
        nexts = [key for key, one in root.items() if _NEXT.fullmatch(key) and _is_scalar(one)]
        lists = [key for key, one in root.items() if isinstance(one, list)]
        if nexts:
            options["next_field"] = nexts[0]
        if len(lists) == 1:
            options["items_field"] = lists[0]
        if nexts or len(lists) == 1 or isinstance(_loaded(survey.given[-1]), list):
            return options
    return {}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _loaded(observation: Observation) -> Any:
    try:
        return load(observation.decoded)
    except JsonError:
        return None


def _root(observation: Observation) -> dict[str, Any]:
    root = _loaded(observation)
    return root if isinstance(root, dict) else {}
