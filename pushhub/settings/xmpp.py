"""The settings of the XMPP server: domains, logins, archives, and BOSH."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from pushhub.settings.field import XMPP, setting

_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")

# RFC 4422 §3.1.
MECHANISM_PATTERN = r"^[A-Z0-9_-]{1,20}$"

# In the order of RFC 6120 §13.8 and XEP-0438: the strongest proof that reveals least is first.
MECHANISMS = [
    "SCRAM-SHA-512",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "PLAIN",
    "OAUTHBEARER",
    "X-OAUTH2",
    "ANONYMOUS",
]


def _domain(name: str) -> str:
    name = name.lower().removesuffix(".")
    if not name.isascii() or len(name) > 253 or not _DOMAIN.fullmatch(name):
        raise ValueError(f"A domain is a name such as chat.example.com, not {name!r}.")
    return name


Domain = Annotated[str, AfterValidator(_domain)]


class XmppSettings(BaseModel):
    """The settings of the XMPP server; part of `Settings`."""

    xmpp_domains: Annotated[
        list[Domain],
        setting(
            XMPP,
            "The domains that are served over BOSH; without any, XMPP is off. With `dev`, "
            "`localhost`.",
            max_length=100,
        ),
    ] = []
    xmpp_anonymous: Annotated[
        bool,
        setting(XMPP, "Allows logins without an account; always on with `dev`."),
    ] = False
    xmpp_mechanisms: Annotated[
        list[Annotated[str, Field(pattern=MECHANISM_PATTERN)]],
        setting(
            XMPP,
            "The SASL mechanisms that are offered, the best first; ANONYMOUS only if it is "
            "allowed, OAUTHBEARER and X-OAUTH2 only if there are token keys. Packages add their "
            "own by the entry point `pushhub.sasl`.",
            max_length=20,
        ),
    ] = MECHANISMS
    xmpp_resources: Annotated[
        int, setting(XMPP, "The largest number of sessions of an account at a time.", ge=1, le=1000)
    ] = 20
    xmpp_roster_items: Annotated[
        int, setting(XMPP, "The largest number of contacts of an account.", ge=1, le=2000)
    ] = 1000
    xmpp_archive_events: Annotated[
        int,
        setting(
            XMPP, "The number of messages that an account's archive keeps.", ge=1, le=1_000_000
        ),
    ] = 10_000
    xmpp_archive_age: Annotated[
        int,
        setting(
            XMPP,
            "The time that an archive keeps a message; 0 is without a limit.",
            unit="s",
            ge=0,
            le=315_360_000,
        ),
    ] = 30 * 86_400
    # ejabberd's `max_user_offline_messages` is 100, Prosody has none.
    xmpp_offline: Annotated[
        int,
        setting(
            XMPP,
            "The largest number of messages that a returning account receives immediately; older "
            "ones stay in its archive.",
            ge=0,
            le=10_000,
        ),
    ] = 1000
    # A message of an unknown sender is the exception in an archive; with replies it is none.
    xmpp_stranger_share: Annotated[
        float,
        setting(
            XMPP,
            "The part of an account's archive, and of its offline messages, that senders may fill "
            "whom the account neither has as contacts nor has written to. One sender gets a tenth "
            "of it, all guests together a half. Beyond it a message reaches only connected "
            "clients. 1 is without a limit.",
            ge=0,
            le=1,
        ),
    ] = 0.25
    # Prosody's `c2s` limit is 10 kB/s, ejabberd's `normal` shaper 3 kB/s: 10 to 50 stanzas.
    # Converse.js sends about 60 at its start.
    xmpp_stanza_rate: Annotated[
        float,
        setting(
            XMPP,
            "The number of stanzas that an account may send in a second; ten times as many in a "
            "burst. Further ones wait.",
            ge=1,
            le=1_000_000,
        ),
    ] = 200.0
    # A user types one message a second at most; a bot that reports an outage may send hundreds.
    xmpp_pair_rate: Annotated[
        float,
        setting(
            XMPP,
            "The number of stanzas that an account, or all guests of one client address, may send "
            "to one account in a second; ten times as many in a burst. The response to further "
            "ones is the error `policy-violation` of the type `wait`.",
            ge=0.1,
            le=1_000_000,
        ),
    ] = 50.0
    # ejabberd's `negotiation_timeout` is 30, Prosody's `c2s_timeout` 300; clients take one or two.
    # A page that reconnects in a hidden tab may have to wait for one wake-up of its timers, 60 s
    # (see `bosh_inactivity`).
    xmpp_login_seconds: Annotated[
        float,
        setting(
            XMPP,
            "The longest time for a client to log in and bind its resource; then its session ends "
            "with `connection-timeout`.",
            unit="s",
            ge=1,
            le=3600,
        ),
    ] = 90.0
    # Prosody's `bosh_max_inactivity` is 60, ejabberd's `max_inactivity` 30. Neither is enough for a
    # hidden tab: after five minutes Chrome runs its timers once a minute (59.9 s between two empty
    # requests of Strophe.js were seen). 150 s are two of these periods and a half: one wake-up may
    # be missed (Chrome 88, "Heavy throttling of chained JS timers").
    bosh_inactivity: Annotated[
        int,
        setting(
            XMPP,
            "The longest time without an open request before a BOSH session ends; polling sessions "
            "get twice `bosh_polling` and a second more. Less than 120 s ends the sessions of "
            "hidden tabs, because Chrome runs their timers once a minute.",
            unit="s",
            ge=1,
            le=300,
        ),
    ] = 150
    # ejabberd's `max_pause` and MongooseIM's `maxpause` are 120, four times their inactivity of 30.
    # A pause shorter than `bosh_inactivity` would be none, so the default is twice that.
    bosh_maxpause: Annotated[
        int,
        setting(
            XMPP,
            "The longest pause that a BOSH client may request; 0 allows none.",
            unit="s",
            ge=0,
            le=300,
        ),
    ] = 300
    # ejabberd's; Prosody's `bosh_max_polling` is 5.
    bosh_polling: Annotated[
        int,
        setting(
            XMPP,
            "The shortest time between two polls of a BOSH session that never waits; 0 is any "
            "time. Sessions that wait have no such limit.",
            unit="s",
            ge=0,
            le=60,
        ),
    ] = 2
    # All users of a busy site may reload its page together; a client begins one session.
    bosh_rate: Annotated[
        float,
        setting(
            XMPP,
            "The number of BOSH sessions that one address, or one IPv6 network (/64), may begin in "
            "a second; ten times as many in a burst.",
            ge=0.1,
            le=100_000,
        ),
    ] = 100.0
    bosh_sessions: Annotated[
        int,
        setting(
            XMPP,
            "The largest number of BOSH sessions of one process at a time.",
            ge=1,
            le=10_000_000,
        ),
    ] = 100_000
    # 1 MiB that waits for the client, and what is kept for a repeat: two responses of 256 KiB.
    bosh_session_bytes: Annotated[
        int,
        setting(
            XMPP,
            "The most bytes that one BOSH session may make the server hold: elements for its "
            "client, kept responses, stanzas that wait, presence, subscriptions. A larger session "
            "ends with `resource-constraint`.",
            unit="bytes",
            ge=131_072,
            le=67_108_864,
        ),
    ] = 2_097_152
    # Clients that read their responses hold 1 to 10 kB each.
    bosh_total_bytes: Annotated[
        int,
        setting(
            XMPP,
            "The most bytes that all BOSH sessions of one process may make it hold. Beyond it no "
            "session begins, and one above 64 KiB that grows ends.",
            unit="bytes",
            ge=1_048_576,
            le=1_099_511_627_776,
        ),
    ] = 268_435_456
