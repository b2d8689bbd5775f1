"""Modules that import each other, for types too, come in pairs at most. `ROOMS` lists the rooms
that keep this rule."""

import ast
from functools import cache

from tests.arch.test_structure import MODULES, tree

ROOMS = ("pushhub.bosh", "pushhub.xmpp")
MOST_MODULES = 2

NAMES = {
    name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path
    for name, path in MODULES.items()
}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the package that a module imports, at run time or for types."""
    found: set[str] = set()
    for node in ast.walk(tree(NAMES[module])):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in NAMES else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return frozenset(found & NAMES.keys() - {module})


@cache
def reachable(module: str) -> frozenset[str]:
    """All modules that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports(waiting.pop()) - found
        found |= new
        waiting += new
    return frozenset(found)


def test_import_circles_have_two_modules() -> None:
    modules = [name for name in NAMES if name.startswith(ROOMS)]
    circles = {
        frozenset({other for other in reachable(name) if name in reachable(other)} | {name})
        for name in modules
    }
    assert [sorted(circle) for circle in circles if len(circle) > MOST_MODULES] == []
