"""``mcptwist.opening``: the first words on a link.

MCP 2025-11-25, *Lifecycle, Initialization*; MCP 2026-07-28, *stdio, Backward Compatibility*. What
a server that does not speak the era does with them is told in ``tests/test_supervisor.py``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import (
    EraMismatch,
    McpTwistError,
    ServerError,
    ServerExited,
    ServerMisbehaved,
    ServerStartFailed,
)
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.negotiation import CLIENT_KEY, hello_params
from mcptwist.opening import Discovering, Handshake, IOpening, agreed
from mcptwist.versions import LEGACY, MODERN
from tests.scripted import opened
from tests.test_link import LinkCase

ME = {"name": "mcptwist", "version": "0"}


class OpeningCase(LinkCase):
    """An opening on a link whose far end is the test."""

    def open(self, opening: Any) -> Deferred[None]:
        verifyObject(IOpening, opening)
        self.make(opening.era)
        return agreed(opening, self.link)

    def answer(self, result: Any) -> Request:
        """The server answers what it was asked last."""
        request: Request = self.wire.take()[-1]  # type: ignore[assignment]
        self.wire.receive(Result(request.id, encode_json(result)))
        return request

    def refuse(self, error: bytes = b'{"code":-32601,"message":"no"}') -> None:
        request: Request = self.wire.take()[-1]  # type: ignore[assignment]
        self.wire.receive(Error(request.id, error))


class HandshakeTests(OpeningCase):
    """Legacy."""

    def test_agree(self) -> None:
        """``initialize`` with the hello as it is; the welcome is kept; then ``initialized``."""
        hello = b'{"protocolVersion":"2025-06-18", "capabilities":{},"x":1.50}'
        done = self.open(Handshake(hello))
        welcome = {"protocolVersion": "2025-03-26", "capabilities": {}, "x": [1]}
        asked = self.answer(welcome)
        self.assertEqual((asked.method, asked.params), ("initialize", hello))
        self.successResultOf(done)
        self.assertEqual((self.link.revision, opened(self.link.welcome)), ("2025-03-26", welcome))
        self.assertEqual(self.wire.take(), [Notification("notifications/initialized")])

    def test_refused(self) -> None:
        """An error means that it does not speak this era; the message tells what it said."""
        done = self.open(Handshake(hello_params({}, ME)))
        self.refuse(b'{"code":-32602,"message":"what is that?"}')
        problem = self.failureResultOf(done, EraMismatch).value
        self.assertIn("what is that?", problem.message)
        self.assertEqual(problem.data["era"], LEGACY)
        self.assertEqual(self.wire.take(), [])

    def test_failing_inside(self) -> None:
        """A server that fails inside may know the era; a daemon says why in its own words."""
        done = self.open(Handshake(hello_params({}, ME)))
        self.refuse(b'{"code":-32603,"message":"no room"}')
        problem = self.failureResultOf(done, ServerError).value
        self.assertEqual(problem.message, "it refused the handshake: no room")
        done = self.open(Handshake(hello_params({}, ME)))
        self.refuse(b'{"code":-32603,"message":"a fell","data":{"code":"server-exited"}}')
        problem = self.failureResultOf(done, ServerStartFailed).value
        self.assertEqual(problem.message, "a fell")

    def test_malformed(self) -> None:
        """A welcome that is none is the server's mistake."""
        for welcome in ([], {}, {"protocolVersion": "2099-01-01"}):
            done = self.open(Handshake(hello_params({}, ME)))
            self.answer(welcome)
            self.failureResultOf(done, ServerMisbehaved)

    def test_lost(self) -> None:
        """A wire that is lost meanwhile fails it with the reason."""
        for opening in (Handshake(hello_params({}, ME)), Discovering(ME)):
            done = self.open(opening)
            self.wire.lose(ServerExited("it died", exitStatus=3))
            self.assertEqual(self.failureResultOf(done, ServerExited).value.data["exitStatus"], 3)


class DiscoveringTests(OpeningCase):
    """Modern."""

    def discover(self, **capabilities: Any) -> Deferred[None]:
        done = self.open(Discovering(ME))
        asked = self.answer(
            {"supportedVersions": ["2099-01-01", "2026-07-28"], "capabilities": capabilities}
        )
        self.assertEqual(
            (asked.method, opened(asked.params)["_meta"][CLIENT_KEY]), ("server/discover", ME)
        )
        return done

    def test_agree(self) -> None:
        """A revision that both know is enough."""
        self.successResultOf(self.discover())
        self.assertEqual((self.link.revision, self.link.mirroring), ("2026-07-28", {}))
        self.assertEqual(self.wire.take(), [])

    def test_not_modern(self) -> None:
        """No shared revision, an error, a malformed answer."""
        for answer in ({"supportedVersions": []}, {"supportedVersions": ["2025-11-25"]}, [], {}):
            done = self.open(Discovering(ME))
            self.answer(answer)
            self.assertEqual(self.failureResultOf(done, EraMismatch).value.data["era"], MODERN)

    def test_failing_inside(self) -> None:
        """A daemon that says why its server does not start: the other era would not help."""
        done = self.open(Discovering(ME))
        self.refuse(b'{"code":-32603,"message":"a fell","data":{"code":"server-start-failed"}}')
        problem = self.failureResultOf(done, ServerStartFailed).value
        self.assertEqual(problem.message, "a fell")

    def test_endless_pages(self) -> None:
        """A list of tools without end is followed only so far."""
        done = self.discover(tools={})
        pages = 0
        while not done.called:
            self.answer(
                {"tools": [{"name": f"t{pages}", "x": "x-mcp-header"}], "nextCursor": "more"}
            )
            pages += 1
            self.assertLess(pages, 1000)
        self.successResultOf(done)
        self.assertEqual(len(self.link.mirroring), pages)

    def test_not_listed(self) -> None:
        """A server without tools is not asked for any; one that cannot list them is up too."""
        self.successResultOf(self.discover(prompts={}))
        done = self.discover(tools={})
        self.refuse()
        self.successResultOf(done)


class CancelTests(OpeningCase):
    """Giving up while the server thinks."""

    def test_cancelled(self) -> None:
        """Nothing is left waiting."""
        for opening in (Handshake(hello_params({}, ME)), Discovering(ME)):
            done = self.open(opening)
            done.cancel()
            self.failureResultOf(done, McpTwistError)
            self.assertEqual(len(self.link), 0)


class InterfaceTests(SynchronousTestCase):
    """What others take them for."""

    def test_eras(self) -> None:
        """Each tells its era."""
        self.assertEqual((Handshake(b"").era, Discovering(ME).era), (LEGACY, MODERN))
