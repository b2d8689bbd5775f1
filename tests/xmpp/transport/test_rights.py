"""A stream and a BOSH session end with the token of their login."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import jwt
import orjson
import pytest

from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.log.grant import Basis, Grant
from pushhub.xmpp.cluster.serialize import dump_identity, load_identity
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.sasl import SaslIdentity
from tests.auth.signing import SECRET
from tests.peers.bosh_user import User
from tests.serving import serve
from tests.xmpp.sasl.test_login import auth, connected, failed, strict, token

if TYPE_CHECKING:
    from tests.xmpp.world import Client, World

__all__ = ["strict"]


async def bound(world: World, expires: float) -> Client:
    """A client that has logged in by a token with this `exp`."""
    client = await connected(world)
    client.say(auth("X-OAUTH2", f"\0juliet\0{token(exp=expires)}".encode()))
    assert (await client.next()).name == "success"
    client.stream.restart()
    await client.next()
    return await client.bind("balcony")


async def test_nothing_is_written_after_the_token(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = strict.server.hub
    client = await bound(strict, hub.clock() + 60)
    assert 59 < client.stream.deadline - hub.now() <= 60
    later = hub.clock() + 61
    monkeypatch.setattr(hub, "clock", lambda: later)
    other = await (await strict.client().login("juliet")).bind("orchard")
    await other.available()
    other.chat("juliet@localhost/balcony", "Good night")
    assert await client.ended() == "not-authorized"
    assert not [e for e in client.seen if e.name == "message"]
    # The session is unbound.
    await other.settled()
    assert list(strict.server.users.by_jid["juliet@localhost"].sessions) == ["orchard"]


async def test_nothing_is_accepted_after_the_token(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = strict.server.hub
    client = await bound(strict, hub.clock() + 60)
    later = hub.clock() + 61
    monkeypatch.setattr(hub, "clock", lambda: later)
    client.say(f"<presence xmlns='{ns.CLIENT}'/>")
    assert await client.ended() == "not-authorized"


async def test_a_session_by_password_has_no_such_end(strict: World) -> None:
    client = await strict.user("juliet")
    assert client.stream.deadline == float("inf")


def test_a_bosh_session_ends_with_its_token() -> None:
    admin = new_secret()
    with serve(
        dev=False,
        api_keys=[{"name": "a", "sha256": secret_hash(admin), "manage": ["*"]}],
        token_keys=[{"algorithm": "HS256", "key": SECRET.decode()}],
        xmpp_domains=["localhost"],
    ) as server:
        end = time.time() + 3
        claims = {"exp": end, "sub": "juliet", "pushhub": {"read": ["*"]}}
        secret = jwt.encode(claims, SECRET, "HS256")
        user = User.login(server.port, "juliet", secret, "balcony", "X-OAUTH2")
        error = user.next(lambda e: e.name == "error", seconds=10)
        assert error.elements[0].name == "not-authorized"
        assert abs(time.time() - end) < 1
        assert server.process.poll() is None


def removed(world: World) -> None:
    """What `pushhub user remove` writes."""
    now = world.server.hub.clock()
    entry = Revocation(RevocationKind.SUBJECT, "juliet@localhost", now, now + 60)
    revocations = world.server.login.revocations
    revocations.take(entry.shard, revocations.value(entry.shard, b"{}", entry))
    for credential in revocations.in_use():
        revocations.mark(credential)


@pytest.mark.parametrize("subject", ["juliet", "juliet@localhost"])
async def test_a_session_by_token_ends_with_its_account(strict: World, subject: str) -> None:
    """A `sub` may be the localpart alone; the account is removed by its address."""
    issued = strict.server.hub.clock() - 5
    said = auth("X-OAUTH2", f"\0juliet\0{token(subject, iat=issued)}".encode())
    client = await connected(strict)
    client.say(said)
    assert (await client.next()).name == "success"
    client.stream.restart()
    await client.next()
    await client.bind("balcony")
    other = await connected(strict)
    other.say(auth("X-OAUTH2", f"\0romeo\0{token('romeo', iat=issued)}".encode()))
    assert (await other.next()).name == "success"
    removed(strict)
    identity = client.stream.identity
    assert identity is not None
    assert identity.grant.is_revoked
    client.say(f"<presence xmlns='{ns.CLIENT}'/>")
    assert await client.ended() == "not-authorized"
    # The token makes no new account. That of another account, and a newer one, are good.
    again = await connected(strict)
    assert await failed(again, said) == "not-authorized"
    assert other.stream.identity is not None
    assert not other.stream.identity.grant.is_revoked
    newer = token(subject, iat=strict.server.hub.clock() + 1)
    last = await connected(strict)
    last.say(auth("X-OAUTH2", f"\0juliet\0{newer}".encode()))
    assert (await last.next()).name == "success"


def test_a_session_that_migrates_brings_its_account() -> None:
    here, there = Revocations(time.time), Revocations(time.time)
    credential = here.credential(subject="juliet", issued=5.0, account="juliet@localhost")
    grant = Grant(expires=4e9, subject="juliet", credential=credential)
    record = orjson.loads(orjson.dumps(dump_identity(SaslIdentity("juliet", grant))))
    entry = Revocation(RevocationKind.SUBJECT, "juliet@localhost", time.time(), None)
    there.take(entry.shard, there.value(entry.shard, b"{}", entry))
    identity = load_identity(record, there, nothing)
    assert identity is not None
    assert identity.grant.is_revoked


def nothing(id: str) -> Basis | None:
    """Finds no key."""


def test_a_session_that_migrates_brings_the_names_of_its_token() -> None:
    here, there = Revocations(time.time), Revocations(time.time)
    credential = here.credential(token_id="t", subject="juliet", issued=5.0)
    grant = Grant(expires=4e9, subject="juliet", credential=credential)
    record = orjson.loads(orjson.dumps(dump_identity(SaslIdentity("juliet", grant))))
    entry = Revocation(RevocationKind.TOKEN, "t", time.time(), time.time() + 60)
    there.take(entry.shard, there.value(entry.shard, b"{}", entry))
    for revocations, is_revoked in ((here, False), (there, True)):
        identity = load_identity(record, revocations, nothing)
        assert identity is not None
        assert identity.grant == grant
        assert identity.grant.is_revoked is is_revoked
    # A node of an older version wrote neither.
    del record["of"], record["basis"]
    identity = load_identity(record, there, nothing)
    assert identity is not None
    assert identity.grant.credential is None


def test_a_session_that_migrates_ends_with_its_key() -> None:
    revocations, known = Revocations(time.time), Basis("id-1")
    identity = SaslIdentity("juliet", Grant(expires=4e9, subject="juliet", basis=Basis("id-1")))
    record = orjson.loads(orjson.dumps(dump_identity(identity)))
    here = load_identity(record, revocations, {"id-1": known}.get)
    assert here is not None
    assert here.grant.basis is known
    assert not here.grant.has_ended(0)
    elsewhere = load_identity(record, revocations, {"id-2": known}.get)
    assert elsewhere is not None
    assert elsewhere.grant.has_ended(0)


async def test_the_basis_of_a_session_is_found_again(strict: World) -> None:
    """Another process with the same settings knows the key by the same id."""
    client = await bound(strict, 4_000_000_000)
    identity = client.stream.identity
    assert identity is not None
    basis = identity.grant.basis
    assert basis is not None
    other = (await strict.node()).login
    found = other.basis(basis.id)
    assert found is not None
    assert found is not basis
    assert other.basis("unknown") is None
