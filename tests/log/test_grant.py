import pytest

from pushhub.log.channel import Patterns
from pushhub.log.grant import (
    EVERYTHING,
    MAX_PATTERNS,
    NOTHING,
    Action,
    Grant,
    GrantError,
    grant_from_claim,
)

GRANT = Grant(Patterns(["news:*"]), Patterns(["orders"]), Patterns(["mine:*"]))


@pytest.mark.parametrize(
    ("action", "channel", "allowed"),
    [
        (Action.READ, "news:eu", True),
        (Action.READ, "orders", False),
        (Action.PUBLISH, "orders", True),
        (Action.PUBLISH, "news:eu", False),
        (Action.MANAGE, "mine:1", True),
        (Action.MANAGE, "orders", False),
    ],
)
def test_allows(action: Action, channel: str, allowed: bool) -> None:
    assert GRANT.allows(action, channel) is allowed


@pytest.mark.parametrize("action", Action)
def test_everything_and_nothing(action: Action) -> None:
    assert EVERYTHING.allows(action, "news")
    assert not EVERYTHING.allows(action, "$accounts")
    assert not NOTHING.allows(action, "news")


def test_admin() -> None:
    assert EVERYTHING.is_admin
    assert not GRANT.is_admin
    assert not Grant(read=Patterns(["*"])).is_admin


def test_claims_round_trip() -> None:
    claim = {"read": ["a", "b:*"], "publish": ["*"], "manage": ["c"]}
    grant = grant_from_claim(claim, "alice", 12.5)
    assert grant.claim() == claim
    assert (grant.subject, grant.expires) == ("alice", 12.5)
    assert grant_from_claim(grant.claim(), "alice", 12.5) == grant


def test_every_part_is_optional() -> None:
    assert grant_from_claim({}) == NOTHING
    assert grant_from_claim({"read": []}).claim() == {}
    assert grant_from_claim({"read": ["a"]}).claim() == {"read": ["a"]}


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(None, id="null"),
        pytest.param("read", id="text"),
        pytest.param(["read"], id="list"),
        pytest.param({"write": ["a"]}, id="unknown action"),
        pytest.param({"READ": ["a"]}, id="action in capitals"),
        pytest.param({1: ["a"], None: []}, id="keys that are no text"),
        pytest.param({"read": "a"}, id="no list"),
        pytest.param({"read": None}, id="null list"),
        pytest.param({"read": [1]}, id="number"),
        pytest.param({"read": ["a*b"]}, id="star inside"),
        pytest.param({"publish": [""]}, id="empty"),
        pytest.param({"manage": ["a\n"]}, id="control character"),
        pytest.param({"read": ["$accounts"]}, id="pushhub's own"),
        pytest.param({"read": ["\ud800"]}, id="lone surrogate"),
        pytest.param({"read": ["a"] * (MAX_PATTERNS + 1)}, id="too many"),
    ],
)
def test_no_claim(claim: object) -> None:
    with pytest.raises(GrantError, match=r"[Tt]he claim 'pushhub'"):
        grant_from_claim(claim)


def test_as_many_as_allowed() -> None:
    assert grant_from_claim({"read": [f"c{n}*" for n in range(MAX_PATTERNS)]}).read.match("c999x")
