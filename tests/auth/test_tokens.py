import base64
import contextlib
import gc
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pushhub.auth.authenticator import Authenticator
from pushhub.auth.grip_signature import grip_key
from pushhub.auth.tokens import MAX_TOKEN_BYTES, TokenError, TokenKeyError, Tokens
from pushhub.http.problem import Problem
from pushhub.http.request import Request
from pushhub.log.grant import Action, Grant, grant_from_claim
from pushhub.settings import Settings, TokenKey
from tests.auth.signing import (
    ALGORITHMS,
    NOW,
    OTHER_SECRET,
    SECRET,
    Key,
    by_hand,
    private_key,
    public_key,
    sign,
)

HS256 = Key("HS256", SECRET)
CLAIMS = {"exp": int(NOW) + 60, "pushhub": {"read": ["*"]}}


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


def tokens(*keys: Key, clock: Clock | None = None, **settings: Any) -> Tokens:
    return Tokens(keys or [HS256], now=clock or Clock(), **settings)


# -- good tokens ---------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_round_trips(algorithm: str) -> None:
    token = sign(algorithm, sub="ann", pushhub={"read": ["a"], "publish": ["b*"], "manage": []})
    grant = tokens(Key(algorithm, public_key(algorithm))).grant(token)
    assert grant == grant_from_claim({"read": ["a"], "publish": ["b*"]}, "ann", NOW + 60)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="*"))
PATTERNS = st.lists(
    NAMES.filter(lambda name: 0 < len(name.encode()) <= 255 and name[0] != "$").flatmap(
        lambda name: st.sampled_from([name, name + "*", "*"])
    ),
    max_size=8,
)


@given(PATTERNS, PATTERNS, PATTERNS, st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_grant_round_trips(
    read: list[str], publish: list[str], manage: list[str], subject: str
) -> None:
    claim = {"read": read, "publish": publish, "manage": manage}
    token = sign(pushhub=claim, sub=subject)
    if len(token) <= MAX_TOKEN_BYTES:
        assert tokens().grant(token) == grant_from_claim(claim, subject, NOW + 60)


@given(st.binary(max_size=80) | st.text(max_size=80))
def test_garbage_is_refused_with_a_sentence(garbage: bytes | str) -> None:
    text = garbage.decode("latin-1") if isinstance(garbage, bytes) else garbage
    for token in (text, f"{text}.{text}.{text}", sign().rsplit(".", 1)[0] + "." + text):
        with pytest.raises(TokenError, match=r"\.$"):
            tokens().grant(token)


def test_times_are_honoured() -> None:
    assert tokens().grant(sign(nbf=int(NOW), iat=int(NOW)))
    assert tokens().grant(sign(nbf=int(NOW) + 5))  # clocks differ by seconds
    assert tokens().grant(sign(exp=NOW + 0.5)).expires == NOW + 0.5


# -- refused tokens ------------------------------------------------------------

REFUSED = {
    "expired": ({"exp": int(NOW) - 1}, "expired at 2027-01-15T07:59:59Z"),
    "just expired": ({"exp": int(NOW)}, "expired at"),
    "no exp": ({"exp": None}, "no 'exp'"),
    "exp of a text": ({"exp": "soon"}, "'exp' is a number"),
    "exp of a bool": ({"exp": True}, "'exp' is a number"),
    "endless exp": ({"exp": float("inf")}, "'exp' is a number"),
    "enormous exp": ({"exp": 10**400}, "'exp' is a number"),
    "exp of no number": ({"exp": float("nan")}, "'exp' is a number"),
    "nbf in the future": ({"nbf": int(NOW) + 60}, "not valid before 2027-01-15T08:01:00Z"),
    "iat in the future": ({"iat": int(NOW) + 60}, "not valid before"),
    "nbf after the end of time": ({"nbf": 1e300}, r"not valid before second 1e\+300"),
    "nbf of a list": ({"nbf": []}, "'nbf' is a number"),
    "for another server": ({"aud": "shop"}, "'aud' is for another server"),
    "no claim": ({"pushhub": None}, "no claim 'pushhub'"),
    "a claim of another shape": ({"pushhub": ["read"]}, "is an object"),
    "an unknown action": ({"pushhub": {"write": ["*"]}}, "'write'"),
    "a broken pattern": ({"pushhub": {"read": ["a*b"]}}, "before its end"),
    "a subject that is no text": ({"sub": 7}, "Subject"),
    "half a character as a subject": ({"sub": "\ud800"}, "'sub' is no valid Unicode"),
    "half a character as an id": ({"jti": "a\udfff"}, "'jti' is no valid Unicode"),
    "half a character as an issuer": ({"iss": "\ud800"}, "'iss' is no valid Unicode"),
    "a subject that is too long to revoke": ({"sub": "s" * 256}, "'sub' has at most 255 char"),
    "an id that is too long to revoke": ({"jti": "j" * 256}, "'jti' has at most 255 char"),
    "too long": ({"pad": "x" * MAX_TOKEN_BYTES}, "at most 8192 bytes"),
}


@pytest.mark.parametrize(("claims", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_token_that_is_not_good_is_refused(claims: dict[str, Any], why: str) -> None:
    known = {k: v for k, v in {**CLAIMS, **claims}.items() if v is not None}
    with pytest.raises(TokenError, match=why):
        tokens().grant(by_hand({"alg": "HS256", "typ": "JWT"}, known, SECRET))


def test_a_subject_and_an_id_may_be_as_long_as_a_revocation_can_name() -> None:
    claims = {**CLAIMS, "sub": "ü" * 255, "jti": "j" * 255}
    assert tokens().grant(by_hand({"alg": "HS256", "typ": "JWT"}, claims, SECRET))


def test_the_same_claims_are_good_otherwise() -> None:
    assert tokens().grant(by_hand({"alg": "HS256", "typ": "JWT"}, CLAIMS, SECRET))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7, ["HS256"]])
def test_an_unsigned_token_is_refused(algorithm: object) -> None:
    for secret in (b"", SECRET):
        with pytest.raises(TokenError, match="its key is for HS256"):
            tokens().grant(by_hand({"alg": algorithm}, CLAIMS, secret))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", [None, "k1"])
def test_a_public_key_is_no_hmac_secret(algorithm: str, kid: str | None) -> None:
    """Algorithm confusion: everybody knows the public key, and could sign (RFC 8725 §2.1)."""
    pem = public_key(algorithm)
    header = {"alg": "HS256", **({"kid": kid} if kid else {})}
    ours = Key(algorithm, pem, kid)
    for secret in (pem, pem.rstrip(b"\n")):
        forged = by_hand(header, CLAIMS, secret)
        with pytest.raises(TokenError, match=f"its key is for {algorithm}"):
            tokens(ours).grant(forged)
        # Beside an HMAC key, the forgery is tried with that key alone.
        with pytest.raises(TokenError, match=f"its key is for {algorithm}|signature"):
            tokens(ours, HS256).grant(forged)


def test_the_algorithms_of_one_family_are_not_mixed() -> None:
    with pytest.raises(TokenError, match="its key is for HS256"):
        tokens().grant(sign("HS512"))
    with pytest.raises(TokenError, match="its key is for RS256"):
        tokens(Key("RS256", public_key("RS256"))).grant(sign("PS256", private_key("RS256")))


def test_a_tampered_token_is_refused() -> None:
    header, payload, signature = sign().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["pushhub"]["manage"] = ["*"]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(TokenError, match="signature"):
        tokens().grant(f"{header}.{forged}.{signature}")
    with pytest.raises(TokenError):
        tokens().grant(f"{header}.{payload}.")
    with pytest.raises(TokenError, match="signature"):
        tokens().grant(sign(key=OTHER_SECRET))


def test_critical_extensions_that_are_not_known_are_refused() -> None:
    with pytest.raises(TokenError):
        tokens().grant(by_hand({"alg": "HS256", "crit": ["x"], "x": 1}, CLAIMS, SECRET))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "us"}, "no 'aud'; it must be 'hub'"),
        ({"iss": "us", "aud": "shop"}, "does not name 'hub'"),
        ({"iss": "us", "aud": ["shop", "bank"]}, "does not name 'hub'"),
        ({"aud": "hub"}, "no 'iss'; it must be 'us'"),
        ({"aud": "hub", "iss": "them"}, "'iss' must be 'us'"),
        ({"aud": ["shop", "hub"], "iss": "us"}, None),
    ],
)
def test_audience_and_issuer_must_be_those_set(claims: dict[str, Any], why: str | None) -> None:
    strict = tokens(audience="hub", issuer="us")
    if why is None:
        assert strict.grant(sign(**claims))
        return
    with pytest.raises(TokenError, match=why):
        strict.grant(sign(**claims))


def test_a_server_without_keys_takes_no_tokens() -> None:
    with pytest.raises(TokenError, match="no token keys"):
        Tokens([], now=Clock()).grant(sign())


# -- several keys --------------------------------------------------------------


def test_keys_are_rotated_without_refusing_anybody() -> None:
    old, new = Key("HS256", SECRET, "2025"), Key("HS256", OTHER_SECRET, "2026")
    both = tokens(new, old)
    assert both.grant(sign(headers={"kid": "2025"}))
    assert both.grant(sign(key=OTHER_SECRET, headers={"kid": "2026"}))
    assert both.grant(sign())  # names no key: each is tried
    assert both.grant(sign(key=OTHER_SECRET))
    with pytest.raises(TokenError, match="signature"):  # names one key, is signed by the other
        both.grant(sign(headers={"kid": "2026"}))
    with pytest.raises(TokenError, match="no token key with the id '2024'"):
        both.grant(sign(headers={"kid": "2024"}))


def test_a_key_without_an_id_serves_tokens_with_any() -> None:
    assert tokens(HS256).grant(sign(headers={"kid": "theirs"}))


def test_keys_of_several_algorithms_live_together() -> None:
    every = tokens(*(Key(algorithm, public_key(algorithm)) for algorithm in ALGORITHMS))
    for algorithm in ALGORITHMS:
        assert every.grant(sign(algorithm))


# -- keys that cannot be used --------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "data", "why"),
    [
        ("HS256", b"short", "below"),
        ("HS512", SECRET[:48], "below"),
        ("HS256", public_key("RS256"), "not a key for HS256"),
        ("RS256", SECRET, "not a key for RS256"),
        ("RS256", public_key("ES256"), "not a key for RS256"),
        ("ES256", public_key("ES384"), "not a key for ES256"),
        ("EdDSA", public_key("RS256"), "not a key for EdDSA"),
        ("ES256", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not a key"),
        ("none", b"", "no token algorithm 'none'"),
        ("HS1", SECRET, "no token algorithm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "key",  # keys differ with every run
)
def test_a_key_that_does_not_suit_its_algorithm_is_refused(
    algorithm: str, data: bytes, why: str
) -> None:
    with pytest.raises(TokenKeyError, match=why):
        tokens(Key(algorithm, data))


# -- what is remembered --------------------------------------------------------


class Counter:
    """Counts how often PyJWT verifies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        decode = jwt.decode

        def counted(*args: Any, **kwargs: Any) -> dict[str, Any]:
            self.count += 1
            return decode(*args, **kwargs)

        monkeypatch.setattr(jwt, "decode", counted)


def test_a_good_token_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    verified, known = Counter(monkeypatch), tokens()
    token = sign()
    grants = [known.grant(token) for _ in range(3)]
    assert verified.count == 1
    assert grants[0] is grants[2]
    for _ in range(2):
        with pytest.raises(TokenError):
            known.grant(sign(key=OTHER_SECRET))
    assert verified.count == 3  # a bad one is never remembered


def test_a_remembered_token_expires_on_time() -> None:
    clock = Clock()
    known = tokens(clock=clock)
    token = sign()
    assert known.grant(token).allows(Action.READ, "news:1")
    clock.time = NOW + 59.9
    assert isinstance(known.grant(token), Grant)
    clock.time = NOW + 60
    for _ in range(2):
        with pytest.raises(TokenError, match="expired at"):
            known.grant(token)
    assert repr(known) == "<Tokens 1 keys, 0 remembered>"


def test_the_least_recently_used_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    verified, known = Counter(monkeypatch), tokens(remembered=2)
    first, second, third = (sign(sub=name) for name in "abc")
    for token in (first, second, first, third):
        known.grant(token)
    assert verified.count == 3
    known.grant(first)
    assert verified.count == 3
    known.grant(second)
    assert verified.count == 4
    assert repr(known) == "<Tokens 1 keys, 2 remembered>"


def test_a_refusal_leaves_no_cycle() -> None:
    """A flood of bad tokens must not wait for the garbage collector, which runs rarely."""
    settings = Settings(
        store="memory://",
        token_keys=[TokenKey(algorithm="HS256", key=SecretStr(SECRET.decode()))],
        grip_key="0123456789abcdef0123456789abcdef",
    )
    clock = lambda: NOW  # noqa: E731
    authority = Authenticator(settings, clock, grip_key(settings, clock))
    requests = [
        Request("GET", "/", headers={"authorization": f"Bearer {bad}"})
        for bad in ("x" * 9000, "a.b.c", sign(exp=NOW - 1), sign() + "x", "phk_x")
    ]

    def refuse(request: Request) -> None:
        with contextlib.suppress(Problem):
            authority.grant(request)

    for request in requests:
        refuse(request)
    gc.collect()
    gc.disable()
    try:
        for request in requests * 20:
            refuse(request)
        assert gc.collect() < 100
    finally:
        gc.enable()
