"""`pushhub.log.grant.is_allowed` is the one check of rights: no other module reads the lists of a
grant to decide about a channel.
"""

import ast
from collections.abc import Iterator

from tests.arch.sources import MODULES, tree

CHECK = "pushhub/log/grant.py"


def own_checks(node: ast.AST) -> Iterator[str]:
    """The calls that decide by the lists of a grant."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
            name = ast.unparse(one.func)
            if one.func.attr == "allows" or name.endswith(
                (".read.match", ".publish.match", ".manage.match")
            ):
                yield f"line {one.lineno}: {name}"


def test_rights_are_checked_by_one_function() -> None:
    assert not {
        name: found
        for name in MODULES
        if name != CHECK
        if (found := list(own_checks(tree(MODULES[name]))))
    }


def test_a_check_is_found() -> None:
    source = "grant.allows(Action.READ, name)\nself.grant.read.match(name)"
    assert len(list(own_checks(ast.parse(source)))) == 2
