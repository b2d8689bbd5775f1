"""Guessed passwords: the throttle by address and account, its log line, and PLAIN without TLS."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog
from scramp import ScramClient  # type: ignore[import-untyped]

from pushhub.auth.audit import AuditLog
from pushhub.http.forwarded import TrustedProxies
from pushhub.http.request import Request
from pushhub.xmpp.sasl import SaslFailure
from pushhub.xmpp.sasl.scram import ScramSha1, ScramSha256, ScramSha512
from pushhub.xmpp.sasl.throttle import (
    ACCOUNT_RATE,
    ADDRESS_RATE,
    MAX_DELAY,
    LoginThrottle,
    _key,
)
from tests.store.labs import Clock
from tests.xmpp.sasl.test_login import answer, auth, connected, failed, response, strict
from tests.xmpp.world import DOMAIN, PASSWORD, Client

__all__ = ["strict"]

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from pushhub.xmpp.sasl import SaslStep
    from tests.xmpp.world import World

ATTACKER, VICTIM = "203.0.113.7", "198.51.100.1"
TRIES = 200
DELAY = LoginThrottle.delay
SCRAM = {each.name: each for each in (ScramSha1, ScramSha256, ScramSha512)}


def throttle_of(clock: Callable[[], float], *proxies: str) -> LoginThrottle:
    audit = AuditLog(clock, lambda count: bytes(count), "node", write=lambda line: None)
    return LoginThrottle(clock, TrustedProxies(proxies), audit)


async def from_(world: World, address: str) -> Client:
    client = await connected(world)
    client.client = address
    return client


async def guess(world: World, address: str, account: str, mechanism: str = "PLAIN") -> str:
    """The condition of the failure of a wrong password."""
    client = await from_(world, address)
    if mechanism == "PLAIN":
        return await failed(client, auth("PLAIN", f"\0{account}\0wrong".encode()))
    scram = ScramClient([mechanism], account, "wrong")
    first = await answer(client, auth(mechanism, scram.get_client_first().encode()))
    if first.name == "failure":
        return first.elements[0].name
    scram.set_server_first(base64.b64decode(first.text).decode())
    return await failed(client, response(scram.get_client_final().encode()))


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delays of an account have a test of their own."""
    monkeypatch.setattr(LoginThrottle, "delay", lambda self, client, account: 0.0)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_wrong_passwords_of_one_address(strict: World, mechanism: str) -> None:
    with structlog.testing.capture_logs() as lines:
        seen = [await guess(strict, ATTACKER, f"user{n}", mechanism) for n in range(TRIES)]
    verified = seen.count("not-authorized")
    assert verified <= ADDRESS_RATE.burst + 2
    assert seen[-1] == "temporary-auth-failure"
    refused = [line for line in lines if line["event"] == "auth.refused"]
    assert refused[0]["client"] == ATTACKER
    assert refused[0]["account"] == "user0@localhost"
    assert refused[0]["reason"] == "not-authorized"
    assert 10 <= len(refused) <= 30


async def test_a_failure_counts_for_the_address_that_began_the_login(strict: World) -> None:
    """Requests from a second address would else leave the first one without a failure."""
    seen = []
    for number in range(TRIES):
        client = await from_(strict, ATTACKER)
        client.say(auth("PLAIN", f"\0user{number}\0wrong".encode()))
        client.client = VICTIM
        failure = await client.stanza("failure")
        seen.append(failure.elements[0].name)
    assert seen.count("not-authorized") <= ADDRESS_RATE.burst + 2
    assert seen[-1] == "temporary-auth-failure"
    assert await guess(strict, VICTIM, "juliet") == "not-authorized"


async def test_wrong_passwords_in_parallel(strict: World) -> None:
    """A failure counts when it is known; so no more are verified at a time than a few."""
    guesses = [guess(strict, ATTACKER, "juliet") for _ in range(TRIES)]
    seen = await asyncio.gather(*guesses)
    assert seen.count("not-authorized") <= ADDRESS_RATE.burst + 10


async def test_an_ipv6_network_is_one_address(strict: World) -> None:
    seen = [await guess(strict, f"2001:db8::{n:x}", "juliet") for n in range(1, 70)]
    assert seen[-1] == "temporary-auth-failure"


async def test_the_right_password_of_a_throttled_address(strict: World) -> None:
    """It is not verified, so the response says nothing about it."""
    for _ in range(int(ADDRESS_RATE.burst) + 1):
        await guess(strict, ATTACKER, "juliet")
    client = await from_(strict, ATTACKER)
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    assert await failed(client, said) == "temporary-auth-failure"


async def test_a_known_address_is_let_through(strict: World) -> None:
    """An attacker behind the same address, or one that knows the account, locks nobody out."""
    for address in (VICTIM, ATTACKER):
        client = await from_(strict, VICTIM)
        said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
        assert (await answer(client, said)).name == "success"
        for n in range(int(ADDRESS_RATE.burst) + 1):
            victims = f"user{n}" if address == VICTIM or n % 10 else "juliet"
            await guess(strict, address, victims)
        assert await guess(strict, address, "nurse") == "temporary-auth-failure"
        client = await from_(strict, VICTIM)
        assert (await answer(client, said)).name == "success"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_many_addresses_guess_one_password_each(strict: World, mechanism: str) -> None:
    """They are verified at the same time, so that the delay alone would let all of them through."""
    client = await from_(strict, VICTIM)
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    assert (await answer(client, said)).name == "success"
    addresses = [f"203.0.113.{n + 1}" for n in range(80)]
    seen = await asyncio.gather(*(guess(strict, one, "juliet", mechanism) for one in addresses))
    # The burst, and the one whose turn comes within the longest delay.
    assert seen.count("not-authorized") == ACCOUNT_RATE.burst + 1
    assert seen.count("temporary-auth-failure") == 80 - ACCOUNT_RATE.burst - 1
    # Neither other accounts nor the owner, where it has logged in before, notice it.
    client = await from_(strict, VICTIM)
    assert (await answer(client, said)).name == "success"
    assert await guess(strict, "192.0.2.77", "romeo", mechanism) == "not-authorized"


async def test_a_login_that_succeeds_costs_the_account_nothing(strict: World) -> None:
    """The owner may log in from ever new addresses."""
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    for number in range(40):
        client = await from_(strict, f"198.51.100.{number + 1}")
        assert (await answer(client, said)).name == "success"


async def test_a_login_that_is_abandoned_costs_the_account_nothing(strict: World) -> None:
    """An attacker could keep the owner out without a single guess."""
    for _ in range(40):
        client = await from_(strict, ATTACKER)
        scram = ScramClient(["SCRAM-SHA-256"], "juliet", "wrong")
        await answer(client, auth("SCRAM-SHA-256", scram.get_client_first().encode()))
    client = await from_(strict, "192.0.2.77")
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    assert (await answer(client, said)).name == "success"


def test_an_address_that_does_not_count_is_never_refused() -> None:
    """All users behind an unnamed proxy have its address: it is slow at most."""
    throttle = throttle_of(clock := Clock())
    for _ in range(100):
        charged = throttle.charge("10.0.0.1", "juliet@localhost")
        throttle.failed("10.0.0.1", "juliet@localhost", "not-authorized", charged=charged)
    with pytest.raises(SaslFailure):
        throttle.charge("203.0.113.9", "juliet@localhost")
    clock.advance(MAX_DELAY)
    assert throttle.charge("203.0.113.9", "juliet@localhost"), "the next turn is not hours away"


async def test_logins_that_end_before_the_password_lock_nobody_out(strict: World) -> None:
    """Many that begin together, and end with a nonce that the server did not draw: no password is
    verified, so none of them waits for its turn."""
    clients = [await from_(strict, f"203.0.{n}.1") for n in range(40)]
    scrams = [ScramClient(["SCRAM-SHA-256"], "juliet", "wrong") for _ in clients]
    for client, scram in zip(clients, scrams, strict=True):
        first = await answer(client, auth("SCRAM-SHA-256", scram.get_client_first().encode()))
        scram.set_server_first(base64.b64decode(first.text).decode())
    for client, scram in zip(clients, scrams, strict=True):
        final = scram.get_client_final().replace(",r=", ",r=x")
        assert await failed(client, response(final.encode())) == "not-authorized"
    throttle = strict.server.login.throttle
    turn = throttle._accounts.wait(_key("juliet@localhost"), strict.server.hub.now())
    assert turn <= 2 * MAX_DELAY


def work_of(world: World, mechanism: str, account: str) -> Counter[str]:
    """The functions that a failed login calls in this thread, with the number of their calls."""
    backend = world.server.login.backend(DOMAIN, "127.0.0.1")
    login = SCRAM[mechanism](backend)
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            calls[argument.__qualname__] += 1

    scram = ScramClient([mechanism], account, "wrong")
    first = scram.get_client_first().encode()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        step = drive(login.step(first))
    finally:
        sys.setprofile(before)
    scram.set_server_first((step.data or b"").decode())
    last = scram.get_client_final().encode()
    sys.setprofile(note)
    try:
        with suppress(SaslFailure):
            drive(login.step(last))
    finally:
        sys.setprofile(before)
    return calls


def drive(step: Coroutine[Any, Any, SaslStep]) -> SaslStep:
    """The result of a step that waits for nothing."""
    try:
        step.send(None)
    except StopIteration as ended:
        return cast("SaslStep", ended.value)
    raise AssertionError("The step waits.")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_an_unknown_account_costs_the_same_work(strict: World, mechanism: str) -> None:
    """A stranger could tell by the time of a response which accounts exist."""
    for account in ("juliet", "nobody"):
        # Brings what the store has into memory.
        await guess(strict, "127.0.0.1", account, mechanism)
        work_of(strict, mechanism, account)
    known, unknown = (work_of(strict, mechanism, name) for name in ("juliet", "nobody"))
    assert sum(known.values()) > 200
    # The way to the decoy itself: a twentieth of a microsecond each.
    assert sum(((known - unknown) + (unknown - known)).values()) <= 8


def test_an_account_is_slow_for_unknown_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoginThrottle, "delay", DELAY)
    clock = Clock()
    throttle = throttle_of(clock)
    throttle.succeeded(VICTIM, "juliet@localhost")
    for n in range(100):
        throttle.failed(f"203.0.{n}.1", "juliet@localhost", "not-authorized")
    assert throttle.delay("192.0.2.9", "juliet@localhost") == MAX_DELAY
    assert throttle.delay(VICTIM, "juliet@localhost") == 0
    assert throttle.delay("192.0.2.9", "romeo@localhost") == 0
    throttle.check(VICTIM, "juliet@localhost")
    with pytest.raises(SaslFailure):
        throttle.check("192.0.2.9", "juliet@localhost")
    # Its turn comes within the longest delay.
    clock.advance(MAX_DELAY)
    throttle.check("192.0.2.9", "juliet@localhost")
    assert throttle.delay("192.0.2.9", "juliet@localhost") == pytest.approx(MAX_DELAY)
    clock.advance(ACCOUNT_RATE.interval)
    assert throttle.delay("192.0.2.9", "juliet@localhost") == 0


def test_a_known_address_does_not_guess_freely() -> None:
    throttle = throttle_of(Clock())
    throttle.succeeded(ATTACKER, "juliet@localhost")
    with pytest.raises(SaslFailure):  # noqa: PT012
        for _ in range(20):
            throttle.check(ATTACKER, "juliet@localhost")
            throttle.failed(ATTACKER, "juliet@localhost", "not-authorized")


def test_addresses_of_proxies_do_not_count() -> None:
    """All users of a proxy that names no clients have its address."""
    for proxies, address, counts in (
        ((), "127.0.0.1", False),
        ((), "::1", False),
        ((), "::ffff:127.0.0.1", False),
        ((), "10.0.0.1", False),
        (("127.0.0.0/8",), "10.0.0.1", False),
        (("10.0.0.1",), "10.0.0.1", False),
        (("10.0.0.1",), "10.0.0.2", True),
        ((), "8.8.8.8", True),
        ((), "", False),
    ):
        throttle = throttle_of(Clock(), *proxies)
        for _ in range(100):
            throttle.failed(address, "a@b", "not-authorized")
        if counts:
            with pytest.raises(SaslFailure):
                throttle.check(address, "a@b")
        else:
            throttle.check(address, "a@b")


# -- PLAIN ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "headers", "secure", "confidential"),
    [
        ("127.0.0.1", {}, False, True),
        ("::1", {}, False, True),
        ("192.0.2.1", {}, False, False),
        ("192.0.2.1", {}, True, True),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False, False),
        ("127.0.0.1", {"x-forwarded-proto": "http"}, False, False),
        ("127.0.0.1", {"x-forwarded-host": "a"}, False, False),
        ("127.0.0.1", {"forwarded": "for=192.0.2.1"}, False, False),
        ("127.0.0.1", {"x-forwarded-proto": "https"}, True, True),
    ],
)
def test_requests_that_may_carry_a_password(
    client: str, headers: dict[str, str], secure: bool, confidential: bool
) -> None:
    request = Request("POST", "/http-bind", "", headers, b"", client, secure=secure)
    assert request.is_confidential is confidential


async def test_plain_without_tls(strict: World) -> None:
    client = Client(strict, strict.server)
    client.secure = False
    client.stream.open()
    features = await client.next()
    offered = [each.text for each in features.elements[0].elements]
    assert "PLAIN" not in offered
    assert "SCRAM-SHA-256" in offered
    with structlog.testing.capture_logs() as lines:
        said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
        assert await failed(client, said) == "encryption-required"
    (line,) = [line for line in lines if line["event"] == "auth.refused"]
    assert line["reason"] == "encryption-required"


async def test_a_store_outage_is_no_refused_login(strict: World) -> None:
    client = await from_(strict, ATTACKER)
    await strict.server.hub.store.close()
    with structlog.testing.capture_logs() as lines:
        said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
        await answer(client, said)
    assert not [line for line in lines if line["event"] == "auth.refused"]
