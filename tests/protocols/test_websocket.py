"""``mcptwist.protocols.websocket``: opening, talking, keeping up, closing.

RFC 6455, section by section, and ``docs/wires/websocket.rst``. The whole way from the HTTP/1.1
connection through its upgrade, in memory, with a clock that is turned.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import McpTwistError
from mcptwist.interfaces import IWire
from mcptwist.messages import Message, Notification, Request, decode, encode, encode_json
from mcptwist.protocols import websocket
from mcptwist.protocols.h2purses import Rate
from mcptwist.protocols.site import HostGuard
from mcptwist.protocols.wsframes import LONGEST_FRAME
from mcptwist.protocols.wslimits import WebSocketLimits
from tests.contracts.wires import WireContract
from tests.fakes import FakeReader
from tests.protocols.wsfront import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUED,
    FIN,
    KEY,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    SocketFront,
    frame,
)
from tests.scripted import Source

CALL = frame(b'{"jsonrpc":"2.0","id":7,"method":"ping"}')


def close_frame(code: int | bytes, reason: bytes = b"") -> bytes:
    head = code.to_bytes(2, "big") if isinstance(code, int) else code
    return frame(head + reason, CLOSE)


class SocketCase(SynchronousTestCase):
    limits = WebSocketLimits()

    def setUp(self) -> None:
        self.front = SocketFront(self.limits)
        self.view = self.front.view
        self.counts = self.front.counts

    def assert_serves_others(self) -> None:
        """Whatever one client did, the next is served."""
        other = self.front.open()
        other.send(CALL)
        self.assertEqual(other.message(), {"jsonrpc": "2.0", "id": 7, "result": {}})


class HandshakeTests(SocketCase):
    """RFC 6455, section 4.2: what opens a WebSocket, and what does not."""

    def test_opens(self) -> None:
        socket = self.front.open()
        self.assertEqual(socket.header("Sec-WebSocket-Accept"), ACCEPT.decode())
        self.assertEqual(socket.header("Sec-WebSocket-Protocol"), "mcp")
        self.assertEqual((socket.header("Upgrade") or "").lower(), "websocket")
        self.assertIsNone(socket.header("Server"))
        self.assertEqual((self.counts.opened, len(self.front.place.wires)), (1, 1))
        (wire,) = self.front.place.wires
        verifyObject(IPushProducer, wire)

    def test_no_compression(self) -> None:
        """permessage-deflate is offered by nearly every client, and never taken up."""
        offer = "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"
        socket = self.front.open(Sec_WebSocket_Extensions=offer)
        self.assertIsNone(socket.header("Sec-WebSocket-Extensions"))
        socket.send(frame(b"\x00" * 20, rsv=4))
        self.assertEqual(socket.closing()[0], 1002)

    def test_sub_protocols(self) -> None:
        """``mcp`` is chosen where it is offered; who offers none may speak as well."""
        for offer, chosen in (
            ("mcp", "mcp"),
            ("other, mcp", "mcp"),
            (["other", "mcp"], "mcp"),
            (None, None),
        ):
            socket = self.front.open(Sec_WebSocket_Protocol=offer)
            self.assertEqual(socket.header("Sec-WebSocket-Protocol"), chosen)

    def test_what_is_sent_ahead(self) -> None:
        """A client that does not wait for the answer to its handshake loses nothing."""
        socket = self.front.open(ahead=CALL)
        self.assertEqual(socket.message()["id"], 7)

    def test_refused(self) -> None:
        """Everything else is told what is wrong, over HTTP."""
        for changed, status, code in (
            ({"Upgrade": None}, 426, "upgrade-required"),
            ({"Upgrade": "h2c"}, 426, "upgrade-required"),
            ({"Connection": "keep-alive"}, 426, "upgrade-required"),
            ({"Connection": None}, 426, "upgrade-required"),
            ({"Sec-WebSocket-Version": None}, 426, "upgrade-required"),
            ({"Sec-WebSocket-Version": "8"}, 426, "upgrade-required"),
            ({"Sec-WebSocket-Version": ["13", "13"]}, 426, "upgrade-required"),
            ({"Sec-WebSocket-Key": None}, 400, "bad-handshake"),
            ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400, "bad-handshake"),
            ({"Sec-WebSocket-Key": "*" * 24}, 400, "bad-handshake"),
            ({"Sec-WebSocket-Key": [KEY.decode()] * 2}, 400, "bad-handshake"),
            ({"Sec-WebSocket-Protocol": "graphql-ws"}, 400, "bad-handshake"),
            ({"Content-Length": "3"}, 400, "bad-handshake"),
        ):
            socket = self.front.request({**UPGRADE, **changed})
            self.assertEqual(socket.status, status, changed)
            self.assertIn(b'"code":"%b"' % code.encode(), socket.wire.value(), changed)
            if status == 426:
                self.assertEqual(socket.header("Upgrade"), "websocket")
                self.assertEqual(socket.header("Sec-WebSocket-Version"), "13")
        self.assertEqual((self.counts.refused, self.counts.opened), (13, 0))
        self.assert_serves_others()

    def test_other_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE"):
            self.assertEqual(self.front.request(UPGRADE, method).status, 426)

    def test_plain_get(self) -> None:
        """A browser that is pointed at the URL is told what it is for."""
        socket = self.front.request({"Host": "localhost:8080"})
        self.assertEqual(socket.status, 426)
        self.assertIn(b"WebSockets", socket.wire.value())

    def test_origin(self) -> None:
        """Pages are let in or not by the guard that all wires share; browsers do not ask first."""
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            socket = self.front.request({**UPGRADE, "Origin": origin})
            self.assertEqual(socket.status, 403, origin)
        self.assertEqual(self.front.open(Origin="http://localhost:8080").status, 101)
        front = SocketFront(guard=HostGuard((), ("https://app.example",)))
        self.assertEqual(front.open(Origin="https://app.example").status, 101)

    def test_foreign_host(self) -> None:
        """DNS rebinding ends at the door."""
        self.assertEqual(self.front.request({**UPGRADE, "Host": "evil.example"}).status, 421)

    def test_needs_speed(self) -> None:
        """Without Autobahn's compiled parts it does not start."""
        self.patch(websocket, "USES_NVX", False)
        with self.assertRaisesRegex(RuntimeError, "NVX"):
            SocketFront()


class MessageTests(SocketCase):
    """Messages are text, one each."""

    def test_both_eras(self) -> None:
        """A legacy session per connection, and modern requests on the same one."""
        socket = self.front.open()
        self.assertEqual(socket.greet()["result"], {"ok": 1})
        socket.ask("tools/call", {}, 1)
        socket.modern(id=2)
        self.assertEqual([e.stay.era for e in self.view.asked[1:]], ["legacy", "modern"])
        for exchange in self.view.asked[1:]:
            exchange.succeed({})
        self.assertEqual([m["id"] for m in socket.messages()], [1, 2])

    def test_one_frame_each(self) -> None:
        socket = self.front.open()
        socket.send(CALL + CALL)
        answer = b'{"jsonrpc":"2.0","id":7,"result":{}}'
        self.assertEqual(socket.frames(), [(FIN | TEXT, answer)] * 2)

    def test_cut_anywhere(self) -> None:
        """However TCP cuts it."""
        socket = self.front.open()
        for byte in CALL + CALL:
            socket.send(bytes((byte,)))
        self.assertEqual([m["id"] for m in socket.messages()], [7, 7])

    @settings(max_examples=60, deadline=None)
    @given(
        some.lists(some.sampled_from([0, 1, 30, 80, 90, 200, 4000, 4090, 5000]), max_size=8),
        some.lists(some.integers(0, 30_000), max_size=8),
        some.sampled_from(["x", "é", "😀"]),
    )
    def test_lengths_and_cuts(self, sizes: list[int], cuts: list[int], letter: str) -> None:
        """Messages of any length, one after another, however TCP cuts them."""
        socket = SocketFront().open()
        names = [letter * (size // len(letter.encode())) for size in sizes]
        stream = b"".join(
            frame(b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % name.encode()) for name in names
        )
        edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
        for start, end in pairwise(edges):
            socket.send(stream[start:end])
        answers = socket.messages()
        expected = [name if len(name) <= 1024 else None for name in names]
        self.assertEqual([answer["id"] for answer in answers], expected)

    @settings(max_examples=30, deadline=None)
    @given(some.lists(some.integers(0, 39), max_size=6), some.booleans())
    def test_fragments(self, cuts: list[int], pings: bool) -> None:
        """A message in any number of frames, with pings between them."""
        socket = SocketFront().open()
        text = b'{"jsonrpc":"2.0","id":7,"method":"ping"}'
        edges = [0, *sorted(cuts), len(text)]
        parts = [text[a:b] for a, b in pairwise(edges)]
        for number, part in enumerate(parts):
            if pings:
                socket.send(frame(b"?", PING))
                self.assertEqual(socket.frames(), [(FIN | PONG, b"?")])
            opcode = CONTINUED if number else TEXT
            socket.send(frame(part, opcode, fin=number == len(parts) - 1))
        self.assertEqual(socket.message()["id"], 7)

    def test_utf8_over_frames(self) -> None:
        """A character may be cut by the end of a frame."""
        socket = self.front.open()
        text = '{"jsonrpc":"2.0","id":"é😀","method":"ping"}'.encode()
        for number in range(len(text)):
            opcode = CONTINUED if number else TEXT
            socket.send(frame(text[number : number + 1], opcode, fin=number == len(text) - 1))
        self.assertEqual(socket.message()["id"], "é😀")

    def test_malformed(self) -> None:
        """What is no message is answered, and the connection goes on."""
        socket = self.front.open()
        for text, id, code in (
            (b"{", None, -32700),
            (b"", None, -32700),
            (b"[]", None, -32600),
            (b'{"jsonrpc":"2.0","id":3,"method":7}', 3, -32600),
        ):
            socket.send(frame(text))
            answer = socket.message()
            self.assertEqual((answer["id"], answer["error"]["code"]), (id, code), text)
        socket.send(CALL)
        self.assertEqual(socket.message()["id"], 7)

    def test_lengths(self) -> None:
        """Every form of a frame's length, there and back."""
        socket = self.front.open()
        bare = len(b'{"jsonrpc":"2.0","id":"","method":"ping"}')
        for size in (125, 126, 127, 1000):
            name = "x" * (size - bare)
            text = b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % name.encode()
            self.assertEqual(len(text), size)
            socket.send(frame(text))
            self.assertEqual(socket.message()["id"], name)

    def test_large(self) -> None:
        """A long answer comes in several frames, and a ping finds its way between them."""
        socket = self.front.open()
        socket.modern()
        for size in (LONGEST_FRAME - 100, LONGEST_FRAME + 100, 3 * LONGEST_FRAME, 20 << 20):
            socket.modern(id=size)
            self.view.asked[-1].succeed({"text": "é" * (size // 2)})
            found = socket.frames()
            self.assertLessEqual(max(len(payload) for _, payload in found), LONGEST_FRAME)
            kinds = [first for first, _ in found]
            middle = [CONTINUED] * (len(kinds) - 2)
            if len(kinds) == 1:
                self.assertEqual(kinds, [FIN | TEXT])
            else:
                self.assertEqual(kinds, [TEXT, *middle, FIN | CONTINUED])
            answer = decode(b"".join(payload for _, payload in found))
            self.assertEqual(answer.id, size)  # type: ignore[union-attr]

    @settings(max_examples=40, deadline=None)
    @given(some.binary(max_size=300))
    def test_garbage(self, data: bytes) -> None:
        """No bytes whatever do more than end the connection they came on."""
        front = SocketFront()
        socket = front.open()
        socket.wire.protocol.dataReceived(data)
        front.clock.advance(70)
        self.assertEqual(self.flushLoggedErrors(), [])


#: What is sent, the code of the close it gets, and the counter.
VIOLATIONS: list[tuple[str, bytes, int, str]] = [
    ("unmasked text", frame(b"{}", masked=False), 1002, "violations"),
    ("unmasked ping", frame(b"", PING, masked=False), 1002, "violations"),
    *(
        (f"RSV {rsv} on opcode {opcode}", frame(b"x", opcode, rsv=rsv), 1002, "violations")
        for rsv in range(1, 8)
        for opcode in (TEXT, PING)
    ),
    *(
        (f"opcode {opcode}", frame(b"x", opcode), 1002, "violations")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    ("fragmented ping", frame(b"x", PING, fin=False), 1002, "violations"),
    ("fragmented pong", frame(b"x", PONG, fin=False), 1002, "violations"),
    ("fragmented close", frame(b"\x03\xe8", CLOSE, fin=False), 1002, "violations"),
    ("long ping", frame(b"x" * 126, PING), 1002, "violations"),
    ("long ping, no payload yet", frame(b"", PING, length=65536), 1002, "violations"),
    ("long close", frame(b"\x03\xe8" + b"x" * 124, CLOSE), 1002, "violations"),
    ("continuation of nothing", frame(b"x", CONTINUED), 1002, "violations"),
    ("continuation of what ended", CALL + frame(b"x", CONTINUED), 1002, "violations"),
    ("text inside text", frame(b"x", fin=False) + frame(b"x"), 1002, "violations"),
    ("binary inside text", frame(b"x", fin=False) + frame(b"x", BINARY), 1002, "violations"),
    ("length 5 in 2 bytes", frame(b"x" * 5, form=2), 1002, "violations"),
    ("length 5 in 8 bytes", frame(b"x" * 5, form=8), 1002, "violations"),
    ("length 65535 in 8 bytes", frame(b"x" * 65535, form=8), 1002, "violations"),
    ("length 2^63", frame(b"x", length=1 << 63), 1002, "violations"),
    ("length 2^64-1", frame(b"x", length=(1 << 64) - 1), 1002, "violations"),
    ("length 2^63-1", frame(b"x", length=(1 << 63) - 1), 1009, "too_big"),
    ("one byte too long", frame(b"x", length=(16 << 20) + 1), 1009, "too_big"),
    (
        "too long over frames",
        frame(b'"' + b"x" * 65535, fin=False) + frame(b"", CONTINUED, length=16 << 20),
        1009,
        "too_big",
    ),
    ("binary", frame(b"{}", BINARY), 1003, "binary"),
    ("binary in frames", frame(b"", BINARY, fin=False) + frame(b"", CONTINUED), 1003, "binary"),
    *(
        (f"not UTF-8: {text!r}", frame(text), 1007, "invalid")
        for text in (
            b"\xff",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"abc\x80",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\xf0\x9f\x98",
        )
    ),
    (
        "not UTF-8 before its end came",
        frame(b"\xce\xba\xff", fin=False),
        1007,
        "invalid",
    ),
    *(
        (f"close code {code}", close_frame(code), 1002, "violations")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    ("close with half a code", frame(b"\x03", CLOSE), 1002, "violations"),
    ("close for a reason that is not UTF-8", close_frame(1000, b"\xff"), 1007, "invalid"),
]


class ViolationTests(SocketCase):
    """RFC 6455, sections 5, 7.4 and 8.1: a rule that is broken ends the connection, with a code."""

    def test_table(self) -> None:
        for name, data, code, counter in VIOLATIONS:
            with self.subTest(name):
                front = SocketFront()
                socket = front.open()
                socket.send(data)
                self.assertEqual(socket.closing()[0], code, name)
                self.assertEqual(getattr(front.counts, counter), 1, name)
                front.turn(3)
                self.assertTrue(socket.wire.is_closed, name)
                self.assertFalse(front.place.wires if socket.wire.aborted else False)

    def test_in_small_pieces(self) -> None:
        """The same, however TCP cuts it."""
        for name, data, code, _ in VIOLATIONS:
            if len(data) > 300:
                continue
            socket = SocketFront().open()
            for byte in data:
                if socket.wire.is_closed:
                    break
                socket.send(bytes((byte,)))
            self.assertEqual(socket.closing()[0], code, name)

    def test_the_first_is_told(self) -> None:
        """What comes after a broken rule is not even read."""
        socket = self.front.open()
        socket.send(frame(b"x", 3) + CALL + frame(b"x", 3) + frame(b"\xff"))
        found = socket.frames()
        self.assertEqual(len(found), 1)
        socket.send(CALL * 100)
        self.assertEqual(socket.frames(), [])
        self.assertEqual(self.view.asked, [])

    def test_what_came_before_is_answered(self) -> None:
        socket = self.front.open()
        socket.send(CALL + frame(b"x", 3))
        self.assertEqual([first for first, _ in socket.frames()], [FIN | TEXT, FIN | CLOSE])

    def test_too_big_is_not_kept(self) -> None:
        """What is too big is thrown away as it comes, and other clients are served meanwhile."""
        socket = self.front.open()
        socket.send(frame(b"", length=1 << 40))
        for _ in range(100):
            socket.send(b"x" * 65536)
        (wire,) = self.front.place.wires
        held: Any = wire
        self.assertEqual((held.frame_data, held.message_data), ([], []))
        self.assertEqual(len(held.data), 0)
        self.assert_serves_others()
        self.front.turn(3)
        self.assertTrue(socket.wire.aborted)


class ClosingTests(SocketCase):
    """RFC 6455, section 7."""

    def test_client_closes(self) -> None:
        """Every code that a client may send is answered, and what it asked for is cancelled."""
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
            front = SocketFront()
            socket = front.open()
            socket.modern()
            socket.send(close_frame(code, "genug für heute".encode()))
            self.assertEqual(socket.closing()[0], 1000)
            self.assertTrue(socket.wire.disconnecting)
            socket.wire.lose()
            front.clock.advance(0)
            self.assertEqual(self.outcome(front), [True], code)
            self.assertEqual(front.place.wires, set())

    def outcome(self, front: SocketFront) -> list[bool]:
        return [exchange.over for exchange in front.view.asked]

    def test_empty_close(self) -> None:
        socket = self.front.open()
        socket.send(frame(b"", CLOSE))
        self.assertEqual(socket.closing()[0], 1000)

    def test_without_a_word(self) -> None:
        """A connection that is simply gone."""
        socket = self.front.open()
        socket.greet()
        socket.ask("tools/call")
        socket.wire.lose()
        self.front.clock.advance(0)
        self.assertEqual(len(self.view.left), 1)
        self.assertTrue(self.view.asked[-1].over)
        self.assertEqual((self.counts.opened, self.counts.closed), (1, 1))

    def test_daemon_stops(self) -> None:
        """All are closed with 1001; who does not answer is dropped."""
        polite, rude = self.front.open(), self.front.open()
        closed = self.front.place.close()
        self.assertEqual(polite.closing(), (1001, "the daemon stops"))
        polite.send(close_frame(1001))
        self.assertTrue(polite.wire.is_closed)
        self.front.turn(3)
        self.assertTrue(rude.wire.aborted)
        for deferred in closed:
            self.assertIsNone(self.successResultOf(deferred))
        self.assertEqual(self.front.place.wires, set())

    def test_what_was_said_before(self) -> None:
        """What waits is sent before the connection is closed."""
        socket = self.front.open()
        socket.wire.full = True
        for id in range(3):
            socket.modern(id=id)
            self.view.asked[-1].succeed({"text": "x" * 100_000})
        self.front.place.close()
        found = socket.frames()
        self.assertEqual(found[-1][0], FIN | CLOSE)
        whole = [first for first, _ in found if first in (FIN | TEXT, FIN | CONTINUED)]
        self.assertEqual(len(whole), 3)

    def test_nothing_after_it(self) -> None:
        """Once we closed, answers are dropped and messages are not heard."""
        socket = self.front.open()
        socket.modern()
        self.front.place.close()
        socket.frames()
        self.view.asked[0].succeed({})
        socket.send(CALL)
        self.assertEqual(socket.frames(), [])

    def test_client_does_not_take_our_close(self) -> None:
        """Nor does a connection stay for one that reads nothing more."""
        socket = self.front.open()
        socket.wire.full = True
        socket.send(frame(b"", CLOSE))
        self.assertFalse(socket.wire.aborted)
        self.front.turn(3)
        self.assertTrue(socket.wire.aborted)

    def test_session_ends(self) -> None:
        """A session that the house ends takes its connection with it."""
        socket = self.front.open()
        socket.greet()
        self.front.sessions.end_all(McpTwistError("too old"))
        self.assertEqual(socket.closing(), (1001, "the session has ended"))


class KeepAliveTests(SocketCase):
    """Pings, for proxies between and for clients that are gone without a word."""

    def test_answered(self) -> None:
        """As long as pings are answered it stays, for hours."""
        socket = self.front.open()
        pings: list[bytes] = []

        def answer() -> None:
            for first, payload in socket.frames():
                self.assertEqual(first, FIN | PING)
                pings.append(payload)
                socket.send(frame(payload, PONG))

        self.front.turn(3600, answer)
        self.assertFalse(socket.wire.is_closed)
        self.assertTrue(150 < len(pings) <= 190, len(pings))

    def test_silent(self) -> None:
        """Who does not answer is let go, and what he asked for with him."""
        socket = self.front.open()
        socket.modern()
        self.front.turn(19)
        self.assertEqual([first for first, _ in socket.frames()], [])
        self.front.turn(2)
        self.assertEqual([first for first, _ in socket.frames()], [FIN | PING])
        self.front.turn(21)
        self.assertTrue(socket.wire.aborted)
        self.assertTrue(self.view.asked[0].over)
        self.assertEqual(self.counts.silent, 1)

    def test_traffic_is_a_sign_of_life(self) -> None:
        """A client that talks need not answer pings as well."""
        socket = self.front.open()

        def talk() -> None:
            socket.send(CALL)
            socket.messages()

        self.front.turn(120, talk)
        self.assertFalse(socket.wire.is_closed)

    def test_clients_pings(self) -> None:
        """A client's own pings are answered with what was in them."""
        socket = self.front.open()
        for payload in (b"", b"hello", b"x" * 125, bytes(range(125))):
            socket.send(frame(payload, PING))
            self.assertEqual(socket.frames(), [(FIN | PONG, payload)])
        socket.send(frame(b"unasked", PONG))
        self.assertEqual(socket.frames(), [])

    def test_never_opened(self) -> None:
        """No timer is left when a connection is gone."""
        socket = self.front.open()
        socket.send(frame(b"x", fin=False))
        socket.wire.lose()
        self.front.clock.advance(0)
        self.front.turn(60)
        self.assertEqual(socket.frames(), [])


class FloodTests(SocketCase):
    """Frames that carry nothing are paid for."""

    limits = WebSocketLimits(idle_frames=Rate(50, 10))

    def flooded(self, *kinds: bytes) -> None:
        socket = self.front.open()
        for number in range(100):
            if socket.wire.is_closed:
                break
            socket.send(kinds[min(number, len(kinds) - 1)])
        code, reason = socket.closing()
        self.assertEqual((code, self.counts.flooded), (1008, 1))
        self.assertIn("carry nothing", reason)
        self.assertLess(number, 60)
        self.assert_serves_others()

    def test_pings(self) -> None:
        self.flooded(frame(b"", PING))

    def test_pongs(self) -> None:
        self.flooded(frame(b"", PONG))

    def test_empty_parts(self) -> None:
        self.flooded(frame(b"", fin=False), frame(b"", CONTINUED, fin=False))

    def test_tiny_parts(self) -> None:
        """A message in a million parts would take forty times its length of memory."""
        self.flooded(frame(b"x", fin=False), frame(b"x", CONTINUED, fin=False))

    def test_all_at_once(self) -> None:
        """Ten thousand in one breath cost no more than the first few."""
        socket = self.front.open()
        socket.wire.protocol.dataReceived(frame(b"", PING) * 10_000)
        found = socket.frames()
        self.assertEqual(len(found), 51)
        self.assertEqual(found[-1][0], FIN | CLOSE)

    def test_now_and_then(self) -> None:
        """At a pace that an honest client keeps, it may go on for ever."""
        socket = self.front.open()
        for _ in range(150):
            socket.send(frame(b"", PING))
            self.front.clock.advance(0.1)
        self.assertFalse(socket.wire.is_closed)

    def test_messages_are_free(self) -> None:
        """Whole messages, and parts of some length, are not counted."""
        socket = self.front.open()
        socket.send(CALL * 500)
        self.assertEqual(len(socket.messages()), 500)
        part = frame(b" " * 200, CONTINUED, fin=False)
        socket.send(frame(b"", fin=False) + part * 500 + frame(b"{}", CONTINUED))
        self.assertEqual(len(socket.messages()), 1)


class SlowMessageTests(SocketCase):
    def test_dripped(self) -> None:
        """A message that does not come to its end in time ends the connection."""
        socket = self.front.open()
        text = iter(frame(b" " * 1000))
        socket.send(bytes(next(text) for _ in range(10)))

        def drip() -> None:
            if not self.counts.too_slow:
                socket.send(bytes((next(text),)))

        self.front.turn(58, drip)
        self.assertFalse(socket.wire.is_closed)
        self.front.turn(3, drip)
        self.assertEqual(socket.closing(), (1008, "the message takes too long"))
        self.assertEqual(self.counts.too_slow, 1)

    def test_one_after_another(self) -> None:
        """The time is each message's own."""
        socket = self.front.open()
        half = len(CALL) // 2
        socket.send(CALL[:half])
        for _ in range(300):
            self.front.clock.advance(0.5)
            socket.send(CALL[half:] + CALL[:half])
        self.assertFalse(socket.wire.is_closed)
        self.assertEqual(self.counts.too_slow, 0)


class SlowClientTests(SocketCase):
    """A client that does not read as fast as it is written to."""

    limits = WebSocketLimits(backlog=1_000_000)

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.front.open()
        self.socket.modern()
        (self.exchange,) = self.view.asked
        self.exchange.source = self.source = Source()
        self.socket.wire.full = True

    @property
    def wire(self) -> Any:
        (wire,) = self.front.place.wires
        return wire

    def stream(self, count: int, size: int = 100_000) -> None:
        for _ in range(count):
            text = encode_json({"text": "x" * size})
            self.exchange.notify(Notification("notifications/progress", text))

    def test_server_is_held(self) -> None:
        """Its server is held back, and let go on when it has caught up."""
        self.stream(1, 10)
        self.assertEqual(self.source.told, ["hold"])
        self.assertEqual(self.wire.backlog, 0)
        self.stream(2)
        self.assertGreater(self.wire.backlog, 200_000)
        self.socket.wire.taken()
        self.assertEqual(self.source.told, ["hold", "release"])
        self.assertEqual(self.wire.backlog, 0)
        self.assertEqual(len(self.socket.messages()), 3)

    def test_written_as_it_is_taken(self) -> None:
        """The transport is given no more than it takes."""
        self.stream(8)
        self.socket.wire.clear()
        self.socket.wire.producer_paused = False
        self.wire.resumeProducing()
        self.assertLessEqual(len(self.socket.wire.value()), LONGEST_FRAME + 10)
        self.assertEqual(self.source.told, ["hold", "hold"])

    def test_no_more_is_read_of_it(self) -> None:
        """When much waits for it, it is not read either; it is again when it has caught up."""
        self.stream(2)
        self.assertEqual(self.socket.wire.producerState, "producing")
        self.stream(3)
        self.assertEqual(self.socket.wire.producerState, "paused")
        self.socket.wire.taken()
        self.assertEqual(self.socket.wire.producerState, "producing")

    def test_overflow(self) -> None:
        """One that lets it come to the worst is dropped and counted; what it asked is cancelled."""
        self.stream(14)
        self.assertEqual(self.counts.overflowed, 1)
        self.assertTrue(self.socket.wire.aborted)
        self.assertFalse(self.exchange.over, "it is told on a later turn")
        self.front.clock.advance(0)
        self.assertTrue(self.exchange.over)
        self.assertEqual(self.front.place.wires, set())

    def test_queue_is_bounded(self) -> None:
        """What waits is never much more than the bound."""
        wire, most = self.wire, 0
        for _ in range(30):
            self.stream(1)
            most = max(most, wire.backlog)
        self.assertLess(most, 1_000_000 + 150_000)
        self.assertEqual(wire.backlog, 0)

    def test_one_large_answer(self) -> None:
        """An answer larger than the bound is sent all the same: only waiting is bounded."""
        self.stream(1, 10)
        self.exchange.succeed({"text": "x" * 5_000_000})
        self.assertGreater(self.wire.backlog, 4_900_000)
        self.socket.wire.taken()
        self.assertEqual(len(self.socket.messages()), 2)

    def test_stalled(self) -> None:
        """One that takes nothing at all gives no sign of life."""
        self.stream(6)
        self.front.turn(45)
        self.assertTrue(self.socket.wire.aborted)
        self.assertEqual(self.counts.silent, 1)

    def test_slow_but_alive(self) -> None:
        """One that takes a little now and then is not let go for pongs that we do not read."""
        self.stream(9)

        def take_a_little() -> None:
            if self.wire.backlog > 300_000:
                self.socket.wire.clear()
                self.socket.wire.producer_paused = False
                self.wire.resumeProducing()
                self.stream(1, 40_000)

        for _ in range(20):
            self.front.turn(5)
            take_a_little()
            self.assertEqual(self.socket.wire.producerState, "paused")
        self.assertFalse(self.socket.wire.aborted)


class Rig:
    """A WebSocket of a real handshake, and its client."""

    def __init__(self) -> None:
        self.front = SocketFront()
        self.socket = self.front.open()
        self.reader = FakeReader()
        (self.wire,) = self.front.place.wires
        self.wire._inbox.reader = self.reader
        self._held = b""

    def say(self, *messages: Message) -> None:
        self._held += b"".join(frame(encode(message)) for message in messages)

    def heard(self) -> list[Message]:
        self._heard = getattr(self, "_heard", [])
        self._heard += [decode(p) for first, p in self.socket.frames() if first == FIN | TEXT]
        return list(self._heard)

    def leave(self) -> None:
        if self.socket.wire.producerState == "producing":
            self._deliver()
        self.socket.wire.lose()

    def turn(self) -> None:
        if self.socket.wire.producerState == "producing" and self.socket.wire.connected:
            self._deliver()
        for _ in range(4):
            self.front.clock.advance(1)

    def _deliver(self) -> None:
        data, self._held = self._held, b""
        self.socket.wire.protocol.dataReceived(data)


class WireTests(WireContract, SynchronousTestCase):
    """What every wire promises."""

    def make_rig(self) -> Any:
        return Rig()

    def test_provides(self) -> None:
        verifyObject(IWire, self.wire)

    def test_request(self) -> None:
        self.rig.say(Request("a", "x"))
        self.rig.turn()
        self.assertEqual(self.reader.messages, [Request("a", "x")])
