"""``mcptwist.protocols.streams``: event logs within bounds, and the one timer of all streams.

What clients see of them is told in ``tests/conversations/test_streamable_stories.py``.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.exchange import Exchange
from mcptwist.interfaces import IBackChannel, IReply
from mcptwist.messages import Notification, Request, Result
from mcptwist.negotiation import modern_meta
from mcptwist.protocols.replies import ModernReply, status_of
from mcptwist.protocols.streams import Allowance, Desk, EventLog, Pulse, StreamLimits
from tests.conversations.posting import BOB, House, rpc
from tests.scripted import Heard


class EventLogTests(SynchronousTestCase):
    """What one session's streams said last."""

    def test_own_events_only(self) -> None:
        """Those of one stream, after a number."""
        log = EventLog(StreamLimits(), Allowance(1000))
        for number, stream in enumerate((b"1", b"2", b"1", b"1"), 1):
            log.append(stream, number, [b"x", b"%d" % number])
        self.assertEqual(log.after(b"1", 1), [(3, b"x3"), (4, b"x4")])
        self.assertEqual(log.after(b"1", 4), [])
        self.assertEqual(log.after(b"9", 0), [])

    def test_too_large(self) -> None:
        """What is larger than the log is not kept, and drives nothing out."""
        allowance = Allowance(1000)
        log = EventLog(StreamLimits(log_bytes=10), allowance)
        log.append(b"1", 1, [b"small"])
        log.append(b"1", 2, [b"x" * 6, b"y" * 6])
        self.assertEqual(log.after(b"1", 0), [(1, b"small")])
        self.assertEqual((allowance.used, allowance.dropped), (5, 1))

    @settings(deadline=None, max_examples=80)
    @given(
        some.lists(some.tuples(some.integers(0, 2), some.integers(0, 40)), max_size=40),
        some.integers(0, 6),
        some.integers(0, 60),
        some.integers(0, 90),
    )
    def test_bounds(self, said: list[tuple[int, int]], events: int, size: int, total: int) -> None:
        """However much is said, each log and all together stay within bounds, and what is kept of
        a stream are the last of its events, each as it was."""
        allowance = Allowance(total)
        limits = StreamLimits(log_events=events, log_bytes=size)
        logs = [EventLog(limits, allowance) for _ in range(3)]
        for number, (which, length) in enumerate(said, 1):
            logs[which].append(b"1", number, [b"x" * length])
            self.assertLessEqual(allowance.used, total)
            kept = [log.after(b"1", 0) for log in logs]
            self.assertEqual(allowance.used, sum(len(t) for one in kept for _, t in one))
            for one in kept:
                self.assertLessEqual(len(one), events)
                self.assertLessEqual(sum(len(text) for _, text in one), size)
                self.assertEqual([n for n, _ in one], sorted(n for n, _ in one))
                self.assertTrue(all(len(text) == said[n - 1][1] for n, text in one))
        for log in logs:
            log.clear()
        self.assertEqual(allowance.used, 0)


class Late:
    """Something that is told when it is late, or silent."""

    def __init__(self, pulse: Pulse, clock: Clock) -> None:
        self.pulse = pulse
        self.clock = clock
        self.told: list[float] = []

    def late(self) -> None:
        self.told.append(self.clock.seconds())

    def keep_alive(self) -> None:
        self.told.append(self.clock.seconds())
        self.pulse.heard(self)


class PulseTests(SynchronousTestCase):
    """One timer for everything that must happen when nothing happens."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pulse = Pulse(self.clock, 1.0, 20.0)

    def turn(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def one(self) -> Late:
        return Late(self.pulse, self.clock)

    def test_late(self) -> None:
        """Told once, when its time is over and not before; not when it was answered in time."""
        late, done = self.one(), self.one()
        self.pulse.wait(late)
        self.pulse.wait(done)
        self.turn(0.75)
        self.pulse.done(done)
        self.assertEqual(late.told, [])
        self.turn(10)
        self.assertEqual((len(late.told), done.told), (1, []))
        self.assertTrue(1.0 <= late.told[0] <= 1.5)

    def test_silent(self) -> None:
        """Told every twenty seconds of silence; writing to it puts that off; closing ends it."""
        stream = self.one()
        self.pulse.heard(stream)
        self.turn(15)
        self.pulse.heard(stream)
        self.turn(15)
        self.assertEqual(stream.told, [])
        self.turn(30)
        self.assertEqual(len(stream.told), 2)
        self.pulse.closed(stream)
        self.turn(60)
        self.assertEqual(len(stream.told), 2)

    def test_rests(self) -> None:
        """No timer runs while there is nothing to mind."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        stream = self.one()
        self.pulse.heard(stream)
        self.pulse.closed(stream)
        self.turn(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pulse.wait(stream)
        self.turn(5)
        self.assertEqual(len(stream.told), 1)

    def test_one_timer(self) -> None:
        """However many there are, one timer minds them; stopping ends it."""
        for _ in range(100):
            self.pulse.heard(self.one())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pulse.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_told_what_ends_it(self) -> None:
        """One that ends others while it is told does no harm."""
        streams = [self.one() for _ in range(3)]

        def end_all() -> None:
            for stream in streams:
                self.pulse.done(stream)

        streams[0].late = end_all  # type: ignore[method-assign]
        for stream in streams:
            self.pulse.wait(stream)
        self.turn(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class DeskTests(SynchronousTestCase):
    """All streams of one session."""

    def test_back_channel(self) -> None:
        """It is where a session is heard; while nobody listens it says so."""
        pulse = Pulse(Clock(), 1.0, 20.0)
        desk = Desk(pulse, StreamLimits(), Allowance(1000), lambda: None)
        verifyObject(IBackChannel, desk)
        self.assertFalse(desk.say(Notification("a")))
        self.assertFalse(desk.open)


class FlowTests(SynchronousTestCase):
    """A client that does not read holds its server back, and only that."""

    def setUp(self) -> None:
        self.house = House()
        self.house.shake_hands()
        self.call = self.house.call(meta={"progressToken": 1})
        self.request = self.house.asked()

    def progress(self) -> None:
        params = b'{"progressToken":%d}' % self.request.id
        self.house.say(Notification("notifications/progress", params))

    def stall(self) -> None:
        """The client stops reading."""
        self.call.wire.full = True
        self.progress()

    def test_held_back(self) -> None:
        """Its server is read no further until it reads again."""
        self.stall()
        self.assertTrue(self.house.wire.paused)
        self.call.wire.taken()
        self.assertFalse(self.house.wire.paused)

    def test_left(self) -> None:
        """When it leaves instead, the server goes on."""
        self.stall()
        self.call.leave()
        self.assertFalse(self.house.wire.paused)
        self.house.answer(self.request, "done")

    def test_taken_over(self) -> None:
        """When it comes back on another connection, the server goes on."""
        self.progress()
        last = self.call.ids[-1]
        self.stall()
        back = self.house.get(last_event_id=last)
        self.assertFalse(self.house.wire.paused)
        self.house.answer(self.request, "done")
        self.assertEqual(back.said[-1]["result"], "done")

    def test_cancelled(self) -> None:
        """When its call is cancelled, the server goes on."""
        self.stall()
        self.house.post(rpc("notifications/cancelled", {"requestId": 1}, None))
        self.assertFalse(self.house.wire.paused)


class ReplyTests(SynchronousTestCase):
    """The way back of a request that stands alone."""

    def test_given_up(self) -> None:
        """A request that the daemon gives up is answered all the same."""
        house = House()
        given: list[Exchange] = []
        house.backend.begin = given.append  # type: ignore[method-assign]
        answer = house.post(
            rpc("tools/list", {"_meta": modern_meta(BOB)}),
            mcp_protocol_version="2026-07-28",
            mcp_method="tools/list",
        )
        given[0].cancel("no time")
        self.assertEqual((answer.json["id"], answer.error["data"]["code"]), (1, "cancelled"))

    def test_questions(self) -> None:
        """A modern client cannot be asked on it."""
        house = House()
        given: list[Exchange] = []
        house.backend.begin = given.append  # type: ignore[method-assign]
        house.post(
            rpc("tools/list", {"_meta": modern_meta(BOB)}),
            mcp_protocol_version="2026-07-28",
            mcp_method="tools/list",
        )
        verifyObject(IReply, given[0]._reply)
        self.assertIsInstance(given[0]._reply, ModernReply)
        heard = Heard()
        given[0].ask(Exchange(Request(1, "roots/list"), heard))
        self.assertIn("cannot be asked", heard.error["message"])

    def test_status(self) -> None:
        """A result is 200."""
        self.assertEqual(status_of(Result(1, b"{}")), 200)
