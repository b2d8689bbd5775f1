"""All places have one version, and a commit is published only if everything agrees."""

import shutil
from pathlib import Path

import pytest

import pushhub
from tests.release import readiness

ROOT = Path(__file__).parents[2]
FILES = (
    "CHANGELOG.md",
    "clients/js/package.json",
    "clients/js/package-lock.json",
    "deploy/container/Containerfile",
    "deploy/helm/pushhub/Chart.yaml",
    "pushhub/__init__.py",
    "pyproject.toml",
)
HOME = "https://forge.example/owner/name"
TAG = f"v{pushhub.__version__}"
FORGE = {"GITHUB_SERVER_URL": "https://forge.example", "GITHUB_REPOSITORY": "owner/name"}


def test_every_place_has_one_version() -> None:
    found = readiness.versions(ROOT)
    assert found == dict.fromkeys(found, pushhub.__version__)
    assert len(found) >= 8


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of a commit that may be published."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    edit(tmp_path / "pyproject.toml", "\nhome = ", f'\nhome = "{HOME}" #')
    edit(tmp_path / "pyproject.toml", "\npublished = ", "\npublished = true #")
    text = (tmp_path / "CHANGELOG.md").read_text()
    unreleased, mark, rest = text.partition("## [Unreleased]\n\n")
    released = rest[rest.index("## [") :]
    (tmp_path / "CHANGELOG.md").write_text(unreleased + mark + released)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new, 1))


def test_a_commit_in_which_all_agrees_may_be_published(copy: Path) -> None:
    assert readiness.problems(copy, TAG, FORGE) == []
    assert readiness.problems(copy, TAG, {}) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("clients/js/package.json", pushhub.__version__, "9.9.9", "clients/js/package.json"),
        ("pushhub/__init__.py", pushhub.__version__, "9.9.9", "pushhub/__init__.py"),
        ("CHANGELOG.md", f"[{pushhub.__version__}]", "[9.9.9]", "of CHANGELOG.md"),
        ("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n\n- A.\n", "move the"),
        ("pyproject.toml", f'home = "{HOME}"', 'home = ""', "names no home"),
        ("pyproject.toml", f'home = "{HOME}"', 'home = "here"', "no address of a repository"),
        ("pyproject.toml", "owner/name", "owner/fork", "and this repository is"),
        ("pyproject.toml", "published = true", "published = false", "published in pyproject.toml"),
    ],
)
def test_what_is_missing_is_named(copy: Path, file: str, old: str, new: str, problem: str) -> None:
    edit(copy / file, old, new)
    assert any(problem in one for one in readiness.problems(copy, TAG, FORGE))


def test_a_branch_with_the_name_of_a_tag_is_refused(copy: Path) -> None:
    assert "is a branch" in readiness.problems(copy, TAG, FORGE | {"GITHUB_REF_TYPE": "branch"})[0]


def test_another_tag_is_refused(copy: Path) -> None:
    assert readiness.problems(copy, "v9.9.9", FORGE)
