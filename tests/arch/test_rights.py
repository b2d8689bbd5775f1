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


# The ways of an event to a client, and the check of the grant in each.
DELIVERIES = {
    ("pushhub/hub/channel_hold.py", "GrantedHold", "complete"): "has_ended",
    ("pushhub/hub/stream.py", "EventStream", "next"): "has_ended",
    ("pushhub/server/http1/reader.py", "RequestReader", "serve_cached"): "has_ended",
    ("pushhub/xmpp/transport/stream.py", "XmppStream", "write"): "end_by_grant",
    ("pushhub/xmpp/transport/stream.py", "XmppStream", "receive"): "end_by_grant",
    ("pushhub/xmpp/transport/bosh_transport.py", "BoshTransport", "request"): "end_by_grant",
    ("pushhub/xmpp/xep/pubsub/subscribers.py", "Subscribers", "_notify"): "is_allowed",
}

# Objects with a method `hold` that counts bytes or requests.
COUNTERS = {"caller", "lease"}

# Polls without a grant: of the server itself, and of clients whose rights the origin decides about.
WITHOUT_GRANT = {
    # The application that the hub is a part of.
    "pushhub/embedding/subscriber.py",
    "pushhub/hub/subscription.py",
    "pushhub/origin/exchange.py",
    "pushhub/origin/grip/gateway.py",
    "pushhub/origin/grip/hold.py",
    "pushhub/origin/grip/position.py",
    "pushhub/origin/grip/stream.py",
    "pushhub/origin/shared/resource.py",
    "pushhub/xmpp/storage/key_value.py",
}


def calls(node: ast.AST) -> set[str]:
    """The names of the functions that a piece of code calls."""
    return {
        name.rpartition(".")[2]
        for one in ast.walk(node)
        if isinstance(one, ast.Call)
        for name in [ast.unparse(one.func)]
    }


def method(module: str, owner: str, name: str) -> ast.AST:
    (made,) = (
        each
        for one in tree(MODULES[module]).body
        if isinstance(one, ast.ClassDef) and one.name == owner
        for each in one.body
        if isinstance(each, ast.FunctionDef) and each.name == name
    )
    return made


def test_every_delivery_asks_the_grant_again() -> None:
    for (module, owner, name), check in DELIVERIES.items():
        assert check in calls(method(module, owner, name)), f"{owner}.{name} in {module}"


def test_every_poll_of_a_client_has_its_grant() -> None:
    """`hub.hold(poll)` without a grant is a wait that outlives its token."""
    found = set()
    for name, path in MODULES.items():
        if not name.startswith("pushhub/") or name.startswith("pushhub/testing/"):
            continue
        for one in ast.walk(tree(path)):
            if (
                isinstance(one, ast.Call)
                and isinstance(one.func, ast.Attribute)
                and one.func.attr == "hold"
                and ast.unparse(one.func.value).rpartition(".")[2].lstrip("_") not in COUNTERS
                and not any(keyword.arg == "grant" for keyword in one.keywords)
            ):
                found.add(name)
    assert found == WITHOUT_GRANT


def test_the_end_of_a_grant_is_decided_in_one_place() -> None:
    """No other module compares `expires` of a grant, or reads the mark of a credential."""
    allowed = {CHECK, "pushhub/auth/revocation.py"}
    found = {
        name
        for name, path in MODULES.items()
        if name not in allowed
        for one in ast.walk(tree(path))
        if isinstance(one, ast.Attribute)
        and (one.attr == "revoked" or (one.attr == "expires" and _is_compared(one, tree(path))))
    }
    assert not found


def _is_compared(node: ast.Attribute, whole: ast.AST) -> bool:
    """Whether an attribute is a side of `<`, `<=`, `>` or `>=`."""
    return any(
        isinstance(one, ast.Compare)
        and any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in one.ops)
        and any(node is side for side in (one.left, *one.comparators))
        for one in ast.walk(whole)
    )
