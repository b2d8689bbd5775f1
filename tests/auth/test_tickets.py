import pytest

from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.auth.tickets import MAX_TICKET_BYTES, Tickets
from pushhub.http.problem import Problem
from pushhub.log.channel import Patterns
from pushhub.log.grant import EVERYTHING, NOTHING, Action, Basis, Grant
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


@pytest.mark.parametrize(
    ("entry", "ends"),
    [
        (Revocation(RevocationKind.TOKEN, "t-1", NOW, NOW + 600), True),
        (Revocation(RevocationKind.SUBJECT, "ann", NOW, NOW + 600), True),
        (Revocation(RevocationKind.SUBJECT, "ann", NOW - 20, NOW + 600), False),
        (Revocation(RevocationKind.TOKEN, "t-2", NOW, NOW + 600), False),
    ],
)
def test_a_revoked_token_opens_no_ticket(entry: Revocation, ends: bool) -> None:
    """Also in another process than the one that minted it."""
    minting, opening = Revocations(lambda: NOW), Revocations(lambda: NOW)
    credential = minting.credential(token_id="t-1", subject="ann", issued=NOW - 10)
    grant = Grant(Patterns(["a"]), subject="ann", expires=NOW + 600, credential=credential)
    ticket = Tickets(SECRET, 30, revocations=minting).mint(grant, NOW)
    other = Tickets(SECRET, 30, revocations=opening)
    opened, _ = other.open(ticket, NOW)
    assert opened.credential is not None
    opening.take(entry.shard, opening.value(entry.shard, b"", entry))
    for each in opening.in_use():
        opening.mark(each)
    assert opened.has_ended(NOW) is ends, "the streams that it opened end, too"
    if ends:
        with pytest.raises(Problem, match="revoked") as caught:
            other.open(ticket, NOW)
        assert caught.value.status == 401
    else:
        assert other.open(ticket, NOW)[0] == opened


def test_a_ticket_rests_on_the_key_of_its_grant() -> None:
    basis = Basis("key-1")
    ticket = tickets().mint(Grant(Patterns(["a"]), subject="back end", basis=basis), NOW)
    bases = {"key-1": basis}
    found = Tickets(SECRET, 30, find_basis=bases.get)
    grant, _ = found.open(ticket, NOW)
    assert grant.basis is basis
    basis.ended = True
    assert grant.has_ended(NOW)
    del bases["key-1"]
    with pytest.raises(Problem, match="no longer in the settings") as caught:
        found.open(ticket, NOW)
    assert caught.value.slug == "unauthorized"
