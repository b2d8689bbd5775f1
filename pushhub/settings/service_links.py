"""Variables of Kubernetes and Docker about a Service or a container named `pushhub`, not settings.

Kubernetes gives each pod variables for each Service of its namespace, and Docker gives a linked
container variables for each of its links: a name such as `pushhub` or `pushhub-control` makes them
look like settings. Each is recognized by its name and its value, so that a misspelled setting is
still an error.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from pushhub.settings.model import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_URL = re.compile(r"(?:tcp|udp|sctp)://\S+:\d{1,5}", re.ASCII)
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_PROTOCOL = re.compile(r"tcp|udp|sctp", re.ASCII)
# `--link other:pushhub` of Docker: the path of the link.
_LINK = re.compile(r"(?:/[\w.-]+){2,}", re.ASCII)

# The name of the Service or the container in capitals, of which `PUSHHUB` is the beginning.
_NAME = rf"{ENV_PREFIX.rstrip('_')}(?:_[A-Z0-9_]+)??"
_ON = r"_PORT_\d{1,5}_(?:TCP|UDP|SCTP)"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


# The forms of names, and the test of their values. Kubernetes: "Accessing the Service:
# environment variables", and Docker: "Legacy container links", which Kubernetes follows.
_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(rf"{_NAME}_SERVICE_HOST"), _is_address),
    (re.compile(rf"{_NAME}_SERVICE_PORT(?:_[A-Z0-9_]+)?"), _matches(_PORT)),
    (re.compile(rf"{_NAME}{_ON}_PROTO"), _matches(_PROTOCOL)),
    (re.compile(rf"{_NAME}{_ON}_PORT(?:_(?:START|END))?"), _matches(_PORT)),
    (re.compile(rf"{_NAME}{_ON}_ADDR"), _is_address),
    (re.compile(rf"{_NAME}(?:{_ON}|_PORT)(?:_(?:START|END))?"), _matches(_URL)),
    (re.compile(rf"{_NAME}_NAME"), _matches(_LINK)),
)
# The environment of a linked container, which has any names and values.
_OF_CONTAINER = re.compile(rf"({_NAME})_ENV_.+", re.DOTALL)


def service_links(environ: Mapping[str, str]) -> frozenset[str]:
    """The variables of an environment that describe a Service or a linked container."""
    own = {variable: text for variable, text in environ.items() if variable.startswith(ENV_PREFIX)}
    found = {
        variable
        for variable, text in own.items()
        if any(name.fullmatch(variable) and fits(text) for name, fits in _FORMS)
    }
    for variable in own:
        link = _OF_CONTAINER.fullmatch(variable)
        if link is not None and f"{link[1]}_NAME" in found:
            found.add(variable)
    return frozenset(found)


def sentence(variables: frozenset[str]) -> str:
    """The sentence for the operator about the variables that were ignored."""
    first = sorted(variables)[:3]
    more = len(variables) - len(first)
    listed = ", ".join(first) + (f" and {more} more" if more else "")
    return (
        f"The environment describes a Service or container named pushhub ({listed}): these "
        "variables are no settings and were ignored. In Kubernetes, `enableServiceLinks: false` "
        "in the spec of the pod avoids them."
    )
