"""A site in memory, asked over HTTP/2 by the h2 library in the client's role."""

from __future__ import annotations

from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from twisted.internet.interfaces import ISSLTransport
from zope.interface import directlyProvides

from mcptwist.protocols.h2limits import HTTP2Limits
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.site import HostGuard
from tests.protocols.front import PORT, Front, Wire

GET = (b":method", b"GET")
POST = (b":method", b"POST")
STOCK = (b":path", b"/stock")
ECHO = (b":path", b"/echo")
HELD = (b":path", b"/held")
REST = [(b":scheme", b"http"), (b":authority", b"localhost:8080")]


class Told:
    """What one stream was told."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.informational: list[int] = []
        self.body = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.headers).get(b":status", 0))

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)


class Client:
    """One connection, at the client's end.

    :ivar h2: the state machine; bytes it has to send go with :meth:`flush`.
    :ivar gone: error code and last stream of each GOAWAY.
    :ivar greedy: whether windows are widened as data comes.
    """

    def __init__(self, front: Front2, secure: bool = False, begin: bool = True) -> None:
        self.wire = front.wire(secure)
        self.front = front
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=True,
            )
        )
        self.told: dict[int, Told] = {}
        self.gone: list[tuple[int, int]] = []
        self.settings: dict[int, int] = {}
        self.greedy = True
        if begin:
            self.h2.initiate_connection()
            self.flush()

    @property
    def server(self) -> HTTP2Connection:
        server: Any = self.wire.protocol
        return server

    def flush(self) -> None:
        """Send what is to be sent, and hear what is said until both are silent."""
        while data := self.h2.data_to_send():
            self.send(data)
        self.hear()

    def send(self, data: bytes) -> None:
        """Send bytes of our own making."""
        self.wire.protocol.dataReceived(data)

    def hear(self) -> None:
        """Take what was written, and tell it to the state machine."""
        self.front.clock.advance(0)
        data = self.wire.value()
        self.wire.clear()
        if data:
            for event in self.h2.receive_data(data):
                self._hear(event)
            answer = self.h2.data_to_send()
            if answer and self.wire.connected:
                self.send(answer)
                self.hear()

    def _hear(self, event: Any) -> None:
        number = getattr(event, "stream_id", 0)
        told = self.told.setdefault(number, Told()) if number else Told()
        match event:
            case events.ResponseReceived():
                told.headers = list(event.headers)
            case events.InformationalResponseReceived():
                told.informational.append(int(dict(event.headers)[b":status"]))
            case events.DataReceived():
                told.body += event.data
                if self.greedy and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, number)
            case events.StreamEnded():
                told.ended = True
            case events.StreamReset():
                told.reset = int(event.error_code)
            case events.ConnectionTerminated():
                self.gone.append((int(event.error_code), event.last_stream_id))
            case events.RemoteSettingsChanged():
                changed = event.changed_settings.values()
                self.settings.update({int(each.setting): each.new_value for each in changed})

    def ask(
        self, *fields: tuple[bytes, bytes], body: bytes | None = None, end: bool = True
    ) -> Told:
        """Send a request on a new stream, and hear what comes at once."""
        return self.told[self.begin(*fields, body=body, end=end)]

    def begin(
        self, *fields: tuple[bytes, bytes], body: bytes | None = None, end: bool = True
    ) -> int:
        """As :meth:`ask`; the stream's number."""
        number = self.h2.get_next_available_stream_id()
        self.told[number] = Told()
        pseudo = [field for field in fields if field[0][:1] == b":"]
        names = {name for name, _ in pseudo}
        pseudo += [field for field in REST if field[0] not in names]
        plain = [field for field in fields if field[0][:1] != b":"]
        self.h2.send_headers(number, pseudo + plain, end_stream=body is None and end)
        if body is not None:
            self.put(number, body, end)
        self.flush()
        return number

    def forge(self) -> int:
        """Open a stream whose frames will be made by hand; its number. Nothing is sent."""
        number = self.h2.get_next_available_stream_id()
        self.told[number] = Told()
        self.h2.send_headers(number, [GET], end_stream=True)
        self.h2.clear_outbound_data_buffer()
        return number

    def put(self, number: int, body: bytes, end: bool = True) -> None:
        """Send a body as far as the windows allow."""
        while body:
            room = min(self.h2.local_flow_control_window(number), 16384)
            if not room:
                raise AssertionError("the window is closed")
            piece, body = body[:room], body[room:]
            self.h2.send_data(number, piece, end_stream=end and not body)
            self.flush()
        self.flush()


class Front2(Front):
    """A site in memory, with connections of HTTP/2."""

    def __init__(
        self,
        limits: Limits | None = None,
        guard: HostGuard | None = None,
        http2: HTTP2Limits | None = None,
    ) -> None:
        super().__init__(limits, guard)
        self.http2 = http2

    def wire(self, secure: bool = False) -> Wire:
        """A transport with a connection behind it."""
        from twisted.internet.address import IPv4Address

        connection: Any = HTTP2Connection(self.factory, self.http2)
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", PORT))
        if secure:
            directlyProvides(wire, ISSLTransport)
        wire.protocol = connection
        connection.makeConnection(wire)
        return wire

    def client(self, secure: bool = False, begin: bool = True) -> Client:
        return Client(self, secure, begin)
