"""`GET /v1/channels` and `DELETE /v1/channels/{channel}`: what operators do with channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.hub.holders import readers_on
from pushhub.protocol.answer import Answer
from pushhub.protocol.feed import JSON, NO_STORE
from pushhub.protocol.grant import Action
from pushhub.protocol.poll import parse_limit
from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from pushhub.hub.hold import Hold
    from pushhub.protocol.grant import Grant
    from pushhub.protocol.request import Request
    from pushhub.web.service import Service


def delete(service: Service, request: Request, grant: Grant, channel: str) -> Hold:
    """Forget a channel's events. Whoever waits on it is told; its offsets do not restart."""
    service.authority.require(grant, Action.MANAGE, channel)

    async def work() -> Answer:
        if not await service.hub.store.delete(channel):
            raise Problem("not-found", "The channel has no events.", channel=channel)
        return Answer(204, (NO_STORE,))

    return service.later(work())


def listing(service: Service, request: Request, grant: Grant) -> Hold:
    """The channels that the caller manages, by name, with counts of events and holds.

    `prefix` narrows it; `limit` and `after`, the last name of the page before, turn pages.
    """
    if not grant.manage:
        service.authority.require_admin(grant)
    limit = parse_limit(request)
    prefix, after = request.query.get("prefix", ""), request.query.get("after", "")

    async def work() -> Answer:
        infos = await service.hub.store.channels(prefix, after, limit)
        channels = [
            {
                "channel": info.channel,
                "events": info.events,
                "cursor": str(info.latest),
                "holds": readers_on(service.hub, info.channel),
            }
            for info in infos
            if not grant.manage or grant.allows(Action.MANAGE, info.channel)
        ]
        body: dict[str, object] = {"channels": channels}
        if len(infos) == limit:
            body["next"] = infos[-1].channel
        return Answer(200, (JSON, NO_STORE), orjson.dumps(body))

    return service.later(work())
