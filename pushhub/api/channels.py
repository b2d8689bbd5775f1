"""`GET /v1/channels` and `DELETE /v1/channels/{channel}`: the operators' view of channels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.readers import readers_on
from pushhub.log.channel import PRIVATE_MARK
from pushhub.log.grant import Action, is_allowed
from pushhub.polls.base import parse_limit
from pushhub.polls.feed import JSON

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.log.grant import Grant
    from pushhub.store.base import ChannelInfo

# One request deletes so many, which takes a few seconds; its client asks again for more.
MAX_DELETED = 10_000
DELETED_AT_A_TIME = 100
# The name of the action in the audit log.
CHANNEL_DELETE = "channel.delete"


def delete(service: Service, request: Request, grant: Grant, channel: str) -> Hold:
    """Delete a channel's events. Its readers receive a problem; its offsets do not restart."""
    service.authority.require(grant, Action.MANAGE, channel)

    async def work() -> Response:
        if not await service.hub.store.delete(channel):
            raise Problem("not-found", "The channel has no events.", channel=channel)
        return Response(204, (NO_STORE,))

    return service.managed(request, CHANNEL_DELETE, channel, work())


def delete_many(service: Service, request: Request, grant: Grant) -> Hold:
    """Delete the channels whose names begin with `prefix`, one by one. A credential must manage all
    such names, also those that do not exist.
    """
    prefix = request.query.get("prefix", "")
    if not prefix or prefix.startswith(PRIVATE_MARK):
        raise Problem("bad-request", "'prefix' is required: the beginning of the channels' names.")
    service.authority.require(grant, Action.MANAGE, prefix + "*")

    async def work() -> Response:
        store = service.hub.store
        count, after = 0, ""
        while count < MAX_DELETED:
            infos = await store.channels(prefix, after, DELETED_AT_A_TIME)
            # A few together: SQLite commits them as one.
            deleted = await asyncio.gather(*(store.delete(info.channel) for info in infos))
            count += sum(deleted)
            if len(infos) < DELETED_AT_A_TIME:
                return _deleted({"deleted": count})
            after = infos[-1].channel
        return _deleted({"deleted": count, "more": True})

    return service.managed(request, CHANNEL_DELETE, prefix + "*", work())


def _deleted(body: dict[str, object]) -> Response:
    return Response(200, (JSON, NO_STORE), orjson.dumps(body))


async def _within(
    service: Service, grant: Grant, prefix: str, after: str, limit: int
) -> list[ChannelInfo]:
    """A page of the channels that the caller manages. The store reads no others, so the page is as
    full as it can be, and its last name is one that the caller may know.
    """
    store = service.hub.store
    if not grant.manage or grant.is_admin:
        return await store.channels(prefix, after, limit)
    infos: list[ChannelInfo] = []
    for pattern in grant.manage.within(prefix, after):
        stem = pattern.removesuffix("*")
        if stem != pattern:
            infos += await store.channels(stem, after, limit - len(infos))
        else:
            # A channel comes before those whose names begin with its name.
            infos += [one for one in await store.channels(stem, after, 1) if one.channel == stem]
        if len(infos) >= limit:
            break
    return infos


def listing(service: Service, request: Request, grant: Grant) -> Hold:
    """The channels that the caller manages, by name, with counts of events and holds.

    `prefix` narrows it; `limit` and `after`, the last name of the page before, turn pages.
    """
    if not grant.manage:
        service.authority.require_admin(grant)
        # Without a grant the settings allowed it: then the network is the only protection.
        service.guard.check_host(request.headers)
    limit = parse_limit(request)
    prefix, after = request.query.get("prefix", ""), request.query.get("after", "")

    async def work() -> Response:
        infos = await _within(service, grant, prefix, after, limit)
        now = service.hub.clock()
        channels = [
            {
                "channel": info.channel,
                "events": info.events,
                "cursor": str(info.latest),
                "holds": readers_on(service.hub.channels, info.channel),
            }
            for info in infos
            if not grant.manage or is_allowed(grant, Action.MANAGE, info.channel, now)
        ]
        body: dict[str, object] = {"channels": channels}
        if len(infos) == limit and channels:
            body["next"] = infos[-1].channel
        return Response(200, (JSON, NO_STORE), orjson.dumps(body))

    return service.later(work())
