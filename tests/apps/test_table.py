"""docs/apps.md has each application, with the lines that the tests use."""

import pytest

from pushhub.settings.route import Route
from tests.apps import later
from tests.apps.catalogue import APPLICATIONS
from tests.apps.table import PAGE, page


def test_the_page_has_the_lines_of_the_modules() -> None:
    assert PAGE.read_text() == page(), "`python -m tests.apps.table` writes it"


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_lines_are_settings(name: str) -> None:
    for route in APPLICATIONS[name].route_tables:
        assert Route.model_validate(route).step == "poll"


def test_there_are_at_least_a_dozen() -> None:
    assert len(APPLICATIONS) >= 12


def test_what_is_left_for_later_exists() -> None:
    polls = {(one.name, poll.name) for one in APPLICATIONS.values() for poll in one.polls}
    assert polls >= later.AFTER_METHODS
