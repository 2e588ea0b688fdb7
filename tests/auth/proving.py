"""A client in memory that proves its key on its WebSocket, over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived
from OpenSSL import SSL

from mcptwist.auth.evidence import shown_key
from mcptwist.auth.keys import PrivateKey, PublicKey
from mcptwist.auth.mutualproof import (
    EXPORTER_LABEL,
    EXPORTER_SIZE,
    SUBPROTOCOL,
    AskingProof,
    Channel,
)
from mcptwist.protocols.tls import CertificateFiles
from tests.auth.behind_tls import HOST, SecureDoor
from tests.protocols.wsfront import CLOSE, TEXT, UPGRADE, frame, frames

OFFERED = f"mcp, {SUBPROTOCOL}"


class TLSEnd:
    """The client's end of a TLS connection, which knows its exporter (Python's own does not)."""

    def __init__(
        self,
        door: SecureDoor,
        version: int = SSL.TLS1_3_VERSION,
        alpn: bytes = b"",
        certificate: CertificateFiles | None = None,
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(version)
        if alpn:
            context.set_alpn_protos([alpn])
        if certificate is not None:
            context.use_certificate_file(certificate.certificate)
            context.use_privatekey_file(certificate.key)
        self.ssl = SSL.Connection(context, None)
        self.ssl.set_connect_state()
        self.door = door
        self.wire = door.accept()
        self.data = b""
        for _ in range(5):
            try:
                self.ssl.do_handshake()
            except SSL.WantReadError:
                self._exchange()
            else:
                break
        self.hear()

    def _exchange(self) -> bool:
        """Pass on what there is; whether anything came back."""
        try:
            self.wire.protocol.dataReceived(self.ssl.bio_read(1 << 20))
        except SSL.WantReadError:
            pass
        self.door.clock.advance(0)
        data = self.wire.value()
        if data:
            self.ssl.bio_write(data)
            self.wire.clear()
        return bool(data)

    def hear(self) -> None:
        while self._exchange():
            try:
                while True:
                    self.data += self.ssl.recv(1 << 16)
            except (SSL.WantReadError, SSL.ZeroReturnError):
                pass

    def send(self, data: bytes) -> None:
        self.ssl.sendall(data)
        self.hear()

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data

    @property
    def host_key(self) -> PublicKey:
        shown = self.ssl.get_peer_certificate()
        assert shown is not None
        found = shown_key_of(shown)
        assert found is not None
        return found

    @property
    def exporter(self) -> bytes:
        return self.ssl.export_keying_material(EXPORTER_LABEL, EXPORTER_SIZE)


def shown_key_of(certificate: Any) -> PublicKey | None:
    """The key of a certificate, found as the daemon finds it."""
    from twisted.internet.interfaces import ISSLTransport
    from zope.interface import directlyProvides

    class Transport:
        def getPeerCertificate(self) -> Any:
            return certificate

    transport = Transport()
    directlyProvides(transport, ISSLTransport)
    return shown_key(transport)


class ProvingSocket:
    """A WebSocket over TLS.

    :ivar status: of the answer to its opening handshake.
    """

    def __init__(
        self,
        door: SecureDoor,
        path: str = "/ws",
        offered: str = OFFERED,
        tls: TLSEnd | None = None,
        **headers: str,
    ) -> None:
        self.tls = tls or TLSEnd(door)
        said = {**UPGRADE, "Host": HOST, "Sec-WebSocket-Protocol": offered, **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self.tls.send(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        self.head, _, self._rest = self.tls.take().partition(b"\r\n\r\n")

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    @property
    def chosen(self) -> str:
        (found,) = (
            line.split(": ")[1]
            for line in self.head.decode().split("\r\n")
            if line.lower().startswith("sec-websocket-protocol")
        )
        return found

    def send(self, data: bytes) -> None:
        self.tls.send(data)

    def say(self, text: bytes) -> None:
        """Send a message."""
        self.send(frame(text))

    def heard(self) -> list[tuple[int, bytes]]:
        """What came since, as first bytes and payloads."""
        self.tls.hear()
        data, self._rest = self._rest + self.tls.take(), b""
        return frames(data)

    def message(self) -> bytes:
        """The one message that came since."""
        ((first, payload),) = self.heard()
        assert first & 15 == TEXT, (first, payload)
        return payload

    def closing(self) -> tuple[int, str]:
        """With what it was closed."""
        found = [payload for first, payload in self.heard() if first & 15 == CLOSE]
        return int.from_bytes(found[0][:2], "big"), found[0][2:].decode()


class Prover:
    """Who proves a key on a socket."""

    def __init__(self, socket: Any, signer: PrivateKey, **different: Any) -> None:
        tls = socket.tls
        said = {
            "authority": HOST,
            "host_key": tls.host_key.fingerprint,
            "exporter": tls.exporter,
            **different,
        }
        self.socket = socket
        self.proof = AskingProof(Channel(**said), tls.host_key, signer, b"n" * 32)

    def challenge(self) -> bytes:
        self.socket.say(self.proof.hello())
        text: bytes = self.socket.message()
        return text

    def prove(self) -> Any:
        """All of it; what the welcome says."""
        self.socket.say(self.proof.proof(self.challenge()))
        return self.proof.welcomed(self.socket.message())


class Tunnelled:
    """A WebSocket on an HTTP/2 stream (RFC 8441)."""

    def __init__(self, door: SecureDoor) -> None:
        self.tls = TLSEnd(door, alpn=b"h2")
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.status = 0
        self.chosen = ""
        self._data = b""
        self._flush()
        self._number = self.h2.get_next_available_stream_id()
        pseudo = {":method": "CONNECT", ":scheme": "https", ":authority": HOST, ":path": "/ws"}
        said = {"sec-websocket-version": "13", "sec-websocket-protocol": OFFERED}
        self.h2.send_headers(
            self._number, [*pseudo.items(), (":protocol", "websocket"), *said.items()]
        )
        self._flush()

    def _flush(self) -> None:
        self.tls.send(self.h2.data_to_send())
        self._take(self.h2.receive_data(self.tls.take()))

    def _take(self, told: Iterable[Any]) -> None:
        for event in told:
            if isinstance(event, ResponseReceived):
                found = dict(event.headers or ())
                self.status = int(found[b":status"])
                self.chosen = found.get(b"sec-websocket-protocol", b"").decode()
            elif isinstance(event, DataReceived):
                self._data += event.data or b""

    def say(self, text: bytes) -> None:
        self.h2.send_data(self._number, frame(text))
        self._flush()

    def message(self) -> bytes:
        data, self._data = self._data, b""
        ((_, payload),) = frames(data)
        return payload


def modern(method: str, **params: Any) -> bytes:
    from mcptwist.negotiation import modern_meta

    asked = {**params, "_meta": modern_meta({"name": "x"})}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": asked}).encode()
