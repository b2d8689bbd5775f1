"""`Hub.publish` is the one door to publish, which counts and observes. The server's own writes, to
its own channels, go through `Hub.record`. No other module appends to the store.
"""

import ast
from collections.abc import Iterator

import pytest

from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended
from tests.arch.sources import MODULES, tree
from tests.hub.scripted import opened

# The hub, the stores themselves, and programs of their own.
DOORS = ("pushhub/hub/", "pushhub/store/", "pushhub/testing/", "pushhub/doctor/")


# The modules that write the server's own records by `Hub.record`, and what these are.
RECORDS = {
    "pushhub/api/audit.py": "audit lines, if the store keeps them",
    "pushhub/api/revocation_register.py": "revocations",
    "pushhub/api/tickets.py": "the secret of tickets, and used tickets",
    "pushhub/canary/listener.py": "events of the canary, published over HTTP",
    "pushhub/cli/audit.py": "audit lines of commands",
    "pushhub/console/agent.py": "requests and replies between the consoles of processes",
    "pushhub/embedding/wakes.py": "wakes of endpoints that wait, without data",
    "pushhub/origin/shared/fetch_claims.py": "which node fetches a resource",
    "pushhub/origin/shared/fetch_pace.py": "the demands of nodes, and their shares of a budget",
    "pushhub/origin/shared/resource_channel.py": "representations of shared resources",
    "pushhub/xmpp/cluster/gc.py": "the sessions that left a node",
    "pushhub/xmpp/cluster/membership.py": "messages between nodes",
    "pushhub/xmpp/storage/key_value.py": "accounts, rosters, markers and other values",
}


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


def records(node: ast.AST) -> bool:
    """Whether a module writes records."""
    return any(
        isinstance(one, ast.Attribute)
        and one.attr in ("record", "recorded")
        and ast.unparse(one.value).rpartition(".")[2].lstrip("_") == "hub"
        for one in ast.walk(node)
    )


def test_only_the_servers_own_records_are_not_counted() -> None:
    assert {
        name for name in MODULES if not name.startswith(DOORS) if records(tree(MODULES[name]))
    } == RECORDS.keys()


@pytest.mark.parametrize("channel", ["news", "news:eu", "_"])
async def test_a_record_is_on_a_channel_of_the_server(channel: str) -> None:
    async with opened() as hub:
        with pytest.raises(AssertionError, match=channel):
            await hub.recorded(Append(channel, Draft(b"{}")))
        (outcome,) = await hub.recorded(Append("$" + channel, Draft(b"{}")))
        assert isinstance(outcome, Appended)
        assert hub.stats.publish_ok == 0


def test_an_append_is_found() -> None:
    source = "from pushhub.store.base import append\nself.hub.store.append([], done)"
    assert len(list(appends(ast.parse(source)))) == 2
