from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.browser.chromium import Chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Callable[[], Chromium]]:
    """Chromium, which starts when the first application is looked at."""
    with ExitStack() as stack:
        started: list[Chromium] = []

        def browser() -> Chromium:
            if not started:
                started.append(stack.enter_context(Chromium()))
            return started[0]

        yield browser
