"""XMPP addresses (RFC 7622): `local@domain/resource`, prepared so that equivalent ones are
equal."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

# RFC 7622 §3.1: each part.
MAX_PART_BYTES = 1023
MAX_BYTES = 3 * MAX_PART_BYTES + 2

# The characters of nearly all addresses; to prepare such a part means to lower its case.
_ASCII_LOCAL = re.compile(r"[A-Za-z0-9!#$%()*+,.;=?\[\\\]^_`{|}~-]+")
_ASCII_RESOURCE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# Labels of letters, digits and hyphens, or an IPv6 address in brackets.
_ASCII_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\]"
)
# RFC 7622 §3.3.1: characters that PRECIS allows, and a localpart must not have.
_NOT_IN_LOCAL = frozenset("\"&'/:<>@")

# A usual number of addresses on a node; each takes about 500 bytes.
REMEMBERED = 16_384


class JidError(ValueError):
    """The text is no address; the message is a sentence for its sender."""


@dataclass(frozen=True)
class Jid:
    """An address. `local` and `resource` may be empty; all parts are prepared."""

    local: str
    domain: str
    resource: str = ""

    @cached_property
    def bare(self) -> str:
        """The address without the resource, as text."""
        return f"{self.local}@{self.domain}" if self.local else self.domain

    @cached_property
    def text(self) -> str:
        """The address as text."""
        return f"{self.bare}/{self.resource}" if self.resource else self.bare

    def with_resource(self, resource: str) -> Jid:
        """The address of another resource of the account; `resource` is prepared."""
        return Jid(self.local, self.domain, resource)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=REMEMBERED)
def parse_jid(text: str) -> Jid:
    """Parse an address.

    Raises:
        JidError: the text is no address.
    """
    if len(text) > MAX_BYTES:
        raise JidError(f"An address has at most {MAX_BYTES} bytes.")
    rest, slash, resource = text.partition("/")
    local, at, domain = rest.rpartition("@")
    if (slash and not resource) or (at and not local):
        raise JidError("An address has nothing empty before its '@' or after its '/'.")
    return Jid(
        prepare_local(local) if at else "",
        prepare_domain(domain),
        prepare_resource(resource) if slash else "",
    )


def prepare_local(text: str) -> str:
    """A localpart in its comparison form (RFC 7622 §3.3: UsernameCaseMapped).

    Raises:
        JidError: the text is invalid.
    """
    if _ASCII_LOCAL.fullmatch(text):
        return _bounded(text.lower())
    prepared = _enforce("UsernameCaseMapped", text, "before the '@'")
    if _NOT_IN_LOCAL.intersection(prepared):
        raise JidError("An address has none of \" & ' / : < > @ before its '@'.")
    return _bounded(prepared)


def prepare_resource(text: str) -> str:
    """A resource in its comparison form (RFC 7622 §3.4: OpaqueString).

    Raises:
        JidError: the text is invalid.
    """
    if _ASCII_RESOURCE.fullmatch(text):
        return _bounded(text)
    return _bounded(_enforce("OpaqueString", text, "after the '/'"))


def prepare_domain(text: str) -> str:
    """A domain in its comparison form (RFC 7622 §3.2): lower case, no final dot.

    Raises:
        JidError: the text is invalid.
    """
    if not _ASCII_DOMAIN.fullmatch(text):
        # No check whether such a name can be registered (IDNA2008): it is only compared with the
        # configured domains.
        text = unicodedata.normalize("NFC", text)
        if not text or text.isascii() or not all(c.isalnum() or c in "-._" for c in text):
            raise JidError("The domain of an address is a name of letters, digits, '-' and '.'.")
    return _bounded(text.lower().removesuffix("."))


def prepare_password(text: str) -> str:
    """A password in its comparison form (RFC 8265 §4: OpaqueString).

    Raises:
        JidError: the text is invalid.
    """
    if text.isascii() and text.isprintable() and text:
        return text
    return _enforce("OpaqueString", text, "in a password")


def _bounded(part: str) -> str:
    if not part or len(part) > MAX_PART_BYTES or len(part.encode()) > MAX_PART_BYTES:
        raise JidError(f"Each part of an address has 1 to {MAX_PART_BYTES} bytes of UTF-8.")
    return part


def _enforce(profile: str, text: str, where: str) -> str:
    if len(text) > MAX_PART_BYTES:
        # The preparation takes microseconds per character.
        raise JidError(f"There are more than {MAX_PART_BYTES} characters {where}.")
    # Its tables take a tenth of a second to load, and most servers never need them.
    from precis_i18n import get_profile

    try:
        enforced: str = get_profile(profile).enforce(text)
    except UnicodeError:
        raise JidError(f"There are characters {where} that no address may have.") from None
    return enforced
