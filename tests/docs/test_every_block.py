"""Every block of the documents is right as far as it can be told without running it.

Settings are accepted, Python and shell have no error of syntax, JSON and YAML are read, and the
commands of pushhub have the flags that are shown. Most blocks are run, too: test_blocks,
test_readme, test_tutorial, test_howtos, test_backup, test_upgrading.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import tomllib
from typing import NamedTuple

import pytest
import yaml

from pushhub.settings import Settings
from pushhub.settings.secret_files import FILE_FORMS
from tests import outside
from tests.docs.test_cli import COMMANDS

PAGES = sorted((outside.ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(?P<language>\w*)[^\n`]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# Files that settings on the pages name.
FILES = ("forge.secret", "postgres.dsn", "token.secret")
LANGUAGES = {
    *("bash", "diff", "html", "http", "js", "json", "nginx", "promql", "python", "sh", "text"),
    *("java", "kotlin", "swift", "toml", "tsx", "vue", "yaml"),
}
FOREIGN = ("[project", "[tool")  # a pyproject.toml, not settings
SETTING_FLAGS = {"--" + name.replace("_", "-") for name in (*Settings.model_fields, *FILE_FORMS)}

# At the start of a line, or in `$(…)`; behind variables, and behind a `#` that stands for root.
COMMAND = re.compile(r"""(?:^(?:\w+=(?:'[^']*'|"[^"]*"|\S*) )*|\$\()pushhub ([a-z].*)""")


class Block(NamedTuple):
    page: str
    language: str
    text: str


BLOCKS = [
    Block(page.name, found["language"], found["text"])
    for page in PAGES
    for found in BLOCK.finditer(page.read_text())
]


def of(*languages: str) -> list[object]:
    """Parameters: the blocks of these languages."""
    chosen = [block for block in BLOCKS if block.language in languages]
    assert chosen
    return [pytest.param(block, id=f"{block.page}-{n}") for n, block in enumerate(chosen)]


def test_languages_are_known() -> None:
    """A misspelt language would leave a block out; one that says none is not parsed."""
    assert {block.language for block in BLOCKS if block.language} <= LANGUAGES


@pytest.mark.parametrize("block", of("toml"))
def test_settings_are_accepted(
    block: Block, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tomllib.loads(block.text)
    if block.text.startswith(FOREIGN):
        return
    folder = tmp_path_factory.mktemp("settings")
    for name in FILES:
        (folder / name).write_text("a secret of at least thirty-two bytes\n")
        (folder / name).chmod(0o600)
    monkeypatch.chdir(folder)
    # A hub with routes has an origin; other needs of a hub are not on the page.
    around = {"dev": True, "store": "memory://", "origin": "http://127.0.0.1:8000"}
    Settings.model_validate(around | given)


@pytest.mark.parametrize("block", of("python"))
def test_python_is_parsed(block: Block) -> None:
    text = re.sub(r"^(async def .*: ?)\.\.\.$", r"\1pass", block.text, flags=re.MULTILINE)
    compile(text, block.page, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", of("json"))
def test_json_is_parsed(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_parsed(block: Block) -> None:
    assert yaml.safe_load(block.text)


def test_shell_is_parsed() -> None:
    for block in BLOCKS:
        if block.language in ("sh", "bash"):
            done = subprocess.run(
                ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block.page}\n{block.text}{done.stderr}"


@pytest.mark.parametrize("block", of("js"))
def test_javascript_is_parsed(block: Block, tmp_path_factory: pytest.TempPathFactory) -> None:
    node = outside.require("node")
    file = tmp_path_factory.mktemp("js") / "block.mjs"
    file.write_text(block.text)
    subprocess.run([node, "--check", file], check=True)


def test_the_commands_of_pushhub_have_what_is_shown() -> None:
    seen = 0
    for block in BLOCKS:
        if block.language not in ("sh", "bash", "text"):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            found = COMMAND.search(line)
            if found is None:
                continue
            seen += 1
            assert not unknown(found[1]), f"{block.page}: {line}"
    assert seen > 30


def unknown(command: str) -> list[str]:
    """The flags that a command line has, and its command has not; the line itself if there is no
    such command."""
    text = re.split(r"\s(?:#|>|\||<)|\)", command)[0]
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    name = next((n for n in (" ".join(words[:2]), words[0]) if n in COMMANDS), None)
    if name is None:
        return [command]
    known = {flag for one in COMMANDS[name].params for flag in (*one.opts, *one.secondary_opts)}
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    return sorted(flags - known - SETTING_FLAGS - {"--help"})


def test_an_unknown_flag_is_seen() -> None:
    assert unknown("serve --dev --port 8080") == []
    assert unknown("serve --devv") == ["--devv"]
    assert unknown("serv --dev") == ["serv --dev"]
