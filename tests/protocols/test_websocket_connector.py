"""Opening WebSockets at Autobahn's own server, and being let in there."""

from __future__ import annotations

from functools import partial
from typing import Any

from autobahn.websocket.types import ConnectionDeny
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerStartFailed, SignInFailed
from mcptwist.messages import Request, decode, encode
from mcptwist.protocols.websocket_connector import WebSocketConnector
from tests.contracts.wires import ConnectorContract
from tests.fakes import FakeReader
from tests.joined import Network
from tests.protocols.wsfarend import SECURE, URL, Server, Servers, connector


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
