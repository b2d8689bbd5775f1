"""Logging in (RFC 6120 §6): one mechanism a file, and a table of those there are.

A mechanism is a class of a package's own, too: an entry point of the group `pushhub.sasl` names one
that is then known under its `name`. What is offered, and in which order, is a setting.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from pushhub.xmpp.sasl.anonymous import Anonymous
from pushhub.xmpp.sasl.mechanism import CredentialBackend, Failure, Mechanism, SaslIdentity, Step
from pushhub.xmpp.sasl.oauthbearer import OAuthBearer
from pushhub.xmpp.sasl.plain import Plain
from pushhub.xmpp.sasl.scram import ScramSha1, ScramSha256, ScramSha512
from pushhub.xmpp.sasl.xoauth2 import XOAuth2

__all__ = ["CredentialBackend", "Failure", "Mechanism", "SaslIdentity", "Step", "mechanisms"]

GROUP = "pushhub.sasl"

BUILT_IN: tuple[type[Mechanism], ...] = (
    ScramSha512,
    ScramSha256,
    ScramSha1,
    Plain,
    OAuthBearer,
    XOAuth2,
    Anonymous,
)


def mechanisms() -> dict[str, type[Mechanism]]:
    """All mechanisms there are, by name; one of an entry point wins over ours."""
    found = {mechanism.name: mechanism for mechanism in BUILT_IN}
    for entry in entry_points(group=GROUP):
        mechanism = entry.load()
        found[mechanism.name] = mechanism
    return found
