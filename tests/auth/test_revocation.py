"""The entries of revocations, and the credentials that they mark."""

import gc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.auth.revocation import (
    GRACE_SECONDS,
    SHARDS,
    Revocation,
    RevocationKind,
    Revocations,
    RevocationsFull,
)
from pushhub.auth.tokens import TokenError, TokenRevoked, Tokens
from pushhub.log.event import MAX_EVENT_BYTES
from tests.auth.signing import NOW, Key, public_key, sign

TOKEN, SUBJECT, KEY = RevocationKind


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def put(revocations: Revocations, entry: Revocation) -> bytes:
    value = revocations.value(entry.shard, b"{}", entry)
    revocations.take(entry.shard, value)
    for credential in revocations.in_use():
        revocations.mark(credential)
    return value


@pytest.mark.parametrize(
    ("entry", "names", "covers"),
    [
        (Revocation(TOKEN, "t", NOW, NOW + 60), {"token_id": "t", "subject": "s"}, True),
        (Revocation(TOKEN, "t", NOW, NOW + 60), {"token_id": "u", "subject": "t"}, False),
        (Revocation(TOKEN, "t", NOW, NOW + 60), {"key": "t"}, False),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"subject": "s"}, True),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"subject": "s", "issued": NOW - 1}, True),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"subject": "s", "issued": NOW}, False),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"token_id": "s"}, False),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"key": "s"}, False),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"subject": "x", "account": "s"}, True),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"account": "s", "issued": NOW}, False),
        (Revocation(SUBJECT, "s", NOW, NOW + 60), {"subject": "s", "account": "x"}, True),
        (Revocation(KEY, "k", NOW, None), {"key": "k"}, True),
        (Revocation(KEY, "k", NOW, None), {"subject": "k", "token_id": "k"}, False),
    ],
)
def test_which_credentials_an_entry_covers(
    entry: Revocation, names: dict[str, object], covers: bool
) -> None:
    """Of a credential in use, and of one that comes later."""
    revocations = Revocations(Clock())
    before = revocations.credential(**names)  # type: ignore[arg-type]
    assert not before.revoked
    put(revocations, entry)
    assert before.revoked is covers
    assert revocations.credential(**names).revoked is covers  # type: ignore[arg-type]


def test_a_credential_is_one_object_as_long_as_it_is_used() -> None:
    revocations = Revocations(Clock())
    one = revocations.credential(token_id="t", subject="s", issued=1.0)
    assert revocations.credential(token_id="t", subject="s", issued=1.0) is one
    assert revocations.credential(token_id="t", subject="s", issued=2.0) is not one
    del one
    gc.collect()
    assert revocations.in_use() == []


def test_an_entry_is_dropped_after_its_end() -> None:
    clock = Clock()
    revocations = Revocations(clock)
    entry = Revocation(TOKEN, "t", NOW, NOW + 60)
    value = put(revocations, entry)
    put(revocations, Revocation(KEY, "k", NOW, None))
    clock.now += 60 + GRACE_SECONDS - 1
    assert not revocations.take(entry.shard, value)
    assert len(revocations) == 2
    clock.now += 2
    revocations.take(entry.shard, value)
    assert orjson.loads(revocations.value(entry.shard, value)).keys() <= {"key:k"}
    assert revocations.credential(key="k").revoked
    assert not revocations.credential(token_id="t").revoked


def test_the_register_is_bounded_and_says_so() -> None:
    revocations = Revocations(Clock())
    entries = (Revocation(TOKEN, f"{n:0255}", NOW, NOW + 60) for n in range(10**6))
    mine = (entry for entry in entries if entry.shard == 0)
    most = [next(mine) for _ in range(800)]
    data = revocations.value(0, b"{}", *most)
    revocations.take(0, data)
    assert len(data) <= MAX_EVENT_BYTES
    more = [next(mine) for _ in range(200)]
    with pytest.raises(RevocationsFull):
        revocations.value(0, data, *more)
    # Nothing of a refused entry stays.
    assert len(revocations) == 800


entries = st.builds(
    Revocation,
    st.sampled_from(RevocationKind),
    st.sampled_from("abc"),
    st.floats(NOW - 10, NOW),
    st.floats(NOW + 1, NOW + 100),
)


@given(st.lists(st.tuples(entries, st.booleans(), st.booleans()), max_size=20))
def test_two_processes_that_lose_writes_come_to_the_same_entries(
    steps: list[tuple[Revocation, bool, bool]],
) -> None:
    """Each step one process writes; the store may lose all of the shard, or the other be away."""
    nodes = [Revocations(Clock()), Revocations(Clock())]
    store = [b"{}"] * SHARDS
    written: set[str] = set()
    for entry, is_second, is_lost in steps:
        writer, shard = nodes[is_second], entry.shard
        store[shard] = writer.value(shard, store[shard], entry)
        writer.take(shard, store[shard])
        written.add(entry.id)
        if is_lost:
            store[shard] = b"{}"
    for _ in range(2):
        for node in nodes:
            for shard in range(SHARDS):
                if node.take(shard, store[shard]):
                    store[shard] = node.value(shard, store[shard])
    for node in nodes:
        assert not any(node.take(shard, store[shard]) for shard in range(SHARDS))
        assert len(node) == len(written)
    assert {id for value in store for id in orjson.loads(value)} == written


def tokens(revocations: Revocations) -> Tokens:
    keys = [Key("HS256", public_key("HS256"))]
    return Tokens(keys, now=lambda: NOW, revocations=revocations)


def test_a_revoked_token_is_refused_remembered_or_not() -> None:
    revocations = Revocations(lambda: NOW)
    verifier = tokens(revocations)
    text = sign(jti="t")
    assert not verifier.grant(text).has_ended(NOW)
    put(revocations, Revocation(TOKEN, "t", NOW, NOW + 60))
    for _ in range(3):
        with pytest.raises(TokenRevoked):
            verifier.grant(text)


@pytest.mark.parametrize("issued", [None, NOW - 41])
def test_a_bound_on_the_life_of_tokens(issued: float | None) -> None:
    verifier = tokens(Revocations(lambda: NOW, token_max_seconds=100))
    verifier.grant(sign(iat=NOW - 40))
    with pytest.raises(TokenError, match="'iat'"):
        verifier.grant(sign(iat=issued))
