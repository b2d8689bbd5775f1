import pytest

from pushhub.log.read import MAX_RESPONSE_BYTES, clip
from tests.log.sample import event, run_of

BIG = bytes(256 * 1024)


@pytest.mark.parametrize(("have", "limit", "kept"), [(0, 5, 0), (4, 5, 4), (5, 5, 5), (6, 5, 5)])
def test_the_limit(have: int, limit: int, kept: int) -> None:
    events = run_of("news", 1, have).events
    assert clip(events, limit) == events[:kept]


def test_the_bytes() -> None:
    events = [event(n, BIG) for n in range(1, 9)]
    kept = clip(events, 100)
    assert kept == events[:3]
    assert sum(one.size for one in kept) <= MAX_RESPONSE_BYTES


def test_just_enough_bytes() -> None:
    first, second = event(1, bytes(MAX_RESPONSE_BYTES - 400 - 7)), event(2, bytes(7))
    assert first.size + second.size == MAX_RESPONSE_BYTES
    assert len(clip([first, second], 9)) == 2
    assert len(clip([first, event(2, bytes(8))], 9)) == 1


def test_at_least_one() -> None:
    events = [event(1, bytes(2 * MAX_RESPONSE_BYTES)), event(2)]
    assert clip(events, 9) == events[:1]
