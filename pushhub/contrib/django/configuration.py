"""The setting `PUSHHUB` of a Django project: a dictionary, each key of which may be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from django.conf import settings
from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from pushhub.settings.access import HMAC_BYTES

# The algorithm of tokens, of which the project and the hub know the same secret.
ALGORITHM = "HS256"
LEAST_KEY_BYTES = HMAC_BYTES[ALGORITHM]
# The hub reads `exp` of tokens; a page asks for the next one at nine tenths of its life.
TOKEN_SECONDS = 600
# A request of the project waits for it after its commit. A hub on the same machine responds within
# milliseconds; one that does not run costs each write this time.
TIMEOUT_SECONDS = 2.0

Rights = Callable[[Any], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The keys of `PUSHHUB`, in lower case."""

    url: str = "http://127.0.0.1:5561"
    """Where to publish: the hub's control listener, or its URL with the prefix `/_pushhub`."""
    key: str | None = None
    """The API key of the project. A control listener on loopback needs none."""
    timeout: float = TIMEOUT_SECONDS
    """Seconds for a publish, after which it is logged as failed."""
    read: str | None = None
    """The dotted path of a function: a request to the patterns of channels that it may read."""
    token_key: str | None = None
    """The HMAC secret (HS256) of tokens, as in the hub's `token_keys`; at least 32 bytes."""
    token_seconds: int = TOKEN_SECONDS
    """The life of a token: from a logout on, a page reads for at most this time."""
    token_issuer: str | None = None
    token_audience: str | None = None

    def rights(self) -> Rights:
        """The function `read`.

        Raises:
            ImproperlyConfigured: it is missing, or there is none.
        """
        try:
            found: Rights = import_string(self.read or "")
        except ImportError as error:
            raise ImproperlyConfigured(
                "Set PUSHHUB['READ'] to the dotted path of a function that takes a request and "
                f"returns the channels that it may read; {error}."
            ) from error
        return found

    def signing_key(self) -> str:
        """The secret `token_key`.

        Raises:
            ImproperlyConfigured: it is missing or too short.
        """
        key = self.token_key or ""
        if len(key.encode()) < LEAST_KEY_BYTES:
            raise ImproperlyConfigured(
                f"PUSHHUB['TOKEN_KEY'] needs {LEAST_KEY_BYTES} bytes or more: openssl rand -hex 32."
            )
        return key


def configuration() -> Configuration:
    """The project's configuration.

    Raises:
        ImproperlyConfigured: a key that does not exist.
    """
    given = getattr(settings, "PUSHHUB", {})
    known = {field.name.upper() for field in fields(Configuration)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(
            f"PUSHHUB has no key {unknown[0]!r}. Its keys are {', '.join(sorted(known))}."
        )
    return Configuration(**{name.lower(): value for name, value in given.items()})


def check(**_: Any) -> list[Any]:
    """Django's system check: `manage.py check`, and each start of the development server."""
    try:
        found = configuration()
        if found.read is not None or found.token_key is not None:
            found.rights()
            found.signing_key()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="pushhub.E001")]
    return []
