"""Processes that calls have for themselves: who gets which, how many there are, how long they stay.

How a call and its process get along is in ``tests/conversations``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras import leases
from mcptwist.eras.leases import Leases, LeaseSettings
from mcptwist.errors import Overloaded, ServerExited

IDLE, YIELDS = 60.0, 30.0


class Process:
    """In the place of a lease.

    :ivar up: fires when it has started.
    """

    def __init__(self, side: Any, capabilities: bytes, identity: Any) -> None:
        self.capabilities = capabilities
        self.call: Any = None
        self.supervisor = self
        self.up: Deferred[None] = Deferred()
        self.stopped = 0

    def when_up(self) -> Deferred[None]:
        return self.up

    def stop(self) -> str:
        self.stopped += 1
        return "stopped"


class Call:
    """One that has a process; its client is away, or not."""

    def __init__(self, all_: Leases, lease: Any, principal: str, away: float | None) -> None:
        self.principal = principal
        self.away_since = away
        self.evicted = 0
        self._all, self._lease = all_, lease
        lease.call = self

    def evict(self) -> None:
        self.evicted += 1
        self._all.discard(self._lease)


class Tally:
    refused = 0


class Backend:
    name = "far"

    def __init__(self) -> None:
        self.tally = Tally()
        self.departed: list[Any] = []

    def departing(self, process: Any) -> None:
        self.departed.append(process)


class Side:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.backend = Backend()


class LeaseCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(leases, "Lease", Process)
        self.clock = Clock()
        self.clock.advance(1000)
        self.side: Any = Side(self.clock)
        self.leases = Leases(self.side, {}, LeaseSettings(limit=3, idle=IDLE, yields=YIELDS))

    def take(self, capabilities: bytes = b"{}") -> Any:
        return self.leases.take(capabilities)

    def call(self, principal: str, away: float | None = None) -> Call:
        """One with a process, whose client has been away for so many seconds."""
        since = None if away is None else self.clock.seconds() - away
        return Call(self.leases, self.take(), principal, since)


class IdleTests(LeaseCase):
    """Those that no call has."""

    def test_again(self) -> None:
        """For the next call whose client has the same to be asked, and no other."""
        first = self.take(b"a")
        self.leases.give_back(first)
        self.assertIsNot(self.take(b"b"), first)
        self.assertIs(self.take(b"a"), first)
        self.assertIsNot(self.take(b"a"), first)
        self.assertEqual((first.stopped, self.clock.getDelayedCalls()), (0, []))

    def test_stopped(self) -> None:
        """After a while without a call."""
        lease = self.take()
        self.clock.advance(IDLE)
        self.leases.give_back(lease)
        self.clock.advance(IDLE - 0.1)
        self.assertEqual(lease.stopped, 0)
        self.clock.advance(0.1)
        self.assertEqual((lease.stopped, len(self.leases.all)), (1, 0))
        self.assertEqual(self.side.backend.departed, ["stopped"])
        self.assertIsNot(self.take(), lease)

    def test_prepared(self) -> None:
        """One that is likely to be needed, unless there is one, or there are enough."""
        self.leases.prepare(b"a")
        self.leases.prepare(b"a")
        self.assertEqual(len(self.leases.all), 1)
        self.leases.prepare(b"b")
        self.leases.prepare(b"c")
        self.leases.prepare(b"d")
        self.assertEqual({each.capabilities for each in self.leases.all}, {b"a", b"b", b"c"})
        self.assertEqual((self.leases.evicted, self.leases.refused), (0, 0))

    def test_not_started(self) -> None:
        """One that was prepared in vain makes room, so that who needs it hears why from another."""
        self.leases.prepare(b"a")
        (lease,) = list[Any](self.leases.all)
        lease.up.errback(ServerExited("it does not start"))
        self.assertEqual((len(self.leases.all), lease.stopped), (0, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_started_for_a_call(self) -> None:
        """One that a call has by then is the call's to give up."""
        self.leases.prepare(b"a")
        lease = self.take(b"a")
        lease.up.errback(ServerExited("it does not start"))
        self.assertEqual((self.leases.all, lease.stopped), ({lease}, 0))


class RoomTests(LeaseCase):
    """As many as there may be."""

    def test_idle_first(self) -> None:
        """The one that has been idle for longest, of those for others."""
        given = [self.take(name) for name in (b"a", b"b", b"c")]
        for number in (1, 0, 2):
            self.leases.give_back(given[number])
        self.take(b"d")
        self.assertEqual([each.stopped for each in given], [0, 1, 0])
        self.assertEqual((len(self.leases.all), self.leases.evicted), (3, 0))
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)

    def test_refused(self) -> None:
        """An error that tells which bound it is, and counters."""
        for _ in range(3):
            self.call("alice")
        problem = self.assertRaises(Overloaded, self.take)
        self.assertIn("limits.call_processes", str(problem))
        self.assertEqual((self.leases.refused, self.side.backend.tally.refused), (1, 1))
        self.assertEqual((len(self.leases.all), self.leases.evicted), (3, 0))

    def test_away(self) -> None:
        """A call whose client is away for long enough yields, the longest away first."""
        calls = [self.call("a", YIELDS - 0.1), self.call("b", YIELDS + 1), self.call("c", YIELDS)]
        self.take()
        self.assertEqual([each.evicted for each in calls], [0, 1, 0])
        self.assertEqual((self.leases.evicted, len(self.leases.all)), (1, 3))
        self.take()
        self.assertEqual([each.evicted for each in calls], [0, 1, 1])
        self.assertRaises(Overloaded, self.take)

    def test_who_has_most(self) -> None:
        """Nobody takes what others have by making many calls."""
        other = self.call("alice", 500)
        many = [self.call("mallory", 40), self.call("mallory", 50)]
        self.take()
        self.assertEqual([each.evicted for each in (other, *many)], [0, 0, 1])


class StopTests(LeaseCase):
    """The server is stopped, and may be started again."""

    def test_stopped(self) -> None:
        """No timer is left, and nothing is kept from then on; the backend ends the processes."""
        idle, taken = self.take(b"a"), self.take(b"b")
        self.leases.give_back(idle)
        self.leases.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.leases.give_back(taken)
        self.leases.prepare(b"c")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((idle.stopped, taken.stopped), (0, 0))

    def test_started_again(self) -> None:
        """What there was is gone, also where a call of then hears of its end only now."""
        late, idle = self.take(b"a"), self.take(b"b")
        self.leases.give_back(idle)
        self.leases.stop()
        self.leases.resume()
        self.assertEqual(self.leases.all, set())
        self.leases.give_back(late)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for capabilities, gone in ((b"a", late), (b"b", idle)):
            self.assertIsNot(self.take(capabilities), gone)
        self.leases.resume()
        self.assertEqual(len(self.leases.all), 2)
