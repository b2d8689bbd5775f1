import base64

import pytest
from pydantic import SecretStr

from pushhub.auth import Authenticator
from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.auth.grip_signature import GripKey
from pushhub.auth.jwks import Jwks
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.http.problem import Problem
from pushhub.http.request import Request
from pushhub.log.grant import EVERYTHING, NOTHING, Action, Grant, grant_from_claim
from pushhub.settings import ApiKey, Namespace, Settings, TokenKey
from tests.auth.provider import ED, RSA, jwk, key_set, token
from tests.auth.signing import NOW, OTHER_SECRET, SECRET, sign

KEY = new_secret()
UNKNOWN = "phk_" + "A" * 43
CLAIM = {"read": ["news:*"], "publish": ["news:*"], "manage": ["*"]}
SETTINGS = Settings(
    api_keys=[ApiKey(name="back end", sha256=secret_hash(KEY), publish=["news:*"])],
    token_keys=[TokenKey(algorithm="HS256", key=SecretStr(SECRET.decode()))],
    namespaces={"open": Namespace(public=True)},
)
TOKEN = sign(sub="ann", pushhub=CLAIM)


def authority(settings: Settings = SETTINGS) -> Authenticator:
    return Authenticator(settings, lambda: NOW)


def ask(**headers: str) -> Grant:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return authority().grant(Request("POST", "/", headers=named))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_without_a_credential_there_is_nothing() -> None:
    assert ask() is NOTHING
    assert ask(cookie="theme=dark; a=b") is NOTHING
    assert ask(cookie="pushhub_token=") is NOTHING


def test_dev_needs_no_credential() -> None:
    dev = authority(Settings(dev=True))
    assert dev.grant(Request("GET", "/", headers={"authorization": "nonsense"})) is EVERYTHING
    dev.require_admin(EVERYTHING)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_bearer_takes_keys_and_tokens(scheme: str) -> None:
    assert ask(authorization=f"{scheme} {KEY}").subject == "back end"
    assert ask(authorization=f"{scheme} {TOKEN}") == grant_from_claim(CLAIM, "ann", NOW + 60)


def test_basic_takes_a_key_as_the_password() -> None:
    assert ask(authorization=basic(f"anybody:{KEY}")).subject == "back end"
    assert ask(authorization=basic(f":{KEY}")).subject == "back end"


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        ("Bearer", "'Bearer' and an API key or a token"),
        ("Bearer ", "'Bearer' and an API key or a token"),
        ("Digest x", "'Bearer' and an API key or a token"),
        (f"{TOKEN}", "'Bearer' and an API key or a token"),
        (f"Bearer {UNKNOWN}", "does not know this API key"),
        ("Bearer phk_", "one has 47 characters, and this one has 4"),
        (f"Bearer {UNKNOWN[:-1]}", "one has 47 characters, and this one has 46"),
        (f"Bearer {TOKEN}, Bearer {TOKEN}", "neither an API key nor a token"),
        ("Bearer garbage", "neither an API key nor a token"),
        (f"Bearer {sign(exp=int(NOW) - 5)}", "expired at 2027-01-15T07:59:55Z"),
        (f"Bearer {sign(key=OTHER_SECRET)}", "signature"),
        (basic("name:password"), "does not know this API key"),
        (basic(f"name:{TOKEN}"), "does not know this API key"),
        ("Basic ???", "not base64"),
        ("Basic /w==", "not base64"),
    ],
)
def test_a_bad_credential_is_refused_and_said_why(authorization: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as caught:
        ask(authorization=authorization, cookie=f"pushhub_token={TOKEN}")
    assert caught.value.status == 401
    challenge = dict(caught.value.headers)[b"www-authenticate"]
    assert challenge == b'Bearer realm="pushhub", error="invalid_token"'
    for secret in (KEY, SECRET.decode(), TOKEN):
        assert secret not in caught.value.detail


@pytest.mark.parametrize(
    "mistyped",
    [
        "pkh_" + KEY[4:],
        KEY.upper(),
        KEY[4:],
        f'"{KEY}"',
        KEY[1:],
        "a.b",
        "a..c",
        "a.b.c.d",
        "ü.b.c",
    ],
    ids=["swapped", "upper", "short", "quoted", "cut", "two", "empty", "four", "letters"],
)
@pytest.mark.parametrize("where", ["authorization", "cookie"])
def test_a_mistyped_key_gets_the_same_sentence_whatever_is_configured(
    mistyped: str, where: str
) -> None:
    """Nobody learns from it which keys there are, and everybody what a credential looks like."""
    value = f"Bearer {mistyped}" if where == "authorization" else f"pushhub_token={mistyped}"
    if where == "cookie" and mistyped.startswith('"'):
        return  # Quotes around a cookie are not part of it.
    said = set()
    keys, tokens = SETTINGS.api_keys, SETTINGS.token_keys
    for own in (SETTINGS, Settings(api_keys=keys), Settings(token_keys=tokens), Settings()):
        with pytest.raises(Problem) as caught:
            authority(own).grant(Request("POST", "/", headers={where: value}))
        said.add(caught.value.detail)
    assert said == {
        "This is neither an API key nor a token: a key begins with 'phk_', and a token (JWT) has "
        "three parts with dots between them."
    }


# -- cookies -------------------------------------------------------------------


def test_a_cookie_acts_over_tls_only_for_pages_over_tls() -> None:
    for origin, acts in (("https://hub.test", True), ("http://hub.test", False)):
        headers = {"cookie": f"pushhub_token={TOKEN}", "origin": origin, "host": "hub.test:443"}
        grant = authority().grant(Request("POST", "/", headers=headers, secure=True))
        assert grant.allows(Action.PUBLISH, "news:1") is acts


@pytest.mark.parametrize(
    ("headers", "acts"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "https://hub.test", "host": "hub.test"}, False),
        ({"sec_fetch_site": "SAME-ORIGIN"}, False),
        ({"origin": "http://hub.test", "host": "hub.test"}, True),
        ({"origin": "http://hub.test", "host": "hub.test:80"}, True),
        ({"origin": "http://Hub.test:8443", "host": "hub.test:8443"}, True),
        ({"origin": "https://hub.test", "host": "hub.test"}, False),
        ({"origin": "https://hub.test:80", "host": "hub.test:80"}, False),
        ({"origin": "http://evil.test", "host": "hub.test"}, False),
        ({"origin": "http://hub.test.evil.test", "host": "hub.test"}, False),
        ({"origin": "http://hub.test:1", "host": "hub.test"}, False),
        ({"origin": "null", "host": "hub.test"}, False),
        ({"origin": "null", "host": ""}, False),
        ({"origin": "null"}, False),
        ({"host": "hub.test"}, False),
    ],
)
def test_a_cookie_acts_only_for_pages_of_this_site(headers: dict[str, str], acts: bool) -> None:
    grant = ask(cookie=f'a=b; pushhub_token="{TOKEN}"; c=d', **headers)
    assert grant.allows(Action.READ, "news:1")
    assert grant.subject == "ann"
    assert grant.expires == NOW + 60
    assert grant.allows(Action.PUBLISH, "news:1") is acts
    assert grant.is_admin is acts
    if not acts:
        with pytest.raises(Problem, match="page is of this site") as caught:
            authority().require(grant, Action.PUBLISH, "news:1")
        assert caught.value.status == 403


def test_a_cookie_is_a_token_only() -> None:
    with pytest.raises(Problem):
        ask(cookie=f"pushhub_token={KEY}", sec_fetch_site="same-origin")
    with pytest.raises(Problem, match="expired"):
        ask(cookie=f"pushhub_token={sign(exp=int(NOW) - 5)}", sec_fetch_site="same-origin")


def test_authorization_comes_before_the_cookie() -> None:
    assert ask(authorization=f"Bearer {KEY}", cookie="pushhub_token=x").subject == "back end"


# -- what is required ----------------------------------------------------------


def test_what_a_grant_covers_is_allowed() -> None:
    grant = grant_from_claim(CLAIM)
    for action in Action:
        authority().require(grant, action, "news:1")
    authority().require_admin(grant)


def test_public_channels_are_read_by_anybody() -> None:
    authority().require(NOTHING, Action.READ, "open:1")
    authority().require(grant_from_claim({"publish": ["*"]}), Action.READ, "open:1")
    with pytest.raises(Problem):
        authority().require(NOTHING, Action.PUBLISH, "open:1")
    with pytest.raises(Problem):
        authority().require(NOTHING, Action.READ, "$open:1")


@pytest.mark.parametrize(
    ("action", "verb"), [("read", "read"), ("publish", "publish to"), ("manage", "manage")]
)
def test_a_refusal_names_action_channel_and_claim(action: str, verb: str) -> None:
    with pytest.raises(Problem, match=f"To {verb} the channel 'sport', send") as caught:
        authority().require(NOTHING, Action(action), "sport")
    assert caught.value.status == 401
    assert dict(caught.value.headers)[b"www-authenticate"] == b'Bearer realm="pushhub"'

    with pytest.raises(Problem, match=f"cannot {verb} the channel 'sport': its '{action}'") as no:
        authority().require(grant_from_claim({"read": ["x"]}), Action(action), "sport")
    assert no.value.status == 403
    assert b"insufficient_scope" in dict(no.value.headers)[b"www-authenticate"]


def test_no_grant_covers_pushhubs_own_channels() -> None:
    for action in Action:
        with pytest.raises(Problem):
            authority().require(EVERYTHING, action, "$ticket:1")


def test_operators_pages_need_an_admin() -> None:
    with pytest.raises(Problem) as nobody:
        authority().require_admin(NOTHING)
    assert nobody.value.status == 401
    with pytest.raises(Problem, match=r"no '\*'") as somebody:
        authority().require_admin(grant_from_claim({"manage": ["news:*"]}))
    assert somebody.value.status == 403
    authority(Settings(metrics_public=True)).require_admin(NOTHING)


def test_it_shows_what_it_holds() -> None:
    assert repr(authority()) == "<Authenticator <ApiKeys 1> <Tokens 1 keys, 0 remembered>>"


def test_a_request_for_any_channel_needs_a_list_that_is_not_empty() -> None:
    reader = grant_from_claim({"read": ["a:*"]}, "ann", NOW + 60)
    authority(Settings()).require_any(reader, Action.READ)
    authority().require_any(NOTHING, Action.READ)  # It may be a public channel.
    with pytest.raises(Problem, match="To read any channel, send an API key") as no_credential:
        authority(Settings()).require_any(NOTHING, Action.READ)
    assert no_credential.value.status == 401
    with pytest.raises(Problem, match="cannot publish to any channel: its 'publish' list") as empty:
        authority().require_any(reader, Action.PUBLISH)
    assert empty.value.status == 403
    ended = grant_from_claim({"publish": ["*"]}, "ann", NOW)
    with pytest.raises(Problem):
        authority().require_any(ended, Action.PUBLISH)


def test_a_page_that_is_public_is_still_for_operators_to_act_on() -> None:
    public = authority(Settings(metrics_public=True))
    public.require_operator(EVERYTHING)
    for grant, status in ((NOTHING, 401), (grant_from_claim({"manage": ["news:*"]}), 403)):
        with pytest.raises(Problem, match="do this") as caught:
            public.require_operator(grant)
        assert caught.value.status == status


# -- reloads and revocations ---------------------------------------------------


def header(text: str) -> Request:
    return Request("GET", "/", headers={"authorization": f"Bearer {text}"})


def test_a_reload_ends_the_grants_of_removed_keys_and_admits_new_ones() -> None:
    auth = authority()
    by_key, by_token = auth.grant(header(KEY)), auth.grant(header(TOKEN))
    assert by_key.basis is not None
    assert by_token.basis is not None
    assert auth.basis(by_key.basis.id) is by_key.basis
    assert auth.basis(by_token.basis.id) is by_token.basis
    assert auth.basis("unknown") is None
    other = new_secret()
    auth.configure(
        Settings(
            api_keys=[ApiKey(name="other", sha256=secret_hash(other), read=["*"])],
            token_keys=[TokenKey(algorithm="HS256", key=SecretStr(OTHER_SECRET.decode()))],
        )
    )
    assert by_key.has_ended(NOW)
    assert by_token.has_ended(NOW)
    assert auth.basis(by_key.basis.id) is None
    for gone in (KEY, TOKEN):
        with pytest.raises(Problem) as caught:
            auth.grant(header(gone))
        assert caught.value.status == 401
    assert auth.grant(header(other)).subject == "other"
    assert auth.grant(header(sign(key=OTHER_SECRET, sub="new"))).subject == "new"
    with pytest.raises(Problem):
        auth.require(NOTHING, Action.READ, "open:1")  # No longer public.


GRIP_SECRET = "a secret of 32 bytes or more, shared"


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        (Revocation(RevocationKind.KEY, "back end", NOW, None), KEY),
        (
            Revocation(RevocationKind.TOKEN, "t-1", NOW, NOW + 60),
            sign(jti="t-1", sub="ann", pushhub=CLAIM),
        ),
        (
            Revocation(RevocationKind.TOKEN, "g-1", NOW, NOW + 60),
            sign(key=GRIP_SECRET.encode(), jti="g-1", iss="a publisher"),
        ),
    ],
    ids=["key", "token", "GRIP"],
)
def test_a_revoked_credential_is_refused_and_said_so(entry: Revocation, credential: str) -> None:
    revocations = Revocations(lambda: NOW)
    grip = GripKey(GRIP_SECRET, "pushhub", lambda: NOW, revocations)
    auth = Authenticator(SETTINGS, lambda: NOW, grip, revocations)
    grant = auth.grant(header(credential))
    revocations.take(entry.shard, revocations.value(entry.shard, b"", entry))
    for each in revocations.in_use():
        revocations.mark(each)
    assert grant.has_ended(NOW)
    with pytest.raises(Problem, match="revoked") as caught:
        auth.grant(header(credential))
    assert caught.value.status == 401


def test_of_two_reasons_that_of_a_configured_key_is_said() -> None:
    """A token fits neither the token keys nor GRIP's secret."""
    expired = sign(key=GRIP_SECRET.encode(), iss="a publisher", exp=int(NOW) - 5)
    for settings, why in ((SETTINGS, "signature is not that of any"), (Settings(), "expired at")):
        grip = GripKey(GRIP_SECRET, "pushhub", lambda: NOW)
        with pytest.raises(Problem, match=why):
            Authenticator(settings, lambda: NOW, grip).grant(header(expired))


def test_a_client_whose_key_is_being_read_tries_again() -> None:
    jwks = Jwks(lambda: NOW, 60)
    auth = Authenticator(Settings(), lambda: NOW, jwks=jwks)
    unknown = token(RSA[0], "one", exp=NOW + 60, aud=None)
    with pytest.raises(Problem) as caught:
        auth.grant(header(unknown))
    assert caught.value.slug == "keys-pending"
    assert dict(caught.value.headers)[b"retry-after"] == b"1"
    with pytest.raises(Problem) as caught:
        auth.basis("of a ticket")
    assert caught.value.slug == "keys-pending"
    jwks.replace(key_set(jwk(RSA[0], "one"), jwk(ED, "two")))
    grant = auth.grant(header(unknown))
    assert grant.allows(Action.READ, "a")
    assert grant.basis is not None
    assert auth.basis(grant.basis.id) is grant.basis
