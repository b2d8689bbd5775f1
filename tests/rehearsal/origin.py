"""The origin of the rehearsal, with versions and GRIP: `python -m tests.rehearsal.origin PORT`."""

from __future__ import annotations

import sys
from collections import Counter

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002 - Starlette reads the annotations
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_versions: Counter[str] = Counter()
_ids: dict[str, str] = {}


def _document(path: str) -> dict[str, object]:
    return {"version": _versions[path], "id": _ids.get(path, "")}


async def change(request: Request) -> Response:
    """A new version, with the id of the change. A repeated id is no change."""
    path, id = request.url.path, (await request.body()).decode()
    if _ids.get(path) != id:
        _versions[path] += 1
        _ids[path] = id
    return JSONResponse(_document(path))


async def order(request: Request) -> Response:
    """A resource with an ETag."""
    path = request.url.path
    tag = f'"{_versions[path]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return JSONResponse(_document(path), headers={"etag": tag})


async def held(request: Request) -> Response:
    """What is newer than the client's version; without it, an instruct to hold the request."""
    path = request.url.path
    after = int(request.query_params.get("after", "0"))
    headers = {}
    if _versions[path] <= after:
        name = path.removeprefix("/grip/")
        headers = {"grip-hold": "response", "grip-channel": f"grip-{name}", "grip-timeout": "20"}
    return JSONResponse(_document(path), headers=headers)


app = Starlette(
    routes=[
        Route("/orders/{name}", order, methods=["GET"]),
        Route("/grip/{name}", held, methods=["GET"]),
        Route("/{kind}/{name}", change, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
