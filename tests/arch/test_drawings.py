"""The drawings of ARCHITECTURE.md show the code as it is, and the page stays short."""

from tests.arch.drawings import PAGE, drawn

# Two screens, and the two drawings.
MOST_LINES = 150


def test_the_drawings_are_current() -> None:
    page = PAGE.read_text()
    assert drawn(page) == page, "scripts/draw writes them"


def test_the_page_is_short() -> None:
    assert len(PAGE.read_text().splitlines()) <= MOST_LINES
