"""WebSocket, the asking end, against Autobahn's own server."""

from __future__ import annotations

from functools import partial
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerStartFailed, SignInFailed
from mcptwist.messages import Message, Request, decode, encode
from mcptwist.protocols.timers import Timers
from mcptwist.protocols.websocket_client import DialLimits, WebSocketClientWire, WebSocketConnector
from tests.contracts.wires import WORDS, ConnectorContract, WireContract
from tests.fakes import FakeReader
from tests.joined import PORT, Network

URL = f"ws://localhost:{PORT}/ws"
SECURE = URL.replace("ws:", "wss:")


class Server(WebSocketServerProtocol):
    """A server that does what the test says."""

    def onConnect(self, request: Any) -> str | None:
        self.factory.requests.append(request)
        self.factory.servers.append(self)
        self.texts: list[bytes] = []
        chosen: str | None = self.factory.chosen
        return chosen

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        assert not isBinary
        self.texts.append(payload)


class Servers:
    """Autobahn's server in memory."""

    def __init__(self, network: Network) -> None:
        self.factory = WebSocketServerFactory(reactor=network.clock)
        self.factory.protocol = Server
        self.factory._batched_timer = Timers(network.clock)
        self.factory.requests = self.requests = []  # type: ignore[var-annotated]
        self.factory.servers = self.servers = []  # type: ignore[var-annotated]
        self.factory.chosen = "mcp"


def connector(
    network: Network, servers: Any, limits: DialLimits | None = None, **headers: str
) -> WebSocketConnector:
    return WebSocketConnector(
        URL,
        list(headers.items()),
        network.clock,
        description="far",
        limits=limits,
        endpoint=lambda *_: network.endpoint(servers),
    )


class WebSocketRig:
    def __init__(self, limits: DialLimits | None = None) -> None:
        self.network = Network()
        self.servers = Servers(self.network)
        self.reader = FakeReader()
        connecting = connector(self.network, self.servers.factory, limits).connect(self.reader)
        self.network.turn()
        self.wire: Any = connecting.result  # type: ignore[attr-defined]
        self.server = self.servers.servers[0]

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.server.sendMessage(encode(message))

    def heard(self) -> list[Message]:
        return [decode(text) for text in self.server.texts]

    def leave(self) -> None:
        self.turn()
        self.server.sendClose(1000)
        self.turn()

    def turn(self) -> None:
        self.network.turn()


class WebSocketWireContract(WireContract, SynchronousTestCase):
    def make_rig(self) -> WebSocketRig:
        return WebSocketRig()


class WebSocketConnectorContract(ConnectorContract, SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.servers = Servers(self.network)

    def make_connector(self) -> WebSocketConnector:
        return connector(self.network, self.servers.factory)

    def make_failing_connector(self) -> WebSocketConnector:
        self.network.up = False
        return self.make_connector()

    def turn(self) -> None:
        self.network.turn()


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.servers = Servers(self.network)
        self.reader = FakeReader()

    def failure(self, seconds: float = 0) -> str:
        connecting = connector(self.network, self.servers.factory).connect(self.reader)
        self.network.turn()
        self.network.turn(seconds)
        problem = self.failureResultOf(connecting, ServerStartFailed).value
        self.assertEqual(self.reader.told, [])
        self.assertEqual(self.network.ends, [])
        message: str = problem.message
        return message

    def test_what_is_asked_for(self) -> None:
        connecting = connector(
            self.network, self.servers.factory, authorization="Bearer x"
        ).connect(self.reader)
        self.network.turn()
        self.successResultOf(connecting)
        (request,) = self.servers.requests
        self.assertEqual(request.protocols, ["mcp"])
        self.assertEqual(request.headers["authorization"], "Bearer x")
        self.assertEqual(request.extensions, [])

    def test_a_server_that_chooses_no_protocol_will_do(self) -> None:
        self.servers.factory.chosen = None
        connecting = connector(self.network, self.servers.factory).connect(self.reader)
        self.network.turn()
        self.successResultOf(connecting)

    def test_one_that_refuses(self) -> None:
        self.servers.factory.setProtocolOptions(versions=[8])
        self.assertIn("400", self.failure())

    def test_one_that_does_not_answer(self) -> None:
        class Silent(Server):
            def _dataReceived(self, data: bytes) -> None:
                """Say nothing."""

        self.servers.factory.protocol = Silent
        self.failure(30)

    def test_giving_up_leaves_nothing(self) -> None:
        connecting = connector(self.network, self.servers.factory).connect(self.reader)
        connecting.cancel()
        self.failureResultOf(connecting)
        self.network.turn()
        self.assertEqual(self.network.ends, [])
        self.assertEqual(self.reader.told, [])


class WebSocketWireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = WebSocketRig(DialLimits(message=1000, backlog=1000))
        self.wire, self.reader, self.server = self.rig.wire, self.rig.reader, self.rig.server
        self.network = self.rig.network

    def test_a_binary_frame_ends_it(self) -> None:
        self.server.sendMessage(b"{}", isBinary=True)
        self.network.turn()
        self.assertEqual(len(self.reader.problems), 1)
        self.assertEqual(len(self.reader.reasons), 1)

    def test_what_is_no_message_does_not(self) -> None:
        self.server.sendMessage(b"hello")
        self.rig.say(WORDS[0])
        self.network.turn()
        self.assertEqual((len(self.reader.problems), len(self.reader.messages)), (1, 1))
        self.assertEqual(self.reader.reasons, [])

    def test_a_message_that_is_too_large_ends_it(self) -> None:
        self.server.sendMessage(b'"' + b"x" * 2000 + b'"')
        self.network.turn(10)
        self.assertEqual(self.reader.messages, [])
        self.assertEqual(len(self.reader.reasons), 1)

    def test_what_we_say_may_be_longer_than_what_may_come(self) -> None:
        rig = WebSocketRig(DialLimits(message=1000))
        long = Request(1, "x", b'{"text":"%b"}' % (b"x" * 2000))
        rig.wire.send(long)
        rig.turn()
        self.assertEqual([encode(m) for m in rig.heard()], [encode(long)])

    def test_a_server_that_does_not_read(self) -> None:
        self.wire.pauseProducing()
        self.wire.send(WORDS[0])
        self.network.turn()
        self.assertEqual(self.rig.heard(), [])
        self.assertGreater(self.wire.backlog, 0)
        self.wire.resumeProducing()
        self.network.turn()
        self.assertEqual(len(self.rig.heard()), 1)

    def test_and_lets_it_overflow(self) -> None:
        self.wire.pauseProducing()
        for _ in range(40):
            self.wire.send(Request(1, "tools/call", b"{}"))
        self.network.turn()
        self.assertIn("takes nothing", self.reader.reasons[0].message)
        self.assertEqual(self.wire.backlog, 0)

    def test_silence_is_asked_about(self) -> None:
        self.network.turn(100, steps=100)
        self.assertEqual(self.reader.reasons, [])
        for end in self.network.ends[0]:
            end.full = True
        self.network.turn(100, steps=100)
        self.assertEqual(len(self.reader.reasons), 1)

    def test_a_server_that_does_not_close_is_dropped(self) -> None:
        self.network.ends[0][1].full = True
        closed = self.wire.close()
        self.network.turn()
        self.assertNoResult(closed)
        self.network.turn(10, steps=10)
        self.successResultOf(closed)
        self.assertEqual(self.network.ends, [])


class Proof:
    """A proof of three messages.

    :ivar welcome: whether the server's second word lets us in.
    """

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def hello(self) -> bytes:
        return b"hello"

    def answer(self, text: bytes) -> Deferred[bytes | None]:
        self.heard.append(text)
        if text == b"bad":
            return fail(SignInFailed("that is nobody we know"))
        return succeed(b"proof" if len(self.heard) == 1 else None)


class Prover:
    """Proves who we are."""

    subprotocol = "mcp.prove"
    seconds = 10.0
    must_sign = 4428

    def __init__(self) -> None:
        self.proof = Proof()

    def begin(self, url: str, connection: Any) -> Deferred[Any]:
        self.url = url
        return succeed(self.proof)


class Admission:
    """Has a token, if it has one."""

    secrets: tuple[str, ...] = ()

    def __init__(self, token: str, can_sign: bool = False) -> None:
        self.token = token
        self.can_sign = can_sign
        self.signs = False
        self.doubted = 0

    def come(self, method: str, url: str) -> Deferred[Any]:
        if self.signs:
            return succeed([(b"authorization", b"Signed")])
        return succeed([(b"authorization", self.token.encode())] if self.token else [])

    def doubt(self) -> None:
        self.doubted += 1

    def sign(self) -> bool:
        is_news, self.signs = self.can_sign and not self.signs, self.can_sign
        return is_news


class ProvingTests(SynchronousTestCase):
    """Who we are is proved before anything else is said, where the server wants that."""

    def setUp(self) -> None:
        self.network = Network()
        self.servers = Servers(self.network)
        self.servers.factory.chosen = "mcp.prove"
        self.prover = Prover()
        self.reader = FakeReader()

    def connect(self, admission: Any = None, url: str = SECURE) -> Deferred[Any]:
        self.connector = WebSocketConnector(
            url,
            [],
            self.network.clock,
            description="far",
            endpoint=lambda *_: self.network.endpoint(self.servers.factory),
            admission=admission,
            prover=self.prover,
        )
        return self.again()

    def again(self) -> Deferred[Any]:
        connecting = self.connector.connect(self.reader)
        self.network.turn()
        return connecting

    def say(self, *texts: bytes) -> None:
        for text in texts:
            self.servers.servers[-1].sendMessage(text)
            self.network.turn()

    def test_let_in(self) -> None:
        connecting = self.connect()
        server = self.servers.servers[0]
        self.assertEqual(self.servers.requests[0].protocols, ["mcp", "mcp.prove"])
        self.assertEqual(server.texts, [b"hello"])
        self.assertNoResult(connecting)
        self.say(b"challenge", b"welcome")
        self.assertEqual(server.texts, [b"hello", b"proof"])
        wire = self.successResultOf(connecting)
        self.assertEqual(self.prover.url, URL.replace("ws:", "wss:"))
        wire.send(Request(1, "ping"))
        self.network.turn()
        self.assertEqual(decode(server.texts[-1]), Request(1, "ping"))
        self.say(encode(Request(2, "ping")))
        self.assertEqual(self.reader.messages[-1:], [Request(2, "ping")])

    def test_not_wanted(self) -> None:
        """A server that chooses MCP's own sub-protocol wants no proof."""
        self.servers.factory.chosen = "mcp"
        self.successResultOf(self.connect())
        self.assertEqual(self.prover.proof.heard, [])

    def test_impostor(self) -> None:
        """A server that has not proved itself hears no more of us."""
        connecting = self.connect()
        self.say(b"bad")
        self.failureResultOf(connecting, SignInFailed)
        self.assertEqual(self.servers.servers[0].texts, [b"hello"])

    def test_turned_away(self) -> None:
        connecting = self.connect()
        self.say(b"challenge")
        self.servers.servers[0].sendClose(4401, "no")
        self.network.turn()
        problem = self.failureResultOf(connecting, SignInFailed).value
        self.assertIn("4401", problem.message)

    def test_too_late(self) -> None:
        connecting = self.connect()
        self.network.turn(11, steps=11)
        self.failureResultOf(connecting, SignInFailed)

    def test_out_of_turn(self) -> None:
        """What comes before it was asked for is no proof."""
        self.patch(Proof, "answer", lambda self, text: Deferred())
        connecting = self.connect()
        server = self.servers.servers[0]
        for _ in range(3):
            server.sendMessage(b"challenge")
        self.network.turn()
        self.failureResultOf(connecting)
        self.assertEqual(self.reader.messages, [])

    def test_a_token_instead(self) -> None:
        """A server that knows no proof and answers 401 is come to with a token."""
        refusing = self.refuse_first()
        admission = Admission("Bearer x")
        connecting = self.connect(admission)
        self.successResultOf(connecting)
        self.assertEqual(len(refusing), 2)
        self.assertNotIn("authorization", refusing[0])
        self.assertEqual(refusing[1]["authorization"], "Bearer x")
        self.assertEqual(admission.doubted, 0)

    def test_no_token_either(self) -> None:
        self.refuse_first()
        self.failureResultOf(self.connect(Admission("")), ServerStartFailed)

    def test_must_sign(self) -> None:
        """A server that believes the proof, and wants a signed request, gets one; at once later."""
        connecting = self.connect(Admission("Bearer x", can_sign=True))
        self.say(b"challenge")
        self.servers.factory.chosen = "mcp"
        self.servers.servers[0].sendClose(4428, "sign")
        self.network.turn()
        self.successResultOf(connecting)
        self.successResultOf(self.again())
        first, *others = self.servers.requests
        self.assertNotIn("authorization", first.headers)
        self.assertEqual([each.headers["authorization"] for each in others], ["Signed"] * 2)
        self.assertEqual([each.protocols for each in others], [["mcp"]] * 2)

    def test_must_sign_and_cannot(self) -> None:
        connecting = self.connect(Admission("Bearer x"))
        self.say(b"challenge")
        self.servers.servers[0].sendClose(4428, "sign")
        self.network.turn()
        problem = self.failureResultOf(connecting, ServerStartFailed).value
        self.assertIn("wants requests that our key signed", problem.message)
        self.assertEqual(len(self.servers.requests), 1)

    def test_asked_to_sign(self) -> None:
        """A token does not do, and the answer says that a signature does."""
        for url in (URL, SECURE):
            came = self.refuse_first("Signed", {"Accept-Signature": "sig1=()"})
            admission = Admission("Bearer x", can_sign=True)
            self.successResultOf(self.connect(admission, url))
            shown = [each["authorization"] for each in came if "authorization" in each]
            self.assertEqual(shown, ["Bearer x", "Signed"])

    def test_not_asked_to_sign(self) -> None:
        came = self.refuse_first("Signed")
        self.failureResultOf(self.connect(Admission("x", can_sign=True), URL), ServerStartFailed)
        self.assertEqual(len(came), 1)

    def test_signed_in_vain(self) -> None:
        """Nothing is tried for ever."""
        came = self.refuse_first("Nothing", {"Accept-Signature": "sig1=()"})
        self.failureResultOf(self.connect(Admission("x", can_sign=True), URL), ServerStartFailed)
        self.assertEqual(len(came), 2)
        self.failureResultOf(self.again(), ServerStartFailed)
        self.assertEqual(len(came), 3)

    def refuse_first(
        self, wanted: str = "", told: dict[str, str] | None = None
    ) -> list[dict[str, str]]:
        """Have the server refuse who brings no token; the headers of each who came.

        :param wanted: the one Authorization that does; any, if empty.
        :param told: headers of the refusal.
        """
        came: list[dict[str, str]] = []

        def on_connect(server: Any, request: Any) -> str | None:
            came.append(request.headers)
            server.factory.requests.append(request)
            server.factory.servers.append(server)
            server.texts = []
            shown = request.headers.get("authorization")
            if shown is None or shown != (wanted or shown):
                headers = list((told or {}).items())
                server.failHandshake = partial(server.failHandshake, responseHeaders=headers)
                raise ConnectionDeny(401, "who are you?")
            return "mcp"

        self.patch(Server, "onConnect", on_connect)
        return came


class UnconnectedTests(SynchronousTestCase):
    """A wire that has no connection yet."""

    def test_given_up(self) -> None:
        """Whoever does not want it any more is told so, and nothing breaks."""
        wire = WebSocketClientWire(FakeReader(), Clock(), "far", DialLimits())
        wire.opened.cancel()
        self.failureResultOf(wire.opened, CancelledError)
