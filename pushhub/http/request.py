"""A parsed HTTP request of any driver, with everything that an endpoint may read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pushhub.http.client_address import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.http.connection_record import SeenConnection
    from pushhub.log.grant import Grant

# A poll has a handful of parameters; more is a mistake or an attack on the parser.
MAX_QUERY_FIELDS = 32


# nginx, Apache and Node take heads of 8 to 32 KiB; a long-poll's head is about 0.5 KiB.
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS_BYTES = 32 * 1024
MAX_HEADERS = 100


class QueryError(ValueError):
    """The query string is invalid; the message is a sentence for its sender."""


class Request:
    """One request, complete: head and body.

    `path` is as on the wire, still percent-encoded. `headers` has lower-case names; the values of a
    repeated header are joined by a comma and a space (RFC 9110 §5.3), so a header that must not
    repeat shows it.
    """

    __slots__ = (
        *("__dict__", "body", "caller", "client", "grant", "headers", "id", "method", "path"),
        *("query_string", "secure", "trusted", "wire"),
    )

    def __init__(
        self,
        method: str,
        path: str,
        query_string: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        client: str = "",
        *,
        secure: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers = headers if headers is not None else {}
        self.body = body
        # The client's address, and whether it uses TLS; from trusted proxies where there are some.
        self.client = client
        self.secure = secure
        # The grant of its credential, once that is known; None also if the credential is invalid.
        self.grant: Grant | None = None
        # Its id in logs: that of a trusted proxy, or a new one when a log needs it.
        self.id = ""
        self.trusted = False
        """Whether its listener grants it everything."""
        self.caller: Any = None
        """The client as limits count it (`auth/caller.py`); None if they do not concern it."""
        self.wire: SeenConnection | None = None
        """Its connection, as far as its server has one to show."""

    @property
    def is_confidential(self) -> bool:
        """Whether the request may carry a password: its client uses TLS, or is on this machine. A
        proxy on this machine names its clients, which may be anywhere."""
        return self.secure or (
            is_loopback(self.client)
            and not any(n == "forwarded" or n.startswith("x-forwarded-") for n in self.headers)
        )

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's fields; the last of a repeated one counts.

        Raises:
            QueryError: too many fields, or a value that is not UTF-8.
        """
        if not self.query_string:
            return {}
        try:
            pairs = parse_qsl(
                self.query_string,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except UnicodeDecodeError:
            raise QueryError("A query parameter is not UTF-8.") from None
        except ValueError:
            raise QueryError(
                f"A request has at most {MAX_QUERY_FIELDS} query parameters."
            ) from None
        return dict(pairs)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"
