"""One vocabulary: each class has a name of its own, and words of the old dialect do not return."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.arch.sources import MODULES, ROOT, tree

GLOSSARY = ROOT / "docs" / "glossary.md"
MOST_TERMS = 40

# Word of a name → the field's term.
BANNED = {
    "answer": "response",
    "face": "endpoint",
    "wish": "request",
    "lobby": "context",
    "shelf": "channels",
    "doubt": "feed monitor",
    "passage": "exchange",
    "taker": "waiter",
    "verbatim": "raw response",
    "witness": "observer",
    "recall": "cache",
    "manner": "headers",
}

# More words, for every name in the rooms that are clean of them: functions, parameters, variables
# and attributes too. `ask` and `tell` say neither what is sent nor where to.
BANNED_EVERYWHERE = BANNED | {
    "answered": "replied, served or completed",
    "ask": "read, fetch or request",
    "asked": "request",
    "asking": "request",
    "deaf": "disconnected",
    "farewell": "end",
    "hear": "receive",
    "heard": "received",
    "look": "fetch or read",
    "notice": "notification",
    "tell": "notify or write",
    "told": "notified",
    "took": "received",
    "want": "request or read",
    "wanted": "requested",
    "who": "client",
    "whoever": "client",
    "wished": "requested",
}
CLEAN_ROOMS = {
    *("api", "auth", "console", "grip", "http", "hub", "log", "origin", "polls"),
    *("app.py", "runtime.py", "tasks.py", "telemetry.py"),
}


def words(name: str) -> set[str]:
    """The words of a name in snake or camel case, in lower case and without a plural's s."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {part.lower().removesuffix("s") for part in parts} | {part.lower() for part in parts}


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for name, path in MODULES.items():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_names_of_classes_and_modules_are_the_fields_terms() -> None:
    found = [
        f"{name}: {one}"
        for name, path in MODULES.items()
        for one in (
            path.stem,
            *(node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)),
        )
        if words(one) & BANNED.keys()
    ]
    assert not found


def names_in(path: Path) -> set[str]:
    """Every identifier that a module defines or uses."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                names.add(name)
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                names.add(name)
    return names


def test_clean_rooms_stay_clean() -> None:
    found = [
        f"{name}: {one}"
        for name, path in MODULES.items()
        if Path(name).parts[1] in CLEAN_ROOMS
        for one in sorted(names_in(path))
        if words(one) & BANNED_EVERYWHERE.keys()
    ]
    assert not found


def test_the_glossary_is_short() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY.read_text(), re.MULTILINE)
    assert 20 <= len(terms) <= MOST_TERMS
    assert len(set(terms)) == len(terms)


def test_no_test_is_named_by_an_id() -> None:
    """A reader of a failure has no table of ids."""
    tests = (ROOT / "tests").rglob("test_*.py")
    names = (
        name
        for path in tests
        if "node_modules" not in path.parts
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    )
    assert not [name for name in names if re.match(r"test_[A-Z]+[0-9]+_", name)]
