"""The policy of a node, compiled into the one check of rights, beside the rules as XEP-0060 and the
documentation state them."""

from hypothesis import given
from hypothesis import strategies as st

from pushhub.log.channel import Patterns
from pushhub.log.grant import Action, Grant, is_allowed
from pushhub.xmpp.xep.pubsub.policy import AFFILIATION_ACTIONS, OPEN, WHITELIST, policy_of

NODE = "news:eu"
JULIET = "juliet@localhost"
NOW = 1000.0

patterns = st.sampled_from([(), ("news:*",), ("news:eu",), ("*",), ("orders",)])
affiliations = st.sampled_from([None, *AFFILIATION_ACTIONS])


def covers(texts: tuple[str, ...]) -> bool:
    return bool({"news:*", "news:eu", "*"} & set(texts))


@given(
    lists=st.fixed_dictionaries({action.value: patterns for action in Action}),
    expires=st.sampled_from([None, NOW - 1, NOW, NOW + 1]),
    affiliation=affiliations,
    model=st.sampled_from([None, OPEN, WHITELIST]),
    is_public=st.booleans(),
    action=st.sampled_from(Action),
)
def test_the_rules(
    lists: dict[str, tuple[str, ...]],
    expires: float | None,
    affiliation: str | None,
    model: str | None,
    is_public: bool,
    action: Action,
) -> None:
    record: dict[str, object] = {} if model is None else {"access": model}
    if affiliation is not None:
        record["affiliations"] = {JULIET: affiliation, "other@localhost": "owner"}
    read, publish, manage = (Patterns(lists[action.value]) for action in Action)
    grant = Grant(read, publish, manage, expires=expires)
    access = policy_of(record, is_public=is_public).access(JULIET)
    allowed = is_allowed(grant, action, NODE, NOW, access)

    if (expires is not None and expires <= NOW) or affiliation == "outcast":
        expected = False
    elif affiliation == "owner":
        expected = True
    elif action is Action.PUBLISH:
        expected = affiliation == "publisher" or covers(lists["publish"])
    elif action is Action.MANAGE:
        expected = covers(lists["manage"])
    elif affiliation in ("publisher", "member"):
        expected = True
    elif model == WHITELIST:
        expected = covers(lists["manage"])
    else:
        expected = is_public or covers(lists["read"])
    assert allowed is expected


@given(
    texts=patterns,
    affiliation=st.sampled_from(["owner", "publisher", "member"]),
    model=st.sampled_from([OPEN, WHITELIST]),
    action=st.sampled_from(Action),
)
def test_an_affiliation_takes_nothing_away(
    texts: tuple[str, ...], affiliation: str, model: str, action: Action
) -> None:
    grant = Grant(Patterns(texts), Patterns(texts), Patterns(texts))
    without = policy_of({"access": model}, is_public=False).access(JULIET)
    record = {"access": model, "affiliations": {JULIET: affiliation}}
    access = policy_of(record, is_public=False).access(JULIET)
    if is_allowed(grant, action, NODE, NOW, without):
        assert is_allowed(grant, action, NODE, NOW, access)


@given(model=st.sampled_from([OPEN, WHITELIST]), action=st.sampled_from(Action))
def test_an_affiliation_is_one_accounts_own(model: str, action: Action) -> None:
    policy = policy_of({"access": model, "affiliations": {JULIET: "owner"}}, is_public=False)
    access = policy.access("romeo@localhost")
    assert not is_allowed(Grant(), action, NODE, NOW, access)
