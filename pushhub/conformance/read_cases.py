"""The cases of positions, gaps and many channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.conformance.case import case, check
from pushhub.conformance.stage import NO_PAUSE_SECONDS, SOON_SECONDS

if TYPE_CHECKING:
    from pushhub.conformance.scripted_request import ScriptedRequest
    from pushhub.conformance.stage import Stage

_START = "Positions"
_WAIT = "Waiting"
_GAP = "Gaps and epochs"
_MANY = "Many channels"


@case("start-now", "feed", _START, "A reader that starts with `now` prints only later events.")
async def start_now(stage: Stage) -> None:
    stage.hub.publish("orders", "old")
    await stage.start({"orders": "now"})
    request = await stage.first()
    check(
        request.positions == {"orders": "now"},
        f"The first request does not read orders from now: {request.shown}.",
    )
    await stage.held()
    stage.hub.publish("orders", "new")
    await stage.line("event", data="new")
    stage.check_events("new")


@case("start-earliest", "feed", _START, "A reader that starts with `earliest` prints what is kept.")
async def start_earliest(stage: Stage) -> None:
    for number in range(3):
        stage.hub.publish("orders", number)
    await stage.start({"orders": "earliest"})
    request = await stage.first()
    check(
        request.positions == {"orders": "earliest"},
        f"The first request does not read orders from the earliest event: {request.shown}.",
    )
    await stage.line("event", data=2, seconds=SOON_SECONDS)
    stage.check_events(0, 1, 2)


@case("start-cursor", "feed", _START, "A reader that starts with a cursor sends it unchanged.")
async def start_cursor(stage: Stage) -> None:
    stage.hub.publish("orders", "old")
    cursor = stage.hub.publish("orders", "read")
    stage.hub.publish("orders", "new")
    await stage.start({"orders": cursor})
    request = await stage.first()
    check(
        request.positions == {"orders": cursor},
        f"The first request does not have the cursor {cursor}: {request.shown}.",
    )
    await stage.line("event", data="new")
    stage.check_events("new")


@case("next-cursor", "feed", _START, "Each request has the cursor of the response before.")
async def next_cursor(stage: Stage) -> None:
    stage.hub.publish("orders", 1)
    await stage.start({"orders": "earliest"})
    await stage.line("event", data=1, seconds=SOON_SECONDS * 5)
    for number in (2, 3):
        held = await stage.held(SOON_SECONDS)
        expected = stage.hub.log.cursor(number - 1)
        check(
            held.positions == {"orders": expected},
            f"The request after event {number - 1} does not have the cursor {expected}: "
            f"{held.shown}.",
        )
        stage.hub.publish("orders", number)
        await stage.line("event", data=number)
    stage.check_events(1, 2, 3)


@case("pages", "feed", _START, "A page that is not the last is followed by the next immediately.")
async def pages(stage: Stage) -> None:
    for number in range(3):
        stage.hub.publish("orders", number)
    one = {"limit": 1}

    def short(request: ScriptedRequest) -> None:
        request.document |= one
        request.query["limit"] = "1"
        stage.hub.serve(request)

    stage.hub.next_responses.extend([short] * 3)
    await stage.start({"orders": "earliest"})
    await stage.first()
    await stage.line("event", data=2)
    stage.check_events(0, 1, 2)


@case(
    "channel-name", "feed", _START, "A channel's name is one percent-encoded segment of the path."
)
async def channel_name(stage: Stage) -> None:
    name = "orders/7 ü+%?"
    await stage.start({name: "earliest"})
    request = await stage.first()
    check(name in request.positions, f"The request does not read {name!r}: {request.shown}.")
    stage.hub.publish(name, "arrived")
    await stage.line("event", channel=name, data="arrived")


@case("data", "feed", _START, "JSON, text and base64 are printed as the hub lists them.")
async def data_forms(stage: Stage) -> None:
    text, binary = {"content_type": "text/plain"}, {"content_type": "image/png"}
    forms = [{"total": 3, "of": [None, True]}, "zwei\nZeilen, grün ✓", "iVBORw0KGgo="]
    stage.hub.publish("orders", forms[0])
    stage.hub.publish("orders", forms[1], type="note", **text)
    stage.hub.publish("orders", forms[2], encoding="base64", **binary)
    await stage.start({"orders": "earliest"})
    await stage.first()
    await stage.line("event", data=forms[2])
    stage.check_events(*forms)


@case(
    "unknown-members",
    "feed",
    _START,
    "Members and headers that the client does not know change nothing.",
)
async def unknown_members(stage: Stage) -> None:
    stage.hub.extra = {"hint": {"later": True}}
    stage.hub.publish("orders", 1, weight=[1], epoch="anolderepoch")
    await stage.start({"orders": "earliest"})
    await stage.first()
    await stage.line("event", data=1)
    await stage.held()
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2)
    stage.check_events(1, 2)


@case(
    "duplicate", "feed", _START, "An event whose cursor was printed already is not printed again."
)
async def duplicate(stage: Stage) -> None:
    start = stage.hub.log.cursor(0)
    await stage.start({"orders": start})
    held = await stage.held()
    stage.hub.publish("orders", 1)
    await stage.line("event", data=1)
    again = await stage.held(SOON_SECONDS)
    check(again is not held, "The client sends no second request.")
    page = stage.hub.page(again, {"orders": start})
    assert page is not None
    stage.hub.held.remove(again)
    stage.hub.respond_page(again, page)
    await stage.held(SOON_SECONDS * 2)
    stage.hub.publish("orders", 2)
    await stage.line("event", data=2)
    stage.check_events(1, 2)


# -- waiting ---------------------------------------------------------------------------------------


@case("opt-in", "feed", _WAIT, "A request that may wait says for how many seconds, 1 to 55.")
async def opt_in(stage: Stage) -> None:
    await stage.start({"orders": "now"}, wait=3)
    held = await stage.held()
    check(held.wait == 3, f"The request does not ask for 3 s: {held.shown}, {held.headers}.")


@case(
    "empty",
    "feed",
    _WAIT,
    "The end of a wait without an event is a success: the next request follows.",
)
async def empty(stage: Stage) -> None:
    cursor = stage.hub.log.cursor(0)
    await stage.start({"orders": cursor})
    pause, again = await stage.pause_after_wait()
    check(again.positions == {"orders": cursor}, f"The cursor is lost: {again.shown}.")
    check(
        pause < NO_PAUSE_SECONDS,
        f"The client pauses for {pause:.1f} s after a wait that ended normally.",
    )
    check(not stage.printed("gap"), "The client prints a gap for an empty page.")
    check(not stage.printed("error"), "The client prints an error for an empty page.")
    stage.check_events()


@case(
    "not-applied",
    "feed",
    _WAIT,
    "Without `Preference-Applied` the client pauses before the next request.",
)
async def not_applied(stage: Stage) -> None:
    stage.hub.applies_waits = False
    await stage.start({"orders": stage.hub.log.cursor(0)})
    await stage.first()
    # One without a wait, one with it that is not held, and one more at most.
    await stage.quiet(3, 4, "The client repeats a request that does not wait.")
    stage.hub.publish("orders", "later")
    await stage.line("event", data="later", seconds=SOON_SECONDS * 3)


@case(
    "spin",
    "feed",
    _WAIT,
    "Waits that end within a second, one after another, are followed by pauses.",
)
async def spin(stage: Stage) -> None:
    stage.hub.wait_share = 0
    await stage.start({"orders": stage.hub.log.cursor(0)})
    await stage.first()
    await stage.quiet(4, 12, "The client repeats a wait that ends immediately.")
    stage.hub.publish("orders", "later")
    await stage.line("event", data="later", seconds=SOON_SECONDS * 3)


@case(
    "timeout",
    "feed",
    _WAIT,
    "A request without a response is abandoned 10 s after its wait, and sent again.",
)
async def timeout(stage: Stage) -> None:
    stage.hub.ends_waits = False
    cursor = stage.hub.log.cursor(0)
    await stage.start({"orders": cursor}, wait=1)
    held = await stage.held()
    sentence = "The client waits for a response that never comes."
    again = await stage.after(stage.requests.index(held) + 1, 11 + SOON_SECONDS * 2, sentence)
    age = again.arrived - held.arrived
    check(age > 2, f"The client abandons a wait of 1 s after {age:.1f} s.")
    check(again.positions == {"orders": cursor}, f"The cursor is lost: {again.shown}.")


# -- gaps ------------------------------------------------------------------------------------------


@case("gap-trimmed", "feed", _GAP, "A gap is printed, and reading continues from `oldest`.")
async def gap_trimmed(stage: Stage) -> None:
    cursor = stage.hub.publish("orders", 1)
    for number in range(2, 6):
        stage.hub.publish("orders", number)
    stage.hub.log.trim("orders", keep=2)
    await stage.start({"orders": cursor})
    await stage.first()
    await stage.line("gap", channel="orders", reason="trimmed")
    await stage.line("event", data=5, seconds=SOON_SECONDS * 2)
    stage.check_events(4, 5)
    check(len(stage.printed("gap")) == 1, "The client prints the gap more than once.")


@case("gap-epoch", "feed", _GAP, "After a new epoch lower offsets are new events.")
async def gap_epoch(stage: Stage) -> None:
    stage.hub.publish("orders", 1)
    stage.hub.publish("orders", 2)
    await stage.start({"orders": "earliest"})
    await stage.line("event", data=2, seconds=SOON_SECONDS * 5)
    await stage.held()
    stage.hub.log.restart("second0epoch")
    stage.hub.publish("orders", "born in the new epoch")
    await stage.line("gap", channel="orders", reason="epoch")
    await stage.line("event", data="born in the new epoch", seconds=SOON_SECONDS * 2)
    stage.hub.publish("orders", "and another")
    await stage.line("event", data="and another", seconds=SOON_SECONDS * 2)
    stage.check_events(1, 2, "born in the new epoch", "and another")


@case("gap-ahead", "feed", _GAP, "After a log that was cut short its offsets are used again.")
async def gap_ahead(stage: Stage) -> None:
    for number in range(3):
        stage.hub.publish("orders", number)
    cursor = stage.hub.log.cursor(3)
    stage.hub.log.cut("orders", keep=0)
    await stage.start({"orders": cursor})
    await stage.first()
    await stage.line("gap", channel="orders", reason="ahead")
    await stage.held(SOON_SECONDS * 2)
    stage.hub.publish("orders", "again offset 1")
    await stage.line("event", data="again offset 1")
    stage.check_events("again offset 1")


# -- many channels ---------------------------------------------------------------------------------


@case("many", "many", _MANY, "One request reads all channels, each from its own cursor.")
async def many(stage: Stage) -> None:
    cursor = stage.hub.publish("a", "old")
    stage.hub.publish("a", "new")
    await stage.start({"a": cursor, "b": "earliest", "c": "now"})
    request = await stage.first()
    check(
        request.positions == {"a": cursor, "b": "earliest", "c": "now"},
        f"The first request does not read a, b and c from their positions: {request.shown}.",
    )
    await stage.line("event", channel="a", data="new")
    await stage.held()
    for channel in ("b", "c"):
        stage.hub.publish(channel, f"in {channel}")
        await stage.line("event", channel=channel, data=f"in {channel}")
        await stage.held(SOON_SECONDS)
    check(len(stage.hub.held) == 1, "More than one request of the client waits.")


@case(
    "many-cursors",
    "many",
    _MANY,
    "Channels that are not in `cursors` keep the cursor that was sent.",
)
async def many_cursors(stage: Stage) -> None:
    at = {"a": stage.hub.publish("a", 1), "b": stage.hub.publish("b", 1)}
    await stage.start(at)
    await stage.held()
    at["a"] = stage.hub.publish("a", 2)
    await stage.line("event", channel="a", data=2)
    again = await stage.held(SOON_SECONDS)
    check(again.positions == at, f"The next request does not have the cursors {at}: {again.shown}.")
    stage.hub.publish("b", 3)
    await stage.line("event", channel="b", data=3)
    stage.check_events(2, 3)


@case("many-gap", "many", _MANY, "A gap of one channel is printed; the other channels continue.")
async def many_gap(stage: Stage) -> None:
    cursor = stage.hub.publish("a", 1)
    other = stage.hub.log.cursor(0)
    stage.hub.publish("a", 2)
    stage.hub.publish("a", 3)
    stage.hub.log.trim("a", keep=1)
    stage.hub.publish("b", "b1")
    await stage.start({"a": cursor, "b": other})
    await stage.first()
    await stage.line("gap", channel="a", reason="trimmed")
    await stage.line("event", channel="a", data=3, seconds=SOON_SECONDS * 2)
    await stage.line("event", channel="b", data="b1")
    stage.check_events(3, channel="a")
    stage.check_events("b1", channel="b")
    check(
        all(line.get("channel") == "a" for line in stage.printed("gap")),
        "The client prints a gap of a channel that has none.",
    )


@case(
    "many-forbidden",
    "many",
    _MANY,
    "The refusal of one channel is printed; the other channels continue.",
)
async def many_forbidden(stage: Stage) -> None:
    def refuse(request: ScriptedRequest) -> None:
        if "b" in request.positions:
            request.refuse(403, "forbidden", channel="b")
        else:
            stage.hub.serve(request)

    stage.hub.next_responses.extend([refuse] * 1000)
    start = stage.hub.log.cursor(0)
    await stage.start({"a": start, "b": start})
    await stage.first()
    await stage.line("error", channel="b", status=403)
    held = await stage.held()
    check(held.positions == {"a": start}, f"The client does not go on with a alone: {held.shown}.")
    stage.hub.publish("a", 1)
    await stage.line("event", channel="a", data=1)
