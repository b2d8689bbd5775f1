"""No function inside another one names itself: its closure would be a cycle, which keeps what it
holds until a collection that hardly ever runs (`server/collector.py`).
"""

import ast
from collections.abc import Iterator

import pytest

from tests.arch.sources import MODULES, tree


def self_naming(node: ast.AST, inside: bool = False) -> Iterator[str]:
    """The functions within functions whose bodies name them."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if inside and any(names(part, child.name) for part in child.body):
                    yield f"{child.name}, line {child.lineno}"
                yield from self_naming(child, inside=True)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as made):
                if inside and names(made.body, name):
                    yield f"{name}, line {child.lineno}"
                yield from self_naming(child, inside)
            case ast.ClassDef():
                yield from self_naming(child)
            case _:
                yield from self_naming(child, inside)


def names(node: ast.AST, name: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(node))


@pytest.mark.parametrize("name", MODULES)
def test_no_closure_names_itself(name: str) -> None:
    assert not list(self_naming(tree(MODULES[name])))


def test_one_that_does_is_found() -> None:
    found = list(self_naming(ast.parse("def f():\n def g():\n  h(g)\n k = lambda: k()")))
    assert found == ["g, line 2", "k, line 4"]
