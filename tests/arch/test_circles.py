"""Imports for types may run in a circle between two modules, and never between more."""

import ast
from collections.abc import Mapping

import pytest

from tests.arch.test_structure import MODULES, tree

# Rooms whose type-only circles are untied.
ROOMS = ("pushhub.grip", "pushhub.origin")


def imports() -> dict[str, set[str]]:
    """The modules that each module imports, also under `TYPE_CHECKING`."""
    names = {
        path.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path
        for path in MODULES
    }
    graph = {}
    for name, path in names.items():
        graph[name] = {
            imported if imported in names else node.module
            for node in ast.walk(tree(MODULES[path]))
            if isinstance(node, ast.ImportFrom) and node.module in names
            for imported in (f"{node.module}.{alias.name}" for alias in node.names)
        } - {name}
    return graph


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """The modules that `start` imports, directly or not."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen


def circle(graph: Mapping[str, set[str]], name: str) -> set[str]:
    """The modules that import each other with `name`, directly or not."""
    importers: dict[str, set[str]] = {each: set() for each in graph}
    for importer, imported in graph.items():
        for each in imported:
            importers[each].add(importer)
    return {name} | (reachable(graph, name) & reachable(importers, name))


GRAPH = imports()


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_has_more_than_two_modules(room: str) -> None:
    modules = [name for name in GRAPH if f"{name}.".startswith(f"{room}.")]
    circles = {frozenset(circle(GRAPH, name)) for name in modules}
    assert not [sorted(names) for names in circles if len(names) > 2]


def test_a_longer_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circle(graph, "b") == {"a", "b", "c"}
    assert circle(graph, "d") == {"d"}
