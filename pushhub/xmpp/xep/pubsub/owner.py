"""The requests of owners (XEP-0060 §8): create, configure and delete a node, set affiliations.

A channel needs none of this. The record of a node is a value beside its channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.grant import Action
from pushhub.xml import Element
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import DATA, PUBSUB, PUBSUB_CONFIG, PUBSUB_OWNER
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.xep import form
from pushhub.xmpp.xep.pubsub.errors import error
from pushhub.xmpp.xep.pubsub.items import MAX, MAX_SEARCHED, parse_max_items
from pushhub.xmpp.xep.pubsub.node_index import set_indexed
from pushhub.xmpp.xep.pubsub.policy import AFFILIATION_ACTIONS, NO_AFFILIATION, OPEN, WHITELIST
from pushhub.xmpp.xep.pubsub.rights import (
    checked_name,
    node_key,
    node_record,
    requested_node,
    require,
)

if TYPE_CHECKING:
    from pushhub.xmpp.routing.extension import IqRequest

MAX_TEXT = 1000
MAX_AFFILIATIONS = 1000

# Field → the name in the record, the default, and the possible values; None for any text.
FIELDS: dict[str, tuple[str, str, tuple[str, ...] | None]] = {
    "pubsub#title": ("title", "", None),
    "pubsub#description": ("description", "", None),
    "pubsub#access_model": ("access", OPEN, (OPEN, WHITELIST)),
    "pubsub#send_last_published_item": ("last", "on_sub", ("never", "on_sub")),
    "pubsub#max_items": ("max_items", MAX, None),
}

# Fields without a choice, and the values that state the fact. Other values are refused.
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


async def create(request: IqRequest) -> Element | None:
    """Create a node, with a given or a new name; the sender becomes its owner."""
    element = request.payload.find("create")
    assert element is not None
    node = element.get("node") or ""
    instant = not node
    node = checked_name(node or f"node:{request.context.new_id()}")
    await require(request, Action.MANAGE, node)
    settings = _submitted(request.payload.find("configure"))
    owner = request.session.jid.bare

    def make(old: Any) -> Any:
        if old:
            raise StanzaError("conflict", "The node exists already.")
        return {**settings, "affiliations": {owner: "owner"}}

    await set_indexed(request.context.kv, node, present=True)
    await request.context.kv.update_json(node_key(node), make)
    if not instant:
        return None
    return Element("pubsub", PUBSUB, {}, (leaf("create", PUBSUB, node=node),))


async def delete(request: IqRequest) -> None:
    """Delete a channel; its readers are notified, of REST and of XMPP."""
    node = requested_node(request, "delete")
    await require(request, Action.MANAGE, node)
    context = request.context
    known = await node_record(context, node)
    existed = await context.hub.store.delete(node)
    if not (known or existed):
        raise StanzaError("item-not-found", "There is no such node.")
    await context.kv.delete(node_key(node))
    await set_indexed(context.kv, node, present=False)


async def configuration(request: IqRequest) -> Element:
    """A node's configuration, as a form."""
    node = requested_node(request, "configure")
    record = await require(request, Action.MANAGE, node)
    content = Element("configure", PUBSUB_OWNER, {"node": node}, (_form(record),))
    return Element("pubsub", PUBSUB_OWNER, {}, (content,))


def default(request: IqRequest) -> Element:
    """The default configuration."""
    content = Element("default", request.payload.namespace, {}, (_form({}),))
    return Element("pubsub", request.payload.namespace, {}, (content,))


async def configure(request: IqRequest) -> None:
    """Configure a node."""
    node = requested_node(request, "configure")
    await require(request, Action.MANAGE, node)
    element = request.payload.find("configure")
    submitted = element.find("x", DATA) if element is not None else None
    if submitted is not None and submitted.get("type") == "cancel":
        return
    settings = _submitted(element)
    await set_indexed(request.context.kv, node, present=True)
    await request.context.kv.update_json(
        node_key(node), lambda old: {"affiliations": {}, **(old or {}), **settings}
    )


async def affiliations(request: IqRequest) -> Element:
    """The affiliations of a node."""
    node = requested_node(request, "affiliations")
    record = await require(request, Action.MANAGE, node)
    listed = [
        leaf("affiliation", PUBSUB_OWNER, jid=jid, affiliation=affiliation)
        for jid, affiliation in record.get("affiliations", {}).items()
    ]
    content = Element("affiliations", PUBSUB_OWNER, {"node": node}, tuple(listed))
    return Element("pubsub", PUBSUB_OWNER, {}, (content,))


async def affiliate(request: IqRequest) -> None:
    """Change affiliations."""
    node = requested_node(request, "affiliations")
    await require(request, Action.MANAGE, node)
    element = request.payload.find("affiliations")
    assert element is not None
    changes: dict[str, str] = {}
    for each in element.every("affiliation"):
        affiliation = each.get("affiliation") or ""
        if affiliation not in AFFILIATION_ACTIONS:
            raise StanzaError("bad-request", "XEP-0060 §4.1 lists the affiliations.")
        try:
            changes[parse_jid(each.get("jid") or "").bare] = affiliation
        except JidError as wrong:
            raise StanzaError("jid-malformed", str(wrong)) from None

    def make(old: Any) -> Any:
        record = old or {}
        merged = {**record.get("affiliations", {}), **changes}
        kept = {jid: each for jid, each in merged.items() if each != NO_AFFILIATION}
        if len(kept) > MAX_AFFILIATIONS:
            raise error("policy-violation", "max-nodes-exceeded")
        if "owner" in record.get("affiliations", {}).values() and "owner" not in kept.values():
            raise StanzaError("not-acceptable", "A node needs an owner.")
        return {**record, "affiliations": kept}

    await request.context.kv.update_json(node_key(node), make)


async def own_affiliations(request: IqRequest) -> Element:
    """The sender's own affiliation with a node (XEP-0060 §5.7)."""
    element = request.payload.find("affiliations")
    node = element.get("node") if element is not None else None
    listed = []
    if node:
        record = await node_record(request.context, checked_name(node))
        affiliation = record.get("affiliations", {}).get(request.session.jid.bare)
        if affiliation:
            listed.append(leaf("affiliation", PUBSUB, node=node, affiliation=affiliation))
    content = Element("affiliations", PUBSUB, {"node": node} if node else {}, tuple(listed))
    return Element("pubsub", PUBSUB, {}, (content,))


def _form(record: dict[str, Any]) -> Element:
    fields = []
    for var, (name, default_value, options) in FIELDS.items():
        kind = "text-single" if options is None else "list-single"
        fields.append(form.field(var, kind, record.get(name, default_value), options=options or ()))
    return form.form("form", PUBSUB_CONFIG, *fields)


def _submitted(configure: Element | None) -> dict[str, str]:
    """The settings in a form.

    Raises:
        StanzaError: a field's value is invalid, or the field is unknown: a setting without an
            effect is refused (XEP-0060 §8.2.5).
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
        name, default_value, options = known
        value = values[0] if values else default_value
        if (options is not None and value not in options) or len(value) > MAX_TEXT:
            raise StanzaError("not-acceptable", f"{var} does not support this value.")
        if name == "max_items" and parse_max_items(value) is None:
            text = f"{var} is {MAX!r}, or a number from 1 to {MAX_SEARCHED}."
            raise StanzaError("not-acceptable", text)
        settings[name] = value
    return settings
