"""The login by SASL (RFC 6120 §6): one file for each mechanism, and a table of them.

Other packages may add mechanisms: an entry point of the group `pushhub.sasl` names the class, which
is then known by its `name`. A setting lists the offered mechanisms, in order of preference.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING

from pushhub.xmpp.sasl.anonymous import Anonymous
from pushhub.xmpp.sasl.mechanism import (
    CredentialBackend,
    Mechanism,
    SaslFailure,
    SaslIdentity,
    SaslStep,
)
from pushhub.xmpp.sasl.oauthbearer import OAuthBearer
from pushhub.xmpp.sasl.plain import Plain
from pushhub.xmpp.sasl.scram import ScramSha1, ScramSha256, ScramSha512
from pushhub.xmpp.sasl.xoauth2 import XOAuth2

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CredentialBackend",
    "Mechanism",
    "SaslFailure",
    "SaslIdentity",
    "SaslStep",
    "mechanisms",
]

# The earlier names, for mechanisms of other packages.
Failure = SaslFailure
Identity = SaslIdentity
Step = SaslStep

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


@cache
def mechanisms() -> Mapping[str, type[Mechanism]]:
    """All mechanisms by name; an entry point replaces a built-in mechanism of the same name. The
    search reads the metadata of every installed package, so a process does it once.
    """
    found = {mechanism.name: mechanism for mechanism in BUILT_IN}
    for entry in entry_points(group=GROUP):
        mechanism = entry.load()
        found[mechanism.name] = mechanism
    return MappingProxyType(found)
