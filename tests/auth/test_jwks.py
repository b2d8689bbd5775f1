"""Key sets of identity providers: what is read, which keys verify, and for how long."""

import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from pushhub.auth.jwks import (
    MAX_JWKS_BYTES,
    MAX_JWKS_KEYS,
    UNKNOWN_SECONDS,
    Jwks,
    JwksError,
    parse_jwks,
)
from pushhub.auth.jwks_source import read_jwks
from pushhub.auth.tokens import KeysPending, TokenError, Tokens
from tests.auth.provider import P256, RSA, Provider, jwk, key_set, provider, token

# -- what it may respond ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"garbage", "200 OK", None),
        (b"x" * (MAX_JWKS_BYTES + 1), "200 OK", "larger than"),
        (b"", "500 Oops", "the status 500"),
        (b"", "302 Found", "the status 302"),
    ],
)
async def test_a_bad_response_is_a_sentence(body: bytes, status: str, told: str | None) -> None:
    with provider(b"") as idp:
        idp.serve(body, status)
        if told is None:
            with pytest.raises(JwksError, match="is no key set"):
                parse_jwks(await read_jwks(idp.url))
        else:
            with pytest.raises(JwksError, match=told):
                await read_jwks(idp.url)
        idp.response = b"\x00\x01 no HTTP\r\n\r\n"
        with pytest.raises(JwksError, match="no HTTP response"):
            await read_jwks(idp.url)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
async def test_a_slow_response_ends(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushhub.auth.jwks_source.FETCH_SECONDS", 0.2)
    with provider(b"") as idp:
        idp.response, idp.stalls = start, True
        with pytest.raises(JwksError, match=r"did not respond within 0\.2 s"):
            await read_jwks(idp.url)


async def test_nothing_listens() -> None:
    with pytest.raises(JwksError, match="cannot be reached"):
        await read_jwks(Provider().url)
    with pytest.raises(JwksError, match="cannot be read: No such file"):
        await read_jwks("/nowhere/jwks.json")


def test_keys_that_must_not_verify_are_left_out() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    private = RSAAlgorithm.to_jwk(RSA[0], as_dict=True)
    for bad in (
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "o", "alg": "HS256"},
        jwk(RSA[0], "e", use="enc"),
        jwk(RSA[0], "w", key_ops=["encrypt"]),
        jwk(RSA[0], "h", alg="HS256"),
        jwk(RSA[0], "n", alg="none"),
        jwk(P256, "c", crv="P-384"),
        jwk(weak, "weak"),
        {**private, "kid": "private", "use": "sig"},
        {"kty": ["RSA"], "kid": "x"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "EC", "crv": {}, "x": "a", "y": "b"},
        {**jwk(RSA[0], None), "kid": 7},
    ):
        with pytest.raises(JwksError, match="no public key"):
            parse_jwks(key_set(bad))
        found = parse_jwks(key_set(bad, jwk(RSA[1], "good")))
        assert {key.kid for key in found.values()} == {"good"}
    stated = parse_jwks(key_set(jwk(RSA[0], "k", alg="RS512")))
    assert {key.algorithm for key in stated.values()} == {"RS512"}


@pytest.mark.parametrize("document", [b"[]", b"{}", b'{"keys": 7}', b"[" * 100_000, b"\xff"])
def test_garbage_is_no_key_set(document: bytes) -> None:
    with pytest.raises(JwksError):
        parse_jwks(document)


def test_the_number_of_keys_is_bounded() -> None:
    with pytest.raises(JwksError, match="at most"):
        parse_jwks(key_set(*[jwk(P256, str(i)) for i in range(MAX_JWKS_KEYS + 1)]))


# -- time ------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def test_a_key_that_left_is_valid_for_the_grace() -> None:
    clock = Clock()
    jwks = Jwks(clock, 60)
    calls: list[float] = []
    jwks.on_end = lambda: calls.append(clock.now)
    tokens = Tokens([], now=clock, audience="hub", jwks=jwks)
    jwks.replace(key_set(jwk(RSA[0], "one")))
    grant = tokens.grant(token(RSA[0], "one"))
    told = jwks.replace(key_set(jwk(RSA[1], "two")))
    assert told == ["The key 'two' came.", "The key 'one' left, and is valid for 60 s."]
    clock.now += 59
    tokens.grant(token(RSA[0], "one", sub="another"))
    clock.now += 2
    with pytest.raises(TokenError):
        tokens.grant(token(RSA[0], "one", sub="a third"))
    # The next read counts, whether or not the provider responds.
    jwks.failed()
    assert grant.has_ended(clock.now), "and so do holds and streams"
    assert calls == [clock.now]
    assert tokens.grant(token(RSA[1], "two"))


def test_another_audience_ends_the_grants_and_keeps_the_keys() -> None:
    clock = Clock()
    jwks = Jwks(clock, 60)
    tokens = Tokens([], now=clock, audience="hub", jwks=jwks)
    jwks.replace(key_set(jwk(RSA[0], "one")))
    grant = tokens.grant(token(RSA[0], "one"))
    assert grant.basis is not None
    assert tokens.basis(grant.basis.id) is grant.basis
    tokens.configure([], "hub", "an issuer")
    assert grant.has_ended(clock.now)
    with pytest.raises(KeysPending):
        tokens.basis(grant.basis.id)  # a ticket of the old issuer opens nothing
    assert not tokens.grant(token(RSA[0], "one", iss="an issuer")).has_ended(clock.now)


def test_a_ticket_of_an_unknown_key_causes_a_refresh() -> None:
    jwks = Jwks(Clock(), 60)
    tokens = Tokens([], now=Clock(), jwks=jwks)
    with pytest.raises(KeysPending):
        tokens.basis("unknown")
    jwks.replace(key_set(jwk(RSA[0], "one")))
    jwks.request()
    jwks.replace(key_set(jwk(RSA[0], "one")))
    assert tokens.basis("unknown") is None


def test_a_key_that_comes_back_goes_on() -> None:
    jwks = Jwks(Clock(), 0)
    jwks.replace(key_set(jwk(RSA[0], "one"), jwk(RSA[1], "two")))
    jwks.replace(key_set(jwk(RSA[1], "two")))
    jwks.replace(key_set(jwk(RSA[0], "one")))
    assert [key.kid for key in jwks.valid() if key.algorithm == "RS256"] == ["one"]


def test_unknown_ids_request_one_refresh_in_a_while() -> None:
    clock, wanted = Clock(), []
    jwks = Jwks(clock, 60)
    jwks.on_request = lambda: wanted.append(clock.now)
    tokens = Tokens([], now=clock, audience="hub", jwks=jwks)
    jwks.replace(key_set(jwk(RSA[0], "one")))
    for i in range(50):
        with pytest.raises(KeysPending):
            tokens.grant(token(RSA[1], f"x{i}"))
    assert len(wanted) == 1
    jwks.failed()
    with pytest.raises(TokenError, match="no token key with the id"):
        tokens.grant(token(RSA[1], "x"))
    clock.now += UNKNOWN_SECONDS
    with pytest.raises(KeysPending):
        tokens.grant(token(RSA[1], "x"))
    assert len(wanted) == 2
