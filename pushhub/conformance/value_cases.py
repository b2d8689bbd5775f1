"""The cases of values: any resource with an ETag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.conformance.case import case, check
from pushhub.conformance.stage import NO_PAUSE_SECONDS, RETRY_SECONDS, SOON_SECONDS

if TYPE_CHECKING:
    from pushhub.conformance.stage import Stage

_VALUE = "Values"


@case(
    "value", "value", _VALUE, "The client sends the value's ETag unchanged, and prints each change."
)
async def value(stage: Stage) -> None:
    stage.hub.set_value('W/"a-gzip"', {"amount": 1})
    await stage.start()
    first = await stage.first()
    check("if-none-match" not in first.headers, "The first request has an If-None-Match.")
    await stage.line("value", data={"amount": 1})
    held = await stage.held(SOON_SECONDS)
    tag = held.headers.get("if-none-match")
    check(tag == 'W/"a-gzip"', f"The request sends the ETag as {tag}.")
    check(held.wait is not None, "The request has no `Prefer: wait`.")
    stage.hub.set_value('"b"', {"amount": 2})
    await stage.line("value", data={"amount": 2})
    held = await stage.held(SOON_SECONDS)
    tag = held.headers.get("if-none-match")
    check(tag == '"b"', f"The request after the change sends the ETag {tag}.")


@case(
    "value-304",
    "value",
    _VALUE,
    "A 304 is a success: no output, the same ETag, the next request follows.",
)
async def not_modified(stage: Stage) -> None:
    stage.hub.set_value('"a"', 1)
    await stage.start()
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    pause, again = await stage.pause_after_wait()
    check(pause < NO_PAUSE_SECONDS, f"The client pauses for {pause:.1f} s after a 304.")
    check(again.headers.get("if-none-match") == '"a"', "The ETag is lost after a 304.")
    check(len(stage.printed("value")) == 1, "The client prints the value again after a 304.")
    check(not stage.printed("error"), "The client prints an error for a 304.")


@case(
    "value-spin",
    "value",
    _VALUE,
    "Waits that end within a second, one after another, are followed by pauses.",
)
async def spin(stage: Stage) -> None:
    stage.hub.wait_share = 0
    stage.hub.set_value('"a"', 1)
    await stage.start()
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    await stage.quiet(4, 12, "The client repeats a wait that ends immediately.")
    stage.hub.set_value('"b"', 2)
    await stage.line("value", data=2, seconds=SOON_SECONDS * 3)


@case("value-plain", "value", _VALUE, "A server that does not wait is polled at the old interval.")
async def plain(stage: Stage) -> None:
    stage.hub.applies_waits = False
    stage.hub.set_value('"a"', 1)
    await stage.start(every=3)
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    await stage.quiet(2, 0, "The client does not keep the interval of 3 s.")
    stage.hub.set_value('"b"', 2)
    await stage.line("value", data=2, seconds=SOON_SECONDS)


@case("value-interval", "value", _VALUE, "`X-Poll-Interval` gives the seconds to the next request.")
async def interval(stage: Stage) -> None:
    stage.hub.applies_waits = False
    stage.hub.set_value('"a"', 1)
    stage.hub.next_responses.append(
        lambda request: request.respond(
            200,
            b"1",
            {"ETag": '"a"', "Content-Type": "application/json", "X-Poll-Interval": "3"},
        )
    )
    await stage.start(every=1)
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    await stage.quiet(2, 0, "The client does not keep the X-Poll-Interval of 3 s.")
    await stage.after(1, SOON_SECONDS, "The client sends no request after the interval.")


@case(
    "value-none", "value", _VALUE, "A 404 is no value: no output, and no If-None-Match afterwards."
)
async def no_value(stage: Stage) -> None:
    stage.hub.set_value('"a"', 1)
    await stage.start(every=1)
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    held = await stage.held(SOON_SECONDS)
    stage.hub.held.remove(held)
    stage.hub.value = None
    held.refuse(404, "no-value")
    sentence = "The client sends no request after a 404."
    again = await stage.after(stage.requests.index(held) + 1, RETRY_SECONDS, sentence)
    check(
        "if-none-match" not in again.headers, "The client sends the ETag of a value that is gone."
    )
    stage.hub.set_value('"c"', 3)
    await stage.line("value", data=3, seconds=SOON_SECONDS * 2)
    check(len(stage.printed("value")) == 2, "The client prints a value for the 404.")


@case("value-retry-after", "value", _VALUE, "`Retry-After` of a 503 is kept, and the ETag too.")
async def retry_after(stage: Stage) -> None:
    stage.hub.set_value('"a"', 1)
    await stage.start(every=0.5)
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    held = await stage.held(SOON_SECONDS)
    stage.hub.held.remove(held)
    held.refuse(503, "overloaded", {"Retry-After": "3"})
    await stage.quiet(2.5, 0, "The client does not keep the Retry-After of 3 s.")
    again = await stage.held(RETRY_SECONDS)
    check(again.headers.get("if-none-match") == '"a"', "The ETag is lost after a 503.")
    check(len(stage.printed("value")) == 1, "The client prints a value for a 503.")


@case("value-redirect", "value", _VALUE, "A 307 is followed with the same headers.")
async def redirect(stage: Stage) -> None:
    stage.hub.set_value('"a"', 1)
    await stage.start()
    await stage.line("value", data=1, seconds=SOON_SECONDS * 5)
    held = await stage.held(SOON_SECONDS)
    stage.hub.held.remove(held)
    held.respond(307, b"", {"Location": "/moved"})
    again = await stage.after(
        stage.requests.index(held) + 1, SOON_SECONDS, "The client does not follow the redirect."
    )
    check(again.path == "/moved", f"The client does not follow the redirect: {again.shown}.")
    for name in ("prefer", "if-none-match"):
        check(
            again.headers.get(name) == held.headers.get(name),
            f"The redirect loses the header {name}.",
        )
