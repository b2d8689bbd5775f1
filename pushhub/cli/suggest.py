"""`pushhub routes suggest`: look at an API, and print routes lines that let its clients wait."""

import asyncio
import base64
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from pushhub.cli.config import Json
from pushhub.cli.routes import Headers, app, parse_request
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, USAGE, fail, say, say_json

if TYPE_CHECKING:
    from pushhub.advice import Suggestion, Survey
    from pushhub.advice.survey import SurveyPlan
    from pushhub.origin.request import Pairs

# A command line has few; each URL takes some seconds.
_MOST_URLS = 50
# Headers that a request of pushhub has unless they are given.
_DEFAULTS = ((b"User-Agent", b"pushhub"), (b"Accept", b"*/*"))

Urls = Annotated[list[str], typer.Argument(help="The URLs of the API, as its clients use them.")]


@app.command("suggest", short_help="Print the routes lines that suit an API.")
def suggest_routes(
    url: Urls,
    header: Headers = None,
    looks: Annotated[
        int, typer.Option(help="How often each URL is requested as given.", min=2, max=20)
    ] = 4,
    pause: Annotated[
        float,
        typer.Option(
            help="Seconds between two of these. Time stamps often have whole seconds.",
            min=0.1,
            max=600,
        ),
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Request an API's URLs several times, with and without compression and credentials, and print
    the routes lines that let clients wait for them, with the reason for each.

    Sends only GET, and changes nothing.

    Exit code 1: a URL gives no response that can be compared.
    """
    from pushhub.advice import suggest, toml_lines
    from pushhub.advice.survey import SurveyPlan

    if len(url) > _MOST_URLS:
        fail(f"At most {_MOST_URLS} URLs at a time.", code=USAGE)
    plan = SurveyPlan(looks, pause)
    surveys = survey_urls([url_parts(one, header or []) for one in url], plan)
    suggestions = [suggest(one) for one in surveys]
    if as_json:
        say_json([_fields(one) for one in suggestions])
    else:
        for line in toml_lines(suggestions):
            say(typer.style(printable(line), dim=True) if line.startswith("#") else line)
    raise typer.Exit(FAILED if any(one.problem for one in suggestions) else 0)


def url_parts(url: str, headers: list[str]) -> tuple[str, str, str, "Pairs"]:
    """The origin, the path, the query and the headers of a request for a URL; an invalid one ends
    the command. A user and a password in the URL become an `Authorization`.
    """
    request = parse_request(url, "GET", headers)
    if url.startswith("/"):
        fail(f"{url!r} has no host; give a URL such as http://127.0.0.1:8000{url}.", code=USAGE)
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if not host.isascii():
        host = host.encode("idna").decode()
    pairs = request.pairs
    named = {name.lower() for name, _ in pairs}
    if parts.username and b"authorization" not in named:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        pairs += ((b"Authorization", b"Basic " + base64.b64encode(user)),)
    pairs += tuple(pair for pair in _DEFAULTS if pair[0].lower() not in named)
    return f"{parts.scheme}://{host}", request.path, request.query, pairs


def survey_urls(urls: list[tuple[str, str, str, "Pairs"]], plan: "SurveyPlan") -> "list[Survey]":
    """Survey the URLs one after the other, with a progress bar if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from pushhub.advice.survey import Surveyor

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        surveys = []
        for target, path, query, pairs in urls:
            task = bars.add_task(printable(target + path), total=plan.requests(pairs))

            def sent_one(task: Any = task) -> None:
                bars.advance(task)

            surveyor = Surveyor(target, path, query, pairs, plan)
            surveys.append(_run(surveyor.run, sent_one))
    return surveys


def _run(run: Callable[..., Any], sent_one: Callable[[], None]) -> "Survey":
    survey: Survey = asyncio.run(run(sent_one))
    return survey


def _fields(suggestion: "Suggestion") -> dict[str, Any]:
    survey = suggestion.survey
    fields: dict[str, Any] = {"url": survey.url, "requests": len(survey.observations)}
    if suggestion.problem:
        return fields | {"problem": suggestion.problem}
    return fields | {
        "target": survey.target,
        "route": suggestion.options,
        "lines": [
            {
                "option": line.option,
                "value": line.value,
                "reason": line.reason,
                "active": line.active,
            }
            for line in suggestion.lines
        ],
        "facts": suggestion.facts,
        "unshared": suggestion.unshared or None,
        "always_new": suggestion.always_new,
        "personal": suggestion.personal,
        "seconds": round(survey.seconds, 4),
        "bytes": len(survey.given[-1].body) if survey.given else None,
    }
