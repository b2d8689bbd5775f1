"""A shop's orders on Starlette. Two lines make its GET wait: `waits`, and a publish in `change`."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from pushhub import PushHub, Settings

push = PushHub(Settings(store="memory://", namespaces={"orders": {"public": True}}))
orders = {1: "received"}


@push.waits("orders:{id}")
async def order(request: Request) -> JSONResponse:
    id = request.path_params["id"]
    if id not in orders:
        raise HTTPException(404, "no such order")
    return JSONResponse({"id": id, "state": orders[id]})


async def change(request: Request) -> JSONResponse:
    id = request.path_params["id"]
    orders[id] = (await request.json())["state"]
    await push.publish(f"orders:{id}", {"state": orders[id]})
    return JSONResponse({"id": id, "state": orders[id]})


app = Starlette(
    routes=[
        Route("/orders/{id:int}", order),
        Route("/orders/{id:int}", change, methods=["PUT"]),
        Mount("/push", push),
    ],
    lifespan=push.lifespan,
)
