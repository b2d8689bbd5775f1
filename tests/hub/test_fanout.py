"""One event to everybody who waits, whatever those who are told do about it."""

from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Start
from pushhub.log.event import Event
from tests.hub.scripted import ask, feed, opened, park, publish, settled


async def test_a_subscription_may_publish_during_delivery() -> None:
    """It publishes before the first event has completed all of its own holds."""
    async with opened() as hub:

        def tell(event: Event) -> None:
            for channel in ("b", "c"):
                publish(hub, channel, event.offset)

        follow = Subscription(hub, "a", tell)
        follow.start()
        for channel in "abc":
            ask(hub, feed(wait=None, channel=channel))
        await settled()
        waiting = [park(hub, feed(channel=channel))[1] for channel in "aabbcc"]
        await settled()
        publish(hub, "a", 1)
        await settled()
        assert [recorder.data for recorder in waiting] == [[1]] * 6
        assert hub.stats.completed_by_event == 7, "six requests, and the follower once"
        publish(hub, "a", 2)
        again = ask(hub, feed(since=Start.EARLIEST, wait=None, channel="c"))
        await settled()
        assert again.data == [1, 2]
        follow.stop()
