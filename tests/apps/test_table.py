"""docs/apps.md has each application, with the lines that the tests use."""

import pytest

from pushhub.settings.route import Route
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
