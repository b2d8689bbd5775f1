import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from pushhub import telemetry


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as other tests expect it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_is_an_object_a_line() -> None:
    stream = io.StringIO()
    telemetry.configure("info", "json", stream=stream)
    structlog.get_logger("hub").info("hold.completed", channel="a", waited=1.5)
    logging.getLogger("redis").warning("lost %s", "it", extra={"node": 1})
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "hold.completed",
        "channel": "a",
        "waited": 1.5,
        "level": "info",
        "logger": "hub",
    }
    assert (theirs["event"], theirs["node"], theirs["level"]) == ("lost it", 1, "warning")


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    telemetry.configure("info", "json", stream=stream)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        structlog.get_logger("hub").exception("store.failed")
    assert "RuntimeError: boom" in json.loads(stream.getvalue())["exception"]


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)])
def test_auto_suits_where_the_log_goes(stream: io.StringIO, is_json: bool) -> None:
    telemetry.configure("info", "auto", stream=stream)
    structlog.get_logger("hub").info("started")
    assert stream.getvalue().startswith("{") is is_json
    assert "started" in stream.getvalue()


def test_console_without_a_terminal_has_no_colours() -> None:
    stream = io.StringIO()
    telemetry.configure("info", "console", stream=stream)
    structlog.get_logger("hub").info("started", port=1)
    assert "\x1b" not in stream.getvalue()
    assert "port=1" in stream.getvalue()


def test_less_important_lines_are_left_out() -> None:
    stream = io.StringIO()
    telemetry.configure("warning", "json", stream=stream)
    structlog.get_logger("hub").info("started")
    assert stream.getvalue() == ""
    telemetry.configure("debug", "json", stream=stream)
    structlog.get_logger("hub").debug("detail")
    assert "detail" in stream.getvalue()


def test_uvicorn_is_quiet() -> None:
    stream = io.StringIO()
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler(stream))
    telemetry.configure("info", "json", stream=stream)
    logging.getLogger("uvicorn.error").info("Uvicorn running")
    logging.getLogger("uvicorn.access").info('%s - "%s"', "127.0.0.1", "GET /")
    logging.getLogger("uvicorn.error").error("broken")
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["broken"]
