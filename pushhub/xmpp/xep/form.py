"""Data forms (XEP-0004): fields by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import Element
from pushhub.xmpp.model.namespaces import DATA
from pushhub.xmpp.model.stanza import leaf

if TYPE_CHECKING:
    from collections.abc import Iterable

FORM_TYPE = "FORM_TYPE"


def fields_of(form: Element | None) -> dict[str, list[str]]:
    """A submitted form's values by field; the last of two fields with the same name counts."""
    if form is None:
        return {}
    return {
        field.get("var") or "": [value.text for value in field.every("value")]
        for field in form.every("field")
    }


def field(
    var: str, kind: str, *values: str, label: str = "", options: Iterable[str] = ()
) -> Element:
    """A field of a form to be filled in, or of a result."""
    attributes = {"var": var, "type": kind}
    if label:
        attributes["label"] = label
    children = [leaf("value", DATA, value) for value in values]
    children += [Element("option", DATA, {}, (leaf("value", DATA, option),)) for option in options]
    return Element("field", DATA, attributes, tuple(children))


def form(kind: str, form_type: str, *fields: Element) -> Element:
    """A form of a type: `form` to be filled in, `submit`, or `result`."""
    return Element("x", DATA, {"type": kind}, (field(FORM_TYPE, "hidden", form_type), *fields))
