"""The stage on which clients of one era meet a server of the other, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mcptwist.backend import Backend, BackendSettings
from mcptwist.eras.held import Held
from mcptwist.eras.leases import LeaseSettings
from mcptwist.errors import MethodNotFound, ServerExited
from mcptwist.exchange import Exchange
from mcptwist.gateway import ServerView
from mcptwist.interfaces import IConnector, IWire, IWireReader
from mcptwist.messages import (
    Error,
    Message,
    Notification,
    Request,
    Result,
    encode_json,
    error_answer,
)
from mcptwist.negotiation import read_envelope
from mcptwist.patience import Patience
from mcptwist.session import Session, visit
from tests.fakes import FakeWire
from tests.scripted import CLIENT, Back, Heard, opened

IDENTITY = {"name": "mcptwist", "version": "1"}
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
LEVEL = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
TOOLS = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"
MESSAGE = "notifications/message"
CAN_ALL: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
OFFERED = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "logging": {},
}
INFO = {"name": "far", "version": "1"}


class FarWire(FakeWire):
    """A wire to one process of the server, which opens by itself and leaves calls to the test.

    :ivar hello: what it was greeted with, opened.
    :ivar heard: the messages it was sent that no opening took.
    """

    def __init__(self, reader: IWireReader, clock: Clock, era: str, far: Far) -> None:
        super().__init__(reader, f"to a {era} server", clock)
        self.far = far
        self.era = era
        self.hello: Any = None
        self.heard: list[Message] = []
        self.asked = 0
        self._listed = era == "legacy"

    def send(self, message: Message) -> None:
        super().send(message)
        assert self.clock is not None
        if not self.gone:
            self.clock.callLater(0, self._hear, message)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Request) and message.method in ("initialize", "server/discover"):
            self._open(message)
            return
        if self._listed is False and isinstance(message, Request):
            # The daemon looks through the tools of a modern server before it opens for others.
            self._listed = True
            self.answer(message, {"tools": []})
            return
        self.heard.append(message)
        if not isinstance(message, Request):
            return
        if message.method in ("logging/setLevel", "resources/unsubscribe") or (
            message.method == "resources/subscribe" and self.far.grants
        ):
            self.answer(message, {})
        elif message.method == "subscriptions/listen":
            wanted = opened(message.params)["notifications"]
            self.say(ACKNOWLEDGED, notifications=wanted, _meta={SUBSCRIPTION: message.id})

    def _open(self, request: Request) -> None:
        if self.far.falls:
            self.lose(ServerExited("it fell", exitStatus=3))
            return
        mine = "initialize" if self.era == "legacy" else "server/discover"
        if request.method != mine:
            self.receive(error_answer(request.id, MethodNotFound(f"no {request.method}")))
            return
        self.hello = opened(request.params)
        if self.era == "legacy":
            said: dict[str, Any] = {"protocolVersion": "2025-11-25", "serverInfo": INFO}
        else:
            said = {"supportedVersions": ["2026-07-28"], "resultType": "complete"}
        self.answer(request, {**said, "capabilities": OFFERED})

    # --- what the server says ----------------------------------------------------------

    def answer(self, request: Request, result: Any) -> None:
        self.receive(Result(request.id, encode_json(result)))

    def refuse(self, request: Request, code: int, data: Any = None) -> None:
        self.receive(Error(request.id, encode_json({"code": code, "message": "no", "data": data})))

    def say(self, method: str, **params: Any) -> None:
        self.receive(Notification(method, encode_json(params)))

    def ask(self, method: str, **params: Any) -> int:
        """Ask something; the id of the question."""
        self.asked += 1
        id = 1000 + self.asked
        self.receive(Request(id, method, encode_json(params)))
        return id

    # --- what it was told --------------------------------------------------------------

    def told(self, id: int) -> Any:
        """The answer to its question *id*, opened: the result, or the error with its code."""
        (answer,) = [m for m in self.heard if isinstance(m, Result | Error) and m.id == id]
        return opened(answer.result if isinstance(answer, Result) else answer.error)

    def requests(self, method: str) -> list[Request]:
        return [m for m in self.heard if isinstance(m, Request) and m.method == method]

    def notified(self, method: str) -> list[Any]:
        found = [m for m in self.heard if isinstance(m, Notification) and m.method == method]
        return [opened(m.params) for m in found]


@implementer(IConnector)
class Far:
    """A server of one era, as many processes of it as are launched.

    :ivar wires: to all of them, those included that refused the wrong era.
    :ivar falls: whether it exits when it is greeted.
    :ivar grants: whether it grants subscriptions at once, or leaves them to the test.
    """

    grants = True
    falls = False

    def __init__(self, clock: Clock, era: str) -> None:
        self.description = f"a {era} server"
        self.clock = clock
        self.era = era
        self.wires: list[FarWire] = []

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        wire = FarWire(reader, self.clock, self.era, self)
        self.wires.append(wire)
        return succeed(wire)

    @property
    def up(self) -> list[FarWire]:
        """The processes that live and were greeted in their era."""
        return [w for w in self.wires if w.hello is not None and not w.gone]

    def calls(self, method: str = "tools/call") -> list[tuple[FarWire, Request]]:
        return [(wire, request) for wire in self.wires for request in wire.requests(method)]


class Stage(SynchronousTestCase):
    """One server of the ``era``, one daemon, and clients to be."""

    era = "legacy"
    scope = "shared"

    def setUp(self) -> None:
        self.clock = Clock()
        self.far = Far(self.clock, self.era)
        self.numbers = 0
        self.held = Held(self.clock, self.make_bytes, patience=600.0)
        self.backend = self.make_backend("far")

    def make_backend(self, name: str) -> Backend:
        settings = BackendSettings(scope=self.scope, leases=LeaseSettings(4, 60.0, 30.0))
        return Backend(name, self.far, self.clock, Patience, IDENTITY, self.held, settings)

    def make_bytes(self, size: int) -> bytes:
        self.numbers += 1
        return self.numbers.to_bytes(size, "big")

    def turn(self, seconds: float = 0.05) -> None:
        self.clock.advance(seconds)
        for _ in range(12):
            self.clock.advance(0)

    # --- modern clients ------------------------------------------------------------------

    def visit(
        self,
        method: str,
        params: Any = None,
        capabilities: Any = None,
        who: str = "alice",
        level: str | None = None,
        id: Any = 1,
        meta: Any = None,
    ) -> tuple[Exchange, Heard]:
        """A modern client's request, which stands alone."""
        envelope = {
            VERSION: "2026-07-28",
            CAPABILITIES: CAN_ALL if capabilities is None else capabilities,
            CLIENT_INFO: CLIENT,
            **({} if level is None else {LEVEL: level}),
            **(meta or {}),
        }
        said = encode_json({**(params or {}), "_meta": envelope})
        heard = Heard()
        exchange = Exchange(Request(id, method, said), heard, visit(read_envelope(said), who))
        self.backend.begin(exchange)
        self.turn()
        return exchange, heard

    def call(self, name: str = "t", **more: Any) -> tuple[Exchange, Heard]:
        return self.visit("tools/call", {"name": name}, **more)

    def retry(self, heard: Heard, responses: Any, name: str = "t", **more: Any) -> Any:
        """The same call again, with what the last result asked for."""
        state = heard.answer["requestState"]
        params = {"name": name, "requestState": state, "inputResponses": responses}
        return self.visit("tools/call", params, **more)

    # --- legacy clients ------------------------------------------------------------------

    def stay(self, capabilities: Any = None, revision: str = "2025-11-25") -> Session:
        """A legacy client that has shaken hands."""
        session = Session("key", ServerView(self.backend), self.clock, "alice")
        session.back = Back()
        hello = {
            "protocolVersion": revision,
            "capabilities": CAN_ALL if capabilities is None else capabilities,
            "clientInfo": CLIENT,
        }
        self.welcomed = self.ask(session, "initialize", hello)
        session.notification(Notification("notifications/initialized"))
        self.turn()
        return session

    def ask(self, session: Session, method: str, params: Any = None) -> Heard:
        self.numbers += 1
        heard = Heard()
        session.request(Request(self.numbers, method, encode_json(params or {})), heard)
        self.turn()
        return heard

    def back(self, session: Session) -> list[tuple[str, Any]]:
        """What a legacy client was told of no call of its own."""
        assert isinstance(session.back, Back)
        told = [m for m in session.back.said if isinstance(m, Notification)]
        return [(m.method, opened(m.params)) for m in told]

    # --- the end -------------------------------------------------------------------------

    def assert_quiet(self) -> None:
        """Nothing is held, and nothing waits for a server but subscriptions."""
        self.assertEqual(len(self.held), 0)
        links = [s.link for s in self.backend.supervisors() if s.link is not None]
        waiting = [e.request.method for link in links for e in link.open_exchanges()]
        self.assertEqual([method for method in waiting if method != "subscriptions/listen"], [])
