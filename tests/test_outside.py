from pathlib import Path

import pytest

from tests import outside
from tests.npm import CannotInstall

ABSENT = outside.Part("ghost", ("pushhub-no-such-command",), without="the ghost's tests")
PRESENT = outside.Part("shell", ("pushhub-no-such-command", "sh"), without="nothing")


@pytest.fixture(autouse=True)
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "FOLDER", tmp_path)
    monkeypatch.setattr(outside, "LOG", tmp_path / "left-out.tsv")
    monkeypatch.setattr(outside, "PARTS", {p.name: p for p in (ABSENT, PRESENT)})
    monkeypatch.setattr(outside, "_failed", {})
    monkeypatch.delenv("PUSHHUB_TEST_ALL", raising=False)
    outside._version.cache_clear()


def test_no_two_parts_have_one_name() -> None:
    names = [part.name for part in outside.LIST]
    assert sorted(names) == sorted(set(names))


def test_a_part_that_is_there_is_found() -> None:
    assert outside.require("shell").endswith("/sh")


def test_a_missing_part_skips_its_test_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pytest.skip.Exception, match="needs ghost"):
        outside.require("ghost")
    assert outside.report() == 0
    printed = capsys.readouterr().out
    assert "the ghost's tests" in printed
    assert "test_a_missing_part_skips_its_test" in printed
    assert "shell" not in printed


def test_a_missing_part_fails_when_nothing_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHHUB_TEST_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="needs ghost"):
        outside.require("ghost")
    assert outside.report() == 1


def test_nothing_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outside, "PARTS", {"shell": PRESENT})
    monkeypatch.setenv("PUSHHUB_TEST_ALL", "1")
    assert outside.report() == 0
    assert "nothing left out" in capsys.readouterr().out


def test_install_says_what_it_could_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = outside.Part("ghost", ("pushhub-no-such-command",), without="all", debian="ghost")
    monkeypatch.setattr(outside, "PARTS", {"ghost": part})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    outside.install()
    assert outside.report() == 0
    assert "apt-get install ghost" in capsys.readouterr().out


def test_without_a_network_it_is_said_in_the_table_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    part = outside.Part("ghost", ("pushhub-no-such-command",), without="all", debian="ghost")
    monkeypatch.setattr(outside, "PARTS", {"ghost": part})
    monkeypatch.setattr(outside, "POLICY", tmp_path / "policy")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    put(tmp_path / "debian", "apt-get", "much >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path / "debian"), prepend=":")
    outside.install()
    assert outside.report() == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "apt-get install ghost failed; its lists cannot be updated: is there a" in printed.out


# A program that is too old


NODE = outside.Part("node", ("node",), least="20", node=True, without="JavaScript")


def put(folder: Path, name: str, says: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho {says}\n")
    (folder / name).chmod(0o755)


def test_a_node_that_is_too_old_is_not_used_and_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "PARTS", {"node": NODE})
    put(tmp_path / "debian", "node", "v18.20.4")
    monkeypatch.setenv("PATH", str(tmp_path / "debian"), prepend=":")
    assert NODE.find() is None
    with pytest.raises(pytest.skip.Exception) as skipped:
        outside.require("node")
    said = str(skipped.value)
    assert f"{tmp_path}/debian/node is version 18.20.4, not 20 or newer" in said
    assert "python -m tests.outside install" in said
    assert "put Node.js 20 or newer, with its npm, on PATH" in said


def test_where_node_is_too_old_another_is_installed_and_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outside, "PARTS", {"node": NODE})
    put(tmp_path / "debian", "node", "v18.20.4")
    monkeypatch.setenv("PATH", str(tmp_path / "debian"), prepend=":")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    asked: list[Path] = []

    def installs(folder: Path, commands: Path, seconds: float) -> None:
        asked.append(folder)
        put(commands, "node", "v24.19.0")

    monkeypatch.setattr(outside, "install_node", installs)
    outside.install()
    outside.install()
    assert asked == [tmp_path / "node"], "once"
    assert outside.require("node") == str(tmp_path / "bin" / "node")
    assert outside.report() == 0
    assert "nothing left out" in capsys.readouterr().out


def test_where_no_node_can_be_had_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outside, "PARTS", {"node": NODE})
    monkeypatch.setenv("PATH", "/nowhere")

    def fails(folder: Path, commands: Path, seconds: float) -> None:
        raise CannotInstall("`pip install` failed: no such package")

    monkeypatch.setattr(outside, "install_node", fails)
    outside.install()
    assert outside.report() == 0
    printed = capsys.readouterr().out
    assert "`pip install` failed: no such package; put Node.js 20 or newer, with" in printed


@pytest.mark.parametrize(
    ("found", "fits"), [("v20.0.0", True), ("v20.19.2", True), ("v100", True), ("v9.11", False)]
)
def test_versions_are_numbers(
    found: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "some", "node", found)
    monkeypatch.setenv("PATH", str(tmp_path / "some"), prepend=":")
    assert (NODE.find() is not None) is fits


# Packages of npm


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> outside.Part:
    part = outside.Part("things", (), lock="things", without="things in JavaScript")
    npm = outside.Part("npm", ("npm",), node=True, without="JavaScript")
    monkeypatch.setattr(outside, "PARTS", {p.name: p for p in (NODE, npm, part)})
    monkeypatch.setattr(outside, "ROOT", tmp_path)
    (tmp_path / "things").mkdir()
    for name in ("package.json", "package-lock.json"):
        (tmp_path / "things" / name).write_text("{}")
    put(tmp_path / "bin", "node", "v20.1.0")
    put(tmp_path / "bin", "npm", "11.0.0; mkdir node_modules; echo run >> runs")
    return part


def test_packages_are_installed_before_the_tests_and_not_again(
    packages: outside.Part, tmp_path: Path
) -> None:
    outside.install()
    outside.install()
    assert outside.require("things") == str(tmp_path / "things" / "node_modules")
    assert (tmp_path / "things" / "runs").read_text() == "run\n"


def test_a_test_installs_what_nobody_has(packages: outside.Part, tmp_path: Path) -> None:
    assert outside.require("things") == outside.require("things")
    assert (tmp_path / "things" / "runs").read_text() == "run\n"


def test_packages_that_cannot_be_installed_are_tried_once_and_reported(
    packages: outside.Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "bin", "npm", "no network; echo run >> runs; exit 1")
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match=r"things: `npm ci .* failed: no network"):
            outside.require("things")
    assert (tmp_path / "things" / "runs").read_text() == "run\n"
    assert outside.report() == 0
    assert "things in JavaScript" in capsys.readouterr().out


def test_a_script_finds_the_interpreter_that_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """npm is one, and the machine may have no node at all."""
    npm = outside.Part("npm", ("npm",), least="7", node=True, without="JavaScript")
    monkeypatch.setattr(outside, "PARTS", {"npm": npm})
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    put(tmp_path / "bin", "an-interpreter", "11.0.0")
    put(tmp_path / "bin", "npm", "")
    (tmp_path / "bin" / "npm").write_text("#!/usr/bin/env an-interpreter\n")
    assert npm.lacks() == ""


def test_packages_say_that_node_is_too_old(packages: outside.Part, tmp_path: Path) -> None:
    put(tmp_path / "bin", "node", "v18.20.4")
    with pytest.raises(pytest.skip.Exception, match=r"things: node: .* is version 18\.20\.4"):
        outside.require("things")
    assert not (tmp_path / "things" / "runs").exists()
