"""A response that says that the store is away also says when to come back."""

import ast
from typing import Any

from pushhub.api.bosh_handler import BoshHold
from tests.arch.sources import MODULES, tree


def refusals() -> list[tuple[str, ast.Call]]:
    """Each call in the package that makes a problem `store-unavailable`."""
    return [
        (f"{name}:{node.lineno}", node)
        for name, path in MODULES.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Problem"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value == "store-unavailable"
    ]


def test_every_problem_of_the_store_has_retry_after() -> None:
    found = refusals()
    assert len(found) >= 3
    silent = [
        place
        for place, call in found
        if not any(
            word.arg == "headers" and "retry_after" in ast.dump(word) for word in call.keywords
        )
    ]
    assert not silent


def test_a_bosh_request_that_must_be_sent_again_has_retry_after() -> None:
    completed: list[Any] = []

    class Recorded(BoshHold):
        gzip = False

        def __init__(self) -> None:
            pass

        def complete(self, reply: Any) -> bool:
            completed.append(reply)
            return True

    hold = Recorded()
    hold.respond(b"", 503)
    hold.respond(b"<body/>")
    assert [dict(reply.headers).get(b"retry-after") for reply in completed] == [b"1", None]
    # Also in the content type that a client has asked for.
    hold.respond(b"", 503, "application/xml")
    assert dict(completed[-1].headers)[b"retry-after"] == b"1"
