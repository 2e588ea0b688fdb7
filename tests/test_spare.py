"""``mcptwist.spare``: a process that refused to speak one era, kept for the other."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist.errors import ServerExited
from mcptwist.interfaces import ITransferable, IWire
from mcptwist.link import Link
from mcptwist.spare import Spare
from mcptwist.versions import MODERN
from tests.fakes import FakeWire
from tests.test_link import Listeners


@implementer(IWire)
class Fixed:
    """A wire that speaks to one reader for good."""


class SpareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.closing: list[Deferred[None]] = []
        self.spare = Spare(self.clock, self.closing.append, idle=60.0)

    def refused(self) -> Link:
        """A link whose server refused ``server/discover`` and runs on."""
        link = Link("time", MODERN, Listeners(), self.clock)
        link.wire = FakeWire(link, clock=self.clock)
        link.refused_politely = True
        return link

    def test_fake(self) -> None:
        """The stand-in can be handed over as a child's wire can."""
        verifyObject(ITransferable, self.refused().wire)

    def test_kept_and_taken(self) -> None:
        """It is taken once, and what was to stop it is forgotten."""
        link = self.refused()
        self.assertTrue(self.spare.keep(link))
        self.assertEqual(len(self.spare), 1)
        self.assertIs(self.spare.take(), link)
        self.assertIsNone(self.spare.take())
        self.assertEqual((self.clock.getDelayedCalls(), self.closing), ([], []))

    def test_nobody_takes_it(self) -> None:
        """After a while it is stopped, and whoever waits for that can."""
        link = self.refused()
        self.spare.keep(link)
        self.clock.advance(60)
        (closed,) = self.closing
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(closed))
        self.assertIsNotNone(link.gone)

    def test_one_only(self) -> None:
        """A second one takes the place of the first, which is stopped."""
        first, second = self.refused(), self.refused()
        self.spare.keep(first)
        self.spare.keep(second)
        self.assertEqual(len(self.closing), 1)
        self.assertIs(self.spare.take(), second)

    def test_exited_meanwhile(self) -> None:
        """One that exited is nothing to be taken."""
        link = self.refused()
        self.spare.keep(link)
        link.lost(ServerExited("it fell"))
        self.assertIsNone(self.spare.take())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_worth_keeping(self) -> None:
        """Not one that exited, is modern after all, or is no child; nor where one was no good."""
        gone, rude, remote = self.refused(), self.refused(), self.refused()
        gone.lost(ServerExited("it fell"))
        rude.refused_politely = False
        remote.wire = Fixed()  # type: ignore[assignment]
        for link in (gone, rude, remote):
            self.assertFalse(self.spare.keep(link))
        self.spare.trusted = False
        self.assertFalse(self.spare.keep(self.refused()))
