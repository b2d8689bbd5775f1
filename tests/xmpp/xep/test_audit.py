"""The requests of PubSub that change a node leave a line in the audit log."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.xep.pubsub import AUDITED, OWNER_ACTIONS
from tests.xmpp.world import World
from tests.xmpp.xep.test_pubsub import SERVICE, pubsub

NODE = "news:eu"
FORM = f"<x xmlns='{ns.DATA}' type='submit'><field var='pubsub#title'><value>T</value></field></x>"
REQUESTS = {
    "pubsub.create": pubsub(f"<create node='{NODE}'/>"),
    "pubsub.configure": pubsub(f"<configure node='{NODE}'>{FORM}</configure>", owner=True),
    "pubsub.affiliate": pubsub(
        f"<affiliations node='{NODE}'>"
        "<affiliation jid='romeo@localhost' affiliation='outcast'/></affiliations>",
        owner=True,
    ),
    "pubsub.delete": pubsub(f"<delete node='{NODE}'/>", owner=True),
}


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    """The lines of the logger `pushhub.audit`."""
    lines: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(record.getMessage()))

    logger, handler = logging.getLogger("pushhub.audit"), Kept()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_every_request_that_changes_a_node_has_an_action() -> None:
    assert {name for kind, name in OWNER_ACTIONS if kind == "set"} <= {name for _, name in AUDITED}
    assert set(AUDITED.values()) == REQUESTS.keys()


async def test_a_change_leaves_a_line(small: World, records: list[dict[str, Any]]) -> None:
    await small.account("juliet")
    juliet = await (await small.user("juliet")).available()
    for action, request in REQUESTS.items():
        before = len(records)
        answer = await juliet.ask("set", request, SERVICE)
        assert answer.get("type") == "result", answer
        (record,) = records[before:]
        assert (record["action"], record["outcome"]) == (action, "ok")
        assert (record["actor"]["type"], record["actor"]["id"]) == ("account", "juliet@localhost")
        assert record["target"]["id"] == NODE


async def test_a_refused_change_leaves_a_line(small: World, records: list[dict[str, Any]]) -> None:
    await small.account("juliet")
    juliet = await (await small.user("juliet")).available()
    await juliet.ask("set", REQUESTS["pubsub.create"], SERVICE)
    guest = await (await small.user()).available()
    outcast = REQUESTS["pubsub.affiliate"].replace("romeo@localhost", guest.bare)
    await juliet.ask("set", outcast, SERVICE)
    before = len(records)
    with structlog.testing.capture_logs() as logged:
        answer = await guest.iq("set", REQUESTS["pubsub.delete"], SERVICE)
    assert answer.get("type") == "error"
    (record,) = records[before:]
    assert (record["action"], record["outcome"]) == ("pubsub.delete", "refused")
    (line,) = [each for each in logged if each["event"] == "auth.refused"]
    assert line["account"] == record["actor"]["id"]
