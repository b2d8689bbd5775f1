"""The `Host` of a request, and the origin of a page: whose names they are.

A page of a foreign site may let its own DNS name lead to an address of this machine (DNS
rebinding, CWE-350). The browser then takes the hub for the page's own site. `Host` shows the
foreign name. An IP literal involves no DNS, and browsers resolve loopback names themselves.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.http.request import Request

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def host_name(authority: str) -> str:
    """The name or address in a `Host` header, without port and brackets, in lower case."""
    if authority.startswith("["):
        return authority.partition("]")[0][1:].lower()
    return authority.partition(":")[0].lower().removesuffix(".")


def is_address(name: str) -> bool:
    """Whether `name` is an IP literal."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback_name(name: str) -> bool:
    """Whether `name` is `localhost` or a name below it (RFC 6761 §6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def is_loopback_origin(origin: str) -> bool:
    """Whether an `Origin` header is that of a page that this machine serves, on any port."""
    scheme, separator, authority = origin.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        return False
    name = host_name(authority)
    return is_loopback_name(name) or (is_address(name) and ipaddress.ip_address(name).is_loopback)


def is_own_origin(origin: str, request: Request) -> bool:
    """Whether an `Origin` header is that of the request's own URL: the same scheme, host and port
    (RFC 6454 §5).
    """
    scheme = "https" if request.secure else "http"
    host = request.headers.get("host", "").lower()
    default = _DEFAULT_PORTS[scheme]
    own = f"{scheme}://{host.removesuffix(default)}"
    return bool(host) and origin.lower().removesuffix(default) == own
