"""A sample API with fastapi-cache, whose responses have ETags and a lifetime."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask

_PROJECT = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from fastapi_cache import FastAPICache
from fastapi_cache.backends.inmemory import InMemoryBackend
from fastapi_cache.decorator import cache

@asynccontextmanager
async def lifespan(app):
    FastAPICache.init(InMemoryBackend(), prefix="sample")
    yield

app = FastAPI(lifespan=lifespan)
prices = {"milk": 1}

@app.get("/prices")
@cache(expire=60, namespace="prices")
async def read():
    return prices

@app.post("/prices/{name}")
async def write(name: str):
    prices[name] = prices.get(name, 0) + 1
    await FastAPICache.clear(namespace="prices")
    return prices
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "sample.py").write_text(_PROJECT)
    uvicorn = place.command("uvicorn")
    with place.running(uvicorn, "sample:app", "--port", str(place.port)):
        yield


def write(place: Place) -> None:
    ask("POST", f"{place.url}/prices/milk", b"")


APPLICATION = Application(
    name="fastapi_cache",
    title="fastapi-cache",
    server="fastapi-cache2 0.2 of PyPI, on uvicorn",
    part="apps",
    start=start,
    polls=(Poll("/prices", write),),
    routes="""\
[[routes]]
path = "/prices"
step = "poll"
""",
    noticed="the ETag of the cached response",
    remark="a cached response is found changed when the application clears it or it expires",
    paths=("/prices", "/docs", "/openapi.json", "/nothing"),
    unstable=(r"(?im)^cache-control: max-age=\d+\r\n", r"(?im)^x-fastapi-cache: \w+\r\n"),
)
