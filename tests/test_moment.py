"""Something that happens once."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.moment import Moment


class MomentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.moment = Moment(self.clock)

    def test_waiting_for_it(self) -> None:
        patient, impatient = self.moment.within(), self.moment.within(5)
        self.assertNoResult(patient)
        self.moment.happen()
        self.assertTrue(self.successResultOf(patient))
        self.assertTrue(self.successResultOf(impatient))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_has_happened(self) -> None:
        self.moment.happen()
        self.assertTrue(self.moment.happened)
        self.assertTrue(self.successResultOf(self.moment.within(5)))

    def test_patience_ends(self) -> None:
        impatient = self.moment.within(5)
        self.clock.advance(4.9)
        self.assertNoResult(impatient)
        self.clock.advance(0.1)
        self.assertFalse(self.successResultOf(impatient))
        self.moment.happen()

    def test_happening_twice_is_happening_once(self) -> None:
        told: list[bool] = []
        self.moment.within().addCallback(told.append)
        self.moment.happen()
        self.moment.happen()
        self.assertEqual(told, [True])

    def test_not_waiting_any_more(self) -> None:
        waiter = self.moment.within(5)
        waiter.addErrback(lambda failure: None)
        waiter.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.moment.happen()
