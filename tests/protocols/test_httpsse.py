"""``mcptwist.protocols.httpsse``: a stream to listen at, a URL to speak to.

MCP 2024-11-05, *Transports, HTTP with SSE*, and ``docs/wires/http-sse.rst``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.caller import Caller
from mcptwist.errors import McpTwistError
from mcptwist.interfaces import IWire
from mcptwist.messages import Message, Notification, decode, encode, encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.protocols.httpsse import HttpSse, HttpSseSettings
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.streams import Pulse
from mcptwist.sessiontable import SessionTable
from tests.contracts.wires import WireContract
from tests.conversations.posting import Response
from tests.fakes import FakeReader
from tests.protocols.front import Front, Wire
from tests.scripted import CLIENT, HELLO, Source
from tests.test_session import View

HOST = b"Host: localhost:8080\r\n"
LISTEN = b"GET /sse HTTP/1.1\r\n" + HOST + b"Accept: text/event-stream\r\n\r\n"


class SseFront(Front):
    """A site in memory with both URLs, in front of a view that is the test's."""

    def __init__(
        self, settings: HttpSseSettings | None = None, limits: Limits | None = None
    ) -> None:
        super().__init__(limits)
        self.view = View({"tools/call": None, "tools/list": {"tools": []}})
        names = map(str, range(1000))
        keys = (f"key{n}" for n in range(1000))
        self.sessions = SessionTable(self.clock, lambda: next(names))
        self.pulse = Pulse(self.clock, 1.0, 20.0)
        self.sse = HttpSse(self._caller, lambda: next(keys), self.pulse, settings)
        places: Any = {b"sse": self.sse.listening, b"messages": self.sse.speaking}
        for name, place in places.items():
            self.root.putChild(name, place)

    def _caller(self, request: Any) -> Caller:
        return Caller(self.view, self.sessions.begin)

    def listen(self, request: bytes = LISTEN) -> Client:
        return Client(self, self.talk(request))

    def request(self, head: bytes, body: bytes = b"") -> Response:
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        return Response(self.talk(head + HOST + length + b"\r\n" + body))


class Client:
    """A client: its stream, and what it posts."""

    def __init__(self, front: SseFront, wire: Wire) -> None:
        self.front = front
        self.stream = Response(wire)
        self.seen = 1

    @property
    def url(self) -> str:
        first = self.stream.blocks[0]
        assert first["event"] == "endpoint", first
        return first["data"]

    def post(
        self, body: bytes, url: str | None = None, kind: bytes = b"application/json"
    ) -> Response:
        target = (self.url if url is None else url).encode()
        head = b"POST %b HTTP/1.1\r\nContent-Type: %b\r\n" % (target, kind)
        return self.front.request(head, body)

    def say(self, method: str, params: Any = None, id: Any = None) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if id is not None:
            message["id"] = id
        answer = self.post(encode_json(message))
        assert answer.status == 202, answer.wire.value()

    def modern(self, method: str = "tools/call", id: Any = 1) -> None:
        self.say(method, {"_meta": modern_meta(CLIENT)}, id)

    def heard(self) -> list[Any]:
        """The messages that came since."""
        events = [block for block in self.stream.blocks if "data" in block]
        new, self.seen = events[self.seen :], len(events)
        assert all(block["event"] == "message" for block in new)
        return [decode(block["data"].encode()) for block in new]


class SseCase(SynchronousTestCase):
    settings = HttpSseSettings()
    limits = Limits()

    def setUp(self) -> None:
        self.front = SseFront(self.settings, self.limits)
        self.client = self.front.listen()
        self.view = self.front.view


class ListeningTests(SseCase):
    def test_endpoint(self) -> None:
        """The first event tells where to POST, below the same path, to nobody else."""
        self.assertEqual(self.client.stream.status, 200)
        self.assertEqual(self.client.stream.headers["content-type"], "text/event-stream")
        self.assertEqual(self.client.stream.headers["x-accel-buffering"], "no")
        self.assertEqual(self.client.url, "/messages?session_id=key0")
        self.assertEqual(self.front.listen().url, "/messages?session_id=key1")

    def test_keep_alive(self) -> None:
        """A silent stream gives signs of life; what is said is one as well."""
        for _ in range(50):
            self.front.clock.advance(0.5)
        self.assertEqual(self.client.stream.comments, 1)
        self.client.say("ping", id=1)
        for _ in range(38):
            self.front.clock.advance(0.5)
        self.assertEqual(self.client.stream.comments, 1)

    def test_other_methods(self) -> None:
        """POST to ``/sse`` is how clients find out that this is not Streamable HTTP."""
        for method in (b"POST", b"PUT", b"DELETE"):
            answer = self.front.request(method + b" /sse HTTP/1.1\r\n")
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET"))

    def test_will_not_take_it(self) -> None:
        answer = self.front.request(b"GET /sse HTTP/1.1\r\nAccept: application/json\r\n")
        self.assertEqual((answer.status, answer.error["data"]["code"]), (406, "not-acceptable"))

    def test_anything_is_fine(self) -> None:
        """Clients that do not say what they take get the stream."""
        self.assertEqual(self.front.request(b"GET /sse HTTP/1.1\r\n").status, 200)


class TooManyTests(SseCase):
    settings = HttpSseSettings(body=1000, streams=1)

    def test_streams(self) -> None:
        """Beyond the bound clients are turned away, until one leaves."""
        answer = self.front.request(b"GET /sse HTTP/1.1\r\n")
        self.assertEqual((answer.status, answer.error["data"]["code"]), (503, "overloaded"))
        self.assertEqual(len(self.front.sse), 1)
        self.client.stream.leave()
        self.assertEqual(self.front.listen().url, "/messages?session_id=key1")

    def test_body(self) -> None:
        """So are messages that are too long."""
        self.assertEqual(self.client.post(b" " * 1001).status, 413)
        self.client.say("ping", id=1)
        self.assertEqual(len(self.client.heard()), 1)


class SpeakingTests(SseCase):
    def test_handshake(self) -> None:
        """Everything is accepted at once and answered on the stream."""
        self.client.say("initialize", HELLO, 1)
        self.client.say("notifications/initialized")
        self.client.say("tools/call", {"name": "x"}, "a")
        (welcome,) = self.client.heard()
        self.assertEqual(welcome.id, 1)
        exchange = self.view.asked[-1]
        exchange.notify(Notification("notifications/progress", b'{"progress":1}'))
        exchange.succeed({"content": []})
        progress, answer = self.client.heard()
        self.assertEqual(progress.method, "notifications/progress")
        self.assertEqual(answer.id, "a")

    def test_modern(self) -> None:
        """Requests of the modern era stand alone here as well."""
        self.client.modern("tools/list", 5)
        (answer,) = self.client.heard()
        self.assertEqual((answer.id, self.view.asked[-1].stay.era), (5, "modern"))

    def test_which_stream(self) -> None:
        """Two clients with equal ids never hear each other's answers."""
        other = self.front.listen()
        for client in (self.client, other):
            client.modern()
        for number, exchange in enumerate(self.view.asked):
            exchange.succeed({"number": number})
        for number, client in enumerate((self.client, other)):
            (answer,) = client.heard()
            self.assertEqual(bytes(answer.result), b'{"number":%d}' % number)

    def test_no_session(self) -> None:
        for url, status, code in (
            ("/messages", 400, "session-required"),
            ("/messages?session_id=", 400, "session-required"),
            ("/messages?session_id=key0&session_id=key0", 400, "session-required"),
            ("/messages?session_id=key9", 404, "unknown-session"),
            ("/messages?session_id=%FF%00", 404, "unknown-session"),
        ):
            answer = self.client.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', url)
            self.assertEqual((answer.status, answer.error["data"]["code"]), (status, code), url)

    def test_not_declared_as_json(self) -> None:
        """A page of another origin can send such without asking first."""
        for kind in (b"text/plain", b"application/x-www-form-urlencoded", b""):
            answer = self.client.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', kind=kind)
            self.assertEqual(answer.status, 415)
        self.assertEqual(self.client.heard(), [])

    def test_malformed(self) -> None:
        """What is no message is refused where it was posted."""
        for body, code in (
            (b"{", -32700),
            (b"\xff", -32700),
            (b"[]", -32600),
            (b'{"jsonrpc":"2.0","id":3,"method":7}', -32600),
        ):
            answer = self.client.post(body)
            self.assertEqual((answer.status, answer.error["code"]), (400, code), body)
        self.assertEqual(self.client.heard(), [])

    def test_empty(self) -> None:
        answer = self.client.post(b"")
        self.assertEqual(answer.status, 400)

    def test_get(self) -> None:
        answer = self.front.request(b"GET /messages?session_id=key0 HTTP/1.1\r\n")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))


class EndTests(SseCase):
    def test_client_leaves(self) -> None:
        """The session ends with its stream: what was asked is cancelled, nothing more is taken."""
        url = self.client.url
        self.client.say("initialize", HELLO, 1)
        self.client.say("tools/call", id=2)
        self.client.modern(id=3)
        self.client.stream.leave()
        self.front.clock.advance(0)
        self.assertEqual([e.over for e in self.view.asked], [True] * 3)
        self.assertEqual(len(self.view.left), 1)
        self.assertEqual((len(self.front.sse), len(self.front.sessions)), (0, 0))
        answer = self.client.post(b'{"jsonrpc":"2.0","method":"x"}', url)
        self.assertEqual(answer.status, 404)

    def test_leaves_while_it_posts(self) -> None:
        """A message that arrives after its stream was lost is not taken."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}'
        wire = self.front.talk(
            b"POST %b HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (self.client.url.encode(), HOST, len(body))
        )
        self.client.stream.leave()
        wire.protocol.dataReceived(body)
        self.assertEqual(Response(wire).status, 404)
        self.assertEqual(self.view.asked, [])

    def test_daemon_stops(self) -> None:
        other = self.front.listen()
        closed = self.front.sse.close()
        self.front.clock.advance(0)
        for client in (self.client, other):
            self.assertTrue(client.stream.ended)
        for deferred in closed:
            self.assertIsNone(self.successResultOf(deferred))
        self.assertEqual(len(self.front.sse), 0)

    def test_session_ends(self) -> None:
        self.client.say("initialize", HELLO, 1)
        self.front.sessions.end_all(McpTwistError("too old"))
        self.assertTrue(self.client.stream.ended)

    def test_no_beat_after_it(self) -> None:
        self.client.stream.leave()
        for _ in range(100):
            self.front.clock.advance(0.5)
        self.assertEqual(self.client.stream.comments, 0)


class SlowClientTests(SseCase):
    """A client that does not read as fast as it is written to."""

    limits = Limits(backlog=1_000_000, write_time=60.0)

    def setUp(self) -> None:
        super().setUp()
        self.client.modern()
        (self.exchange,) = self.view.asked
        self.exchange.source = self.source = Source()
        self.client.stream.wire.full = True

    def stream(self, count: int) -> None:
        for _ in range(count):
            text = encode_json({"text": "x" * 100_000})
            self.exchange.notify(Notification("notifications/progress", text))

    def test_server_is_held(self) -> None:
        self.stream(1)
        self.assertEqual(self.source.told, ["hold"])
        self.client.stream.wire.taken()
        self.assertEqual(self.source.told, ["hold", "release"])
        self.assertEqual(len(self.client.heard()), 1)

    def test_overflow(self) -> None:
        """One that lets it come to the worst is cut off, and told of on a later turn."""
        self.stream(13)
        self.assertTrue(self.client.stream.wire.aborted)
        self.assertEqual(self.front.counters.backlogs_exceeded, 1)
        self.assertFalse(self.exchange.over)
        self.front.clock.advance(0)
        self.assertTrue(self.exchange.over)

    def test_stalled(self) -> None:
        """One that takes nothing for too long as well."""
        self.stream(1)
        for _ in range(62):
            self.front.clock.advance(1)
        self.assertTrue(self.client.stream.wire.aborted)
        self.assertEqual(self.front.counters.writes_stalled, 1)


class Rig:
    """A client's stream as a wire."""

    def __init__(self) -> None:
        self.front = SseFront()
        self.client = self.front.listen()
        self.url = self.client.url
        self.reader = FakeReader()
        (self.wire,) = self.front.sse._wires.values()
        self.wire._inbox.reader = self.reader
        self._heard: list[Message] = []

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.client.post(encode(message), self.url)

    def heard(self) -> list[Message]:
        self._heard += self.client.heard()
        return self._heard

    def leave(self) -> None:
        self.client.stream.leave()

    def turn(self) -> None:
        self.front.clock.advance(0)


class WireTests(WireContract, SynchronousTestCase):
    """What every wire promises."""

    def make_rig(self) -> Any:
        return Rig()

    def test_provides(self) -> None:
        verifyObject(IWire, self.wire)
        verifyObject(IPushProducer, self.wire)
