"""The credentials behind logins: reloads, revocations, delays, and messages that are malformed."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import SecretStr
from scramp import ScramClient  # type: ignore[import-untyped]

from pushhub.auth.jwks import Jwks
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.auth.tokens import Tokens
from pushhub.settings import Settings, TokenKey
from pushhub.xmpp.sasl.credentials import AccountCredentials
from pushhub.xmpp.sasl.login import SaslLogin
from pushhub.xmpp.sasl.scram import ScramSha256
from pushhub.xmpp.sasl.throttle import ACCOUNT_RATE, MAX_DELAY
from pushhub.xmpp.storage.accounts import Account, Accounts, derive
from tests.auth.provider import RSA, jwk, key_set
from tests.auth.provider import token as signed_token
from tests.auth.signing import OTHER_SECRET
from tests.hub.virtual import VirtualLoop
from tests.store.labs import Clock
from tests.xmpp.sasl.test_login import answer, auth, connected, failed, response, strict, token
from tests.xmpp.sasl.test_throttle import throttle_of
from tests.xmpp.world import DOMAIN, PASSWORD

if TYPE_CHECKING:
    from pushhub.xmpp.sasl import SaslStep
    from tests.xmpp.world import World

__all__ = ["strict"]

ATTACKER, STRANGER, HOME = "203.0.113.7", "192.0.2.9", "198.51.100.1"


def bearer(text: str) -> str:
    return auth("X-OAUTH2", f"\0juliet\0{text}".encode())


# -- reloads ---------------------------------------------------------------------------------------


async def test_a_reload_replaces_the_token_keys(strict: World) -> None:
    login = strict.server.login
    grant = login.backend(DOMAIN).token(token())
    assert grant.basis is not None
    assert login.basis(grant.basis.id) is grant.basis
    other = TokenKey(algorithm="HS256", key=SecretStr(OTHER_SECRET.decode()))
    login.configure(Settings(xmpp_domains=[DOMAIN], token_keys=[other]))
    assert grant.has_ended(0.0), "the sessions of removed keys end"
    assert login.basis(grant.basis.id) is None, "and none comes from another node"
    assert await failed(await connected(strict), bearer(token())) == "not-authorized"
    login.configure(Settings(xmpp_domains=[DOMAIN]))
    assert not {"OAUTHBEARER", "X-OAUTH2"} & set(login.names(secure=True))
    assert await failed(await connected(strict), bearer(token())) == "invalid-mechanism"


async def test_a_session_of_another_node_whose_key_is_being_read(strict: World) -> None:
    """It logs in again; the migration does not wait for the identity provider."""
    server = strict.server
    jwks = Jwks(server.hub.clock, 60)
    login = SaslLogin(
        Settings(xmpp_domains=[DOMAIN], token_jwks="https://idp.test/jwks"),
        server.accounts,
        cast("Any", None),
        now=server.hub.now,
        clock=server.hub.clock,
        random_bytes=bytes,
        jwks=jwks,
        proxies=cast("Any", None),
        audit=cast("Any", None),
    )
    assert login.basis("of another node") is None
    jwks.replace(key_set(jwk(RSA[0], "one")))
    grant = login.backend(DOMAIN).token(signed_token(RSA[0], "one", sub="juliet", aud=None))
    assert grant.basis is not None
    assert login.basis(grant.basis.id) is grant.basis
    assert "OAUTHBEARER" in login.names(secure=True)


# -- revocations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sub", ["juliet", "juliet@localhost"])
@pytest.mark.parametrize("name", ["juliet", "juliet@localhost"])
async def test_a_revoked_account_does_not_log_in_by_token(
    strict: World, sub: str, name: str
) -> None:
    """The token's `sub` and the revocation may write the account in different forms."""
    login = strict.server.login
    assert (await answer(await connected(strict), bearer(token(sub)))).name == "success"
    entry = Revocation(RevocationKind.SUBJECT, name, 4e9, 4e9)
    revocations = login.revocations
    revocations.take(entry.shard, revocations.value(entry.shard, b"", entry))
    for each in revocations.in_use():
        revocations.mark(each)
    refused = await answer(await connected(strict), bearer(token(sub)))
    if (sub, name) == ("juliet@localhost", "juliet"):
        # A bare name is a `sub` of the issuer; only the address names the account.
        assert refused.name == "success"
        return
    assert refused.name == "failure"
    assert refused.elements[0].name == "not-authorized"
    assert "revoked" in refused.elements[1].text


# -- delays ----------------------------------------------------------------------------------------


class Stored:
    """The store's accounts: one."""

    keys = derive(PASSWORD, "sha256", bytes(16), 4096)

    async def get(self, bare: str) -> Account | None:
        return Account({"SCRAM-SHA-256": self.keys}) if bare == "juliet@localhost" else None

    def decoy(self) -> Account:
        return Accounts(cast("Any", None), bytes).decoy()


def test_guesses_slow_an_account_for_strangers_only() -> None:
    async def test() -> None:
        clock = asyncio.get_running_loop().time
        throttle = throttle_of(clock)
        throttle.succeeded(HOME, "juliet@localhost")
        revocations = Revocations(clock)

        def backend(client: str) -> AccountCredentials:
            return AccountCredentials(
                DOMAIN,
                cast("Any", Stored()),
                Tokens([], now=clock),
                b"secret",
                bytes,
                throttle,
                asyncio.Semaphore(1),
                client,
                revocations,
                clock,
            )

        async def login(client: str) -> tuple[float, SaslStep]:
            """The seconds and the result of a login."""
            begun, credentials = clock(), backend(client)
            scram = ScramClient(["SCRAM-SHA-256"], "juliet", PASSWORD)
            mechanism = ScramSha256(credentials)
            first = await mechanism.step(scram.get_client_first().encode())
            took = clock() - begun
            scram.set_server_first((first.data or b"").decode())
            last = await mechanism.step(scram.get_client_final().encode())
            throttle.succeeded(client, credentials.tried, charged=credentials.charged)
            return took, last

        took, last = await login(STRANGER)
        assert took == 0
        assert last.identity is not None
        assert last.identity.local == "juliet"
        for number in range(int(ACCOUNT_RATE.burst)):
            throttle.failed(f"203.0.{number}.1", "juliet@localhost", "not-authorized")
        assert (await login(HOME))[0] == 0
        assert (await login("192.0.2.200"))[0] == pytest.approx(MAX_DELAY)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


def test_a_refused_login_gives_the_turn_of_its_account_back() -> None:
    """Else refusals, which verify no password, would lock the owner out."""
    throttle = throttle_of(Clock())
    for _ in range(100):
        charged = throttle.charge(STRANGER, "juliet@localhost")
        assert charged
        throttle.failed(STRANGER, "juliet@localhost", "temporary-auth-failure", charged=charged)
    assert throttle.delay(STRANGER, "juliet@localhost") == 0


def test_remembered_logins_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushhub.xmpp.sasl.throttle.MAX_KNOWN", 3)
    throttle = throttle_of(Clock())
    for number in range(1, 6):
        throttle.succeeded(HOME, f"user{number}@localhost")
        throttle.succeeded(HOME, "user1@localhost")
    for number in range(20):
        for user in range(1, 6):
            throttle.failed(f"203.0.{number}.1", f"user{user}@localhost", "not-authorized")
    delayed = [bool(throttle.delay(HOME, f"user{number}@localhost")) for number in range(1, 6)]
    assert delayed == [False, True, True, False, False], "the latest are known"
    assert repr(throttle).startswith("<LoginThrottle 3 known, ")


# -- malformed messages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "data", "condition"),
    [
        ("OAUTHBEARER", b"p=tls,,\x01auth=Bearer x\x01\x01", "malformed-request"),
        ("OAUTHBEARER", b"n,juliet,\x01auth=Bearer x\x01\x01", "malformed-request"),
        ("OAUTHBEARER", b"n,,\x01host=localhost\x01\x01", "malformed-request"),
        ("OAUTHBEARER", b"n,,\x01auth=Basic x\x01\x01", "malformed-request"),
        ("OAUTHBEARER", b"\xff", "malformed-request"),
        ("PLAIN", f"@\0juliet\0{PASSWORD}".encode(), "invalid-authzid"),
        ("PLAIN", f"juliet@other\0juliet\0{PASSWORD}".encode(), "invalid-authzid"),
        ("SCRAM-SHA-256", b"n,juliet,n=juliet,r=abc", "malformed-request"),
    ],
)
async def test_a_malformed_message_is_refused_and_the_client_may_try_again(
    strict: World, mechanism: str, data: bytes, condition: str
) -> None:
    client = await connected(strict)
    assert await failed(client, auth(mechanism, data)) == condition
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    assert (await answer(client, said)).name == "success"


@pytest.mark.parametrize(
    ("final", "condition"),
    [
        ("r={r},c=biws,p={proof}", "malformed-request"),
        ("c=biws,r={r},m=x,p={proof}", "malformed-request"),
        ("c=biws,r={r},p=AAAA", "not-authorized"),
        ("c=eSws,r={r},p={proof}", "not-authorized"),
    ],
    ids=["order", "mandatory extension", "short proof", "another header"],
)
async def test_a_scram_proof_counts_only_in_its_own_message(
    strict: World, final: str, condition: str
) -> None:
    client = await connected(strict)
    scram = ScramClient(["SCRAM-SHA-256"], "juliet", PASSWORD)
    first = await answer(client, auth("SCRAM-SHA-256", scram.get_client_first().encode()))
    scram.set_server_first(base64.b64decode(first.text).decode())
    fields = dict(part.split("=", 1) for part in scram.get_client_final().split(","))
    said = final.format(r=fields["r"], proof=fields["p"])
    assert await failed(client, response(said.encode())) == condition
