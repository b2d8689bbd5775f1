"""The model of the settings: names, descriptions, defaults, bounds and contradictions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import PrivateAttr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pushhub.log.channel import PRIVATE_MARK, namespace
from pushhub.settings.access import ApiKey, TokenSettings
from pushhub.settings.audit import AuditSettings
from pushhub.settings.field import ACCESS, CHANNELS, LEAVING, LIMITS, LOGS, SERVER, setting
from pushhub.settings.flow import FlowSettings
from pushhub.settings.host import browser_origin, is_local
from pushhub.settings.limits import LimitSettings
from pushhub.settings.listening import ListeningSettings
from pushhub.settings.namespace import Age, EventCount, Namespace, NamespaceName
from pushhub.settings.operation import OperationSettings
from pushhub.settings.origin import OriginSettings
from pushhub.settings.tracing import TracingSettings
from pushhub.settings.xmpp import XmppSettings
from pushhub.store.base import Retention

if TYPE_CHECKING:
    from collections.abc import Callable

ENV_PREFIX = "PUSHHUB_"

_STORE = re.compile(
    r"memory://|sqlite:///.+|rediss?://.+|redis\+sentinel://.+|unix://.+", re.DOTALL
)


class Settings(
    ListeningSettings,
    OriginSettings,
    XmppSettings,
    OperationSettings,
    AuditSettings,
    TracingSettings,
    FlowSettings,
    LimitSettings,
    TokenSettings,
    BaseSettings,
):
    """All settings. The class reads neither environment nor files; `load` does."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    # Name → `flag`, `env` or `file`, for settings that are not the default. `load` fills it.
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    host: Annotated[
        str,
        setting(SERVER, "The address to listen on; `0.0.0.0` means all addresses of the machine."),
    ] = "127.0.0.1"
    port: Annotated[
        int, setting(SERVER, "The port to listen on; 0 takes any free port.", ge=0, le=65_535)
    ] = 8080
    store: Annotated[
        str,
        setting(
            SERVER,
            "The store of the log: `memory://` for tests, `sqlite:///file` for one process, "
            "`redis://host:port/db` for workers and nodes.",
            secret=True,
        ),
    ] = "sqlite:///pushhub.db"
    workers: Annotated[
        int, setting(SERVER, "The number of processes; more than one needs Redis.", ge=1, le=256)
    ] = 1
    ack: Annotated[
        Literal["memory", "replicated", "fsync"],
        setting(
            SERVER,
            "The level that a publish to Redis reaches before it is acknowledged: the master's "
            "memory, the memory of `ack_replicas` replicas too, or the master's disk (Redis 7.2 or "
            "Valkey, with `appendfsync always`). The receipt names the level that was reached.",
        ),
    ] = "memory"
    store_may_evict: Annotated[
        bool,
        setting(SERVER, "Serves although Redis may evict logs without a gap for readers."),
    ] = False
    ack_replicas: Annotated[
        int,
        setting(SERVER, "The number of replicas that `ack = replicated` waits for.", ge=1, le=10),
    ] = 1
    ack_seconds: Annotated[
        float,
        setting(SERVER, "The longest wait for replicas or disk.", unit="s", gt=0, le=2),
    ] = 1.0
    dev: Annotated[
        bool,
        setting(SERVER, "Turns authentication off, for trying pushhub out; on loopback only."),
    ] = False
    demo: Annotated[
        bool,
        setting(
            SERVER,
            "Serves `/demo`, and redirects `/` to it; always on with `dev`. Otherwise `/` is a "
            "plain page with links.",
        ),
    ] = False

    namespaces: Annotated[
        dict[NamespaceName, Namespace],
        setting(
            CHANNELS,
            "Settings for the channels of a namespace, the part of a name before its first `:`. "
            "Each has `public`, `retention_events`, `retention_age` and `retained_bytes`, all "
            "optional.",
            reload=True,
        ),
    ] = {}
    public: Annotated[
        bool,
        setting(
            CHANNELS, "Allows reads without a token, except in configured namespaces.", reload=True
        ),
    ] = False
    retention_events: Annotated[
        EventCount,
        setting(CHANNELS, "The number of events that a channel keeps.", unit="events", reload=True),
    ] = 1000
    retention_age: Annotated[
        Age,
        setting(
            CHANNELS,
            "The time that an event is kept; 0 is without a limit. A channel's last event is "
            "always kept.",
            unit="s",
            reload=True,
        ),
    ] = 86_400

    api_keys: Annotated[
        list[ApiKey],
        setting(
            ACCESS,
            "The API keys of back ends and operators: `name`, `sha256` of the secret, and the "
            "channel patterns `read`, `publish` and `manage`. `pushhub key new` makes one.",
            secret=True,
            max_length=10_000,
            reload=True,
        ),
    ] = []
    ticket_seconds: Annotated[
        int,
        setting(ACCESS, "The lifetime of a one-use ticket.", unit="s", ge=1, le=300),
    ] = 30
    cors_origins: Annotated[
        list[str],
        setting(
            ACCESS,
            "The origins whose pages may send requests from a browser: exact origins such as "
            "`https://app.example.com`, which may also send cookies, or `*` alone for all origins, "
            "without cookies.",
            max_length=1000,
        ),
    ] = []

    # nginx gives up after 60 s without a byte (proxy_read_timeout); 55 leaves it time.
    max_wait: Annotated[
        int,
        setting(LIMITS, "The longest wait that is granted, for BOSH too.", unit="s", ge=1, le=55),
    ] = 55
    max_channels: Annotated[
        int,
        setting(LIMITS, "The largest number of channels in one poll.", ge=1, le=1000, reload=True),
    ] = 1000
    max_holds: Annotated[
        int,
        setting(
            LIMITS,
            "The most requests that one process holds. A poll of many channels counts once for "
            "each of them, because it costs as much memory.",
            ge=1,
            le=10_000_000,
            reload=True,
        ),
    ] = 100_000
    # nginx's client_header_timeout and client_body_timeout are 60, Apache's reqtimeout 20 and 20: a
    # head of a few hundred bytes and a body of 256 KiB arrive in much less, except in an attack
    # (slowloris).
    head_seconds: Annotated[
        float,
        setting(LIMITS, "The longest time for a request's head.", unit="s", ge=0.1, le=300),
    ] = 15.0
    body_seconds: Annotated[
        float,
        setting(LIMITS, "The longest time for a request's body.", unit="s", ge=0.1, le=3600),
    ] = 20.0
    # Longer than the pause between two polls of any client, and than nginx keeps an idle upstream
    # (60).
    keep_alive_seconds: Annotated[
        float,
        setting(
            LIMITS,
            "The time that a connection stays open between two requests; set it longer than the "
            "proxy in front does.",
            unit="s",
            ge=1,
            le=3600,
        ),
    ] = 75.0
    write_seconds: Annotated[
        float,
        setting(
            LIMITS,
            "The longest time that a reader may leave all written bytes unread; then it is "
            "disconnected.",
            unit="s",
            ge=0.1,
            le=3600,
        ),
    ] = 60.0

    drain_delay: Annotated[
        float,
        setting(
            LEAVING,
            "The pause between `/readyz` turning 503 and the first completed hold, so that the "
            "load balancer can notice.",
            unit="s",
            ge=0,
            le=300,
        ),
    ] = 0.0
    drain_seconds: Annotated[
        float,
        setting(
            LEAVING,
            "The time over which the holds are completed, so that their clients do not all return "
            "together.",
            unit="s",
            ge=0,
            le=300,
        ),
    ] = 5.0

    metrics_public: Annotated[
        bool,
        setting(
            LOGS,
            "Allows reads of the metrics and the list of channels without an admin key; always on "
            "with `dev`.",
        ),
    ] = False
    access_log: Annotated[bool, setting(LOGS, "Writes a line to the log for every response.")] = (
        False
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        setting(LOGS, "The lowest level that is logged."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"],
        setting(
            LOGS,
            "The format of the log: `console` for people, `json` for programs, or `auto` by the "
            "destination of the log.",
        ),
    ] = "auto"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only arguments: the environment does not change the `Settings` of an application."""
        return (init_settings,)

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        if not re.fullmatch(r"[0-9A-Za-z.:_%-]{1,255}", host):
            raise ValueError("The host is a name or an IP address, without port and brackets.")
        return host

    @field_validator("store")
    @classmethod
    def _is_store(cls, store: str) -> str:
        if not _STORE.fullmatch(store):
            raise ValueError(
                "A store is memory://, sqlite:///file, redis://host:port/db or rediss://…."
            )
        return store

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        if "*" in origins and len(origins) > 1:
            raise ValueError("'*' already means every origin; name either '*' or exact origins.")
        return [origin if origin == "*" else browser_origin(origin) for origin in origins]

    @field_validator("api_keys")
    @classmethod
    def _are_distinct(cls, keys: list[ApiKey]) -> list[ApiKey]:
        for what in ("name", "sha256"):
            seen = [getattr(key, what) for key in keys]
            if len(set(seen)) < len(seen):
                raise ValueError(f"Two API keys have the same {what}; each has its own.")
        return keys

    @model_validator(mode="after")
    def _agree(self) -> Self:
        hosts = (self.host, *(self.control_address or ())[:1])
        if self.dev and (exposed := [host for host in hosts if not is_local(host)]):
            raise ValueError(
                "With dev no request needs a key, so the hub listens on loopback only: use host "
                f"127.0.0.1 instead of {exposed[0]}, or leave dev off."
            )
        if self.workers > 1 and self.store.startswith(("memory:", "sqlite:")):
            raise ValueError(
                f"{self.workers} workers need a store that processes can share; use redis://, or "
                "one worker."
            )
        return self

    def origin_of(self, name: str) -> str:
        """The source of a setting: `flag`, `env`, `file` or `default`."""
        return self._origins.get(name, "default")

    def retentions(self) -> Callable[[str], Retention]:
        """A function from channel to retention; the retention of a namespace is computed once."""
        usual = _retention(self.retention_events, self.retention_age)
        own = {
            name: _retention(
                self.retention_events if its.retention_events is None else its.retention_events,
                self.retention_age if its.retention_age is None else its.retention_age,
                its.retained_bytes,
            )
            for name, its in self.namespaces.items()
        }
        return lambda channel: own.get(namespace(channel), usual) if own else usual

    @property
    def namespace_limits(self) -> dict[str, int]:
        """The most bytes of each namespace that has a limit."""
        return {
            name: its.retained_bytes
            for name, its in self.namespaces.items()
            if its.retained_bytes is not None
        }

    def retention(self, channel: str) -> Retention:
        """The retention of `channel`, by its namespace."""
        return self.retentions()(channel)

    def is_public(self, channel: str) -> bool:
        """Whether a client without a token may read `channel`; never for pushhub's own channels."""
        if channel.startswith(PRIVATE_MARK):
            return False
        own = self.namespaces.get(namespace(channel))
        return self.public if own is None or own.public is None else own.public

    @property
    def has_public_channels(self) -> bool:
        """Whether a client without a token may read at least one channel."""
        return self.public or any(own.public for own in self.namespaces.values())

    @property
    def cors_credentials(self) -> bool:
        """Whether pages of other origins may send cookies: not if all origins are allowed (`*`)."""
        return bool(self.cors_origins) and self.cors_origins != ["*"]

    @property
    def shows_demo(self) -> bool:
        """Whether the demo is served."""
        return self.demo or self.dev

    @property
    def is_control_open(self) -> bool:
        """Whether there is a second listener, and only this machine can reach it."""
        return self.control_address is not None and is_local(self.control_address[0])

    def refusal(self) -> str | None:
        """The reason why a server must not start with these settings; None if it may."""
        if self.dev or self.api_keys or self.is_control_open:
            return None
        return (
            "Without an API key no client could publish. `pushhub init` writes a pushhub.toml with "
            "one; `pushhub key new NAME --publish '*'` prints one for a file that exists. To try "
            "pushhub out, use --dev, which needs no key."
        )


def _retention(events: int, age: int, namespace_bytes: int | None = None) -> Retention:
    return Retention(events=events, age=age or None, namespace_bytes=namespace_bytes)
