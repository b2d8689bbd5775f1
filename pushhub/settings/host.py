"""Names of hosts, and origins as browsers send them."""

from __future__ import annotations

import ipaddress
import re

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def browser_origin(text: str) -> str:
    """An origin as browsers send it (RFC 6454 §6.2): lower case, without the default port."""
    origin = text.lower()
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(
            f"An origin is scheme://host or scheme://host:port, without a path; not {text!r}."
        )
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], "\0"))
