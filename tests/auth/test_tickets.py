import pytest

from pushhub.auth.tickets import MAX_TICKET_BYTES, Tickets
from pushhub.http.problem import Problem
from pushhub.log.channel import Patterns
from pushhub.log.grant import EVERYTHING, NOTHING, Action, Grant
from tests.auth.signing import NOW, OTHER_SECRET, SECRET, sign

GRANT = Grant(Patterns(["news:*"]), Patterns(["news:*"]), Patterns(["*"]), "ann", NOW + 600)


def tickets(secret: bytes = SECRET) -> Tickets:
    return Tickets(secret, 30)


def test_a_ticket_reads_what_its_grant_reads_and_nothing_else() -> None:
    grant, _ = tickets().open(tickets().mint(GRANT, NOW), NOW + 1)
    assert grant == Grant(read=Patterns(["news:*"]), subject="ann", expires=NOW + 600)
    assert not grant.allows(Action.PUBLISH, "news:1")
    assert not grant.is_admin


def test_grants_without_end_make_grants_without_end() -> None:
    grant, _ = tickets().open(tickets().mint(EVERYTHING, NOW), NOW)
    assert grant == Grant(read=Patterns(["*"]))
    nothing, _ = tickets().open(tickets().mint(NOTHING, NOW), NOW)
    assert nothing == NOTHING


def test_every_ticket_has_an_id_of_its_own() -> None:
    ids = {tickets().open(tickets().mint(GRANT, NOW), NOW)[1] for _ in range(50)}
    assert len(ids) == 50
    fixed = Tickets(SECRET, 30, random_bytes=lambda n: bytes(n))
    assert fixed.open(fixed.mint(GRANT, NOW), NOW)[1] == "0" * 32


def test_a_ticket_ends_after_its_seconds() -> None:
    ticket = tickets().mint(GRANT, NOW)
    assert tickets().open(ticket, NOW + 29.9)
    with pytest.raises(Problem, match="has expired") as caught:
        tickets().open(ticket, NOW + 30)
    assert caught.value.slug == "unauthorized"


def test_a_ticket_does_not_outlive_the_token() -> None:
    short = Grant(read=Patterns(["a"]), expires=NOW + 10)
    with pytest.raises(Problem, match="has expired"):
        tickets().open(tickets().mint(short, NOW), NOW + 10)


def test_only_our_own_tickets_are_opened() -> None:
    good = tickets().mint(GRANT, NOW)
    others = [
        "",
        "x",
        "x.y.z",
        "é.é.é",
        "\udcff",
        good[:-2],
        tickets(OTHER_SECRET).mint(GRANT, NOW),
        sign(),  # a token of the same key is no ticket
        sign("HS512"),
        good + "A" * MAX_TICKET_BYTES,
    ]
    for other in others:
        with pytest.raises(Problem, match="not a ticket of this server") as caught:
            tickets().open(other, NOW)
        assert caught.value.status == 401


def test_a_ticket_fits_into_an_address() -> None:
    many = Grant(read=Patterns([f"channel-{number:08}" for number in range(1000)]))
    with pytest.raises(Problem, match="too many patterns") as caught:
        tickets().mint(many, NOW)
    assert caught.value.slug == "too-large"


def test_a_guessable_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        tickets(b"short")
    assert repr(tickets()) == "<Tickets 30 s>"
