"""One test for both clients: the asynchronous one behind synchronous calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from pushhub_client import AsyncClient, Client, async_poll, poll

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flat:
    """An object of the asynchronous client, whose coroutines and iterators are run to their end."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner = inner
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or isinstance(found, Exception):
            return found

        def call(*args: Any, **options: Any) -> Any:
            made = found(*args, **options)
            if asyncio.iscoroutine(made):
                return self._runner.run(made)
            return Flat(made, self._runner) if hasattr(made, "__anext__") else made

        return call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        async def step() -> Any:
            return await anext(self._inner)

        try:
            return self._runner.run(step())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._runner.run(self._inner.close())


class Kind:
    """One of the two clients: how it is made, and how its poller is."""

    def __init__(self, name: str, runner: asyncio.Runner) -> None:
        self.name = name
        self._runner = runner

    def client(self, url: str, **options: Any) -> Any:
        """A client of the hub."""
        if self.name == "sync":
            return Client(url, **options)

        async def make() -> AsyncClient:
            return AsyncClient(url, **options)

        return Flat(self._runner.run(make()), self._runner)

    def poll(self, url: str, *args: Any, **options: Any) -> Any:
        """A poller of a URL."""
        if self.name == "sync":
            return poll(url, *args, **options)

        async def make() -> Any:
            return async_poll(url, *args, **options)

        return Flat(self._runner.run(make()), self._runner)


def take(iterator: Any, count: int) -> list[Any]:
    """The next messages."""
    return [next(iterator) for _ in range(count)]
