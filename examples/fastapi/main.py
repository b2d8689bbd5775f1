"""A shop's orders on FastAPI. Two lines make its GET wait: `waits`, and a publish in `change`."""

from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException

from pushhub import PushHub, Settings

push = PushHub(Settings(store="memory://", namespaces={"orders": {"public": True}}))
orders = {1: "received"}


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with push.lifespan(app):
        yield  # the application's own start and end go around this


app = FastAPI(lifespan=lifespan)
app.mount("/push", push)


@app.get("/orders/{id}")
@push.waits("orders:{id}")
def order(id: int):
    if id not in orders:
        raise HTTPException(404, "no such order")
    return {"id": id, "state": orders[id]}


@app.put("/orders/{id}")
async def change(id: int, state: Annotated[str, Body(embed=True)]):
    orders[id] = state
    await push.publish(f"orders:{id}", {"state": state})
    return {"id": id, "state": state}
