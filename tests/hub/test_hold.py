"""A hold completes exactly once."""

from typing import Any

from pushhub.http.response import Response
from pushhub.hub.hold import ChainedHold, Hold
from tests.hub.scripted import Recorder

FIRST, SECOND = Response(200), Response(204)


def test_the_first_completion_of_a_hold_wins() -> None:
    hold, driver = Hold(), Recorder()
    hold.attach(driver)
    assert hold.complete(FIRST)
    assert not hold.complete(SECOND)
    hold.drop()
    assert driver.replies == [FIRST]


def test_a_reply_before_the_driver_is_written_when_the_driver_attaches() -> None:
    hold, driver = Hold(), Recorder()
    assert hold.complete(FIRST)
    hold.attach(driver)
    assert driver.replies == [FIRST]


def test_a_dropped_hold_writes_no_reply() -> None:
    hold, driver = Hold(), Recorder()
    hold.attach(driver)
    hold.drop()
    assert not hold.complete(FIRST)
    hold.attach(driver)
    assert not driver


def test_it_lets_go_once_whatever_ends_it() -> None:
    class Counting(Hold):
        released = 0

        def unregister(self, reply: Any) -> None:
            self.released += 1

    for end in (lambda hold: hold.complete(FIRST), Hold.drop):
        hold = Counting()
        end(hold)
        hold.complete(SECOND)
        hold.drop()
        assert hold.released == 1


def test_a_driver_that_completes_it_again_while_it_is_written_to_changes_nothing() -> None:
    hold = Hold()

    class Greedy(Recorder):
        def deliver(self, reply: object) -> None:
            assert not hold.complete(SECOND)
            super().deliver(FIRST)

    driver = Greedy()
    hold.attach(driver)
    hold.complete(FIRST)
    assert driver.replies == [FIRST]


def test_a_hold_that_follows_another_is_completed_with_it() -> None:
    leader, follower, driver = Hold(), ChainedHold(), Recorder()
    follower.attach(driver)
    follower.follow(leader)
    leader.complete(FIRST)
    assert driver.replies == [FIRST]


def test_a_follower_that_is_dropped_drops_whom_it_follows() -> None:
    leader, follower = Hold(), ChainedHold()
    follower.attach(Recorder())
    follower.follow(leader)
    follower.drop()
    assert leader.done


def test_a_chained_hold_completes_immediately_with_a_response() -> None:
    follower, driver = ChainedHold(), Recorder()
    follower.attach(driver)
    follower.follow(FIRST)
    assert driver.replies == [FIRST]
