"""The check of `Host` and `Origin` on listeners and routes that trust their network.

The control listener, the console, the metrics and `--dev` may respond without a key, because only
some machines or pages reach them. DNS rebinding defeats that: the browser sends neither `Origin`
nor `Sec-Fetch-Site`, or those of the foreign page's own name. So `Host` decides here, always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.http.host import host_name, is_address, is_loopback_name, is_loopback_origin
from pushhub.http.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GuardSettings(Protocol):
    """The settings of a `ListenerGuard`; `Settings` is one."""

    @property
    def dev(self) -> bool: ...
    @property
    def host(self) -> str: ...
    @property
    def control_hosts(self) -> Sequence[str]: ...
    @property
    def control_address(self) -> tuple[str, int] | None: ...
    @property
    def cors_origins(self) -> Sequence[str]: ...


class ListenerGuard:
    """The names and origins that are accepted."""

    __slots__ = ("_dev", "_names", "_origins")

    def __init__(self, settings: GuardSettings) -> None:
        listening = (settings.host, *(settings.control_address or ())[:1])
        self._names = frozenset(
            host_name(str(name)) for name in (*settings.control_hosts, *listening)
        )
        self._dev = settings.dev
        self._origins = frozenset(settings.cors_origins)

    def accepts(self, name: str) -> bool:
        """Whether `name`, from a `Host` header, is an IP literal, or a loopback or configured
        name.
        """
        return is_address(name) or is_loopback_name(name) or name in self._names

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Return if `Host` is an IP literal, a loopback or configured name, or there is none.

        Raises:
            Problem: `misdirected`.
        """
        name = host_name(headers.get("host", ""))
        # Browsers always send a name. HAProxy's checks, with HTTP/1.0, send none.
        if not name or self.accepts(name):
            return
        raise Problem(
            "misdirected",
            "Here 'Host' must be an IP address, 'localhost', or a name in the setting "
            "'control_hosts' (PUSHHUB_CONTROL_HOSTS, --control-hosts).",
        )

    def check_page(self, headers: Mapping[str, str]) -> None:
        """Return if no page sent the request, or a page that `--dev` accepts. Without `--dev` the
        credential decides.

        Raises:
            Problem: `forbidden`.
        """
        origin = headers.get("origin")
        if not self._dev or origin is None:
            return
        if not is_loopback_origin(origin) and origin.lower() not in self._origins:
            raise Problem(
                "forbidden",
                "With --dev only pages of loopback origins, such as http://localhost:3000, may "
                "send requests, and pages of origins that the setting 'cors_origins' names.",
            )
