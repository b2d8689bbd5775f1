"""What one writes first: a list and a condition for each channel, and an endpoint that waits.

It keeps everything for ever, forgets it with the process, and does not notice clients that leave.
The token is only compared, as in the peers, which favours it.
"""

import asyncio
import os
from collections import defaultdict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

TOKEN = "Bearer " + os.environ["NAIVE_TOKEN"]
KEY = "Bearer " + os.environ["NAIVE_KEY"]


class Channel:
    """A channel."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.news = asyncio.Condition()


channels: defaultdict[str, Channel] = defaultdict(Channel)


async def poll(request: Request) -> Response:
    """Answer with what comes after a number, or wait for it."""
    if request.headers.get("authorization") != TOKEN:
        return Response(status_code=401)
    channel = channels[request.path_params["channel"]]
    after = int(request.query_params.get("after", "0"))
    wait = float(request.query_params.get("wait", "0"))
    try:
        async with channel.news:
            await asyncio.wait_for(channel.news.wait_for(lambda: len(channel.events) > after), wait)
    except TimeoutError:
        pass
    events = [
        {"offset": after + number, "data": data}
        for number, data in enumerate(channel.events[after:], 1)
    ]
    return JSONResponse({"events": events, "cursor": str(after + len(events))})


async def publish(request: Request) -> Response:
    """Keep the event, and wake who waits."""
    if request.headers.get("authorization") != KEY:
        return Response(status_code=401)
    channel = channels[request.path_params["channel"]]
    async with channel.news:
        channel.events.append(await request.json())
        channel.news.notify_all()
    return JSONResponse({"offset": len(channel.events)})


async def page(request: Request) -> Response:
    """A page."""
    return PlainTextResponse("a page\n")


app = Starlette(
    routes=[
        Route("/channels/{channel}/events", poll),
        Route("/channels/{channel}/events", publish, methods=["POST"]),
        Route("/page", page),
    ],
    middleware=[
        Middleware(
            CORSMiddleware,
            allow_origins=[os.environ["NAIVE_ORIGIN"]],
            allow_credentials=True,
            allow_headers=["authorization"],
        )
    ],
)
