"""The extensions, one file each. A new extension is a file with an `EXTENSION`, or an `extension`
that takes its dependencies, and a line in the function below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xmpp.xep import (
    blocking,
    carbons,
    contacts,
    disco,
    mam,
    pep,
    ping,
    private,
    pubsub,
    time,
    vcard,
    version,
)

if TYPE_CHECKING:
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.extension import Extension
    from pushhub.xmpp.routing.subscriptions import PresenceSubscriptions
    from pushhub.xmpp.storage.roster import Rosters
    from pushhub.xmpp.xep.pubsub.subscribers import Subscribers


def extensions(
    context: Context,
    cluster: Cluster,
    rosters: Rosters,
    subscriptions: PresenceSubscriptions,
    subscribers: Subscribers,
) -> list[Extension]:
    """All extensions."""
    found: list[Extension] = []
    found += (
        contacts.extension(context, cluster, rosters, subscriptions),
        disco.extension(rosters, found),
        version.EXTENSION,
        ping.EXTENSION,
        time.EXTENSION,
        private.EXTENSION,
        vcard.EXTENSION,
        blocking.extension(context, cluster, rosters, subscribers),
        carbons.EXTENSION,
        mam.EXTENSION,
        pep.EXTENSION,
        pubsub.extension(cluster, subscribers),
    )
    return found
