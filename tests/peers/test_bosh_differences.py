"""docs/bosh-peers.md says what pushhub, Prosody and ejabberd do, and who is right."""

import re
from contextlib import ExitStack

import pytest

from tests.peers.bosh_differences import PAGE, ROW, SAME, listed, play, played, table
from tests.peers.xmpp_servers import SERVERS, xmpp_server

RULES = set(re.findall(r"^\| ([A-Q]\d+) \|", (PAGE.parent / "bosh.md").read_text(), re.MULTILINE))
# ejabberd's processes take turns as they like: what came otherwise than the page says is played
# again.
TRIES = 5


def test_every_case_is_on_the_page_once() -> None:
    found = SAME.search(PAGE.read_text())
    assert found is not None
    same = re.findall(r"`(\w+)`", found[1])
    named = [*table(), *same]
    assert sorted(named) == sorted(case.name for case in listed())


@pytest.mark.parametrize("case", list(table()))
def test_every_difference_is_judged_by_a_rule(case: str) -> None:
    row = next(row for row in ROW.finditer(PAGE.read_text()) if row[1] == case)
    cited = re.findall(r"\b([A-Q]\d+)\b", row[5])
    assert cited
    assert set(cited) <= RULES
    assert re.match(r"(pushhub|Prosody|ejabberd|all)\b", row[5])
    # We would mend it.
    assert row[5].startswith(("pushhub", "all"))
    assert len(table()[case]["pushhub"]) == 1


def test_the_servers_do_as_the_page_says() -> None:
    said = table()
    with ExitStack() as stack:
        ports = {name: stack.enter_context(xmpp_server(name)).port for name in SERVERS}
        found = played(ports)
        for case in listed():
            same = case.name not in said
            expected = said.get(case.name, {})
            for name, came in found[case.name].items():
                allowed = {found[case.name]["pushhub"]} if same else expected[name]
                tries = TRIES
                while came not in allowed and tries:
                    came = play(case, ports[name])
                    tries -= 1
                assert came in allowed, f"{case.name}: {name} does otherwise"
