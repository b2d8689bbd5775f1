import re

import orjson
import pytest

from pushhub.http.problem import PROBLEMS, TYPE_PREFIX, Problem, retry_after
from pushhub.http.response import STATUS_LINES


@pytest.mark.parametrize("slug", PROBLEMS)
def test_every_problem_renders(slug: str) -> None:
    problem = Problem(slug, "Do this.", limit=5)
    status, title = PROBLEMS[slug]
    answer = problem.response()
    assert answer.status == status == problem.status
    assert dict(answer.headers) == {
        b"content-type": b"application/problem+json",
        b"cache-control": b"no-store",
    }
    assert orjson.loads(answer.body) == {
        "type": TYPE_PREFIX + slug,
        "title": title,
        "status": status,
        "detail": "Do this.",
        "limit": 5,
    }


def test_the_table() -> None:
    for slug, (status, title) in PROBLEMS.items():
        assert re.fullmatch("[a-z]+(-[a-z]+)*", slug)
        assert 400 <= status < 600
        assert status in STATUS_LINES
        assert title[0].isalpha()
        assert not title.endswith(".")
    assert len({title for _, title in PROBLEMS.values()}) == len(PROBLEMS)


def test_headers_and_words() -> None:
    problem = Problem("too-many-requests", "Later.", headers=(retry_after(3),))
    assert problem.response().headers[-1] == (b"retry-after", b"3")
    assert str(problem) == "Later."
    assert repr(problem) == "<Problem too-many-requests: Later.>"


def test_an_unknown_slug_is_our_bug() -> None:
    with pytest.raises(KeyError):
        Problem("surprise", "?")
