"""Waiting for an answer, and for a person who has to say yes before there can be one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerUnreachable
from mcptwist.protocols.waits import patient


class PatientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.is_excused = False
        self.answer: Deferred[Any] = Deferred()
        waiting = patient(
            self.answer, 10, self.clock, ServerUnreachable("late"), lambda: self.is_excused
        )
        self.waiting = Deferred.fromCoroutine(waiting)

    def test_in_time(self) -> None:
        self.clock.advance(9)
        self.answer.callback("here")
        self.assertEqual(self.successResultOf(self.waiting), "here")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        self.clock.advance(10)
        self.assertEqual(
            self.failureResultOf(self.waiting, ServerUnreachable).value.message, "late"
        )

    def test_excused(self) -> None:
        """The time counts anew when there is an excuse no more."""
        self.is_excused = True
        self.clock.pump([10] * 5)
        self.is_excused = False
        self.clock.advance(9)
        self.assertNoResult(self.waiting)
        self.clock.advance(1)
        self.failureResultOf(self.waiting, ServerUnreachable)

    def test_failed(self) -> None:
        self.answer.errback(ValueError())
        self.failureResultOf(self.waiting, ValueError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_given_up(self) -> None:
        self.waiting.cancel()
        self.failureResultOf(self.waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
