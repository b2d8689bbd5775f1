"""Requests over httpx, for the asynchronous client."""

import asyncio
import inspect
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2 as httpx

from .core.token import TokenLife
from .core.wire import Request
from .errors import HubUnreachable, InvalidResponse
from .http_sync import TokenError, failing
from .options import CONNECT_SECONDS, MOST_BODY_BYTES, TOKEN_SECONDS, USER_AGENT

AsyncToken = str | Callable[[], str | Awaitable[str]]
MakeAsyncHttp = Callable[[], httpx.AsyncClient]


class AsyncCredential:
    """The token of a client, renewed by its callable. Tasks share it."""

    def __init__(self, token: AsyncToken | None) -> None:
        self._life = TokenLife()
        self._renew = token if callable(token) else None
        if isinstance(token, str):
            self._life.renewed(token, time.time())
        self._lock = asyncio.Lock()

    @property
    def renews(self) -> bool:
        """Whether a 401 may end with another token."""
        return self._renew is not None

    async def headers(self) -> dict[str, str]:
        """The header of a request; may call the callable.

        Raises:
            TokenError: the callable failed, or took more than a minute.
        """
        async with self._lock:
            if self._renew and self._life.needed(time.time()):
                try:
                    async with asyncio.timeout(TOKEN_SECONDS):
                        made = self._renew()
                        token = await made if inspect.isawaitable(made) else made
                except Exception as error:
                    raise TokenError(f"token() failed: {error or type(error).__name__}") from error
                self._life.renewed(token, time.time())
        token_now = self._life.token
        return {"Authorization": f"Bearer {token_now}"} if token_now else {}

    def refused(self) -> None:
        """The hub responded with 401."""
        if self._renew:
            self._life.refused()


class AsyncHttpSender:
    """One httpx client. A child process gets its own: a connection cannot be shared.

    Args:
        follows: whether to follow redirects.
        most: the most bytes of a complete response.
    """

    def __init__(
        self,
        base: str,
        credential: AsyncCredential,
        make: MakeAsyncHttp,
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

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, request: Request) -> tuple[int, httpx.Headers, bytes]:
        """The complete response.

        Raises:
            HubUnreachable: no response.
            TokenError: there is no token.
            InvalidResponse: the response is too long for a hub's.
        """
        try:
            # httpx bounds the time between two pieces; this bounds the whole.
            async with (
                asyncio.timeout(CONNECT_SECONDS + request.timeout + TOKEN_SECONDS),
                self.open(request, request.timeout) as response,
            ):
                body = await async_body_of(response, self._most)
                return response.status_code, response.headers, body
        except TimeoutError as error:
            raise HubUnreachable(f"{self.base} did not respond in time.") from error

    @asynccontextmanager
    async def open(self, request: Request, read_timeout: float) -> AsyncIterator[httpx.Response]:
        """The response, to be read piece by piece."""
        credential = await self.credential.headers()
        headers = {"User-Agent": USER_AGENT, **request.headers, **credential}
        with failing(self.base):
            async with self.http.stream(
                request.method,
                self.base + request.path,
                headers={name.encode(): value.encode() for name, value in headers.items()},
                content=request.body,
                timeout=httpx.Timeout(CONNECT_SECONDS, read=read_timeout),
                follow_redirects=self._follows,
            ) as response:
                if response.status_code == 401:
                    self.credential.refused()
                yield response

    @property
    def http(self) -> httpx.AsyncClient:
        """The httpx client of this process."""
        if self._pid != os.getpid():
            self._pid, self._http = os.getpid(), self._make()
        return self._http


async def async_body_of(response: httpx.Response, most: int) -> bytes:
    """The body, of `most` bytes at most.

    Raises:
        InvalidResponse: it is longer.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            raise InvalidResponse(f"The response has more than {most} bytes; check the URL.")
    return bytes(body)
