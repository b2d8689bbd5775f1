"""`GET /v1/request`: how the hub has received this request, for checks of the proxies before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pushhub import __version__
from pushhub.api.audit import node_name
from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.readers import readers_on
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.grant import Action
from pushhub.polls.feed import JSON

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.connection_record import ConnectionRecord, SeenConnection
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant

# The addresses and ports of one request.
MAX_PEERS = 32


def received(service: Service, request: Request, grant: Grant) -> Response:
    """The client, the peer and the version as the hub sees them, and the times that a proxy must
    fit. From then on the hub records the end of the connection: `peers` asks for such records.
    `channel` asks for the number of requests that wait on it in this process.
    """
    service.authority.require_any(grant, Action.MANAGE)
    headers, settings, wire = request.headers, service.settings, request.wire
    peer = "" if wire is None else _peer(wire)
    body: dict[str, Any] = {
        "process": node_name(),
        "version": __version__,
        "client": request.client,
        "secure": request.secure,
        "http": None if wire is None else _version(wire),
        "peer": peer or None,
        "peer_trusted": bool(peer) and service.proxies.trusts(peer.rpartition(":")[0]),
        "forwarded_for": headers.get("x-forwarded-for"),
        "forwarded_proto": headers.get("x-forwarded-proto"),
        "keep_alive_seconds": settings.keep_alive_seconds,
        "max_wait": settings.max_wait,
    }
    if wire is not None and peer:
        service.connections.add(wire, peer)
    if (peers := request.query.get("peers")) is not None:
        names = dict.fromkeys(peers.split(",", MAX_PEERS)[:MAX_PEERS])
        body["connections"] = [_shown(record) for record in service.connections.of(names)]
    if (channel := request.query.get("channel")) is not None:
        try:
            name = public_name(channel)
        except ChannelNameError as error:
            raise Problem("bad-channel", str(error)) from None
        service.authority.require(grant, Action.MANAGE, name)
        body["holds"] = readers_on(service.hub.channels, name)
    return Response(200, (JSON, NO_STORE), orjson.dumps(body))


def _peer(wire: SeenConnection) -> str:
    """The address and port of the peer; empty for a Unix socket."""
    name = wire.transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""


def _version(wire: SeenConnection) -> str:
    return "1.0" if wire.head is not None and wire.head.http_1_0 else "1.1"


def _shown(record: ConnectionRecord) -> dict[str, Any]:
    idle = record.idle_seconds
    return {
        "peer": record.peer,
        "open": record.is_open,
        "idle_seconds": None if idle is None else round(idle, 1),
    }
