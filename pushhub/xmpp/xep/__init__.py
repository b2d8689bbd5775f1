"""Extensions: one file each. A new one is a file with an `EXTENSION`, and a line in this table."""

from pushhub.xmpp.model.extension import Extension
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

EXTENSIONS: tuple[Extension, ...] = (
    contacts.EXTENSION,
    disco.EXTENSION,
    version.EXTENSION,
    ping.EXTENSION,
    time.EXTENSION,
    private.EXTENSION,
    vcard.EXTENSION,
    blocking.EXTENSION,
    carbons.EXTENSION,
    mam.EXTENSION,
    pep.EXTENSION,
    pubsub.EXTENSION,
)
