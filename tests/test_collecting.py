"""``mcptwist.collecting``: little is left for the collector, so it may look seldom."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist import collecting
from tests.conversations.posting import House, Response, rpc


class FreedTests(SynchronousTestCase):
    """What has ended is freed at once: nothing that refers to it is referred to by it."""

    def setUp(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)
        self.house = House()

    def connection_of(self, response: Response) -> weakref.ref[Any]:
        return weakref.ref(response.wire.protocol)

    def leave(self, response: Response) -> None:
        """The connection is lost, and its transport lets go of it as Twisted's do."""
        response.leave()
        del response.wire.protocol, response.wire.producer

    def test_session(self) -> None:
        """A legacy client shakes hands, calls, listens and leaves; nothing of it is left."""
        responses = [self.house.greet()]
        responses.append(self.house.post(rpc("notifications/initialized", id=None)))
        (session,) = map(weakref.ref, self.house.concourse.sessions)
        responses.append(self.house.call())
        self.house.answer(self.house.asked())
        responses += [self.house.get(), self.house.delete()]
        for response in responses:
            self.leave(response)
        self.assertEqual(responses[-1].status, 204)
        del responses, response
        self.assertIsNone(session())

    def test_connections(self) -> None:
        """Nor of the connection of a request that stood alone."""
        response = self.house.modern("tools/list")
        self.house.answer(self.house.asked())
        self.assertEqual(response.status, 200)
        connection = self.connection_of(response)
        self.leave(response)
        self.assertIsNone(connection())


class SparingTests(SynchronousTestCase):
    """What the collector is told."""

    def test_spared(self) -> None:
        """What there is is not looked at again, and what is new less often."""
        thresholds = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *thresholds)
        self.addCleanup(gc.unfreeze)
        collecting.spare_what_stays()
        self.assertGreater(gc.get_freeze_count(), 0)
        self.assertGreater(gc.get_threshold(), thresholds)
