"""Behaviour of a session beside the transcripts: its ends, its bounds, its migration."""

import json
import tracemalloc

import pytest

from pushhub.bosh.action import Ended, Respond
from pushhub.bosh.body import EMPTY, parse
from pushhub.bosh.checks import MAX_REPEATS
from pushhub.bosh.condition import BoshCondition
from pushhub.bosh.negotiation import BoshPolicy
from pushhub.bosh.outbox import MAX_QUEUED, MAX_RESPONSE_BYTES
from pushhub.bosh.session import BoshSession
from pushhub.bosh.window import MAX_UNACKNOWLEDGED
from pushhub.xml import MAX_DEPTH, Element
from tests.bosh.machine import Machine, Member, body
from tests.bosh.transcript import Player
from tests.memory import kept

MESSAGE = "<message xmlns='jabber:client' id='m'/>"


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def player(machine: Machine) -> Player:
    player = Player(machine)
    player.do_login("")
    return player


def ended(machine: Machine) -> Ended:
    member: Member = machine.last
    assert member.ended is not None
    return member.ended


def ids(elements: tuple[Element, ...]) -> list[str | None]:
    return [element.get("id") for element in elements]


# -- ends ----------------------------------------------------------------------


def test_a_client_keeps_its_session_after_the_wake_up_of_a_hidden_tab(
    machine: Machine, player: Player
) -> None:
    # What Chrome does to the timers of a hidden tab: one wake-up is late, and one is missed.
    for silence in (59.9, 60.5, 119.9):
        machine.turn(silence)
        assert machine.last.ended is None
        player.do_send(f"a{silence}")
        machine.turn(55)
        player.see_empty(f"a{silence}", "")


def test_undelivered_elements_are_returned(machine: Machine, player: Player) -> None:
    machine.put(MESSAGE)
    machine.turn(151)
    assert ended(machine).reason == "inactivity"
    assert ids(ended(machine).undelivered) == ["m"]


def test_a_response_without_a_later_request_is_unconfirmed(
    machine: Machine, player: Player
) -> None:
    player.do_send("a")
    machine.put(MESSAGE)
    assert b"message" in machine.replies["a"].body
    machine.turn(151)
    assert ended(machine).undelivered == ()
    assert ids(ended(machine).unconfirmed) == ["m"]


def test_a_response_with_a_later_request_is_confirmed(machine: Machine, player: Player) -> None:
    player.do_send("a")
    machine.put(MESSAGE)
    player.do_send("b")
    player.do_hangup("b")
    machine.turn(151)
    assert ended(machine).reason == "inactivity"
    assert ended(machine).unconfirmed == ()


def test_a_late_request_confirms_no_response(machine: Machine, player: Player) -> None:
    """The request was sent before the response to its repeat, so it does not confirm that one."""
    player.do_send("repeat")
    machine.put(MESSAGE)
    player.see_has("repeat", "message")
    player.do_again("late repeat")
    player.see_equals("late", "repeat")
    machine.turn(151)
    assert ids(ended(machine).unconfirmed) == ["m"]


def test_a_client_that_terminates_gets_no_more_elements(machine: Machine, player: Player) -> None:
    machine.put(MESSAGE)
    machine.put(MESSAGE)
    player.do_send("a type=terminate")
    # The stream was notified before, and pending elements are returned.
    player.see_ends("a", "")
    assert ids(ended(machine).undelivered) == ["m", "m"]


def test_the_payload_of_a_terminate_is_forwarded(machine: Machine, player: Player) -> None:
    player.do_send("a type=terminate : <presence xmlns='jabber:client' type='unavailable'/>")
    assert machine.last.stream.received[-1].get("type") == "unavailable"


def test_a_disconnected_client_gets_the_end_with_its_next_request(
    machine: Machine, player: Player
) -> None:
    member = machine.last
    error = b"<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>"
    machine.put(MESSAGE)
    machine.do(
        member, member.session.terminate(BoshCondition.REMOTE_STREAM_ERROR, [error], machine.now)
    )
    assert member.ended is None
    player.do_send("a : MESSAGE(lost)")
    player.see_ends("a", "remote-stream-error")
    # [P13] Elements sent before the error precede it.
    assert [child.name for child in machine.replies["a"].element.elements] == ["message", "error"]
    assert ended(machine).undelivered == ()
    assert member.stream.received[-1].name != "message"


def test_a_client_that_never_returns_for_the_end_is_abandoned(
    machine: Machine, player: Player
) -> None:
    member = machine.last
    machine.do(member, member.session.terminate(BoshCondition.SYSTEM_SHUTDOWN, [], machine.now))
    machine.turn(151)
    assert ended(machine).reason == "inactivity"


def test_the_server_ends_a_session_that_waits(machine: Machine, player: Player) -> None:
    player.do_send("a")
    player.do_send("early +3")
    member = machine.last
    machine.do(member, member.session.terminate(BoshCondition.SYSTEM_SHUTDOWN, [], machine.now))
    player.see_ends("a", "system-shutdown")
    player.see_ends("early", "other-request")
    member.session.put(b"x")
    assert member.session.flush(machine.now) == []
    assert member.session.terminate(None, [], machine.now) == []
    assert member.session.expire(machine.now) == []
    raw = body(1, "s")
    (answer,) = member.session.request(1, parse(raw), raw, machine.now, "late")
    assert isinstance(answer, Respond)
    assert b"item-not-found" in answer.body


# -- bounds --------------------------------------------------------------------


def test_requests_with_many_connections_keep_no_more_than_others(
    machine: Machine, player: Player
) -> None:
    for number in range(20):
        player.do_send(f"a{number}")
        player.do_again(f"b{number} a{number}")
        player.do_again(f"c{number} a{number}")
        player.see_empty(f"c{number}", "")
    assert len(machine.last.session._window.closed) == 2


def test_the_number_of_repeats_is_limited(machine: Machine, player: Player) -> None:
    player.do_send("r0 : PING(p)")
    for number in range(MAX_REPEATS):
        player.do_again(f"r{number + 1} r0")
        player.see_equals(f"r{number + 1}", "r0")
    player.do_again("once_more r0")
    player.see_ends("once_more", "policy-violation")


def test_a_new_request_resets_the_count_of_repeats(player: Player) -> None:
    for rid in range(3):
        player.do_send(f"r{rid} : PING(p)")
        for number in range(MAX_REPEATS // 2):
            player.do_again(f"r{rid}.{number} r{rid}")
            player.see_equals(f"r{rid}.{number}", f"r{rid}")


def test_unacknowledged_responses_are_kept_up_to_a_limit(machine: Machine) -> None:
    player = Player(machine)
    player.do_login("ack=1")
    ack = player.base
    for number in range(MAX_UNACKNOWLEDGED + 5):
        player.do_send(f"r{number} ack={ack} : PING(p{number})")
    window = machine.last.session._window
    assert len(window.closed) == MAX_UNACKNOWLEDGED
    player.do_again("last r5")
    player.see_equals("last", "r5")
    player.do_again("first r4")
    player.see_ends("first", "item-not-found")


def test_the_reported_age_of_a_lost_response_has_a_limit(machine: Machine) -> None:
    player = Player(machine)
    player.do_login("ack=1")
    player.do_send(f"a ack={player.base} : PING(p)")
    player.do_send(f"pause pause=120 ack={player.base}")
    machine.turn(100)
    player.do_send(f"b ack={player.base}")
    player.see_attributes("b", "time=65535")


def test_a_large_response_is_split(machine: Machine, player: Player) -> None:
    large = b"<message xmlns='jabber:client' id='%d'>" + b"x" * (MAX_RESPONSE_BYTES // 2 - 100)
    session = machine.last.session
    session.put(*(large % number + b"</message>" for number in range(3)))
    for name in ("a", "b"):
        player.do_send(name)
    first, second = machine.replies["a"].element, machine.replies["b"].element
    assert ids(tuple(first.elements)) == ["0", "1"]
    assert ids(tuple(second.elements)) == ["2"]


def test_one_payload_may_be_larger_than_a_response(machine: Machine, player: Player) -> None:
    text = "x" * (MAX_RESPONSE_BYTES + 1)
    machine.last.session.put(Element("message", "jabber:client", {}, (text,)), b"<next/>")
    player.do_send("a")
    player.do_send("b")
    assert machine.replies["a"].element.elements[0].text == text
    player.see_has("b", "<next/>")


@pytest.mark.parametrize("payload", [b"<a/>" * 1, b"<a>" + b"x" * 10_000 + b"</a>"])
def test_a_client_with_too_much_pending_is_abandoned(
    machine: Machine, player: Player, payload: bytes
) -> None:
    member = machine.last
    count = 0
    while member.ended is None:
        machine.put(payload.decode())
        count += 1
        assert count <= MAX_QUEUED + 1
    assert member.ended.reason == "undefined-condition"
    assert len(member.ended.undelivered) == count


def test_a_flood_of_requests_holds_no_more_than_one(machine: Machine, player: Player) -> None:
    for number in range(200):
        player.do_send(f"r{number}")
    assert len(machine.waiting) == 1
    assert len(machine.last.session._window.closed) == 2


BAD = [
    body(1000, to="localhost", **{f"a{number}": "x" for number in range(10_000)}),
    body(1000, to="localhost", payload="<a>" * 10_000 + "</a>" * 10_000),
    body(1000, to="localhost", payload="<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH),
    b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + body(1000),
    b"\xff" * 100_000,
    b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1'",
    body(0),
    body(-1),
    body(1000, pause="x", to="localhost", wait="x"),
]


@pytest.mark.parametrize("raw", BAD)
def test_bad_input_is_a_bad_request(machine: Machine, raw: bytes) -> None:
    machine.ask("a", raw)
    assert b"condition='bad-request'" in machine.replies["a"].body
    assert not machine.members


@pytest.mark.slow
def test_bad_input_leaves_no_session() -> None:
    machine = Machine()
    player = Player(machine)

    def attack(number: int) -> None:
        for index, raw in enumerate(BAD):
            machine.ask(f"{number}.{index}", raw)
        player.do_login("")
        player.do_send("jump +500")
        machine.replies.clear()
        machine.forgotten.clear()
        player.sent.clear()
        player.rids.clear()
        player.logins = 0

    attack(0)
    tracemalloc.start()
    try:
        attack(1)
        before = kept()
        for number in range(2, 20):
            attack(number)
        after = kept()
    finally:
        tracemalloc.stop()
    assert not machine.members
    assert not machine.waiting
    assert after - before < 4_000


def test_a_pause_that_is_no_number_ends_the_session(player: Player) -> None:
    player.do_send("a pause=x")
    player.see_ends("a", "bad-request")


def test_a_bad_ack_ends_the_session(machine: Machine) -> None:
    player = Player(machine)
    player.do_login("ack=1")
    player.do_send("a ack=x")
    player.see_ends("a", "bad-request")


# -- policies ------------------------------------------------------------------


def test_two_requests_are_held_if_negotiated() -> None:
    machine = Machine(BoshPolicy(hold=2))
    player = Player(machine)
    player.do_login("hold=2")
    for name in ("a", "b"):
        player.do_send(name)
        player.see_held(name, "")
    player.do_send("c")
    player.see_empty("a", "")
    machine.put(MESSAGE)
    # [E5] The oldest first.
    player.see_has("b", "message")
    player.see_held("c", "")


def test_responses_keep_rid_order_after_a_repeat() -> None:
    machine = Machine(BoshPolicy(hold=2))
    player = Player(machine)
    player.do_login("hold=2 wait=10")
    player.do_send("a")
    player.do_send("b")
    machine.turn(5)
    player.do_again("a2 a")
    machine.turn(6)
    # The later request is due, so the earlier one gets a response too.
    player.see_empty("b", "")
    player.see_empty("a2", "")


def test_pauses_may_be_disabled() -> None:
    machine = Machine(BoshPolicy(maxpause=0))
    player = Player(machine)
    player.do_login("")
    player.see_attributes("login1.open", "!maxpause")
    player.do_send("a pause=60")
    player.see_held("a", "")


def test_disabled_features_are_not_announced() -> None:
    machine = Machine(BoshPolicy(polling=0, compression=False))
    player = Player(machine)
    player.do_login("wait=0")
    player.see_attributes("login1.open", "!polling !accept !ack !stream !charsets inactivity=151")
    for name in ("a", "b", "c"):
        player.do_send(name)
        player.see_empty(name, "")


def test_a_poll_right_after_the_creation_is_not_too_fast() -> None:
    """The request that creates a session is no poll, and its response is not empty [I3]."""
    machine = Machine()
    player = Player(machine)
    player.do_open("a wait=0")
    player.do_send("b")
    player.see_empty("b", "")


def test_polls_with_a_stanza_between_them_are_not_too_fast() -> None:
    """Only consecutive empty requests count [I3]."""
    machine = Machine()
    player = Player(machine)
    player.do_login("wait=0")
    machine.turn(3)
    player.do_send("a")
    player.see_empty("a", "")
    player.do_send("b : PING(p)")
    player.do_send("c")
    player.see_empty("c", "")
    player.do_send("d")
    player.see_ends("d", "policy-violation")


def test_only_the_first_response_has_the_attributes_of_the_session(player: Player) -> None:
    player.do_send("a : PING(p)")
    player.see_attributes("a", "!sid !wait !requests !hold !inactivity !from !ver !maxpause")


# -- migration -----------------------------------------------------------------


def moved(machine: Machine) -> None:
    """The last session migrates to another node, as JSON; the clock of that node differs."""
    member = machine.last
    machine.do(member, member.session.release(machine.now))
    dumped = json.dumps(member.session.dump(machine.now))
    machine.now += 5000
    member.session = BoshSession.load(json.loads(dumped), machine.now)


def test_a_session_migrates_unnoticed_by_its_client(machine: Machine, player: Player) -> None:
    player.do_send("a : PING(p)")
    player.do_send("b")
    moved(machine)
    player.see_empty("b", "")
    player.do_again("a2 a")
    player.see_equals("a2", "a")
    machine.put(MESSAGE)
    moved(machine)
    player.do_send("c")
    player.see_has("c", "message")
    machine.turn(149)
    assert machine.last.ended is None
    machine.turn(2)
    assert ended(machine).reason == "inactivity"


def test_an_early_request_must_be_repeated_after_a_migration(
    machine: Machine, player: Player
) -> None:
    player.do_send("b +2 : MESSAGE(2)")
    moved(machine)
    player.see_status("b", "503")
    player.do_send("a +1 : MESSAGE(1)")
    player.do_again("b2 b")
    player.do_send("c")
    assert player.received() == ["1", "2"]


def test_keys_pauses_and_negotiation_migrate(machine: Machine) -> None:
    player = Player(machine)
    player.do_open("o newkey=$k5 ack=1 content=text/plain wait=20")
    player.do_send("a key=$k4 pause=100")
    moved(machine)
    machine.turn(90)
    player.do_send("b key=$k3")
    player.see_held("b", "")
    assert machine.last.session.negotiated.content == "text/plain"
    player.do_send("c key=$k9")
    player.see_ends("c", "item-not-found")


def test_a_pending_termination_migrates(machine: Machine, player: Player) -> None:
    member = machine.last
    machine.do(member, member.session.terminate(BoshCondition.SYSTEM_SHUTDOWN, [], machine.now))
    moved(machine)
    player.do_send("a")
    player.see_ends("a", "system-shutdown")


def test_an_unsent_response_migrates(machine: Machine) -> None:
    machine.ask("o", body(7, to="localhost", ver="1.6"))
    assert machine.replies["o"].body != EMPTY
    assert "answered" in repr(machine.last.session.dump(machine.now))
    assert "Session sid1" in repr(machine.last.session)
