"""XML in a register."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.protocol.xml import Element, parse
from pushhub.xmpp.registers import TooLarge
from pushhub.xmpp.stanza import StanzaError

if TYPE_CHECKING:
    from pushhub.xmpp.registers import Registers


async def read_xml(registers: Registers, name: str) -> Element | None:
    """What is in a register; None if there is nothing.

    Raises:
        StoreError: the store cannot be read now.
    """
    data = await registers.value(name)
    return None if data is None else parse(data)


async def write_xml(registers: Registers, name: str, element: Element) -> None:
    """Put an element into a register.

    Raises:
        StanzaError: it is too large.
        StoreError: the store cannot be written now.
    """
    try:
        await registers.set(name, element.xml().encode())
    except TooLarge as error:
        raise StanzaError("resource-constraint", str(error)) from None
