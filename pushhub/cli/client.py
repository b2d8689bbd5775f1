"""The HTTP client of the commands: one persistent connection to one hub."""

import http.client
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import orjson
import typer

from pushhub import __version__
from pushhub.settings import SettingsError
from pushhub.settings.secret_files import read_text, without_line_end


def secret_of_file(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """A secret from the file that `…_FILE` names, if the option and its variable are absent."""
    assert isinstance(parameter.envvar, str)
    variable = f"{parameter.envvar}_FILE"
    file = os.environ.get(variable)
    if file is None:
        return value
    if value is not None:
        raise typer.BadParameter(f"Give either the secret or {variable}, not both.")
    try:
        return without_line_end(read_text(Path(file)))
    except SettingsError as error:
        raise typer.BadParameter(f"{variable}: {error}") from None


Url = Annotated[
    str, typer.Option("--url", envvar="PUSHHUB_URL", help="The hub's URL.", metavar="URL")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="PUSHHUB_KEY",
        callback=secret_of_file,
        help="An API key or a token; safer in the variable, or in the file that PUSHHUB_KEY_FILE "
        "names, because other users see your commands.",
        show_default=False,
    ),
]
DEFAULT_URL = "http://127.0.0.1:8080"

# A response has at most 1 MiB of events; a larger one is not a hub's.
_MAX_BODY_BYTES = 16 * 1024 * 1024

# The exceptions of a broken connection.
CONNECTION_ERRORS = (OSError, http.client.HTTPException)


class ClientError(Exception):
    """No hub can be reached at this URL; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class CliResponse:
    """A complete response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ClientError: the body is no JSON object.
        """
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            raise ClientError(f"The response ({self.status}) is not a hub's; check the URL.")
        return value

    @property
    def problem(self) -> str:
        """`title: detail` of a problem; without one the reason phrase and the status."""
        try:
            fields = self.json()
        except ClientError:
            fields = {}
        title = fields.get("title") or http.client.responses.get(self.status, "no reason given")
        detail = fields.get("detail")
        return f"{title}: {detail}" if detail else f"{title} ({self.status})"

    @property
    def retry_after(self) -> float:
        """The seconds of `Retry-After`; 0 without it."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isascii() and value.isdigit() else 0.0


class HubClient:
    """Sends requests one after another over one connection, and reconnects when it breaks.

    Raises:
        ClientError: `url` is not an HTTP URL.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ClientError(f"{url!r} is not a URL such as {DEFAULT_URL}.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"{url!r} is not a URL such as {DEFAULT_URL}.")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, port
        self._prefix = parts.path.rstrip("/")
        self._headers: dict[str, str | bytes] = {"User-Agent": f"pushhub/{__version__}"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}".encode()
        self._connection: http.client.HTTPConnection | None = None
        self.url = url

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        timeout: float = 30.0,
    ) -> CliResponse:
        """Send a request and wait at most `timeout` seconds between two pieces of its response.

        Raises:
            OSError, http.client.HTTPException: the connection failed; see `CONNECTION_ERRORS`.
            ClientError: a header that cannot be sent.
        """
        all_headers = self._headers | {
            name: value.encode() for name, value in (headers or {}).items()
        }
        # The server may have closed an idle connection; a GET can be sent again.
        may_repeat = self._connection is not None and method == "GET"
        try:
            return self._send(method, path, all_headers, body, timeout)
        except (ConnectionError, http.client.BadStatusLine):
            if not may_repeat:
                raise
        return self._send(method, path, all_headers, body, timeout)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str | bytes],
        body: bytes | None,
        timeout: float,
    ) -> CliResponse:
        connection = self._connection or self._connect(timeout)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        self._connection = None
        try:
            connection.request(method, self._prefix + path, body, headers)
            received = connection.getresponse()
            content = received.read(_MAX_BODY_BYTES + 1)
            if len(content) > _MAX_BODY_BYTES:
                raise ClientError("The response is too long for a hub's; check the URL.")
        except ValueError as error:
            connection.close()
            raise ClientError(f"This cannot be sent as a header: {error}.") from None
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return CliResponse(
            received.status, {k.lower(): v for k, v in received.getheaders()}, content
        )

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def why(error: Exception) -> str:
    """The reason of a connection error, in a few words."""
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"broken response ({type(error).__name__})"
