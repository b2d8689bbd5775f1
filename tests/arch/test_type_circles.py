"""Imports for type checkers may point both ways, but in pairs only: a circle of three modules means
that a reader must know all of them to know one.
"""

import ast
from collections.abc import Iterator

from tests.arch.sources import MODULES, tree

MOST_FILES = 2


def dotted(module: str) -> str:
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


NAMES = {dotted(module): module for module in MODULES}


def imported(module: str) -> Iterator[str]:
    """The modules that a module imports, for types too."""
    for node in ast.walk(tree(MODULES[module])):
        if isinstance(node, ast.Import):
            yield from (NAMES[alias.name] for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found = NAMES.get(name) or NAMES.get(node.module)
                if found is not None and found != module:
                    yield found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one module (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph[node]:
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            circle = set()
            while node not in circle:
                circle.add(stack.pop())
            if len(circle) > 1:
                found.append(circle)

    for node in graph:
        if node not in order:
            visit(node)
    return found


# The public names, which are imported when they are used.
DOOR = "pushhub/__init__.py"


def test_a_circle_of_types_has_two_modules() -> None:
    graph = {module: set(imported(module)) - {DOOR} for module in MODULES}
    assert not [sorted(circle) for circle in circles(graph) if len(circle) > MOST_FILES]


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set[str]()}
    assert circles(graph) == [{"a", "b", "c"}]
