"""Requests over httpx, for the synchronous client."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from .core.token import TokenLife
from .core.wire import Request
from .errors import HubUnreachable, InvalidResponse, PushhubError
from .options import CONNECT_SECONDS, MOST_BODY_BYTES, USER_AGENT

Token = str | Callable[[], str]
MakeHttp = Callable[[], httpx.Client]


class TokenError(PushhubError):
    """The callable `token` failed; its exception is the cause."""


class Credential:
    """The token of a client, renewed by its callable. Threads share it."""

    def __init__(self, token: Token | None) -> None:
        self._life = TokenLife()
        self._renew = token if callable(token) else None
        if isinstance(token, str):
            self._life.renewed(token, time.time())
        self._lock = threading.Lock()

    @property
    def renews(self) -> bool:
        """Whether a 401 may end with another token."""
        return self._renew is not None

    def headers(self) -> dict[str, str]:
        """The header of a request; may call the callable.

        Raises:
            TokenError: the callable failed.
        """
        with self._lock:
            if self._renew and self._life.needed(time.time()):
                try:
                    token = self._renew()
                except Exception as error:
                    raise TokenError(f"token() failed: {error}") from error
                self._life.renewed(token, time.time())
            token_now = self._life.token
        return {"Authorization": f"Bearer {token_now}"} if token_now else {}

    def refused(self) -> None:
        """The hub responded with 401."""
        with self._lock:
            if self._renew:
                self._life.refused()


class HttpSender:
    """One httpx client. A child process gets its own: a connection cannot be shared.

    Args:
        follows: whether to follow redirects.
        most: the most bytes of a complete response.
    """

    def __init__(
        self,
        base: str,
        credential: Credential,
        make: MakeHttp,
        *,
        follows: bool = False,
        most: int = MOST_BODY_BYTES,
    ) -> None:
        self.base = base
        self.credential = credential
        self._follows = follows
        self._most = most
        self._make = make
        self._pid = os.getpid()
        self._http = make()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(
        self, request: Request, trace: Callable[[str, Mapping[str, Any]], None] | None = None
    ) -> tuple[int, httpx.Headers, bytes]:
        """The complete response.

        Raises:
            HubUnreachable: no response.
            TokenError: there is no token.
            InvalidResponse: the response is too long for a hub's.
        """
        with self.open(request, request.timeout, trace) as response:
            # httpx bounds the time between two pieces; this bounds the whole.
            deadline = time.monotonic() + request.timeout
            body = body_of(response, self._most, deadline)
            return response.status_code, response.headers, body

    @contextmanager
    def open(
        self,
        request: Request,
        read_timeout: float,
        trace: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> Iterator[httpx.Response]:
        """The response, to be read piece by piece."""
        headers = {"User-Agent": USER_AGENT, **request.headers, **self.credential.headers()}
        with (
            failing(self.base),
            self.http.stream(
                request.method,
                self.base + request.path,
                headers={name.encode(): value.encode() for name, value in headers.items()},
                content=request.body,
                timeout=httpx.Timeout(CONNECT_SECONDS, read=read_timeout),
                follow_redirects=self._follows,
                extensions={"trace": trace} if trace else {},
            ) as response,
        ):
            if response.status_code == 401:
                self.credential.refused()
            yield response

    @property
    def http(self) -> httpx.Client:
        """The httpx client of this process."""
        if self._pid != os.getpid():
            self._pid, self._http = os.getpid(), self._make()
        return self._http


@contextmanager
def failing(url: str) -> Iterator[None]:
    """Errors of httpx become errors of this package.

    Raises:
        HubUnreachable: no response.
        ValueError: a header that cannot be sent, for example of a token with a line end.
    """
    try:
        yield
    except httpx.LocalProtocolError as error:
        raise ValueError(f"This cannot be sent as a header: {error}.") from error
    except httpx.TimeoutException as error:
        raise HubUnreachable(f"{url} did not respond in time.") from error
    except (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects) as error:
        raise HubUnreachable(f"No response from {url}: {error or type(error).__name__}.") from error


def body_of(response: httpx.Response, most: int, deadline: float) -> bytes:
    """The body, of `most` bytes at most.

    Args:
        deadline: when it has to be complete, by `time.monotonic()`.

    Raises:
        InvalidResponse: it is longer.
        HubUnreachable: it takes longer.
    """
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > most:
            raise InvalidResponse(f"The response has more than {most} bytes; check the URL.")
        if time.monotonic() > deadline:
            raise HubUnreachable("The response did not come in time.")
    return bytes(body)
