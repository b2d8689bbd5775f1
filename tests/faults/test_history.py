"""The history checker finds every broken promise that is planted, and nothing else."""

import json
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import pytest

from pushhub.testing.history import check, main

Line = dict[str, Any]


class Story:
    """A history of one channel, told in few words. Every line is a second after the last."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, type: str, **members: Any) -> "Story":
        self.lines.append({"type": type, "at": float(len(self.lines)), **members})
        return self

    def publish(self, *places: str, ok: bool = True, key: bool = False, id: str = "") -> "Story":
        """Events at places such as `a-1`, each of its own content unless `id` is given."""
        for place in places:
            epoch, _, offset = place.rpartition("-")
            named = {"channel": "c", "id": id or f"x-{place}"}
            self.add("invoke", **named, key=key)
            if ok:
                self.add("ok", **named, epoch=epoch, offset=int(offset))
            else:
                self.add("fail", **named)
        return self

    def read(self, since: str | None, cursor: str, *events: str, **members: Any) -> "Story":
        """An answer; an event is `a-1`, or `a-1=id` where its content is another."""
        read = []
        for event in events:
            place, _, id = event.partition("=")
            epoch, _, offset = place.rpartition("-")
            read.append([epoch, int(offset), id or f"x-{place}"])
        members = {"reader": "r", "channel": "c", **members}
        return self.add("read", since=since, cursor=cursor, events=read, **members)

    def gap(self, since: str, cursor: str, reason: str = "epoch") -> "Story":
        members = {"reader": "r", "channel": "c", "oldest": cursor, "latest": cursor}
        return self.add("gap", since=since, cursor=cursor, reason=reason, **members)

    def value(self, place: str, id: str = "") -> "Story":
        epoch, _, offset = place.rpartition("-")
        members = {"epoch": epoch, "offset": int(offset), "id": id or f"x-{place}"}
        return self.add("value", reader="v", channel="c", **members)

    def fault(self, loses: bool = True) -> "Story":
        return self.add("fault", name="nemesis", loses=loses)

    def heal(self) -> "Story":
        return self.add("heal", name="nemesis")

    def kinds(self) -> list[str]:
        """The kinds of what is found, at the history's end."""
        report = check([*self.lines, {"type": "end"}])
        return [finding.kind for finding in report.findings]


def begun() -> Story:
    """Three events, and a reader that has them."""
    story = Story().publish("a-1", "a-2", "a-3")
    return story.read(None, "a-2", "a-1", "a-2").read("a-2", "a-3", "a-3")


def test_a_clean_history_passes() -> None:
    story = begun().publish("a-4").publish("a-9", ok=False).read("a-3", "a-4", "a-4")
    story.read("a-4", "a-4", up_to_date=True, asked=float(len(story.lines)))
    story.value("a-2").value("a-4")
    report = check([*story.lines, {"type": "end"}])
    assert not report.findings
    assert (report.acknowledged, report.refused, report.delivered) == (4, 1, 4)
    assert (report.told, report.lost, report.pending, report.gaps) == (0, 0, 0, 0)
    # x-a-1 was acknowledged in second 1, and read in second 6.
    assert report.slowest == 5.0


def test_a_loss_that_is_told_passes() -> None:
    story = begun().publish("a-4", "a-5").fault().heal().publish("b-4", "b-5")
    story.gap("a-3", "b-0").read("b-0", "b-5", "a-1", "a-2", "a-3", "b-4", "b-5")
    report = check([*story.lines, {"type": "end"}])
    assert not report.findings
    assert (report.delivered, report.told, report.lost, report.gaps) == (5, 2, 0, 1)


def test_going_on_from_the_latest_is_told_too() -> None:
    story = begun().publish("a-4").fault().heal().publish("b-5").gap("a-3", "b-5")
    assert story.publish("b-6").read("b-5", "b-6", "b-6").kinds() == []


def test_a_reader_that_lost_an_answer_may_ask_again() -> None:
    assert begun().read("a-1", "a-3", "a-2", "a-3").kinds() == []


def test_a_reader_need_not_know_what_was_before_it() -> None:
    assert Story().publish("a-1", "a-2", "a-3").read("a-2", "a-3", "a-3").kinds() == []


def test_a_lost_tail() -> None:
    assert begun().publish("a-4").kinds() == ["lost"]


def test_what_may_still_come_is_pending_until_the_end() -> None:
    report = check(begun().publish("a-4").lines)
    assert (report.pending, report.lost, report.findings) == (1, 0, [])


def test_a_lost_event_whose_offset_is_used_again() -> None:
    """What happens when an epoch survives a failover: no hole is to be seen."""
    story = begun().publish("a-4").fault().heal().publish("a-4", id="other")
    assert story.read("a-3", "a-4", "a-4=other").kinds() == ["content", "content"]


def test_a_gap_told_too_late() -> None:
    story = begun().publish("a-4").fault().heal().publish("b-5")
    story.read("a-3", "b-5", "b-5").gap("b-5", "b-5")
    assert set(story.kinds()) == {"hole", "lost", "false-gap"}


def test_a_gap_of_long_ago_excuses_nothing() -> None:
    story = begun().fault().heal().gap("a-3", "b-3").publish("b-4", "b-5")
    assert story.read("b-3", "b-5", "b-5").kinds() == ["hole", "lost"]


def test_a_second_loss_needs_a_second_gap() -> None:
    story = begun().fault().heal().gap("a-3", "b-3").publish("b-4").fault().heal()
    story.publish("d-4").read("b-3", "b-4", "d-4")
    assert "lost" in story.kinds()


def test_a_hole() -> None:
    assert begun().publish("a-4", "a-5").read("a-3", "a-5", "a-5").kinds() == ["hole", "lost"]


def test_a_cursor_that_runs_ahead_of_its_events() -> None:
    assert begun().publish("a-4").read("a-3", "a-4").kinds() == ["hole", "lost"]


def test_another_epoch_without_a_gap() -> None:
    assert begun().fault().heal().read("a-3", "b-3").kinds() == ["hole"]


def test_a_broken_order() -> None:
    story = begun().publish("a-4", "a-5")
    assert story.read("a-3", "a-4", "a-5", "a-4").kinds() == ["hole", "order"]


def test_a_cursor_that_goes_back() -> None:
    assert begun().publish("a-4").read("a-3", "a-3", "a-4").kinds() == ["order"]


def test_a_duplicate() -> None:
    assert begun().publish("a-4").read("a-3", "a-4", "a-3", "a-4").kinds() == ["duplicate"]


def test_two_contents_of_one_place() -> None:
    assert begun().read("a-2", "a-3", "a-3=other").kinds() == ["content"]


def test_two_receipts_of_one_place() -> None:
    assert begun().publish("a-3", id="other").kinds() == ["content"]


def test_one_key_published_twice() -> None:
    story = Story().publish("a-1", key=True, id="k").publish("a-2", key=True, id="k")
    assert story.kinds() == ["twice"]


def test_a_key_that_was_lost_with_its_event_is_published_again() -> None:
    story = Story().publish("a-1", key=True, id="k").fault().heal()
    assert story.publish("b-1", key=True, id="k").kinds() == []


def test_a_false_gap() -> None:
    assert begun().gap("a-3", "b-0").kinds() == ["false-gap"]


def test_a_gap_after_a_fault_that_loses_nothing_is_false() -> None:
    assert begun().fault(loses=False).heal().gap("a-3", "b-3").kinds() == ["false-gap"]


def test_one_fault_does_not_excuse_the_gaps_of_the_epoch_after_it() -> None:
    story = begun().fault().heal().gap("a-3", "b-3").gap("b-3", "d-3")
    assert story.kinds() == ["false-gap"]


def test_an_end_of_a_wait_that_says_up_to_date_and_is_not() -> None:
    story = begun().publish("a-4")
    story.read("a-3", "a-3", up_to_date=True, asked=float(len(story.lines)))
    assert story.read("a-3", "a-4", "a-4").kinds() == ["stale"]


def test_an_end_of_a_wait_that_knows_no_later_epoch() -> None:
    story = begun().fault().publish("b-1").heal()
    story.read("a-3", "a-3", up_to_date=True, asked=float(len(story.lines)))
    assert story.gap("a-3", "b-0").read("b-0", "b-1", "b-1").kinds() == ["stale"]


def test_an_event_published_during_a_wait_may_be_missed_by_its_end() -> None:
    story = begun()
    asked = float(len(story.lines))
    story.publish("a-4").read("a-3", "a-3", up_to_date=True, asked=asked)
    assert story.read("a-3", "a-4", "a-4").kinds() == []


def test_a_value_that_goes_back() -> None:
    assert Story().publish("a-1", "a-2").value("a-2").value("a-1").value("a-2").kinds() == ["order"]


def test_a_value_that_goes_back_because_the_log_was_cut() -> None:
    story = Story().publish("a-1", "a-2").value("a-2").fault().heal()
    assert story.value("a-1").kinds() == []


def test_a_value_that_stays_behind() -> None:
    assert Story().publish("a-1").value("a-1").publish("a-2").kinds() == ["lost"]


def test_a_reader_that_makes_cursors_up() -> None:
    assert begun().publish("a-4").read("a-4", "a-4").kinds() == ["reader", "lost"]


def test_the_time_to_recover_is_the_slowest_readers() -> None:
    story = begun().read("a-3", "a-3", reader="s").fault(loses=False).heal()
    healed = len(story.lines) - 1
    story.publish("a-4").read("a-3", "a-4", "a-4").read("a-3", "a-4", "a-4", reader="s")
    assert check(story.lines).recovery == len(story.lines) - 1 - healed


def test_a_reader_that_never_recovers() -> None:
    story = begun().read("a-3", "a-3", reader="s").fault(loses=False).heal()
    assert check(story.publish("a-4").read("a-3", "a-4", "a-4").lines).recovery == inf


@pytest.mark.parametrize(("story", "status"), [(begun(), 0), (begun().gap("a-3", "b-3"), 1)])
def test_the_program(tmp_path: Path, story: Story, status: int) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in story.lines))
    command = [sys.executable, "-m", "pushhub.testing.history", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith("3 acknowledged, 0 refused, 3 delivered")
    assert ("false-gap: c r: epoch from a-3 to b-3" in done.stdout) == bool(status)


def test_the_program_wants_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
