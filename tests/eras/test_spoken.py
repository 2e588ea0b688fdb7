"""Which eras a server speaks, as far as is known."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras.spoken import SpokenEras
from mcptwist.versions import LEGACY, MODERN


class SpokenErasTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.eras = SpokenEras((LEGACY, MODERN), self.clock)

    def test_unknown(self) -> None:
        """Both may be tried."""
        self.assertIn(LEGACY, self.eras)
        self.assertIn(MODERN, self.eras)
        self.assertFalse(self.eras.certain)
        self.assertNotIn(1, self.eras)

    def test_configured(self) -> None:
        """Only what is configured is tried."""
        eras = SpokenEras((MODERN,), self.clock)
        self.assertNotIn(LEGACY, eras)
        self.assertTrue(eras.certain)
        self.assertFalse(eras.refused(MODERN))

    def test_refused(self) -> None:
        """A refusal holds for a while, or until the server is another."""
        self.assertTrue(self.eras.refused(MODERN))
        self.assertNotIn(MODERN, self.eras)
        self.assertFalse(self.eras.refused(LEGACY))
        self.clock.advance(300)
        self.assertIn(MODERN, self.eras)
        self.eras.refused(MODERN)
        self.eras.forget()
        self.assertIn(MODERN, self.eras)
