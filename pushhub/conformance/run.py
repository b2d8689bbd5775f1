"""Runs the cases, several at a time, and gives their results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from pushhub.conformance import hub_cases, read_cases, retry_cases, stream_cases, value_cases
from pushhub.conformance.case import (
    CASE_SECONDS,
    CASES,
    SECTIONS,
    ConformanceCase,
    NotConforming,
)
from pushhub.conformance.stage import Stage, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Their imports fill the table.
MODULES = (read_cases, value_cases, stream_cases, retry_cases, hub_cases)
NAMES = sorted(CASES, key=lambda name: SECTIONS.index(CASES[name].section))
"""The names of all cases, in the order of docs/protocol.md."""


class CaseVerdict(Enum):
    """The result of a case."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    """The client says that it lacks the mode of the case."""


class CannotStart(Exception):
    """The client's command cannot be started; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case; `sentence` and `errors` say what was wrong.

    Args:
        errors: the last lines of the client's standard error, and its lines that are no JSON.
    """

    case: ConformanceCase
    verdict: CaseVerdict
    seconds: float
    sentence: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def fields(self) -> dict[str, Any]:
        """The result as JSON."""
        given: dict[str, Any] = {
            "case": self.case.name,
            "mode": self.case.mode,
            "verdict": self.verdict.value,
            "rule": self.case.rule,
            "section": self.case.section,
            "seconds": round(self.seconds, 2),
        }
        if self.verdict is CaseVerdict.FAILED:
            given |= {"failure": self.sentence, "stderr": self.errors}
        return given


async def run_case(one: ConformanceCase, command: Sequence[str]) -> CaseResult:
    """Run one case.

    Raises:
        OSError: the command cannot be started.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    verdict, sentence = CaseVerdict.PASSED, ""
    async with Stage(command, one.mode) as stage:
        try:
            async with asyncio.timeout(CASE_SECONDS):
                await one.run(stage)
        except NotConforming as failure:
            verdict, sentence = CaseVerdict.FAILED, str(failure)
        except TimeoutError:
            verdict, sentence = (
                CaseVerdict.FAILED,
                f"The case is not over after {CASE_SECONDS:.0f} s.",
            )
        except Unsupported:
            verdict = CaseVerdict.UNSUPPORTED
        errors = [*stage.client.noise, *stage.client.errors]
    return CaseResult(one, verdict, loop.time() - began, sentence, errors)


async def run_cases(
    names: Sequence[str],
    command: Sequence[str],
    jobs: int,
    report: Callable[[CaseResult], None],
) -> list[CaseResult]:
    """Run cases, at most `jobs` at a time; `report` is called in the order of the names.

    Raises:
        CannotStart: the command cannot be started.
    """
    slots = asyncio.Semaphore(jobs)

    async def run(name: str) -> CaseResult:
        async with slots:
            return await run_case(CASES[name], command)

    results = []
    try:
        async with asyncio.TaskGroup() as group:
            for task in [group.create_task(run(name)) for name in names]:
                result = await task
                report(result)
                results.append(result)
    except* OSError as errors:
        # All cases start the same command: the first error says what is wrong with it.
        first = errors.exceptions[0]
    else:
        return results
    raise CannotStart(f"The command cannot be started: {first}.")
