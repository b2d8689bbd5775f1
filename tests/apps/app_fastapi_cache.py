"""A sample API with fastapi-cache, whose responses have ETags and a lifetime."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask
from tests.apps.own_client import OwnClient, Visit

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


_LOOK = """
import sys
import httpx

with httpx.Client(base_url=sys.argv[1]) as client:
    first = client.get("/prices")
    again = client.get("/prices", headers={"If-None-Match": first.headers["ETag"]})
    print(first.status_code, first.json(), first.headers["ETag"], again.status_code)
    print([route for route in client.get("/openapi.json").json()["paths"]])
"""
_CHANGE = """
import sys
import httpx

httpx.post(sys.argv[1] + "/prices/bread").raise_for_status()
"""


def look(visit: Visit) -> str:
    return visit.python(_LOOK)


def change(visit: Visit) -> None:
    visit.python(_CHANGE)


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
    own_client=OwnClient("`httpx`, which FastAPI's tests use", look, change),
    paths=("/prices", "/docs", "/openapi.json", "/nothing"),
    unstable=(r"(?im)^cache-control: max-age=\d+\r\n", r"(?im)^x-fastapi-cache: \w+\r\n"),
)
