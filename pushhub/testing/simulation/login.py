"""How a BOSH client logs in: ANONYMOUS, PLAIN or SCRAM (RFC 4505, 4616, 5802), then a resource."""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import cache
from typing import TYPE_CHECKING

from pushhub.testing.simulation.bosh import BoshClient, SessionEnded

if TYPE_CHECKING:
    from random import Random

BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
# PLAIN is the exception, as among real clients.
PLAIN_PART = 0.2


async def log_in(client: BoshClient, random: Random, user: str, password: str) -> None:
    """Log in, without a user as a guest, and bind a resource.

    Raises:
        Ended: the server refuses.
    """
    if not user:
        client.send(f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'/>")
    elif random.random() < PLAIN_PART:
        _say(client, "auth", f"\0{user}\0{password}", " mechanism='PLAIN'")
    else:
        await _scram(client, random, user, password)
    success = await client.step()
    if success.name != "success":
        raise SessionEnded(f"login: {success.xml()}")
    client.restart()
    await client.step()
    bound = await client.iq("set", f"<bind xmlns='{BIND}'/>")
    bind = bound.find("bind", BIND)
    jid = bind.find("jid") if bind is not None else None
    if jid is None:
        raise SessionEnded(f"bind: {bound.xml()}")
    client.jid = jid.text


async def _scram(client: BoshClient, random: Random, user: str, password: str) -> None:
    first = f"n={user},r={random.randbytes(12).hex()}"
    _say(client, "auth", f"n,,{first}", " mechanism='SCRAM-SHA-1'")
    challenge = await client.step()
    if challenge.name != "challenge":
        raise SessionEnded(f"login: {challenge.xml()}")
    text = base64.b64decode(challenge.text).decode()
    fields = dict(part.split("=", 1) for part in text.split(","))
    salted = _salted(password, base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha1")
    bare = f"c=biws,r={fields['r']}"
    signed = f"{first},{text},{bare}".encode()
    signature = hmac.digest(hashlib.sha1(key).digest(), signed, "sha1")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    _say(client, "response", f"{bare},p={base64.b64encode(proof).decode()}")


def _say(client: BoshClient, name: str, text: str, more: str = "") -> None:
    data = base64.b64encode(text.encode()).decode()
    client.send(f"<{name} xmlns='{SASL}'{more}>{data}</{name}>")


@cache
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha1", password.encode(), salt, iterations)
