"""Tests of mcptwist.protocols.http2: streams, their flow, bounds and ends.

The far end is the h2 library in the client's role; where a client would not do such a thing, the
frames are made by hand.
"""

from __future__ import annotations

from typing import Any

from h2.settings import SettingCodes
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.protocols.h2codec import ICodecUser
from mcptwist.protocols.h2limits import HTTP2Limits
from mcptwist.protocols.h2purses import Rate, Rates
from mcptwist.protocols.httpstream import IHTTPStream
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.request import Request
from mcptwist.protocols.site import HostGuard
from tests.protocols.front import Early, Producer
from tests.protocols.h2front import ECHO, GET, HELD, POST, REST, STOCK, Client, Front2, Told

HEAD = (b":method", b"HEAD")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH = 0, 1, 2, 3, 4, 5
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 6, 7, 8, 9, 0x42
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 1, 1, 4, 8, 32

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED = 0, 1, 3, 5
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CALM = 6, 7, 8, 9, 11


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame, right or wrong."""
    return b"%b%c%c%b%b" % (
        len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload
    )  # fmt: skip


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def setting(number: int, value: int) -> bytes:
    return number.to_bytes(2, "big") + u32(value)


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """A header block that leaves no trace in the table."""
    return bytes(Encoder().encode([(*field, True) for field in fields], huffman=False))


ASK = block(GET, STOCK, *REST)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)


class Case(SynchronousTestCase):
    """A front, and one client of it that behaves."""

    limits = Limits()
    http2 = HTTP2Limits()

    def setUp(self) -> None:
        self.front = Front2(self.limits, http2=self.http2)
        self.client = self.front.client()

    def serve(self, act: Any) -> tuple[bytes, bytes]:
        """A resource that does this with its requests; its path."""
        self.acting = Early(act)
        self.front.root.putChild(b"acting", self.acting)
        return (b":path", b"/acting")

    def count(self, name: str) -> int:
        return self.front.counters.snapshot().get(name, 0)

    def sweep(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        for _ in range(int(seconds)):
            self.front.clock.advance(1)
            if self.client.wire.connected:
                self.client.hear()

    def check_neighbour(self, client: Client | None = None) -> None:
        """Somebody else, or somebody else on the same connection, is served."""
        told = (client or self.front.client()).ask(GET, STOCK)
        self.assertEqual((told.status, told.body, told.ended), (200, b"hello", True))


class AnswerTests(Case):
    """What a client asks is answered."""

    def test_plain(self) -> None:
        """A stock resource, as over HTTP/1.1."""
        told = self.client.ask(GET, STOCK)
        self.assertEqual((told.status, told.body, told.ended), (200, b"hello", True))
        self.assertEqual(told.header(b"content-length"), b"5")
        self.assertEqual(told.header(b"vary"), b"Origin")
        self.assertTrue(told.header(b"date"))

    def test_body(self) -> None:
        """A body in several frames, its length told or not."""
        for told in ([], [(b"content-length", b"900")]):
            number = self.client.begin(POST, ECHO, *told, end=False)
            for _ in range(9):
                self.client.put(number, b"x" * 100, end=False)
            self.client.put(number, b"", end=True)
            self.client.h2.end_stream(number)
            self.client.flush()
            self.assertEqual(self.client.told[number].body, b"x" * 900)

    def test_asked_on_headers(self) -> None:
        """The application is asked before the body is there, and may answer without it."""
        path = self.serve(lambda request: request.respond(401, [], b"no"))
        number = self.client.begin(POST, path, (b"content-length", b"10000000"), end=False)
        told = self.client.told[number]
        self.assertEqual((told.status, told.body, told.ended), (401, b"no", True))
        self.check_neighbour(self.client)
        self.assertIsNone(told.reset)
        self.sweep(4)
        self.assertEqual(told.reset, NO_ERROR)
        self.check_neighbour(self.client)

    def test_sent_to_its_end(self) -> None:
        """A client that first sends all it has can do so, and has its answer then."""
        number = self.client.begin(POST, ECHO, (b"content-length", b"9000000"), end=False)
        self.client.put(number, b"x" * 9_000_000)
        told = self.client.told[number]
        self.assertEqual((told.status, told.ended, told.reset), (413, True, None))
        self.assertEqual(self.client.server.streams, {})

    def test_little_is_read_to_its_end(self) -> None:
        """A body that is short and not wanted ends its stream in good order."""
        path = self.serve(lambda request: request.respond(401, [], b"no"))
        number = self.client.begin(POST, path, (b"content-length", b"5"), end=False)
        self.client.put(number, b"12345")
        self.assertIsNone(self.client.told[number].reset)
        self.assertEqual(self.client.server.streams, {})

    def test_head(self) -> None:
        """HEAD has the headers of GET and no body."""
        told = self.client.ask(HEAD, STOCK)
        self.assertEqual((told.status, told.body, told.ended), (200, b"", True))
        self.assertEqual(told.header(b"content-length"), b"5")

    def test_no_content(self) -> None:
        """204 has neither body nor length."""
        told = self.client.ask(GET, self.serve(lambda request: request.respond(204, [], b"")))
        self.assertEqual((told.status, told.ended), (204, True))
        self.assertIsNone(told.header(b"content-length"))

    def test_streamed(self) -> None:
        """An answer of unknown length, piece by piece."""
        told = self.client.ask(GET, HELD)
        request = self.front.held.requests[0]
        request.start(200, [(b"Content-Type", b"text/event-stream")])
        request.write(b"data: 1\n\n")
        self.client.hear()
        self.assertEqual((told.status, told.body, told.ended), (200, b"data: 1\n\n", False))
        request.write(b"data: 2\n\n")
        request.finish()
        self.client.hear()
        self.assertEqual((told.body, told.ended), (b"data: 1\n\ndata: 2\n\n", True))
        self.assertEqual(self.client.server.streams, {})

    def test_connection_headers_stay_behind(self) -> None:
        """What a resource says of an HTTP/1.1 connection is not said here."""
        headers = [(b"Connection", b"close"), (b"Upgrade", b"x"), (b"X-Kept", b"y")]
        told = self.client.ask(GET, self.serve(lambda request: request.respond(200, headers, b"")))
        self.assertEqual(told.header(b"x-kept"), b"y")
        self.assertIsNone(told.header(b"connection") or told.header(b"upgrade"))

    def test_line_breaks_in_headers(self) -> None:
        """A header with a line break is a bug of ours and is not sent."""
        path = self.serve(lambda request: request.respond(200, [(b"X", b"a\r\nb")], b""))
        self.assertEqual(self.client.ask(GET, path).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_interfaces(self) -> None:
        """Streams and connections provide what they say."""
        self.client.ask(GET, HELD)
        verifyObject(IHTTPStream, self.front.held.requests[0].stream)
        verifyObject(ICodecUser, self.client.server)
        verifyObject(IPushProducer, self.client.server)

    def test_what_a_request_knows(self) -> None:
        """Authority, cookies in crumbs, fields that are repeated, the version."""
        self.client.ask(
            GET, (b":path", b"/held?a=1"), (b"cookie", b"a=1"), (b"cookie", b"b=2"),
            (b"x-a", b"1"), (b"x-a", b"2"),
        )  # fmt: skip
        request: Any = self.front.held.requests[0]
        self.assertEqual(request.header(b"host"), b"localhost:8080")
        self.assertEqual(request.header(b"cookie"), b"a=1; b=2")
        self.assertEqual(request.header_values(b"x-a"), [b"1", b"2"])
        self.assertEqual(request.args, {b"a": [b"1"]})
        self.assertEqual(request.clientproto, b"HTTP/2")
        self.assertEqual(request.getCookie(b"b"), b"2")

    def test_expect_continue(self) -> None:
        """A client that waits for a sign gets it when somebody wants the body."""
        number = self.client.begin(
            POST, ECHO, (b"expect", b"100-continue"), (b"content-length", b"2"), end=False
        )
        self.assertEqual(self.client.told[number].informational, [100])
        self.client.put(number, b"hi")
        self.assertEqual(self.client.told[number].body, b"hi")

    def test_trailers(self) -> None:
        """Fields after a body are read, and not used."""
        number = self.client.begin(POST, ECHO, end=False)
        self.client.put(number, b"hi", end=False)
        self.client.h2.send_headers(number, [(b"x-sum", b"1")], end_stream=True)
        self.client.flush()
        self.assertEqual(self.client.told[number].body, b"hi")

    def test_head_refused(self) -> None:
        """Hosts and origins are guarded as over HTTP/1.1."""
        for fields, status in (
            ([(b":authority", b"evil.example")], 421),
            ([(b"origin", b"https://evil.example")], 403),
        ):
            self.assertEqual(self.client.ask(GET, STOCK, *fields).status, status)

    def test_a_resource_that_fails(self) -> None:
        """One that raises is answered for; in the middle of its answer, its stream is reset."""

        def fail(request: Request) -> None:
            request.start(200, [])
            request.write(b"some")
            raise ZeroDivisionError

        self.assertEqual(self.client.ask(GET, self.serve(lambda request: 1 / 0)).status, 500)
        self.front.root.putChild(b"late", Early(fail))
        told = self.client.ask(GET, (b":path", b"/late"))
        self.assertEqual((told.status, told.body, told.reset), (200, b"some", 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.check_neighbour(self.client)

    def test_too_much_or_too_little(self) -> None:
        """An answer that does not keep to its length is reset."""
        for body in (b"123456", b"1234"):

            def act(request: Request, body: bytes = body) -> None:
                request.start(200, [], 5)
                request.write(body)
                request.finish()

            told = self.client.ask(GET, self.serve(act))
            self.assertEqual((told.ended, told.reset), (False, 2))
        self.assertEqual(self.count("answers_cut"), 2)

    def test_body_too_large(self) -> None:
        """413, whether the length was told or found out; the connection stays."""
        told = self.client.ask(POST, ECHO, (b"content-length", b"1001"), body=b"x" * 1001)
        self.assertEqual(told.status, 413)
        self.assertEqual(self.client.ask(POST, ECHO, body=b"x" * 1001).status, 413)
        self.check_neighbour(self.client)

    def test_upgrade(self) -> None:
        """A stream cannot be handed over: the client is told to come by HTTP/1.1."""
        path = self.serve(lambda request: request.upgrade(Protocol()))
        self.assertEqual(self.client.ask(GET, path).reset, 13)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.check_neighbour(self.client)


class OneWriteTests(Case):
    """What a turn has to say leaves in one write."""

    def writes(self, client: Client) -> list[bytes]:
        written: list[bytes] = []
        client.wire.write = written.append  # type: ignore[method-assign]
        return written

    def test_answers_together(self) -> None:
        """Ten requests in one read are answered in one write."""
        for _ in range(10):
            number = self.client.h2.get_next_available_stream_id()
            self.client.h2.send_headers(number, [GET, STOCK, *REST], end_stream=True)
        written = self.writes(self.client)
        self.client.send(self.client.h2.data_to_send())
        self.assertEqual(len(written), 1)

    def test_events_together(self) -> None:
        """So do events that are written one after another."""
        self.client.ask(GET, HELD)
        request = self.front.held.requests[0]
        request.start(200, [])
        self.client.hear()
        written = self.writes(self.client)
        for _ in range(50):
            request.write(b"event")
        self.assertEqual(written, [])
        self.front.clock.advance(0)
        self.assertEqual(len(written), 1)


class FlowTests(Case):
    """Windows are back-pressure, in both directions."""

    limits = Limits(write_time=30, body=100_000_000)

    def test_large(self) -> None:
        """Ten megabytes arrive whole."""
        body = bytes(range(256)) * 40_000
        told = self.client.ask(GET, self.serve(lambda request: request.respond(200, [], body)))
        self.assertEqual(told.body, body)
        self.assertEqual(self.client.server.queued, 0)

    def test_turns(self) -> None:
        """Large answers share the connection frame by frame."""
        self.client.greedy = False
        path = self.serve(lambda request: request.respond(200, [], b"x" * 1_000_000))
        tolds = [self.client.ask(GET, path) for _ in range(2)]
        number = self.client.h2.get_next_available_stream_id()
        self.assertEqual(number, 5)
        for stream in (1, 3):
            self.client.h2.increment_flow_control_window(200_000, stream)
        self.client.h2.increment_flow_control_window(200_000)
        self.client.flush()
        first, second = (len(told.body) for told in tolds)
        self.assertGreater(second, 16384)
        self.assertGreater(first, 16384)

    def test_closed_window(self) -> None:
        """A stream that may send nothing costs nothing, and is cut when that was too long."""
        self.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self.client.flush()
        told = self.client.ask(GET, STOCK)
        self.assertEqual((told.status, told.body, told.ended), (200, b"", False))
        self.assertEqual(len(self.front.clock.getDelayedCalls()), 1)  # the factory's look at all
        neighbour = self.front.client()
        self.check_neighbour(neighbour)
        self.sweep(29)
        self.assertIsNone(told.reset)
        self.sweep(3)
        self.assertEqual(told.reset, CANCEL)
        self.assertEqual(self.count("writes_stalled"), 1)
        self.assertTrue(self.client.wire.connected)
        self.check_neighbour(neighbour)

    def test_a_hundred_closed_windows(self) -> None:
        """Nor do a hundred of them."""
        self.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self.client.flush()
        tolds = [self.client.ask(GET, STOCK) for _ in range(100)]
        self.assertEqual(len(self.front.clock.getDelayedCalls()), 1)
        self.sweep(33)
        self.assertEqual({told.reset for told in tolds}, {CANCEL})
        self.assertEqual(self.client.server.streams, {})
        self.assertEqual(self.client.server.queued, 0)

    def test_dribbled_window(self) -> None:
        """A byte now and then is no progress."""
        self.client.greedy = False
        path = self.serve(lambda request: request.respond(200, [], b"x" * 100_000))
        told = self.client.ask(GET, path)
        for _ in range(8):
            self.client.h2.increment_flow_control_window(1, 1)
            self.client.h2.increment_flow_control_window(1)
            self.client.flush()
            self.sweep(4)
        self.assertEqual(told.reset, CANCEL)

    def test_steady_window(self) -> None:
        """A slow reader that reads is not cut."""
        self.client.greedy = False
        path = self.serve(lambda request: request.respond(200, [], b"x" * 100_000))
        told = self.client.ask(GET, path)
        while not told.ended:
            for stream in (1, None):
                self.client.h2.increment_flow_control_window(2000, stream)
            self.client.flush()
            self.sweep(25)
        self.assertEqual((told.ended, len(told.body), told.reset), (True, 100_000, None))

    def test_negative_window(self) -> None:
        """A window that is made smaller than what is under way opens again (section 6.9.2)."""
        self.client.greedy = False
        path = self.serve(lambda request: request.respond(200, [], b"x" * 100_000))
        told = self.client.ask(GET, path)
        self.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        self.client.flush()
        self.client.h2.increment_flow_control_window(100_000)
        self.client.flush()
        self.assertEqual(len(told.body), 65535)
        self.client.h2.increment_flow_control_window(100_000, 1)
        self.client.flush()
        self.assertEqual((told.ended, len(told.body)), (True, 100_000))

    def test_upload(self) -> None:
        """A body that nobody takes is taken as far as its window, and no further."""
        number = self.client.begin(POST, HELD, end=False)
        room = self.client.h2.local_flow_control_window(number)
        self.assertEqual(room, 1 << 20)
        self.client.put(number, b"x" * room, end=False)
        self.assertEqual(self.client.h2.local_flow_control_window(number), 0)
        got: list[bytes] = []
        self.front.held.requests[0].receive_body(10_000_000, got.append)
        self.client.hear()
        self.assertEqual(self.client.h2.local_flow_control_window(number), 1 << 20)
        self.client.put(number, b"y")
        self.assertEqual(got, [b"x" * room + b"y"])

    def test_held_bytes_are_given_back(self) -> None:
        """What a stream held is given back to the connection when it is over."""
        for _ in range(12):
            number = self.client.begin(POST, HELD, end=False)
            self.client.put(number, b"x" * 1_000_000, end=False)
            self.client.h2.reset_stream(number)
            self.client.flush()
        self.assertEqual(self.client.server.streams, {})
        self.check_neighbour(self.client)

    def test_tiny_frames_are_held_together(self) -> None:
        """A body of single bytes does not cost an object each."""
        self.client.begin(POST, HELD, end=False)
        self.client.send(frame(DATA, 0, 1, b"x") * 5000)
        held = self.front.held.requests[0].stream._held
        self.assertEqual(held, b"x" * 5000)

    def test_padding_counts(self) -> None:
        """Padding is flow controlled as well, and given back."""
        number = self.client.begin(POST, ECHO, end=False)
        for _ in range(300):
            self.client.h2.send_data(number, b"x", pad_length=255)
            self.client.flush()
        self.client.h2.end_stream(number)
        self.client.flush()
        self.assertEqual(self.client.told[number].body, b"x" * 300)

    def test_producer(self) -> None:
        """What makes an answer is paused while the client takes nothing."""
        producer = Producer()
        self.client.greedy = False
        self.client.ask(GET, HELD)
        request = self.front.held.requests[0]
        request.start(200, [])
        request.registerProducer(producer, True)
        request.write(b"x" * 70_000)
        self.client.hear()
        self.assertEqual(producer.said, ["pause"])
        for stream in (1, None):
            self.client.h2.increment_flow_control_window(50_000, stream)
        self.client.flush()
        self.assertEqual(producer.said, ["pause", "resume"])
        self.client.h2.reset_stream(1)
        self.client.flush()
        self.assertEqual(producer.said[-1], "stop")

    def test_full_transport(self) -> None:
        """Nothing is given to a transport that has enough, until it has room again."""
        self.client.wire.full = True
        told = self.client.ask(GET, self.serve(lambda r: r.respond(200, [], b"x" * 60_000)))
        more = self.client.ask(GET, STOCK)
        self.assertEqual(more.status, 0)
        self.client.wire.taken()
        self.client.hear()
        self.assertEqual((told.ended, more.ended), (True, True))

    def test_stalled_transport(self) -> None:
        """A client that reads nothing at all is cut off."""
        self.client.wire.full = True
        self.client.ask(GET, STOCK)
        for _ in range(32):
            self.front.clock.advance(1)
        self.assertTrue(self.client.wire.aborted)
        self.assertEqual(self.count("writes_stalled"), 1)


class BoundTests(Case):
    """How much one connection may have."""

    limits = Limits(backlog=100_000)
    http2 = HTTP2Limits(streams=3, backlog=500_000, control=20_000)

    def test_streams(self) -> None:
        """One too many is refused, so that it may be tried again; the others go on."""
        self.assertEqual(self.client.settings[3], 3)
        tolds = [self.client.ask(GET, HELD) for _ in range(3)]
        self.client.send(frame(HEADERS, 5, 7, ASK))
        self.front.clock.advance(0)
        self.assertEqual(self.client.wire.value(), frame(RST_STREAM, 0, 7, u32(REFUSED_STREAM)))
        self.client.wire.clear()
        self.client.h2.highest_outbound_stream_id = 7
        self.assertEqual(self.count("streams_refused"), 1)
        self.front.held.requests[0].respond(200, [], b"")
        self.client.hear()
        self.assertEqual(tolds[0].status, 200)
        self.check_neighbour(self.client)

    def test_backlog_of_a_stream(self) -> None:
        """A streamed answer that the client does not take is cut at the bound."""
        self.client.greedy = False
        told = self.client.ask(GET, HELD)
        request = self.front.held.requests[0]
        request.start(200, [])
        for _ in range(20):
            request.write(b"x" * 16384)
            self.client.hear()
        self.assertEqual(told.reset, CANCEL)
        self.assertEqual(self.count("backlogs_exceeded"), 1)
        self.assertFalse(request.is_open)
        self.client.h2.increment_flow_control_window(1000)
        self.client.flush()
        self.check_neighbour(self.client)

    def test_backlog_of_a_connection(self) -> None:
        """Who has much waiting may not ask for more."""
        self.client.greedy = False
        path = self.serve(lambda request: request.respond(200, [], b"x" * 400_000))
        tolds = [self.client.ask(GET, path) for _ in range(3)]
        self.assertEqual([told.reset for told in tolds], [None, None, REFUSED_STREAM])
        self.assertEqual(self.count("streams_refused"), 1)
        self.check_neighbour()

    def test_control(self) -> None:
        """Who asks for signs of life and does not read them is cut off."""
        self.front.http2 = HTTP2Limits(control=2000, rates=Rates(ping=Rate(10_000, 1)))
        client = self.front.client()
        client.wire.full = True
        client.send(frame(PING, 0, 0, b"12345678") * 200)
        client.send(frame(PING, 0, 0, b"12345678") * 200)
        self.assertTrue(client.wire.aborted)
        self.assertEqual(self.count("control_exceeded"), 1)
        self.check_neighbour()


class MalformedTests(Case):
    """What is no request ends its stream, and no other (RFC 9113 section 8.1.1)."""

    ROWS: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
        (STOCK, *REST),
        (GET, *REST),
        (GET, (b":path", b""), *REST),
        (GET, STOCK, (b":authority", b"localhost:8080")),
        (GET, STOCK, *REST, (b":path", b"/")),
        (GET, GET, STOCK, *REST),
        (GET, STOCK, *REST, (b":authority", b"localhost:8080")),
        (GET, STOCK, *REST, (b":status", b"200")),
        (GET, STOCK, *REST, (b":unknown", b"x")),
        ((b"x", b"y"), GET, STOCK, *REST),
        (GET, STOCK, *REST, (b"X-Upper", b"y")),
        (GET, STOCK, *REST, (b"", b"y")),
        (GET, STOCK, *REST, (b"a b", b"y")),
        (GET, STOCK, *REST, (b"a:b", b"y")),
        (GET, STOCK, *REST, (b"x\r\nhost", b"y")),
        (GET, STOCK, *REST, (b"x\x00", b"y")),
        (GET, STOCK, *REST, (b"x\xe4", b"y")),
        (GET, STOCK, *REST, (b"x", b"a\r\nb: c")),
        (GET, STOCK, *REST, (b"x", b"a\nb")),
        (GET, STOCK, *REST, (b"x", b"a\x00b")),
        (GET, STOCK, *REST, (b"x", b" a")),
        (GET, STOCK, *REST, (b"x", b"a\t")),
        (GET, (b":path", b"/ a\r\nx: y"), *REST),
        (GET, STOCK, *REST, (b"connection", b"close")),
        (GET, STOCK, *REST, (b"keep-alive", b"1")),
        (GET, STOCK, *REST, (b"proxy-connection", b"close")),
        (GET, STOCK, *REST, (b"transfer-encoding", b"chunked")),
        (GET, STOCK, *REST, (b"upgrade", b"h2c")),
        (GET, STOCK, *REST, (b"te", b"gzip")),
        (GET, STOCK, *REST, (b"te", b"trailers, gzip")),
        (GET, STOCK, *REST, (b"host", b"evil.example")),
        (GET, STOCK, *REST, (b"host", b"localhost:8080"), (b"host", b"localhost:8080")),
        (GET, STOCK, *REST, (b"content-length", b"1")),
        (GET, STOCK, *REST, (b"content-length", b"-1")),
        (GET, STOCK, *REST, (b"content-length", b"+0")),
        (GET, STOCK, *REST, (b"content-length", b"0x0")),
        (GET, STOCK, *REST, (b"content-length", b"0"), (b"content-length", b"0")),
        (GET, STOCK, *REST, (b"content-length", b"99999999999999999999")),
        ((b":method", b""), STOCK, *REST),
        ((b":method", b"CONNECT"), STOCK, *REST),
        ((b":method", b"CONNECT"),),
        (GET, (b":protocol", b"websocket"), STOCK, *REST),
        ((b":method", b"CONNECT"), (b":protocol", b"websocket"), REST[1]),
    )

    def test_table(self) -> None:
        """Each is reset and counted, and reaches nobody; a neighbour is served."""
        client = self.client
        for number, row in enumerate(self.ROWS, 1):
            stream = client.forge()
            client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, block(*row)))
            client.hear()
            self.assertEqual(client.told[stream].reset, PROTOCOL_ERROR, row)
            self.assertEqual(self.count("streams_malformed"), number, row)
            self.check_neighbour(client)
        self.assertEqual(client.gone, [])

    def test_lengths(self) -> None:
        """A body that is longer or shorter than was told."""
        for size, sent in ((5, b"123456"), (5, b"1234")):
            number = self.client.begin(POST, ECHO, (b"content-length", b"%d" % size), body=sent)
            self.assertEqual(self.client.told[number].reset, PROTOCOL_ERROR)
        self.assertEqual(self.count("streams_malformed"), 2)
        self.check_neighbour(self.client)

    def test_trailers(self) -> None:
        """Trailers that do not end their stream, and pseudo-headers in trailers."""
        for fields, end in (([(b"x", b"y")], False), ([(b":path", b"/")], True)):
            number = self.client.begin(POST, ECHO, end=False)
            flags = END_HEADERS | (END_STREAM if end else 0)
            self.client.send(frame(HEADERS, flags, number, block(*fields)))
            self.client.hear()
            self.assertEqual(self.client.told[number].reset, PROTOCOL_ERROR)
        self.check_neighbour(self.client)

    def test_nothing_in_a_window_update(self) -> None:
        """Zero is no increment; on a stream that ends the stream (section 6.9)."""
        told = self.client.ask(GET, HELD)
        self.client.send(frame(WINDOW_UPDATE, 0, 1, u32(0)))
        self.client.hear()
        self.assertEqual(told.reset, PROTOCOL_ERROR)
        self.assertFalse(self.front.held.requests[0].is_open)
        self.check_neighbour(self.client)

    def test_too_much_in_a_window_update(self) -> None:
        """Nor may a stream's window be larger than 2^31-1."""
        told = self.client.ask(GET, HELD)
        self.client.send(frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1)))
        self.client.hear()
        self.assertEqual(told.reset, FLOW_CONTROL_ERROR)
        self.check_neighbour(self.client)


class RefusedTests(Case):
    """What is a request and not for us is answered."""

    limits = Limits(head=2000, headers=20, uri=500)

    ROWS: tuple[tuple[tuple[tuple[bytes, bytes], ...], int, str], ...] = (
        ((GET, STOCK, (b":scheme", b"https"), REST[1]), 400, "wrong-scheme"),
        ((GET, STOCK, (b":scheme", b"ftp"), REST[1]), 400, "wrong-scheme"),
        ((GET, STOCK, REST[0]), 400, "missing-host"),
        ((GET, STOCK, REST[0], (b":authority", b"")), 400, "missing-host"),
        ((GET, STOCK, REST[0], (b":authority", b"a@localhost:8080")), 400, "bad-host"),
        ((GET, STOCK, REST[0], (b":authority", b"evil.example")), 421, "foreign-host"),
        ((GET, (b":path", b"stock"), *REST), 400, "bad-target"),
        ((GET, (b":path", b"/a b"), *REST), 400, "bad-target"),
        ((GET, (b":path", b"/a#b"), *REST), 400, "bad-target"),
        ((GET, (b":path", b"/\xe4"), *REST), 400, "bad-target"),
        ((GET, (b":path", b"http://localhost:8080/"), *REST), 400, "bad-target"),
        ((GET, (b":path", b"*"), *REST), 405, "method-not-allowed"),
        ((GET, (b":path", b"/" + b"a" * 600), *REST), 414, "uri-too-long"),
        (((b":method", b"get"), STOCK, *REST), 501, "unknown-method"),
        (((b":method", b"TRACE"), STOCK, *REST), 405, "method-not-allowed"),
        (((b":method", b"CONNECT"), REST[1]), 405, "method-not-allowed"),
        (((b":method", b"CONNECT"), (b":protocol", b"masque"), STOCK, *REST), 501,
         "unknown-tunnel"),
        (((b":method", b"CONNECT"), (b":protocol", b"websocket"), STOCK, *REST), 501,
         "unknown-tunnel"),
        ((GET, STOCK, *REST, (b"expect", b"tea")), 417, "expectation-failed"),
        ((GET, STOCK, *REST, (b"x", b"a\x7fb")), 400, "bad-header"),
        ((GET, STOCK, *REST, (b"x", b"a" * 2500)), 431, "headers-too-large"),
        ((GET, STOCK, *REST, *(((b"x", b"a"),) * 20)), 431, "too-many-headers"),
    )  # fmt: skip

    def test_table(self) -> None:
        """The status, the code, the count; and a neighbour on the connection is served."""
        for row, status, code in self.ROWS:
            client = self.front.client()
            client.forge()
            before = self.count(f"refused.{code}")
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*row)))
            client.hear()
            told = client.told[1]
            self.assertEqual((told.status, code in told.body.decode()), (status, True), row)
            self.assertEqual(self.count(f"refused.{code}"), before + 1, row)
            self.check_neighbour(client)


def big_block() -> bytes:
    return block(GET, STOCK, *REST, *(((b"x", b"a" * 4000),) * 12))


class ConnectionErrorTests(Case):
    """What breaks the connection's rules ends it, and nothing more is read."""

    ROWS: tuple[tuple[str, bytes, int], ...] = (
        ("no preface", b"GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", PROTOCOL_ERROR),
        ("headers first", PREFACE[:24] + frame(HEADERS, 5, 1, ASK), PROTOCOL_ERROR),
        ("an acknowledgement first", PREFACE[:24] + frame(SETTINGS, ACK, 0), PROTOCOL_ERROR),
        ("data on an idle stream", PREFACE + frame(DATA, 1, 1, b"x"), PROTOCOL_ERROR),
        ("data on no stream", PREFACE + frame(DATA, 1, 0, b"x"), PROTOCOL_ERROR),
        ("headers on no stream", PREFACE + frame(HEADERS, 5, 0, ASK), PROTOCOL_ERROR),
        ("headers of a server", PREFACE + frame(HEADERS, 5, 2, ASK), PROTOCOL_ERROR),
        ("a lower stream", PREFACE + frame(HEADERS, 5, 5, ASK) + frame(HEADERS, 5, 3, ASK),
         PROTOCOL_ERROR),
        ("reset of an idle stream", PREFACE + frame(RST_STREAM, 0, 1, u32(8)), PROTOCOL_ERROR),
        ("reset of no stream", PREFACE + frame(RST_STREAM, 0, 0, u32(8)), PROTOCOL_ERROR),
        ("a short reset", PREFACE + frame(HEADERS, 5, 1, ASK) + frame(RST_STREAM, 0, 1, b"1"),
         FRAME_SIZE_ERROR),
        ("settings of a stream", PREFACE + frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        ("an acknowledgement that says more", PREFACE + frame(SETTINGS, ACK, 0, setting(4, 1)),
         FRAME_SIZE_ERROR),
        ("half a setting", PREFACE + frame(SETTINGS, 0, 0, b"123"), FRAME_SIZE_ERROR),
        ("push neither on nor off", PREFACE + frame(SETTINGS, 0, 0, setting(2, 2)),
         PROTOCOL_ERROR),
        ("a window too large", PREFACE + frame(SETTINGS, 0, 0, setting(4, 2**31)),
         FLOW_CONTROL_ERROR),
        ("frames too small", PREFACE + frame(SETTINGS, 0, 0, setting(5, 16383)), PROTOCOL_ERROR),
        ("frames too large", PREFACE + frame(SETTINGS, 0, 0, setting(5, 2**24)), PROTOCOL_ERROR),
        ("a push", PREFACE + frame(PUSH, 4, 1, u32(2) + ASK), PROTOCOL_ERROR),
        ("a ping on a stream", PREFACE + frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
        ("a short ping", PREFACE + frame(PING, 0, 0, b"1234"), FRAME_SIZE_ERROR),
        ("goodbye on a stream", PREFACE + frame(GOAWAY, 0, 1, u32(0) + u32(0)), PROTOCOL_ERROR),
        ("half a goodbye", PREFACE + frame(GOAWAY, 0, 0, u32(0)), PROTOCOL_ERROR),
        ("no window", PREFACE + frame(WINDOW_UPDATE, 0, 0, u32(0)), PROTOCOL_ERROR),
        ("half a window", PREFACE + frame(WINDOW_UPDATE, 0, 0, b"12"), FRAME_SIZE_ERROR),
        ("too much window", PREFACE + frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)),
         FLOW_CONTROL_ERROR),
        ("window of an idle stream", PREFACE + frame(WINDOW_UPDATE, 0, 1, u32(1)),
         PROTOCOL_ERROR),
        ("continuation of nothing", PREFACE + frame(CONTINUATION, 4, 1, ASK), PROTOCOL_ERROR),
        ("continuation of another", PREFACE + frame(HEADERS, 1, 1, ASK[:3])
         + frame(CONTINUATION, 4, 3, ASK[3:]), PROTOCOL_ERROR),
        ("an interrupted block", PREFACE + frame(HEADERS, 1, 1, ASK[:3])
         + frame(PING, 0, 0, b"12345678"), PROTOCOL_ERROR),
        ("a block interrupted by the unknown", PREFACE + frame(HEADERS, 1, 1, ASK[:3])
         + frame(UNKNOWN, 0, 0, b"1"), PROTOCOL_ERROR),
        ("more padding than frame", PREFACE + frame(HEADERS, 5, 1, ASK)
         + frame(DATA, PADDED, 1, b"\x09x"), PROTOCOL_ERROR),
        ("no HPACK", PREFACE + frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
         COMPRESSION_ERROR),
        ("an index of nothing", PREFACE + frame(HEADERS, 5, 1, b"\xc0"), COMPRESSION_ERROR),
        ("a frame that is too long", PREFACE + b"\x00\x40\x01\x00\x00\x00\x00\x00\x01",
         FRAME_SIZE_ERROR),
        ("a list of fields that is too long", PREFACE + frame(HEADERS, 1, 1, big_block()[:16000])
         + b"".join(frame(CONTINUATION, 0, 1, big_block()[at: at + 16000])
                    for at in (16000, 32000)) + frame(CONTINUATION, 4, 1, big_block()[48000:]),
         CALM),
        ("continuations without end", PREFACE + frame(HEADERS, 1, 1, ASK)
         + frame(CONTINUATION, 0, 1, b"") * 70, PROTOCOL_ERROR),
    )  # fmt: skip

    def test_table(self) -> None:
        """GOAWAY with the code, a count, the end of reading, and a neighbour who is served."""
        neighbour = self.front.client()
        for number, (name, sent, code) in enumerate(self.ROWS, 1):
            client = self.front.client(begin=False)
            client.h2.initiate_connection()
            client.h2.clear_outbound_data_buffer()
            client.send(sent)
            client.front.clock.advance(0)
            self.check_goaway(client, name, code)
            self.assertEqual(self.count("connections_failed"), number, name)
            self.assertTrue(client.wire.disconnecting, name)
            self.assertIsNone(client.wire.producer, name)
            self.assertEqual(client.wire.producerState, "paused", name)
            self.check_unheard(client)
            self.check_neighbour(neighbour)

    def check_goaway(self, client: Client, name: str, code: int) -> None:
        said = client.wire.value()
        found = [
            int.from_bytes(said[at + 13 : at + 17], "big")
            for at, kind in frames_of(said)
            if kind == GOAWAY
        ]
        self.assertEqual(found, [code], name)

    def check_unheard(self, client: Client) -> None:
        """Whatever follows is dropped, and the client is cut off soon."""
        client.wire.clear()
        requests = self.count("requests")
        client.send(frame(HEADERS, 5, 7, ASK) + frame(PING, 0, 0, b"12345678") * 100)
        self.assertEqual((client.wire.value(), self.count("requests")), (b"", requests))
        self.front.clock.advance(1)
        self.front.clock.advance(1)
        self.assertTrue(client.wire.aborted)

    def test_requests_are_lost(self) -> None:
        """Requests under way are told."""
        self.client.ask(GET, HELD)
        lost: list[Failure] = []
        self.front.held.requests[0].on_lost = lost.append
        self.client.send(frame(DATA, 0, 0, b"x"))
        self.assertEqual(len(lost), 1)


def frames_of(data: bytes) -> list[tuple[int, int]]:
    """Where each frame begins, and its type."""
    found, at = [], 0
    while at < len(data):
        found.append((at, data[at + 3]))
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    return found


class FloodTests(Case):
    """What brings no request is had only so often."""

    def floods(self) -> list[tuple[str, bytes]]:
        opened = frame(HEADERS, END_HEADERS, 1, block(POST, HELD, *REST))
        rapid = b"".join(
            frame(HEADERS, 5, number, ASK_HELD) + frame(RST_STREAM, 0, number, u32(CANCEL))
            for number in range(1, 1001, 2)
        )
        reset_by_us = b"".join(
            frame(HEADERS, 5, number, ASK_HELD) + frame(WINDOW_UPDATE, 0, number, u32(0))
            for number in range(1, 1001, 2)
        )
        after_the_end = b"".join(
            frame(HEADERS, 5, number, ASK_HELD) + frame(DATA, 1, number, b"x")
            for number in range(1, 1001, 2)
        )
        malformed = b"".join(frame(HEADERS, 5, number, block(GET)) for number in range(1, 1001, 2))
        return [
            ("reset", rapid),
            ("reset", reset_by_us),
            ("reset", after_the_end),
            ("reset", malformed),
            ("ping", frame(PING, 0, 0, b"12345678") * 500),
            ("ping", frame(PING, ACK, 0, b"12345678") * 500),
            ("settings", frame(SETTINGS, 0, 0) * 500),
            ("settings", frame(SETTINGS, ACK, 0) * 500),
            ("settings", frame(SETTINGS, 0, 0, setting(0x4242, 1) * 2700) * 5),
            ("priority", frame(PRIORITY, 0, 1, u32(3) + b"\x00") * 500),
            ("empty_data", opened + frame(DATA, 0, 1) * 500),
            ("empty_data", opened + frame(DATA, PADDED, 1, b"\x03\0\0\0") * 500),
            ("window_update", opened + frame(WINDOW_UPDATE, 0, 0, u32(1)) * 2000),
            ("window_update", opened + frame(WINDOW_UPDATE, 0, 1, u32(1)) * 2000),
            ("other", frame(UNKNOWN, 0, 0, b"x") * 500),
            ("stray", frame(HEADERS, 5, 1, ASK) + frame(DATA, 0, 1, b"x") * 3000),
        ]

    def test_table(self) -> None:
        """GOAWAY with ENHANCE_YOUR_CALM, a count, and a neighbour who is served."""
        neighbour = self.front.client()
        for purse, sent in self.floods():
            client = self.front.client()
            before = self.count(f"floods.{purse}")
            for at in range(0, len(sent), 4096):
                client.send(sent[at : at + 4096])
            said = client.wire.value()
            codes = [
                int.from_bytes(said[at + 13 : at + 17], "big")
                for at, kind in frames_of(said)
                if kind == GOAWAY
            ]
            self.assertEqual(codes, [CALM], purse)
            self.assertEqual(self.count(f"floods.{purse}"), before + 1, purse)
            self.assertTrue(client.wire.disconnecting)
            self.assertEqual(client.server.streams, {})
            self.check_neighbour(neighbour)

    def test_requests_are_cancelled(self) -> None:
        """A request that is reset is told so at once."""
        self.client.ask(GET, HELD)
        lost: list[Failure] = []
        self.front.held.requests[0].on_lost = lost.append
        self.client.h2.reset_stream(1)
        self.client.flush()
        self.assertEqual(len(lost), 1)
        self.assertEqual(self.count("streams_reset"), 1)

    def test_slow_is_no_flood(self) -> None:
        """As many frames over a longer time are fine."""
        for _ in range(100):
            self.client.send(frame(PING, 0, 0, b"12345678") * 10)
            self.sweep(1)
            self.check_neighbour(self.client)
        self.assertEqual(self.client.gone, [])

    def test_updates_for_what_was_sent(self) -> None:
        """A client may widen its windows for each frame it gets."""
        told = self.client.ask(GET, HELD)
        request = self.front.held.requests[0]
        request.start(200, [])
        for _ in range(3000):
            request.write(b"event")
            self.front.clock.advance(0)
            self.client.wire.clear()
            self.client.send(
                frame(WINDOW_UPDATE, 0, 1, u32(5)) + frame(WINDOW_UPDATE, 0, 0, u32(5))
            )
        self.assertTrue(request.is_open)
        self.assertEqual(self.count("connections_failed"), 0)
        self.assertFalse(told.ended)

    def test_settings_that_nobody_knows(self) -> None:
        """They are not remembered."""
        for number in range(100, 150):
            self.client.send(frame(SETTINGS, 0, 0, setting(number, 1)))

    def test_encoder_table(self) -> None:
        """A client that allows a huge table makes us keep nothing."""
        self.client.send(frame(SETTINGS, 0, 0, setting(1, 2**32 - 1)))
        self.client.hear()
        self.check_neighbour(self.client)


ASK_HELD = block(GET, HELD, *REST)


class TimeTests(Case):
    """Nothing may take for ever."""

    limits = Limits(head_time=10, body_time=20, body_total=60, idle_time=40)

    def test_no_preface(self) -> None:
        """Who says nothing is told to go."""
        wire = self.front.client(begin=False).wire
        for _ in range(9):
            self.front.clock.advance(1)
        self.assertFalse(wire.disconnecting)
        for _ in range(3):
            self.front.clock.advance(1)
        self.assertTrue(wire.disconnecting)
        self.assertEqual(self.count("refused.head-timeout"), 1)

    def test_slow_block(self) -> None:
        """A header block that comes byte by byte has as long as any other."""
        self.client.send(frame(HEADERS, 1, 1, b""))
        for at in range(12):
            self.client.send(frame(CONTINUATION, 0, 1, ASK[at : at + 1]))
            self.sweep(1)
        self.assertTrue(self.client.wire.disconnecting)
        self.assertEqual(self.count("refused.head-timeout"), 1)
        self.check_neighbour()

    def test_slow_frame(self) -> None:
        """So has a frame of another kind."""
        ping = frame(PING, 0, 0, b"12345678")
        for at in range(12):
            self.client.send(ping[at : at + 1])
            self.sweep(1)
        self.assertTrue(self.client.wire.disconnecting)

    def test_always_in_the_middle(self) -> None:
        """Frames that follow one another are not late because the next one has begun."""
        ping = frame(PING, 0, 0, b"12345678")
        self.client.send(ping[:5])
        for _ in range(30):
            self.client.send(ping[5:] + ping[:5])
            self.sweep(1)
        self.assertFalse(self.client.wire.disconnecting)

    def test_idle(self) -> None:
        """A connection on which nothing is asked is closed in good order; pings do not count."""
        self.check_neighbour(self.client)
        for _ in range(42):
            self.client.send(frame(PING, 0, 0, b"12345678"))
            self.sweep(1)
        self.assertEqual(self.client.gone, [(NO_ERROR, 1)])
        self.assertEqual(self.count("idle_closed"), 1)
        self.assertTrue(self.client.wire.disconnecting)

    def test_quiet_streams_are_not_idle(self) -> None:
        """An event stream may be silent as long as it likes."""
        told = self.client.ask(GET, HELD)
        self.front.held.requests[0].start(200, [])
        self.sweep(200)
        self.assertEqual((told.status, told.reset, self.client.gone), (200, None, []))
        self.front.held.requests[0].finish()
        self.sweep(42)
        self.assertEqual(self.client.gone, [(NO_ERROR, 1)])

    def test_slow_body(self) -> None:
        """A body that stops coming is answered with 408; the connection stays."""
        number = self.client.begin(POST, ECHO, end=False)
        self.client.put(number, b"x", end=False)
        self.sweep(21)
        told = self.client.told[number]
        self.assertEqual((told.status, told.reset), (408, None))
        self.sweep(4)
        self.assertEqual(told.reset, NO_ERROR)
        self.assertEqual(self.count("refused.body-timeout"), 1)
        self.check_neighbour(self.client)

    def test_dripping_body(self) -> None:
        """One that never stops coming has its time as well."""
        number = self.client.begin(POST, ECHO, end=False)
        for _ in range(62):
            if self.client.told[number].status:
                break
            self.client.put(number, b"x", end=False)
            self.sweep(1)
        self.assertEqual(self.client.told[number].status, 408)

    def test_body_that_nobody_wants(self) -> None:
        """What is dropped may not take for ever either."""
        path = self.serve(lambda request: request.respond(401, [], b"no"))
        number = self.client.begin(POST, path, (b"content-length", b"5"), end=False)
        self.assertEqual(self.client.told[number].status, 401)
        self.sweep(22)
        self.assertEqual(self.client.told[number].reset, NO_ERROR)


class EndTests(Case):
    """How a connection ends."""

    def test_drain(self) -> None:
        """What was asked before the client knew is answered; what comes later is refused."""
        self.client.ask(GET, HELD)
        held = self.front.held.requests[0]
        done: list[None] = []
        self.front.factory.drain().addCallback(done.append)
        late = self.client.h2  # the client has not heard of it yet
        self.assertEqual(self.client.gone, [])
        number = late.get_next_available_stream_id()
        self.client.told[number] = Told()
        late.send_headers(number, [GET, STOCK, *REST], end_stream=True)
        self.client.send(late.data_to_send())
        said = self.client.wire.value()
        self.client.wire.clear()
        goaways = [said[at + 9 : at + 17] for at, kind in frames_of(said) if kind == GOAWAY]
        self.assertEqual(goaways, [u32(2**31 - 1) + u32(0)])
        self.assertIn(b"hello", said)
        self.client.send(frame(PING, ACK, 0, b"mcptwist"))
        self.front.clock.advance(0)
        said = self.client.wire.value()
        goaways = [said[at + 9 : at + 17] for at, kind in frames_of(said) if kind == GOAWAY]
        self.assertEqual(goaways, [u32(number) + u32(0)])
        self.client.wire.clear()
        self.client.send(frame(HEADERS, 5, number + 2, ASK))
        self.assertEqual(self.count("streams_refused"), 1)
        self.assertFalse(self.client.wire.disconnecting)
        held.respond(200, [], b"at last")
        self.front.clock.advance(0)
        self.assertIn(b"at last", self.client.wire.value())
        self.assertTrue(self.client.wire.disconnecting)
        self.client.wire.lose()
        self.assertEqual(done, [None])

    def test_drain_idle(self) -> None:
        """A connection without requests goes as soon as the client has seen it coming."""
        self.front.factory.drain()
        self.client.send(frame(PING, ACK, 0, b"mcptwist"))
        self.assertTrue(self.client.wire.disconnecting)

    def test_drain_deaf(self) -> None:
        """A client that does not answer is told the last anyhow, and cut off."""
        self.front.factory.drain()
        for _ in range(4):
            self.front.clock.advance(1)
        self.assertTrue(self.client.wire.aborted)

    def test_client_leaves(self) -> None:
        """After a client's goodbye, what it asked for is still answered."""
        told = self.client.ask(GET, HELD)
        self.client.send(frame(GOAWAY, 0, 0, u32(0) + u32(0)))
        self.front.held.requests[0].respond(200, [], b"x" * 50_000)
        self.client.hear()
        self.assertEqual((told.ended, len(told.body)), (True, 50_000))
        self.assertTrue(self.client.wire.disconnecting)

    def test_client_leaves_with_nothing(self) -> None:
        """If it asked for nothing, that is the end."""
        self.client.send(frame(GOAWAY, 0, 0, u32(0) + u32(0)))
        self.assertTrue(self.client.wire.disconnecting)

    def test_lost(self) -> None:
        """Requests are told when the connection is gone."""
        self.client.ask(GET, HELD)
        lost: list[Failure] = []
        self.front.held.requests[0].on_lost = lost.append
        self.client.wire.lose()
        self.assertEqual(len(lost), 1)
        self.assertEqual(self.count("clients_lost"), 1)
        self.assertEqual(self.front.clock.getDelayedCalls(), [])

    def test_too_many_connections(self) -> None:
        """One too many is told so and closed."""
        front = Front2(Limits(connections=1))
        first = front.client()
        second = front.client()
        self.assertEqual(second.gone[0][0], CALM)
        self.assertTrue(second.wire.disconnecting)
        self.check_neighbour(first)


class FuzzTests(SynchronousTestCase):
    """Whatever comes, in whatever pieces."""

    def conversation(self) -> bytes:
        """A client's half of a conversation, with something of everything."""
        front = Front2()
        client = front.client(begin=False)
        sent: list[bytes] = []
        listen = client.send
        client.send = lambda data: (sent.append(data), listen(data))[1]  # type: ignore[method-assign]
        client.h2.initiate_connection()
        client.flush()
        client.ask(GET, STOCK)
        client.ask(POST, ECHO, (b"content-length", b"500"), body=b"x" * 500)
        client.h2.ping(b"12345678")
        client.ask(POST, ECHO, (b"x-long", b"y" * 3000), body=b"z" * 900)
        client.ask(GET, HELD)
        client.h2.reset_stream(7)
        client.flush()
        return b"".join(sent)

    @settings(deadline=None, max_examples=60)
    @given(some.lists(some.integers(1, 400), min_size=1, max_size=30))
    def test_pieces(self, sizes: list[int]) -> None:
        """However a conversation is cut, it is the same."""
        front = Front2()
        client = front.client(begin=False)
        sent, at = self.conversation(), 0
        for size in [*sizes, len(sent)]:
            client.send(sent[at : at + size])
            at += size
        front.clock.advance(0)
        self.assertEqual(front.counters.requests, 4)
        self.assertEqual(client.server.streams, {})
        self.assertFalse(client.wire.disconnecting)
        self.assertEqual(client.wire.value().count(b"x" * 500), 1)

    @settings(deadline=None, max_examples=150)
    @given(
        some.lists(
            some.tuples(some.integers(0, 5000), some.binary(min_size=0, max_size=6)),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    def test_mutations(self, changes: list[tuple[int, bytes]]) -> None:
        """A conversation with mistakes in it ends well: no exception, no stream left behind."""
        sent = bytearray(self.conversation())
        for at, data in changes:
            at %= len(sent)
            sent[at : at + len(data)] = data
        self.check_survives(bytes(sent))

    @settings(deadline=None, max_examples=150)
    @given(
        some.lists(
            some.builds(
                frame, some.integers(0, 12), some.integers(0, 255), some.integers(0, 9),
                some.binary(max_size=30) | some.just(ASK),
            ),
            max_size=12,
        )
    )  # fmt: skip
    def test_frames(self, sent: list[bytes]) -> None:
        """So do frames that make no sense."""
        self.check_survives(PREFACE + b"".join(sent))

    def check_survives(self, sent: bytes) -> None:
        front = Front2(Limits(head_time=5, body_time=5, idle_time=5, write_time=5))
        client = front.client(begin=False)
        client.send(sent)
        for _ in range(2):
            front.clock.advance(0)
        front.held.requests.clear()
        for _ in range(20):
            front.clock.advance(1)
        if not (client.wire.disconnecting or client.wire.aborted):
            self.assertTrue(all(s.request is not None for s in client.server.streams.values()))
        self.assertEqual(self.flushLoggedErrors(), [])
        fine = front.client().ask(GET, STOCK)
        self.assertEqual(fine.body, b"hello")


class GuardTests(Case):
    """Encrypted connections."""

    def test_scheme(self) -> None:
        """On an encrypted connection the scheme is https."""
        client = self.front.client(secure=True)
        fields = ((b":scheme", b"https"), (b":authority", b"localhost:8080"))
        self.assertEqual(client.ask(GET, STOCK, *fields).status, 200)
        self.assertEqual(client.ask(GET, STOCK).status, 400)

    def test_several_hosts(self) -> None:
        """Each stream is judged by its own authority."""
        self.front.site.guard = HostGuard(["mcp.example"])
        for authority, status in ((b"mcp.example", 200), (b"evil.example", 421)) * 2:
            told = self.client.ask(GET, STOCK, (b":authority", authority))
            self.assertEqual(told.status, status)
