"""The rights that the head of a request must show before its body is read.

Each endpoint names one of these checks. It sees the head alone, so it may let a request pass that
the endpoint refuses later, such as a publish whose body names another channel; it never refuses
one that the endpoint would accept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem
from pushhub.log.channel import decode_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.log.grant import Action, Grant

    Needs = Callable[[Service, Request, Grant, str], None]


def on_channel(action: Action) -> Needs:
    """The right to `action` on the channel of the path."""

    def check(service: Service, request: Request, grant: Grant, segment: str) -> None:
        service.authority.require(grant, action, decode_segment(segment))

    return check


def on_any_channel(action: Action) -> Needs:
    """The right to `action` on at least one channel: the body names the channels."""

    def check(service: Service, request: Request, grant: Grant, segment: str) -> None:
        service.authority.require_any(grant, action)

    return check


def may_get_ticket(service: Service, request: Request, grant: Grant, segment: str) -> None:
    """A credential of its own that reads at least one channel."""
    if not grant.read:
        raise Problem("unauthorized", "A ticket needs a token that may read at least one channel.")


def lists_channels(service: Service, request: Request, grant: Grant, segment: str) -> None:
    """The right to manage a channel, or to see the list of all."""
    if not grant.manage:
        service.authority.require_admin(grant)


def serves_xmpp(service: Service, request: Request, grant: Grant, segment: str) -> None:
    """A served XMPP domain. BOSH has its credentials in the body, so every sender may send one."""
    if service.bosh is None:
        raise Problem("not-found", "No XMPP domain is served here.")


def admitted(service: Service, request: Request, grant: Grant, segment: str) -> None:
    """No more than `Endpoint.admit`, which has checked the sender."""


def anyone(service: Service, request: Request, grant: Grant, segment: str) -> None:
    """No right: the endpoint is open, and its body small."""
