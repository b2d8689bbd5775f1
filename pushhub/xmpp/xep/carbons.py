"""Message carbons (XEP-0280): whether a session gets copies, which `LocalUser` sends."""

from __future__ import annotations

from pushhub.xmpp.model.namespaces import CARBONS
from pushhub.xmpp.routing.extension import ACCOUNT, Extension, IqRequest


def enable(request: IqRequest) -> None:
    request.session.carbons = True
    request.session.update_received()


def disable(request: IqRequest) -> None:
    request.session.carbons = False
    request.session.update_received()


EXTENSION = Extension(
    {
        (ACCOUNT, "set", CARBONS, "enable"): enable,
        (ACCOUNT, "set", CARBONS, "disable"): disable,
    },
    # Converse.js looks for it on the domain, others on the account.
    domain_features=(CARBONS,),
    account_features=(CARBONS,),
)
