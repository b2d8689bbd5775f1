"""`pushhub try`: compare polling with waiting on the user's own API, and print a page."""

import asyncio
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushhub import telemetry
from pushhub.cli.config import Json
from pushhub.cli.routes import Headers
from pushhub.cli.suggest import url_parts
from pushhub.cli.tail import printable
from pushhub.cli.terminal import USAGE, fail, note, say, say_json

if TYPE_CHECKING:
    from pushhub.advice import Suggestion
    from pushhub.trial.trial import TrialResult

_STYLES: dict[str, dict[str, Any]] = {
    "title": {"bold": True},
    "dim": {"dim": True},
    "polled": {"fg": "yellow"},
    "long_polled": {"fg": "cyan"},
    "good": {"fg": "green"},
    "bad": {"fg": "yellow"},
}
# The looks before a trial: fewer than of `routes suggest`, because the trial shows the rest.
_LOOKS = 3
_PAUSE = 1.2


def try_api(
    url: Annotated[
        str | None, typer.Argument(help="A URL of the API that changes now and then.")
    ] = None,
    header: Headers = None,
    seconds: Annotated[
        float, typer.Option(help="The duration of the trial.", min=2, max=3600)
    ] = 60,
    every: Annotated[
        float, typer.Option(help="Seconds between two polls of the plain poller.", min=0.5, max=600)
    ] = 5,
    demo: Annotated[
        bool, typer.Option("--demo", help="Try it on an API of pushhub's own that changes.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page as HTML, too.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a client that polls an API with one that waits for it through pushhub: for a minute,
    side by side, on your own API. Prints a page with delays, requests, and the routes lines.

    Starts a hub of its own for that time. Sends only GET, and changes nothing.

    Exit code 1: the API does not respond, or cannot be shared at all.
    """
    if (url is None) is not demo:
        fail("Give the URL of an API, or --demo.", code=USAGE)
    if html is not None and not html.parent.is_dir():
        fail(f"There is no folder {html.parent}.", code=USAGE)
    telemetry.configure("error")
    # The hub's audit log is for operators of a hub that stays.
    logging.getLogger("pushhub.audit").setLevel(logging.CRITICAL)
    result = asyncio.run(_run(url, header or [], seconds, every))
    if html is not None:
        from pushhub.trial.html_page import html_page

        html.write_text(html_page(result), encoding="utf-8")
    if as_json:
        from pushhub.trial.json_page import json_page

        say_json(json_page(result))
        return
    _print(result)
    if html is not None:
        note(f"The page is in {html}.")


async def _run(url: str | None, headers: list[str], seconds: float, every: float) -> "TrialResult":
    """Survey the API, and run the trial, with a progress bar where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from pushhub.trial.demo_api import DemoApi
    from pushhub.trial.trial import run_trial

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    disabled = not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=disabled) as bars:
        if url is not None:
            suggestion = await _suggestion(url, headers, bars)
            return await run_trial(suggestion, seconds, every, _ticker(bars, seconds), None)
        async with DemoApi() as api:
            suggestion = await _suggestion(api.url, headers, bars)
            tick = _ticker(bars, seconds)
            return await run_trial(suggestion, seconds, every, tick, api.changes)


async def _suggestion(url: str, headers: list[str], bars: Any) -> "Suggestion":
    from pushhub.advice import suggest
    from pushhub.advice.survey import Surveyor, SurveyPlan

    target, path, query, pairs = url_parts(url, headers)
    plan = SurveyPlan(_LOOKS, _PAUSE)
    task = bars.add_task("looking at the API", total=plan.requests(pairs))
    survey = await Surveyor(target, path, query, pairs, plan).run(lambda: bars.advance(task))
    bars.remove_task(task)
    suggestion = suggest(survey)
    if suggestion.problem:
        fail(printable(suggestion.problem))
    if suggestion.step == "pass":
        fail(f"There is nothing to wait for. {printable(suggestion.unshared)}")
    return suggestion


def _ticker(bars: Any, seconds: float) -> Any:
    task = bars.add_task("polling and waiting", total=seconds)

    def tick(passed: float, text: str) -> None:
        bars.update(task, completed=passed, description=f"polling and waiting, {text}")

    return tick


def _print(result: "TrialResult") -> None:
    from pushhub.trial.text_page import text_page

    def paint(text: str, style: str) -> str:
        return typer.style(printable(text), **_STYLES[style])

    width = shutil.get_terminal_size((80, 24)).columns
    for line in text_page(result, width, paint):
        say(line)
