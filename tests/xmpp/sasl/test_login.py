"""Logins: each mechanism, with an independent client, and refused logins."""

from __future__ import annotations

import base64
import hashlib
import hmac
from importlib import metadata
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from precis_i18n import get_profile
from scramp import ScramClient  # type: ignore[import-untyped]

from pushhub.log.grant import Action
from pushhub.xmpp import sasl
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.jid import JidError
from pushhub.xmpp.model.saslprep import saslprep
from pushhub.xmpp.sasl import SaslIdentity, Step, mechanisms
from pushhub.xmpp.storage.accounts import HASHES
from pushhub.xmpp.xep.pubsub.rights import grant_of
from tests.auth.signing import SECRET
from tests.store.labs import Clock, make_lab
from tests.xmpp.world import DOMAIN, PASSWORD, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from pushhub.xml import Element
    from tests.xmpp.world import Client

KEY = {"algorithm": "HS256", "key": SECRET.decode()}


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[World]:
    """A world with passwords and tokens."""
    lab = make_lab("memory", tmp_path, Clock())
    world = World(lab.make, False, dev=False, xmpp_domains=[DOMAIN], token_keys=[KEY])
    await world.node()
    await world.account("juliet")
    yield world
    await world.close()


def token(sub: str = "juliet", **more: Any) -> str:
    claims = {"exp": 4_000_000_000, "sub": sub, "pushhub": {"read": ["news"]}, **more}
    return jwt.encode(claims, SECRET, "HS256")


def auth(mechanism: str, data: bytes) -> str:
    text = base64.b64encode(data).decode() or "="
    return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{text}</auth>"


def response(data: bytes) -> str:
    return f"<response xmlns='{ns.SASL}'>{base64.b64encode(data).decode()}</response>"


async def connected(world: World) -> Client:
    client = world.client()
    client.stream.open()
    await client.next()
    return client


async def answer(client: Client, said: str) -> Element:
    client.say(said)
    return await client.next()


async def failed(client: Client, said: str) -> str:
    refused = await answer(client, said)
    assert refused.name == "failure", refused
    return refused.elements[0].name


async def test_offered_mechanisms_and_their_order(strict: World) -> None:
    client = strict.client()
    client.stream.open()
    features = await client.next()
    offered = features.find("mechanisms", ns.SASL)
    assert offered is not None
    assert [each.text for each in offered.elements] == [
        *("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "OAUTHBEARER", "X-OAUTH2")
    ]
    # Converse.js takes every child for an element, and reads the xmlns of each.
    written = features.xml()
    assert "> <" not in written
    assert f"<mechanisms xmlns='{ns.SASL}'>" in written


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_scram(strict: World, mechanism: str) -> None:
    client = await connected(strict)
    other = ScramClient([mechanism], "juliet", PASSWORD)
    challenge = await answer(client, auth(mechanism, other.get_client_first().encode()))
    assert challenge.name == "challenge"
    other.set_server_first(base64.b64decode(challenge.text).decode())
    success = await answer(client, response(other.get_client_final().encode()))
    assert success.name == "success"
    # This raises if the server has not proved its identity.
    other.set_server_final(base64.b64decode(success.text).decode())
    client.stream.restart()
    await client.next()
    await client.bind("balcony")
    assert client.jid == "juliet@localhost/balcony"


# A password, and the forms in which clients derive keys from it: of RFC 5802 by SASLprep, of RFC
# 8265 by OpaqueString, and in JavaScript as it was typed.
PASSWORDS = {
    "ligature": "\ufb01re",
    "full width": "\uff46ire",
    "soft hyphen": "fi\u00adre",
    "no-break space": "fi\u00a0re",
    "decomposed": "fe\u0301u",
    "newer than Unicode 3.2": "f\U0001f525",
    "plain": "fire",
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
async def test_a_password_is_the_same_in_each_form(small: World, password: str) -> None:
    if password == PASSWORDS["soft hyphen"]:
        # OpaqueString prohibits this password, so no account can have it.
        with pytest.raises(JidError):
            await small.account("juliet", password)
        return
    await small.account("juliet", password)
    forms = {password, get_profile("OpaqueString").enforce(password), saslprep(password)}
    for form in forms - {None}:
        for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-512"):
            client = await connected(small)
            # The client verifies the server's key: raw bytes, since it prepares passwords itself.
            assert (await scram(client, mechanism, "juliet", str(form))).name == "success"
        client = await connected(small)
        said = auth("PLAIN", f"\0juliet\0{form}".encode())
        assert (await answer(client, said)).name == "success"
    client = await connected(small)
    assert (await scram(client, "SCRAM-SHA-1", "juliet", password + "x")).name == "failure"
    # An independent client, which prepares passwords by RFC 5802.
    if password == PASSWORDS["newer than Unicode 3.2"]:
        return  # That client refuses these.
    client = await connected(small)
    other = ScramClient(["SCRAM-SHA-256"], "juliet", password)
    challenge = await answer(client, auth("SCRAM-SHA-256", other.get_client_first().encode()))
    other.set_server_first(base64.b64decode(challenge.text).decode())
    success = await answer(client, response(other.get_client_final().encode()))
    other.set_server_final(base64.b64decode(success.text).decode())


async def scram(client: Client, mechanism: str, user: str, password: str) -> Element:
    """A login of a client that derives its keys from the unprepared password."""
    name, bare = HASHES[mechanism], f"n={user},r=abc"
    challenge = await answer(client, auth(mechanism, f"n,,{bare}".encode()))
    first = base64.b64decode(challenge.text).decode()
    fields = dict(part.split("=", 1) for part in first.split(","))
    salted = hashlib.pbkdf2_hmac(
        name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
    )
    key = hmac.digest(salted, b"Client Key", name)
    final = f"c=biws,r={fields['r']}"
    messages = f"{bare},{first},{final}".encode()
    signature = hmac.digest(hashlib.new(name, key).digest(), messages, name)
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    success = await answer(client, response(f"{final},p={proof}".encode()))
    if success.name == "success":
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", name), messages, name)
        assert base64.b64decode(success.text) == b"v=" + base64.b64encode(verifier)
    return success


@pytest.mark.parametrize(
    ("mechanism", "data"),
    [
        ("PLAIN", f"\0juliet\0{PASSWORD}".encode()),
        ("OAUTHBEARER", None),
        ("X-OAUTH2", None),
    ],
)
async def test_a_login_without_an_initial_response(
    strict: World, mechanism: str, data: bytes | None
) -> None:
    client = await connected(strict)
    empty = f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'/>"
    challenge = await answer(client, empty)
    assert (challenge.name, challenge.text) == ("challenge", "")
    if data is None:
        oauth = f"n,,\x01auth=Bearer {token()}\x01\x01"
        data = (oauth if mechanism == "OAUTHBEARER" else f"\0juliet\0{token()}").encode()
    assert (await answer(client, response(data))).name == "success"
    # A response of no length is data; after it there is no further challenge.
    for said in (auth(mechanism, b""), empty):
        client = await connected(strict)
        if said == empty:
            assert (await answer(client, said)).name == "challenge"
            said = f"<response xmlns='{ns.SASL}'/>"
        assert await failed(client, said) == "malformed-request"


async def test_scram_without_an_initial_response(strict: World) -> None:
    client = await connected(strict)
    other = ScramClient(["SCRAM-SHA-256"], "juliet", PASSWORD)
    challenge = await answer(client, f"<auth xmlns='{ns.SASL}' mechanism='SCRAM-SHA-256'/>")
    assert (challenge.name, challenge.text) == ("challenge", "")
    challenge = await answer(client, response(other.get_client_first().encode()))
    other.set_server_first(base64.b64decode(challenge.text).decode())
    success = await answer(client, response(other.get_client_final().encode()))
    other.set_server_final(base64.b64decode(success.text).decode())


@pytest.mark.parametrize("user", ["juliet", "nobody"])
async def test_scram_with_a_wrong_password(strict: World, user: str) -> None:
    client = await connected(strict)
    other = ScramClient(["SCRAM-SHA-256"], user, "wrong")
    challenge = await answer(client, auth("SCRAM-SHA-256", other.get_client_first().encode()))
    other.set_server_first(base64.b64decode(challenge.text).decode())
    assert await failed(client, response(other.get_client_final().encode())) == "not-authorized"


async def test_keys_can_be_reused(strict: World) -> None:
    """Converse.js stores derived keys: salt and iterations must not change."""
    salts = set()
    for _ in range(2):
        client = await connected(strict)
        challenge = await answer(client, auth("SCRAM-SHA-256", b"n,,n=juliet,r=abc"))
        salts.add(base64.b64decode(challenge.text).split(b",", 1)[1])
    assert len(salts) == 1


async def test_a_login_does_not_reveal_accounts(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the iterations of production
    salts = []
    for _ in range(2):
        client = await connected(strict)
        challenge = await answer(client, auth("SCRAM-SHA-256", b"n,,n=nobody,r=abc"))
        salts.append(base64.b64decode(challenge.text).split(b",", 1)[1])
        final = base64.b64decode(challenge.text).split(b",")[0]
        proof = base64.b64encode(bytes(32))
        said = response(b"c=biws," + final + b",p=" + proof)
        assert await failed(client, said) == "not-authorized"
    assert salts[0] == salts[1]
    assert b",i=10000" in salts[0]


@pytest.mark.parametrize(
    ("first", "condition"),
    [
        (b"", "malformed-request"),
        (b"n,,", "malformed-request"),
        (b"n,,r=abc,n=juliet", "malformed-request"),
        (b"n,,n=juliet", "malformed-request"),
        (b"n,,n=juliet,r=", "malformed-request"),
        (b"p=tls-unique,,n=juliet,r=abc", "malformed-request"),
        (b"n,,m=x,n=juliet,r=abc", "malformed-request"),
        (b"n,a=romeo@localhost,n=juliet,r=abc", "invalid-authzid"),
        (b"n,,n=ju liet,r=abc", "not-authorized"),
        (b"\xff", "malformed-request"),
    ],
)
async def test_malformed_scram(strict: World, first: bytes, condition: str) -> None:
    assert await failed(await connected(strict), auth("SCRAM-SHA-256", first)) == condition


@pytest.mark.parametrize(
    "final",
    [b"", b"c=biws,r={r}", b"c=biws,r=other,p=AAAA", b"c=AAAA,r={r},p=AAAA", b"c=biws,r={r},p=*"],
)
async def test_scram_with_a_bad_final_message(strict: World, final: bytes) -> None:
    client = await connected(strict)
    challenge = await answer(client, auth("SCRAM-SHA-256", b"n,,n=juliet,r=abc"))
    nonce = base64.b64decode(challenge.text).split(b",")[0].removeprefix(b"r=")
    said = response(final.replace(b"{r}", nonce))
    assert await failed(client, said) in ("not-authorized", "malformed-request")


@pytest.mark.parametrize(
    "data",
    [
        f"\0juliet\0{PASSWORD}",
        f"juliet@localhost\0juliet\0{PASSWORD}",
        f"juliet\0Juliet\0{PASSWORD}",
    ],
)
async def test_plain(strict: World, data: str) -> None:
    success = await answer(await connected(strict), auth("PLAIN", data.encode()))
    assert success.name == "success"


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        ("\0juliet\0wrong", "not-authorized"),
        ("\0nobody\0wrong", "not-authorized"),
        (f"romeo@localhost\0juliet\0{PASSWORD}", "invalid-authzid"),
        ("juliet", "malformed-request"),
        ("\0juliet\0", "malformed-request"),
        ("\0\0x", "malformed-request"),
    ],
)
async def test_refused_plain_logins(strict: World, data: str, condition: str) -> None:
    assert await failed(await connected(strict), auth("PLAIN", data.encode())) == condition


@pytest.mark.parametrize(
    ("mechanism", "data"),
    [
        ("OAUTHBEARER", "n,a=juliet@localhost,\x01auth=Bearer {}\x01\x01"),
        ("OAUTHBEARER", "n,,\x01auth=Bearer {}\x01\x01"),
        ("X-OAUTH2", "\0juliet@localhost\0{}"),
        ("X-OAUTH2", "\0juliet\0{}"),
    ],
)
async def test_tokens(strict: World, mechanism: str, data: str) -> None:
    for sub in ("juliet", "juliet@localhost"):
        client = await connected(strict)
        said = auth(mechanism, data.format(token(sub)).encode())
        assert (await answer(client, said)).name == "success"
        client.stream.restart()
        await client.next()
        await client.bind()
        assert client.bare == "juliet@localhost"
        session = client.stream.session
        assert session is not None
        assert grant_of(strict.server.context, session).allows(Action.READ, "news")


async def test_a_token_creates_its_account(strict: World) -> None:
    client = await connected(strict)
    said = auth("X-OAUTH2", f"\0new@localhost\0{token('new')}".encode())
    assert (await answer(client, said)).name == "success"
    assert await strict.server.accounts.get("new@localhost") is not None
    assert "new@localhost" in await strict.server.accounts.every("localhost")


@pytest.mark.parametrize("sub", ["romeo", "juliet@elsewhere.example", "", "a b"])
async def test_tokens_of_other_accounts(strict: World, sub: str) -> None:
    client = await connected(strict)
    said = auth("X-OAUTH2", f"\0juliet@localhost\0{token(sub)}".encode())
    assert await failed(client, said) in ("invalid-authzid", "not-authorized")


async def test_a_bad_token_is_explained_first(strict: World) -> None:
    """RFC 7628 §3.2.3."""
    client = await connected(strict)
    said = auth("OAUTHBEARER", b"n,,\x01auth=Bearer nonsense\x01\x01")
    challenge = await answer(client, said)
    assert challenge.name == "challenge"
    assert b"invalid_token" in base64.b64decode(challenge.text)
    assert await failed(client, response(b"\x01")) == "not-authorized"


async def test_anonymous_is_disabled_by_default(strict: World, small: World) -> None:
    said = f"<auth xmlns='{ns.SASL}' mechanism='ANONYMOUS'/>"
    assert await failed(await connected(strict), said) == "invalid-mechanism"
    one, other = await small.user(), await small.user()
    assert one.bare != other.bare
    assert len(one.bare.partition("@")[0]) >= 32


async def test_invalid_logins(strict: World) -> None:
    client = await connected(strict)
    for said, condition in (
        (f"<auth xmlns='{ns.SASL}' mechanism='DIGEST-MD5'/>", "invalid-mechanism"),
        (f"<auth xmlns='{ns.SASL}'/>", "invalid-mechanism"),
        (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>*</auth>", "incorrect-encoding"),
        (f"<response xmlns='{ns.SASL}'/>", "malformed-request"),
    ):
        assert await failed(client, said) == condition
    said = f"<abort xmlns='{ns.SASL}'/>"
    client.say(said)
    refused = await client.next()
    assert refused.elements[0].name == "aborted"
    assert await client.ended() == "policy-violation", "five have failed"


async def test_a_login_can_be_tried_again(strict: World) -> None:
    client = await connected(strict)
    assert await failed(client, auth("PLAIN", b"\0juliet\0wrong")) == "not-authorized"
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    assert (await answer(client, said)).name == "success"
    client.say(said)
    assert await client.ended() == "not-authorized", "one has logged in once"


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The searches for installed mechanisms, which start with none in the cache."""
    made: list[str] = []
    search = metadata.entry_points

    def counted(group: str) -> Any:
        made.append(group)
        return search(group=group)

    monkeypatch.setattr("pushhub.xmpp.sasl.entry_points", counted)
    mechanisms.cache_clear()
    yield made
    mechanisms.cache_clear()


def test_a_process_searches_for_mechanisms_once(searches: list[str]) -> None:
    assert mechanisms() is mechanisms()
    assert list(mechanisms()) == [mechanism.name for mechanism in sasl.BUILT_IN]
    assert searches == [sasl.GROUP]


@pytest.mark.usefixtures("searches")
async def test_a_custom_mechanism(
    strict: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Door:
        name = "X-DOOR"

        def __init__(self, gate: object) -> None: ...

        async def step(self, data: bytes) -> Step:
            return Step(identity=SaslIdentity("doorman"))

    class Entry:
        def load(self) -> type[Door]:
            return Door

    monkeypatch.setattr("pushhub.xmpp.sasl.entry_points", lambda group: [Entry()])
    mechanisms.cache_clear()
    assert mechanisms()["X-DOOR"] is Door  # type: ignore[comparison-overlap]
    settings = {"xmpp_domains": [DOMAIN], "xmpp_mechanisms": ["X-DOOR", "X-UNKNOWN"]}
    world = World(strict._make, False, dev=False, **settings)
    await world.node()
    assert world.server.login.names(secure=True) == ["X-DOOR"]
    client = await connected(world)
    assert (await answer(client, auth("X-DOOR", b""))).name == "success"
    client.stream.restart()
    await client.next()
    await client.bind()
    assert client.bare == "doorman@localhost"
    await world.close()
