"""`Hub.publish` is the one door to publish, which counts and observes. The server's own writes go
through `Hub.record`. No other module appends to the store.
"""

import ast
from collections.abc import Iterator

from tests.arch.sources import MODULES, tree

# The hub, the stores themselves, and programs of their own.
DOORS = ("pushhub/hub/", "pushhub/store/", "pushhub/testing/", "pushhub/doctor/")


def appends(node: ast.AST) -> Iterator[str]:
    """The calls and imports that append to a store."""
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and one.attr == "append":
            owner = ast.unparse(one.value)
            if owner.rpartition(".")[2].lstrip("_") == "store":
                yield f"line {one.lineno}: {owner}.append"
        elif isinstance(one, ast.ImportFrom) and one.module == "pushhub.store.base":
            yield from (f"line {one.lineno}" for alias in one.names if alias.name == "append")


def test_nothing_appends_around_the_hub() -> None:
    assert not {
        name: found
        for name in MODULES
        if not name.startswith(DOORS)
        if (found := list(appends(tree(MODULES[name]))))
    }


def test_an_append_is_found() -> None:
    source = "from pushhub.store.base import append\nself.hub.store.append([], done)"
    assert len(list(appends(ast.parse(source)))) == 2
