"""Message carbons (XEP-0280): whether a session gets copies. `Home` makes them."""

from __future__ import annotations

from pushhub.xmpp.extension import ACCOUNT, Extension, Query
from pushhub.xmpp.names import CARBONS


def enable(query: Query) -> None:
    query.session.carbons = True
    query.session.attend()


def disable(query: Query) -> None:
    query.session.carbons = False
    query.session.attend()


EXTENSION = Extension(
    {
        (ACCOUNT, "set", CARBONS, "enable"): enable,
        (ACCOUNT, "set", CARBONS, "disable"): disable,
    },
    # Converse.js looks for it on the domain, others on the account.
    domain_features=(CARBONS,),
    account_features=(CARBONS,),
)
