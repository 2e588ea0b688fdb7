"""Tests of mcptwist.protocols.h2codec, beside the h2 library in the same role.

What a client may say, and what it may not, is tested where it shows: see test_http2.
"""

from __future__ import annotations

from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist.protocols.h2codec import Codec, CodecLimits, ICodecUser
from mcptwist.protocols.h2frames import (
    DATA,
    HEADERS,
    RST_STREAM,
    WINDOW_UPDATE,
    ConnectionFailed,
    frame_head,
)
from mcptwist.protocols.hpacking import FieldEncoder, Fields

Heard = list[tuple[Any, ...]]

FIELDS = [
    (b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost:8443"),
    (b":path", b"/mcp"), (b"content-type", b"application/json"),
]  # fmt: skip
LATER = [(b"x-checked", b"yes")]


@implementer(ICodecUser)
class User:
    """Writes down what it is told, and uses bodies at once."""

    def __init__(self, limits: CodecLimits) -> None:
        self.heard: Heard = []
        self.codec = Codec(self, limits, lambda: 0.0)
        self.uses_bodies = True

    def opened(self, stream: int, fields: Fields, ended: bool) -> None:
        self.heard.append(("opened", stream, tuple(fields), ended))

    def trailed(self, stream: int, fields: Fields, whole: bool) -> None:
        self.heard.append(("trailed", stream, tuple(fields)))

    def body(self, stream: int, data: bytes, cost: int, ended: bool) -> None:
        self.heard.append(("body", stream, data, ended))
        if self.uses_bodies:
            self.codec.hand_back(stream, cost)

    def reset(self, stream: int, code: int) -> None:
        self.heard.append(("reset", stream, code))

    def window_opened(self, stream: int) -> None:
        self.heard.append(("window", stream))

    def pinged_back(self) -> None:
        self.heard.append(("ping",))

    def going_away(self) -> None:
        self.heard.append(("away",))


class Reference:
    """The h2 library in the codec's place."""

    def __init__(self) -> None:
        self.heard: Heard = []
        quiet = {"validate_inbound_headers": False, "normalize_inbound_headers": False}
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None, **quiet))
        self.h2.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = 1 << 20
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window((4 << 20) - 65535)

    def receive(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._hear(event)

    def _hear(self, event: Any) -> None:
        number = getattr(event, "stream_id", 0)
        match event:
            case events.RequestReceived():
                fields = tuple(tuple(field) for field in event.headers)
                self.heard.append(("opened", number, fields, event.stream_ended is not None))
            case events.TrailersReceived():
                fields = tuple(tuple(field) for field in event.headers)
                self.heard.append(("trailed", number, fields))
            case events.DataReceived():
                ended = event.stream_ended is not None
                self.heard.append(("body", number, bytes(event.data), ended))
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
            case events.StreamReset():
                self.heard.append(("reset", number, int(event.error_code)))
            case events.WindowUpdated():
                self.heard.append(("window", number))
            case events.RemoteSettingsChanged():
                if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
                    self.heard.append(("window", 0))
            case events.PingAckReceived():
                self.heard.append(("ping",))


Step = tuple[str, int, int]
KINDS = ["ask", "ask", "body", "body", "trail", "reset", "ping", "settings", "widen", "widen_all",
         "answer", "answer", "say", "cut"]  # fmt: skip
STEPS = some.lists(
    some.tuples(some.sampled_from(KINDS), some.integers(0, 5), some.integers(0, 3000)), max_size=40
)


class Open:
    """A stream that is not over, as the rules see it."""

    def __init__(self) -> None:
        self.asked = False  # the client has sent all of it
        self.begun = False  # the servers have sent the head of the answer
        self.answered = False  # and all of it


class Talk:
    """A client that keeps to the rules, our codec, and h2 in its role, all at once.

    Each step is something the client, or both servers, do with one of the streams; what the rules
    do not allow at that moment is left out.
    """

    def __init__(self) -> None:
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.ours = User(CodecLimits())
        self.theirs = Reference()
        self.open: dict[int, Open] = {}
        self.client.initiate_connection()
        self.deliver()

    def deliver(self) -> None:
        """Let each hear what the others said, until all are silent."""
        while True:
            asked = self.client.data_to_send()
            if asked:
                self.ours.codec.receive(asked)
                self.theirs.receive(asked)
            self.theirs.h2.data_to_send()
            said = self.ours.codec.output()
            if not asked and not said:
                return
            for event in self.client.receive_data(said):
                if isinstance(event, events.DataReceived) and event.flow_controlled_length:
                    self.client.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id or 0
                    )

    def take(self, step: Step) -> None:
        kind, which, size = step
        if kind in ("ask", "ping", "settings", "widen_all"):
            getattr(self, "_" + kind)(size)
        elif self.open:
            stream = list(self.open)[which % len(self.open)]
            state = self.open[stream]
            getattr(self, "_" + kind)(stream, state, size)
            if state.asked and state.answered:
                self.open.pop(stream, None)
        self.deliver()

    def _ask(self, size: int) -> None:
        number = self.client.get_next_available_stream_id()
        extra = [(b"x-size", b"%d" % size)] if size % 3 else []
        self.client.send_headers(number, FIELDS + extra, end_stream=size % 5 == 0)
        self.open[number] = state = Open()
        state.asked = size % 5 == 0

    def _ping(self, size: int) -> None:
        self.client.ping(b"12345678")

    def _settings(self, size: int) -> None:
        self.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 60000 + size * 10})

    def _widen_all(self, size: int) -> None:
        self.client.increment_flow_control_window(size + 1)

    def _widen(self, stream: int, state: Open, size: int) -> None:
        self.client.increment_flow_control_window(size + 1, stream)

    def _body(self, stream: int, state: Open, size: int) -> None:
        if not state.asked:
            state.asked = size % 4 == 0
            self.client.send_data(stream, b"x" * size, state.asked, pad_length=size % 7 or None)

    def _trail(self, stream: int, state: Open, size: int) -> None:
        if not state.asked:
            state.asked = True
            self.client.send_headers(stream, LATER, end_stream=True)

    def _reset(self, stream: int, state: Open, size: int) -> None:
        self.client.reset_stream(stream, size % 8)
        del self.open[stream]

    def _answer(self, stream: int, state: Open, size: int) -> None:
        if not state.begun:
            state.begun, state.answered = True, size % 4 == 0
            fields = [(b":status", b"200"), (b"content-type", b"text/plain")]
            self.theirs.h2.send_headers(stream, fields, end_stream=state.answered)
            self.ours.codec.send_fields(stream, fields, state.answered)

    def _say(self, stream: int, state: Open, size: int) -> None:
        small = size <= self.theirs.h2.local_flow_control_window(stream)
        if state.begun and not state.answered and small:
            state.answered = size % 2 == 0
            self.theirs.h2.send_data(stream, b"z" * size, state.answered)
            self.ours.codec.send_data(stream, b"z" * size, state.answered)

    def _cut(self, stream: int, state: Open, size: int) -> None:
        self.theirs.h2.reset_stream(stream, 2)
        self.ours.codec.reset(stream, 2)
        del self.open[stream]

    def windows(self) -> list[tuple[int, int]]:
        """How much may be sent on each stream, by each of the two."""
        found = []
        for stream in self.open:
            window = self.theirs.h2.local_flow_control_window(stream)
            found.append((self.ours.codec.window(stream), max(0, min(window, 16384))))
        return found


class SameTests(SynchronousTestCase):
    """Beside h2."""

    @settings(deadline=None, max_examples=120)
    @given(STEPS)
    def test_any_conversation(self, steps: list[Step]) -> None:
        """We hear what h2 hears, may send as much, and its client understands all we say."""
        talk = Talk()
        for step in steps:
            talk.take(step)
            self.assertEqual(talk.ours.heard, talk.theirs.heard)
            for ours, theirs in talk.windows():
                self.assertEqual(ours, theirs)


class CodecTests(SynchronousTestCase):
    """What h2 has no word on."""

    def setUp(self) -> None:
        self.user = User(CodecLimits(stream_window=1000, connection_window=100_000))
        self.codec = self.user.codec
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self.sent = self.client.data_to_send()

    def begin(self) -> None:
        """A connection on which each has heard the other's settings."""
        self.codec.receive(self.sent)
        self.client.receive_data(self.codec.output())
        self.codec.receive(self.client.data_to_send())

    def ask(self, stream: int = 1) -> None:
        block = FieldEncoder().encode(FIELDS)
        self.codec.receive(frame_head(len(block), HEADERS, 4, stream) + block)

    def put(self, size: int, stream: int = 1) -> None:
        self.codec.receive(frame_head(size, DATA, 0, stream) + b"x" * size)

    def frames(self) -> list[tuple[int, int, bytes]]:
        """What was said since: type, stream and payload."""
        said, at, found = self.codec.output(), 0, []
        while at < len(said):
            size = int.from_bytes(said[at : at + 3], "big")
            stream = int.from_bytes(said[at + 5 : at + 9], "big")
            found.append((said[at + 3], stream, said[at + 9 : at + 9 + size]))
            at += 9 + size
        return found

    def test_interface(self) -> None:
        """The test's own user is one."""
        verifyObject(ICodecUser, self.user)

    def test_before_our_settings(self) -> None:
        """A client that has not read them may send what all may send; then as they say."""
        self.user.uses_bodies = False
        self.codec.receive(self.sent)
        self.ask()
        self.put(16000)
        self.assertEqual(self.user.heard[-1][:2], ("body", 1))
        self.client.receive_data(self.codec.output())
        self.codec.receive(self.client.data_to_send())
        self.put(1)
        self.assertEqual(self.user.heard[-1], ("reset", 1, 3))

    def test_more_than_there_was_room_for(self) -> None:
        """It ends the stream, and the room on the connection is given back."""
        self.begin()
        self.user.uses_bodies = False
        for stream in range(1, 301, 2):
            self.ask(stream)
            self.put(1001, stream)
            self.assertEqual(self.user.heard[-1], ("reset", stream, 3))
        updates = [said for said in self.frames() if said[0] == WINDOW_UPDATE]
        self.assertEqual({stream for _, stream, _ in updates}, {0})
        self.assertEqual(len(updates), 3)

    def test_a_window_is_given_back_in_halves(self) -> None:
        """The client is told when half of it was used, not for each frame."""
        self.begin()
        self.ask()
        for _ in range(10):
            self.put(100)
        updates = [said[1:] for said in self.frames() if said[0] == WINDOW_UPDATE]
        self.assertEqual(updates, [(1, (500).to_bytes(4, "big"))] * 2)

    def test_late_data(self) -> None:
        """What comes after we reset a stream is no mistake; what comes after its end is one."""
        self.begin()
        self.ask()
        self.codec.reset(1, 8)
        self.codec.output()
        self.put(100)
        self.assertEqual(self.frames(), [])
        self.ask(3)
        self.codec.send_fields(3, [(b":status", b"204")], True)
        self.codec.receive(frame_head(0, DATA, 1, 3))
        self.codec.output()
        self.put(100, 3)
        self.assertEqual(self.frames(), [(RST_STREAM, 3, (5).to_bytes(4, "big"))])

    def test_nothing_is_said_on_a_stream_that_is_over(self) -> None:
        """Whoever answers too late is not heard."""
        self.begin()
        self.ask()
        self.codec.reset(1, 8)
        self.codec.output()
        self.codec.send_fields(1, [(b":status", b"200")], False)
        self.codec.send_data(1, b"late", True)
        self.codec.reset(1, 8)
        self.assertEqual((self.frames(), self.codec.window(1)), ([], 0))

    def test_long_fields(self) -> None:
        """An answer's fields take as many frames as they need."""
        self.begin()
        self.client.send_headers(1, FIELDS)
        self.codec.receive(self.client.data_to_send())
        fields = [(b":status", b"200"), *((b"x-%d" % each, b"y" * 4000) for each in range(10))]
        self.codec.send_fields(1, fields, True)
        heard = self.client.receive_data(self.codec.output())
        self.assertEqual(list(heard[0].headers), fields)


BLOCK = FieldEncoder().encode(FIELDS)[1:]
ASK = 4  # END_HEADERS
ALL = 5  # and END_STREAM
PRIORITIZED = 0x20
OTHER = b"\0\0\0\x09\x10"  # a priority that names stream 9


def framed(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return frame_head(len(payload), kind, flags, stream) + payload


def on_itself(stream: int) -> bytes:
    """A priority of a stream that depends on itself."""
    return stream.to_bytes(4, "big") + b"\x10"


class StateTests(SynchronousTestCase):
    """A frame that does not suit the state of its stream (RFC 9113 section 5.1).

    These are the cases of h2spec's sections 5.1, 5.3 and 6 that end one stream, or the connection.
    """

    HALF = framed(HEADERS, ALL, 1, BLOCK)
    OPEN = framed(HEADERS, ASK, 1, BLOCK)
    RESET = OPEN + framed(RST_STREAM, 0, 1, (8).to_bytes(4, "big"))
    LONG = OPEN + framed(HEADERS, 0, 3, BLOCK[:4])

    #: What came before, what comes, and the code that ends the stream.
    STREAMS: tuple[tuple[str, bytes, bytes, int], ...] = (
        ("DATA after the end", HALF, framed(DATA, 0, 1, b"x"), 5),
        ("HEADERS after the end", HALF, framed(HEADERS, ALL, 1, BLOCK), 5),
        ("DATA after a reset", RESET, framed(DATA, 0, 1, b"x"), 5),
        ("HEADERS after a reset", RESET, framed(HEADERS, ALL, 1, BLOCK), 5),
        ("HEADERS that depend on themselves", b"",
         framed(HEADERS, ALL | PRIORITIZED, 1, on_itself(1) + BLOCK), 1),
        ("the same in two frames", b"",
         framed(HEADERS, 1 | PRIORITIZED, 1, on_itself(1) + BLOCK[:3])
         + framed(9, 4, 1, BLOCK[3:]), 1),
        ("PRIORITY that depends on itself", OPEN, framed(2, 0, 1, on_itself(1)), 1),
        ("PRIORITY that is too short", OPEN, framed(2, 0, 1, b"1234"), 6),
        ("WINDOW_UPDATE by nothing", OPEN, framed(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), 1),
        ("WINDOW_UPDATE by too much", OPEN, framed(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), 3),
    )  # fmt: skip

    #: What came before, what comes, and the code that ends the connection.
    CONNECTIONS: tuple[tuple[str, bytes, bytes, int], ...] = (
        ("CONTINUATION after a whole block", OPEN, framed(9, 4, 1, BLOCK), 1),
        ("CONTINUATION of another", LONG, framed(9, 4, 5, BLOCK), 1),
        ("another block meanwhile", LONG, framed(HEADERS, 4, 5, BLOCK), 1),
        ("a stream that was passed over", framed(HEADERS, ASK, 5, BLOCK),
         framed(HEADERS, ALL, 3, BLOCK), 1),
        ("half a priority in HEADERS", b"", framed(HEADERS, ALL | PRIORITIZED, 1, b"123"), 6),
        ("PRIORITY of no stream", b"", framed(2, 0, 0, OTHER), 1),
        ("PRIORITY of an idle stream that is too short", b"", framed(2, 0, 1, b"1"), 6),
        ("RST_STREAM of a server's stream", OPEN, framed(RST_STREAM, 0, 2, b"\0\0\0\x08"), 1),
        ("SETTINGS of a stream", OPEN, framed(4, 0, 1), 1),
        ("a window that grows too large", OPEN + framed(WINDOW_UPDATE, 0, 1, b"\x7f\xff\0\0"),
         framed(4, 0, 0, b"\0\x04\x7f\xff\xff\xff"), 3),
        ("a block that is too long", LONG, framed(9, 0, 3, b"x" * 16000) * 3, 11),
        ("a block in too many frames", LONG, framed(9, 0, 3) * 70, 1),
    )  # fmt: skip

    #: What came before, and what is no mistake.
    FINE: tuple[tuple[str, bytes, bytes], ...] = (
        ("WINDOW_UPDATE after the end", HALF, framed(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")),
        ("WINDOW_UPDATE after a reset", RESET, framed(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")),
        ("RST_STREAM after a reset", RESET, framed(RST_STREAM, 0, 1, b"\0\0\0\x08")),
        ("PRIORITY of an idle stream", b"", framed(2, 0, 1, OTHER)),
        ("PRIORITY after a reset", RESET, framed(2, 0, 1, OTHER)),
        ("HEADERS with a priority", b"", framed(HEADERS, ALL | PRIORITIZED, 1, OTHER + BLOCK)),
        ("a frame that nobody knows", OPEN, framed(99, 255, 1, b"?")),
        ("flags that nobody knows", OPEN, framed(6, 0x16, 0, b"12345678")),
        ("a reserved bit", OPEN, framed(WINDOW_UPDATE, 0, 0, b"\x80\0\0\1")),
    )  # fmt: skip

    def begin(self, before: bytes) -> User:
        user = User(CodecLimits())
        user.codec.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + framed(4, 0, 0) + before)
        user.codec.output()
        return user

    def still_open(self, user: User) -> bool:
        """Whether another stream is served; its fields build on all blocks that came before."""
        stream = user.codec.highest + 1 | 1
        user.codec.receive(framed(HEADERS, ALL, stream, BLOCK))
        return user.heard[-1] == ("opened", stream, tuple(FIELDS), True)

    def test_streams(self) -> None:
        """One stream ends with that code, and another is served."""
        for name, before, sent, code in self.STREAMS:
            user = self.begin(before)
            user.codec.receive(sent)
            reset = framed(RST_STREAM, 0, 1, code.to_bytes(4, "big"))
            self.assertEqual(user.codec.output(), reset, name)
            self.assertTrue(self.still_open(user), name)

    def test_connections(self) -> None:
        """The connection cannot go on."""
        for name, before, sent, code in self.CONNECTIONS:
            user = self.begin(before)
            with self.assertRaises(ConnectionFailed) as failed:
                user.codec.receive(sent)
            self.assertEqual(failed.exception.code, code, name)

    def test_fine(self) -> None:
        """Nothing ends."""
        for name, before, sent in self.FINE:
            user = self.begin(before)
            user.codec.receive(sent)
            self.assertNotIn(bytes([RST_STREAM]), user.codec.output()[3:4], name)
            self.assertTrue(self.still_open(user), name)

    def test_after_the_end_of_both(self) -> None:
        """HEADERS on a stream that both have ended is a mistake of the connection."""
        user = self.begin(self.HALF)
        user.codec.send_fields(1, [(b":status", b"204")], True)
        failed = self.assertRaises(ConnectionFailed, user.codec.receive, self.HALF)
        self.assertEqual(failed.code, 5)

    def test_after_we_reset_it(self) -> None:
        """What a client sent before it knew is dropped; its fields are decoded all the same."""
        user = self.begin(self.OPEN)
        user.codec.reset(1, 8)
        user.codec.output()
        user.heard.clear()
        later = b"\x40\x01a\x01b"  # remembered by both ends
        user.codec.receive(
            framed(HEADERS, ALL, 1, later) + framed(HEADERS, ALL, 3, BLOCK + b"\xbe")
        )
        self.assertEqual(user.codec.output(), b"")
        self.assertEqual(user.heard, [("opened", 3, (*FIELDS, (b"a", b"b")), True)])
