"""Result set management (XEP-0059): a page of a long list."""

from __future__ import annotations

from dataclasses import dataclass

from pushhub.xml import Element
from pushhub.xmpp.model.namespaces import RSM
from pushhub.xmpp.model.stanza import StanzaError, leaf

DEFAULT_PAGE = 50
MAX_PAGE = 250


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page. `before` is None without that element, "" for the last page."""

    limit: int = DEFAULT_PAGE
    after: str | None = None
    before: str | None = None


def requested_page(payload: Element) -> PageRequest:
    """The page that an iq requests.

    Raises:
        StanzaError: a value is invalid, or not supported.
    """
    page = payload.find("set", RSM)
    if page is None:
        return PageRequest()
    if page.find("index") is not None:
        raise StanzaError("feature-not-implemented", "Pages are requested by 'after' and 'before'.")
    return PageRequest(*(_limit(page), _text(page, "after"), _text(page, "before")))


def page_set(first: str | None, last: str | None, count: int | None = None) -> Element:
    """The description of a page (XEP-0059 §2.1): its first and last ids, and the total count."""
    children = []
    if first is not None and last is not None:
        children += [leaf("first", RSM, first), leaf("last", RSM, last)]
    if count is not None:
        children.append(leaf("count", RSM, str(count)))
    return Element("set", RSM, {}, tuple(children))


def _limit(page: Element) -> int:
    text = _text(page, "max")
    if text is None:
        return DEFAULT_PAGE
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise StanzaError("bad-request", "'max' is a whole number.")
    return min(int(text), MAX_PAGE)


def _text(page: Element, name: str) -> str | None:
    element = page.find(name)
    return None if element is None else element.text.strip()
