"""What owners do with a node: create, configure and delete it, and say who may what (XEP-0060 §8).

A channel needs none of it. What is said of it lies in a register beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.grant import Action
from pushhub.xml import Element
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import DATA, PUBSUB, PUBSUB_CONFIG, PUBSUB_OWNER
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.xep import form
from pushhub.xmpp.xep.pubsub.created import index
from pushhub.xmpp.xep.pubsub.errors import error
from pushhub.xmpp.xep.pubsub.items import MAX, MAX_LOOKED_THROUGH, items_of
from pushhub.xmpp.xep.pubsub.rights import GIVES, checked, named, node_name, record_of, require

if TYPE_CHECKING:
    from pushhub.xmpp.model.extension import Query

MAX_TEXT = 1000
MAX_AFFILIATIONS = 1000

# Field → the name in the record, what it is without, and what it can be; None is any text.
FIELDS: dict[str, tuple[str, str, tuple[str, ...] | None]] = {
    "pubsub#title": ("title", "", None),
    "pubsub#description": ("description", "", None),
    "pubsub#access_model": ("access", "open", ("open", "whitelist")),
    "pubsub#send_last_published_item": ("last", "on_sub", ("never", "on_sub")),
    "pubsub#max_items": ("max_items", MAX, None),
}

# What cannot be chosen: the field, and the values that say what is so. Another is refused.
YES, NO = ("1", "true"), ("0", "false")
FIXED: dict[str, tuple[str, ...]] = {
    "pubsub#collection": ("",),
    "pubsub#deliver_notifications": YES,
    "pubsub#deliver_payloads": YES,
    "pubsub#node_type": ("leaf",),
    "pubsub#notification_type": ("headline",),
    "pubsub#notify_config": NO,
    "pubsub#notify_delete": YES,
    "pubsub#notify_retract": YES,
    "pubsub#notify_sub": NO,
    "pubsub#persist_items": YES,
    "pubsub#presence_based_delivery": NO,
    "pubsub#publish_model": ("publishers",),
    "pubsub#purge_offline": NO,
    "pubsub#subscribe": YES,
    "pubsub#tempsub": NO,
}


async def create(query: Query) -> Element | None:
    """Create a node, with or without a name; the sender is its owner."""
    asked = query.payload.find("create")
    assert asked is not None
    node = asked.get("node") or ""
    instant = not node
    node = checked(node or f"node:{query.server.draw_id()}")
    await require(query, Action.MANAGE, node)
    settings = _submitted(query.payload.find("configure"))
    owner = query.session.jid.bare

    def make(old: Any) -> Any:
        if old:
            raise StanzaError("conflict", "The node exists already.")
        return {**settings, "affiliations": {owner: "owner"}}

    await index(query.server.registers, node, present=True)
    await query.server.registers.change_json(node_name(node), make)
    if not instant:
        return None
    return Element("pubsub", PUBSUB, {}, (leaf("create", PUBSUB, node=node),))


async def delete(query: Query) -> None:
    """Delete a channel; its readers are told, of REST and of XMPP."""
    node = named(query, "delete")
    await require(query, Action.MANAGE, node)
    server = query.server
    known = await record_of(server, node)
    existed = await server.hub.store.delete(node)
    if not (known or existed):
        raise StanzaError("item-not-found", "There is no such node.")
    await server.registers.delete(node_name(node))
    await index(server.registers, node, present=False)


async def configuration(query: Query) -> Element:
    """How a node is configured, as a form."""
    node = named(query, "configure")
    record = await require(query, Action.MANAGE, node)
    inside = Element("configure", PUBSUB_OWNER, {"node": node}, (_form(record),))
    return Element("pubsub", PUBSUB_OWNER, {}, (inside,))


def default(query: Query) -> Element:
    """How a node is configured that nobody has configured."""
    inside = Element("default", query.payload.namespace, {}, (_form({}),))
    return Element("pubsub", query.payload.namespace, {}, (inside,))


async def configure(query: Query) -> None:
    """Configure a node."""
    node = named(query, "configure")
    await require(query, Action.MANAGE, node)
    asked = query.payload.find("configure")
    submitted = asked.find("x", DATA) if asked is not None else None
    if submitted is not None and submitted.get("type") == "cancel":
        return
    settings = _submitted(asked)
    await index(query.server.registers, node, present=True)
    await query.server.registers.change_json(
        node_name(node), lambda old: {"affiliations": {}, **(old or {}), **settings}
    )


async def affiliations(query: Query) -> Element:
    """Who may do what, as owners have said."""
    node = named(query, "affiliations")
    record = await require(query, Action.MANAGE, node)
    listed = [
        leaf("affiliation", PUBSUB_OWNER, jid=jid, affiliation=affiliation)
        for jid, affiliation in record.get("affiliations", {}).items()
    ]
    inside = Element("affiliations", PUBSUB_OWNER, {"node": node}, tuple(listed))
    return Element("pubsub", PUBSUB_OWNER, {}, (inside,))


async def affiliate(query: Query) -> None:
    """Say who may do what."""
    node = named(query, "affiliations")
    await require(query, Action.MANAGE, node)
    asked = query.payload.find("affiliations")
    assert asked is not None
    changes: dict[str, str] = {}
    for each in asked.every("affiliation"):
        affiliation = each.get("affiliation") or ""
        if affiliation not in GIVES:
            raise StanzaError("bad-request", "XEP-0060 §4.1 lists the affiliations.")
        try:
            changes[parse_jid(each.get("jid") or "").bare] = affiliation
        except JidError as wrong:
            raise StanzaError("jid-malformed", str(wrong)) from None

    def make(old: Any) -> Any:
        record = old or {}
        merged = {**record.get("affiliations", {}), **changes}
        kept = {jid: affiliation for jid, affiliation in merged.items() if affiliation != "none"}
        if len(kept) > MAX_AFFILIATIONS:
            raise error("policy-violation", "max-nodes-exceeded")
        if "owner" in record.get("affiliations", {}).values() and "owner" not in kept.values():
            raise StanzaError("not-acceptable", "A node needs an owner.")
        return {**record, "affiliations": kept}

    await query.server.registers.change_json(node_name(node), make)


async def own_affiliations(query: Query) -> Element:
    """The sender's own affiliation with a node (XEP-0060 §5.7)."""
    asked = query.payload.find("affiliations")
    node = asked.get("node") if asked is not None else None
    listed = []
    if node:
        record = await record_of(query.server, checked(node))
        affiliation = record.get("affiliations", {}).get(query.session.jid.bare)
        if affiliation:
            listed.append(leaf("affiliation", PUBSUB, node=node, affiliation=affiliation))
    inside = Element("affiliations", PUBSUB, {"node": node} if node else {}, tuple(listed))
    return Element("pubsub", PUBSUB, {}, (inside,))


def _form(record: dict[str, Any]) -> Element:
    fields = []
    for var, (name, usual, options) in FIELDS.items():
        kind = "text-single" if options is None else "list-single"
        fields.append(form.field(var, kind, record.get(name, usual), options=options or ()))
    return form.form("form", PUBSUB_CONFIG, *fields)


def _submitted(configure: Element | None) -> dict[str, str]:
    """What a form sets.

    Raises:
        StanzaError: a field has a value that it cannot have, or this service has no such field: a
            setting without an effect is refused (XEP-0060 §8.2.5).
    """
    if configure is None:
        return {}
    settings = {}
    for var, values in form.fields_of(configure.find("x", DATA)).items():
        known = FIELDS.get(var)
        if var == form.FORM_TYPE or var == "":
            continue
        if known is None:
            if var not in FIXED:
                raise StanzaError("not-acceptable", f"There is no field {var[:50]!r} here.")
            if values and values[0] not in FIXED[var]:
                raise StanzaError("not-acceptable", f"{var} is always {FIXED[var][-1]!r} here.")
            continue
        name, usual, options = known
        value = values[0] if values else usual
        if (options is not None and value not in options) or len(value) > MAX_TEXT:
            raise StanzaError("not-acceptable", f"{var} does not support this value.")
        if name == "max_items" and items_of(value) is None:
            text = f"{var} is {MAX!r}, or a number from 1 to {MAX_LOOKED_THROUGH}."
            raise StanzaError("not-acceptable", text)
        settings[name] = value
    return settings
