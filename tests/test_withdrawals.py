"""What is no longer wanted of a far end, and when it hears of that."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.asked import cancelled_notification
from mcptwist.messages import Notification
from mcptwist.withdrawals import GRACE, Withdrawals


class WithdrawalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Notification] = []
        self.withdrawals = Withdrawals(self.clock, self.told.append, limit=2)

    def withdraw(self, *ids: int) -> list[Notification]:
        said = [cancelled_notification(id, "why") for id in ids]
        for id, cancelled in zip(ids, said, strict=True):
            self.withdrawals.add(id, cancelled)
        return said

    def test_at_once(self) -> None:
        """A far end that asked nothing is told at once."""
        self.assertEqual(self.withdraw(1, 2, 3), self.told)

    def test_after_an_answer(self) -> None:
        """One that we have answered is told when it has had time to answer."""
        self.withdrawals.we_answered()
        self.clock.advance(GRACE / 2)
        said = self.withdraw(1)
        self.clock.advance(GRACE / 2 - 0.01)
        self.assertEqual((self.told, len(self.withdrawals)), ([], 1))
        self.clock.advance(0.01)
        self.assertEqual((self.told, len(self.withdrawals)), (said, 0))

    def test_long_after_an_answer(self) -> None:
        """Later there is nothing to wait for."""
        self.withdrawals.we_answered()
        self.clock.advance(GRACE)
        self.assertEqual(self.withdraw(1), self.told)

    def test_clock_set_back(self) -> None:
        """The wait is no longer for it."""
        self.withdrawals.we_answered()
        self.clock.rightNow -= 3600
        said = self.withdraw(1)
        self.clock.advance(GRACE)
        self.assertEqual(self.told, said)

    def test_answered(self) -> None:
        """One whose answer comes first is never told; only once is it taken for waiting."""
        self.withdrawals.we_answered()
        self.withdraw(1)
        known = [self.withdrawals.answered(id) for id in (2, None, 1, 1)]
        self.assertEqual(known, [False, False, True, False])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_limit(self) -> None:
        """More than so many do not wait."""
        self.withdrawals.we_answered()
        said = self.withdraw(1, 2, 3)
        self.assertEqual(self.told, said[2:])
        self.clock.advance(GRACE)
        self.assertEqual(self.told, [said[2], said[0], said[1]])

    def test_forget(self) -> None:
        """Nothing is said to a far end that is gone."""
        self.withdrawals.we_answered()
        self.withdraw(1, 2)
        self.withdrawals.forget()
        self.assertEqual((len(self.withdrawals), self.clock.getDelayedCalls()), (0, []))
