"""A link to a server that is the test, and a client who asks over it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerExited
from mcptwist.exchange import Exchange
from mcptwist.link import Deadlines, Link
from mcptwist.messages import Request, Result, encode_json
from mcptwist.session import Visit
from mcptwist.versions import LEGACY
from mcptwist.watching.tally import Tally
from tests.fakes import FakeWire
from tests.scripted import Heard
from tests.test_link import Listeners

STAY = Visit("2026-07-28", b'{"name":"ed","version":"2"}', b"{}")


class WatchedCase(SynchronousTestCase):
    """A link whose calls are counted."""

    deadlines: Deadlines | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.tally = self.make_tally()
        listeners = Listeners()
        self.link = Link("one", LEGACY, listeners, self.clock, self.deadlines, None, self.tally)
        self.link.wire = self.wire = FakeWire(self.link)
        self.addCleanup(self.link.lost, ServerExited("over"))

    def make_tally(self) -> Tally:
        """What counts."""
        return Tally("one", self.clock)

    def ask(self, method: str = "tools/call", **params: Any) -> Exchange:
        """The client asks."""
        exchange = Exchange(Request("a", method, encode_json(params)), Heard(), STAY)
        self.link.begin(exchange)
        return exchange

    def answer(self, text: bytes = b"{}") -> None:
        """The server answers what it was asked last."""
        self.link.received(Result(self.wire.sent[-1].id, text))
