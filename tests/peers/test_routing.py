"""RFC 6121 §8.5 on pushhub and beside a real Prosody; see `routing_table`."""

from pathlib import Path

import pytest

from tests.peers.accounts import PASSWORD, make_accounts
from tests.peers.bosh_user import User
from tests.peers.routing_table import PROSODY, TABLE, accounts, played
from tests.peers.xmpp_servers import PeopledProsody, started
from tests.serving import serve


@pytest.mark.parametrize("driver", ["front", "asgi"])
def test_messages_go_where_the_rfc_says(driver: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    make_accounts(store, *accounts())
    with serve(driver, store) as server:
        did = played(lambda name, resource: User.login(server.port, name, PASSWORD, resource))
        server.check()
    assert {case: said for case, said in did.items() if said != TABLE[case][0]} == {}


def test_prosody_does_what_the_table_says_of_it() -> None:
    with started(PeopledProsody(accounts(), PASSWORD), "prosody") as server:
        did = played(lambda name, resource: User.login(server.port, name, PASSWORD, resource))
    wrong = {
        case: said
        for case, said in did.items()
        if said not in ((PROSODY[case],) if case in PROSODY else TABLE[case])
    }
    assert wrong == {}
