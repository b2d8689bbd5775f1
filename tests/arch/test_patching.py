"""An object is watched through its `observer`: no module overwrites a method of a live object, or
swaps its class.
"""

import ast

import pytest

from tests.arch.sources import MODULES, tree


def swaps(node: ast.AST) -> list[int]:
    """The lines that assign a class to an object."""
    return [
        one.lineno
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute)
        and isinstance(one.ctx, ast.Store)
        and one.attr == "__class__"
    ]


@pytest.mark.parametrize("name", MODULES)
def test_no_module_patches_objects(name: str) -> None:
    assert not swaps(tree(MODULES[name]))
    # mypy finds each assignment to a method; only this comment would let one pass.
    assert "method-assign" not in MODULES[name].read_text()


def test_a_swap_is_found() -> None:
    assert swaps(ast.parse("a = 1\nhold.__class__ = Traced")) == [2]
