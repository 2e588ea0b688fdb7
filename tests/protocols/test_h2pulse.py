"""Whether a connection is alive, and of use still."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2pulse import DEAD, IDLE, PING, WAIT, Pulse


class PulseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pulse = Pulse(idle=60.0, ping=20.0, pong=10.0, now=100.0)

    def test_idle(self) -> None:
        """What nobody uses is closed after its time, from the last time that it was of use."""
        self.assertEqual(self.pulse.look(130.0, False), (WAIT, 30.0))
        self.pulse.heard(140.0)
        self.assertEqual(self.pulse.look(160.0, False), (WAIT, 40.0))
        self.assertEqual(self.pulse.look(200.0, False)[0], IDLE)

    def test_silent(self) -> None:
        """Who says nothing is pinged once, and dead if that is not answered."""
        self.assertEqual(self.pulse.look(105.0, True), (WAIT, 15.0))
        self.assertEqual(self.pulse.look(120.0, True), (PING, 10.0))
        self.assertEqual(self.pulse.look(130.0, True)[0], DEAD)

    def test_alive(self) -> None:
        """Whatever comes answers a ping; the next silence is another."""
        self.pulse.look(120.0, True)
        self.pulse.heard(125.0)
        self.assertEqual(self.pulse.look(130.0, True), (WAIT, 15.0))
        self.assertEqual(self.pulse.look(145.0, True), (PING, 10.0))

    def test_pinged_and_no_more_asked(self) -> None:
        """Where nothing is open any more, a ping that was not answered ends nothing."""
        self.pulse.look(120.0, True)
        self.assertEqual(self.pulse.look(130.0, False), (WAIT, 30.0))
