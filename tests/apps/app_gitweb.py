"""gitweb: pages and feeds of git repositories, as CGI under Apache."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.apache import apache
from tests.apps.application import Application, Place, Poll
from tests.apps.own_client import pages, text_of

_CONFIG = """
ScriptAlias /gitweb /usr/share/gitweb/gitweb.cgi
SetEnv GITWEB_CONFIG {folder}/gitweb.conf
Alias /static /usr/share/gitweb/static
# The repository belongs to the user of the tests, not to that of Apache.
SetEnv GIT_CONFIG_COUNT 1
SetEnv GIT_CONFIG_KEY_0 safe.directory
SetEnv GIT_CONFIG_VALUE_0 "*"
"""
_AUTHOR = {
    "GIT_AUTHOR_NAME": "ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@contextmanager
def start(place: Place) -> Iterator[None]:
    projects = place.folder / "projects"
    (projects / "shop.git").mkdir(parents=True)
    _git(place, "init", "--bare", "--initial-branch", "main")
    commit(place)
    (place.folder / "gitweb.conf").write_text(f'$projectroot = "{projects}";\n1;\n')
    with apache(place, ("cgi", "alias", "env"), _CONFIG.format(folder=place.folder)):
        yield


def _git(place: Place, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=place.folder / "projects" / "shop.git",
        env=os.environ | _AUTHOR,
        check=True,
        capture_output=True,
        text=True,
        input="",
    )
    return done.stdout.strip()


def commit(place: Place) -> None:
    """A push: a commit, and the branch that names it."""
    tree = _git(place, "mktree")
    branch = _git(place, "for-each-ref", "--format", "%(objectname)", "refs/heads/main")
    parent = ("-p", branch) if branch else ()
    _git(
        place,
        "update-ref",
        "refs/heads/main",
        _git(place, "commit-tree", tree, *parent, "-m", "another change"),
    )


APPLICATION = Application(
    name="gitweb",
    title="gitweb",
    server="Debian's gitweb, 2.39, as CGI of Apache",
    part="gitweb",
    start=start,
    polls=(
        Poll("/gitweb?p=shop.git;a=shortlog", commit, name="log"),
        Poll("/gitweb?p=shop.git;a=atom", commit, name="feed"),
    ),
    routes=r"""
[[routes]]
path = "/gitweb"
step = "poll"
ignore = ['/\d+ \w+ ago| right now/']
""".lstrip(),
    noticed="commits and branches",
    remark="the pages say how long ago each commit was made",
    own_client=pages(
        "its page of the log",
        "/gitweb?p=shop.git;a=shortlog",
        text_of("table.shortlog"),
        unstable=(r"\d+ (sec|min) ago| ?right now",),
    ),
    paths=("/gitweb", "/gitweb?p=shop.git", "/gitweb?p=shop.git;a=atom", "/static/gitweb.css"),
    unstable=(r"\d+ (sec|min) ago| right now", r"(?im)^(last-modified|expires): [^\r]*\r\n"),
)
