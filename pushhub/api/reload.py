"""`POST /v1/reload`: the settings are read again, as on SIGHUP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.log.grant import Action
from pushhub.polls.feed import JSON

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.log.grant import Grant


# The name of the action in the audit log.
SETTINGS_RELOAD = "settings.reload"


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """The result of a reload, in sentences; with an `error` nothing has changed."""

    changes: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    error: str = ""
    workers: int = 1
    """The number of processes that use the settings."""


def reload(service: Service, request: Request, grant: Grant) -> Hold:
    """Read the settings of this node again. The caller must manage all channels."""
    service.authority.require(grant, Action.MANAGE, "*")
    run = service.reload
    if run is None:
        raise Problem(
            "not-implemented", "Only `pushhub serve` can read its settings again; restart it."
        )

    async def work() -> Response:
        outcome = await run()
        if outcome.error:
            raise Problem("settings-rejected", f"{outcome.error} Nothing has changed.")
        body = {
            "changes": outcome.changes,
            "needs_restart": outcome.needs_restart,
            "workers": outcome.workers,
        }
        return Response(200, (JSON, NO_STORE), orjson.dumps(body))

    return service.managed(request, SETTINGS_RELOAD, "", work())
