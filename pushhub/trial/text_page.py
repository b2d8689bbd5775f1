"""The result of a trial as a page of text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pushhub.advice import toml_lines
from pushhub.origin.shared.unshared_log import ALWAYS_NEW
from pushhub.trial.comparison import median
from pushhub.trial.text_plot import LONG_POLLED, POLLED, text_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushhub.trial.trial import TrialResult

# The columns of the page, on a wide terminal too: longer lines are hard to read.
MOST_WIDTH = 96
CLIENTS = (1, 10, 100, 1000)
_LABEL = 26
_COLUMN = 24


def text_page(result: TrialResult, width: int, paint: Callable[[str, str], str]) -> Iterator[str]:
    """The lines of the page. `paint` gives a text one of the styles `title`, `dim`, `polled`,
    `long_polled`, `good` and `bad`.
    """
    width = min(width, MOST_WIDTH)
    survey = result.suggestion.survey
    yield paint(survey.url, "title")
    style = "good" if result.is_shared and result.changes else "bad"
    for line in textwrap.wrap(summary(result), width):
        yield paint(line, style)
    yield ""
    if result.changes:
        yield (
            f"Delay of each change   {paint(POLLED, 'polled')} polled every {result.every:g} s   "
            f"{paint(LONG_POLLED, 'long_polled')} waits through pushhub"
        )
        yield from text_plot(result.changes, result.seconds, width, paint)
        yield ""
    yield from _figures(result, paint)
    yield ""
    yield from _requests(result, paint)
    yield ""
    for sentence in sentences(result):
        yield from textwrap.wrap(sentence, width)
    yield ""
    yield paint("The lines for pushhub.toml", "title")
    yield ""
    for line in toml_lines([result.suggestion]):
        yield paint(line, "dim") if line.startswith("#") else line
    yield ""
    yield from textwrap.wrap(nothing_changed(result), width)


def summary(result: TrialResult) -> str:
    """The result in a sentence."""
    polled, waited = median(result.polled_delays), median(result.long_polled_delays)
    if ALWAYS_NEW in result.unshared:
        return "Each response differs, so clients keep polling. The values are named below."
    if not result.is_shared:
        return "Clients could not wait: each request went to the API. The reason is below."
    if polled is None or waited is None:
        return f"Nothing changed in {result.seconds:.0f} s, so there is no delay to compare."
    return (
        f"A change was seen after {waited:.2f} s instead of {polled:.2f} s, and any number of "
        f"{clients_of(result)} costs {result.per_minute(result.origin_requests):.0f} requests a "
        "minute."
    )


def clients_of(result: TrialResult) -> str:
    """The clients that share a fetch."""
    return "clients of one user" if result.suggestion.personal else "clients"


def sentences(result: TrialResult) -> Iterator[str]:
    """What the figures do not say."""
    if result.suggestion.unshared:
        yield f"Not shared: {result.suggestion.unshared}"
    for reason, times in sorted(result.unshared.items()):
        if reason == ALWAYS_NEW:
            yield "Always new: each response differs, so a wait is no better than a poll."
        else:
            yield f"Not shared ({times} {'time' if times == 1 else 'times'}): {reason}."
    if result.is_shared and result.suggestion.personal:
        yield (
            "Each user has a resource of their own, which pushhub fetches while that user waits: "
            "clients with the same credentials share."
        )
    elif result.is_shared and not result.suggestion.unshared:
        yield "Everything was shared: clients with the same request wait for one fetch."
    if not result.changes:
        yield (
            "No change was seen. Change something in your application while the trial runs, or "
            "give it longer (--seconds 300). With --demo there is an API that changes."
        )
    elif result.uncertain:
        yield (
            f"The time of a change is known to ±{result.uncertain:.1f} s: it lies between the last "
            "response without it and the first with it."
        )
    if (missed := len(result.changes) - distinct(result)) > 0:
        yield f"The poller saw {missed} of {len(result.changes)} changes only together with others."
    for name, record in (("poller", result.poller), ("long-poller", result.long_poller)):
        for sentence, times in record.failures.items():
            yield f"The {name} had {times} {'failure' if times == 1 else 'failures'}: {sentence}"


def distinct(result: TrialResult) -> int:
    """The changes that the poller saw by themselves."""
    ends = [one.at + one.polled for one in result.changes if one.polled is not None]
    return len({round(end, 3) for end in ends}) + sum(one.polled is None for one in result.changes)


def nothing_changed(result: TrialResult) -> str:
    """What the trial did to the API, and what comes next."""
    count = (
        len(result.suggestion.survey.observations) + result.poller.requests + result.origin_requests
    )
    done = f"Nothing was changed: the API received {count} requests, all of them GET"
    if result.demo:
        return f"{done}. That was the demo's API; for your own: pushhub try URL."
    return (
        f"{done}, and the hub is gone. To have one: write the lines above into pushhub.toml, and "
        "run 'pushhub serve --dev'."
    )


def figure_rows(result: TrialResult) -> list[tuple[str, str, str]]:
    """What both clients saw and cost: a label, and the figure of each."""
    total, poller, waiting = len(result.changes), result.poller, result.long_poller
    polled, waited = result.polled_delays, result.long_polled_delays
    rows = [
        ("changes seen", f"{len(polled)} of {total}", f"{len(waited)} of {total}"),
        ("delay, median", _seconds(median(polled)), _seconds(median(waited))),
        (
            "delay, longest",
            _seconds(max(polled, default=None)),
            _seconds(max(waited, default=None)),
        ),
    ]
    return [
        *(rows if total else ()),
        ("requests of the client", str(poller.requests), str(waiting.requests)),
        ("requests at the API", str(poller.requests), str(result.origin_requests)),
        ("bytes to the client", f"{poller.received:,}", f"{waiting.received:,}"),
    ]


def request_rows(result: TrialResult) -> list[tuple[str, str, str]]:
    """The requests a minute at the API, by the number of clients."""
    rows = []
    for clients in CLIENTS:
        polled, waiting = projected(result, clients)
        name = f"{clients:,} {'client' if clients == 1 else 'clients'}"
        rows.append((name, f"{polled:,.0f}", f"{waiting:,.0f}"))
    return rows


def _figures(result: TrialResult, paint: Callable[[str, str], str]) -> Iterator[str]:
    polled = paint(f"{f'polled every {result.every:g} s':>{_COLUMN}}", "polled")
    waiting = paint(f"{'waits through pushhub':>{_COLUMN}}", "long_polled")
    yield f"{'':{_LABEL}}{polled}{waiting}"
    for row in figure_rows(result):
        yield _row(*row)


def _requests(result: TrialResult, paint: Callable[[str, str], str]) -> Iterator[str]:
    heading = f"Requests a minute at the API, by the number of {clients_of(result)}"
    yield paint(heading, "title")
    for row, clients in zip(request_rows(result), CLIENTS, strict=True):
        polled, shared = projected(result, clients)
        text = f"{1 - shared / polled:.1%} fewer".replace(".0%", "%") if shared < polled else ""
        yield f"{_row(*row)}  {paint(text, 'good')}" if text else _row(*row)
    if result.is_shared:
        yield ""
        yield (
            f"To be as early, each client would have to poll every {result.interval:g} s: "
            f"{60 / result.interval:.0f} requests a minute."
        )


def projected(result: TrialResult, clients: int) -> tuple[float, float]:
    """Requests a minute of so many clients of this resource that poll, and that wait."""
    polled = clients * 60 / result.every
    through = result.per_minute(result.origin_requests)
    # Without a wait clients keep their interval, and each request is passed.
    return polled, through if result.is_shared else polled


def _row(label: str, polled: str, waited: str) -> str:
    return f"{label:{_LABEL}}{polled:>{_COLUMN}}{waited:>{_COLUMN}}"


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} s"
