from pathlib import Path

import pytest

from tests import outside

ABSENT = outside.Part("ghost", ("pushhub-no-such-command",), without="the ghost's tests")
PRESENT = outside.Part("shell", ("pushhub-no-such-command", "sh"), without="nothing")


@pytest.fixture(autouse=True)
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "FOLDER", tmp_path)
    monkeypatch.setattr(outside, "LOG", tmp_path / "left-out.tsv")
    monkeypatch.setattr(outside, "PARTS", {p.name: p for p in (ABSENT, PRESENT)})
    monkeypatch.delenv("PUSHHUB_TEST_ALL", raising=False)


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
