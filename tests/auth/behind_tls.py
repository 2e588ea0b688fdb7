"""The daemon that wants keys, behind TLS in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived
from twisted.internet.address import IPv4Address

from mcptwist.auth.keys import PrivateKey
from mcptwist.protocols.secure import SecureFront, _TLSFactory
from mcptwist.protocols.tls import CertificateFiles, Certificates, ClientCertificates
from tests.auth.closed import HERE, Closed
from tests.auth.people import NOW, key
from tests.conversations.posting import rpc
from tests.protocols.tlsfront import TCPWire, TLSClient, make_pair

PORT = 8443
HOST = f"localhost:{PORT}"
BASE = f"https://{HOST}"
GREETING = rpc(
    "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
)
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
}


def pair_of(place: Path, name: str, signer: PrivateKey, **how: Any) -> CertificateFiles:
    """A certificate for a key of ours."""
    return make_pair(place, name, key=load_pem_private_key(signer.pem(), None), **how)


class SecureDoor:
    """A TLS listener of the daemon's.

    :param mutual: whether it asks for certificates.
    :param tls12: whether TLS 1.2 is spoken too.
    :ivar certificates: what it shows.
    """

    def __init__(self, house: Closed, place: Path, mutual: bool, tls12: bool = False) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.house = house
        self.clock = house.clock
        files = make_pair(place, "daemon")
        self.certificates = Certificates(lambda: [files], tls12, lambda: NOW)
        self.certificates.load()
        shown = ClientCertificates(self.certificates) if mutual else self.certificates
        self.tls = _TLSFactory(shown, False, SecureFront(house.factory), self.clock)

    def accept(self) -> TCPWire:
        """A connection on which nothing has been said."""
        protocol: Any = self.tls.buildProtocol(IPv4Address("TCP", self.house.source, 9))
        wire = TCPWire(hostAddress=IPv4Address("TCP", "127.0.0.1", PORT))
        wire.peerAddr = IPv4Address("TCP", self.house.source, 9)
        wire.clock = self.clock
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def client(self, **how: Any) -> TLSClient:
        """One whose handshake is done."""
        how.setdefault("name", "localhost")
        door: Any = self
        return TLSClient(door, **how).shake()


def post(client: TLSClient, message: Any = None, path: str = "/mcp", **headers: str) -> int:
    """Post over HTTP/1.1; the status."""
    body = json.dumps(message or GREETING)
    lines = {"host": HOST, **HEADERS, **headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    client.data = b""
    client.send(f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode())
    return int(client.data.split(b" ", 2)[1]) if client.data else 0


class H2Caller:
    """A client that speaks HTTP/2 over TLS."""

    def __init__(self, client: TLSClient) -> None:
        self.client = client
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.client.send(self.h2.data_to_send())

    def post(self, message: Any = None, path: str = "/mcp", **headers: str) -> tuple[int, bytes]:
        """The status and the body; 0 while there is none."""
        number = self.h2.get_next_available_stream_id()
        pseudo = {":method": "POST", ":scheme": "https", ":authority": HOST, ":path": path}
        self.h2.send_headers(number, list((pseudo | HEADERS | headers).items()))
        self.h2.send_data(number, json.dumps(message or GREETING).encode(), end_stream=True)
        self.client.data = b""
        self.client.send(self.h2.data_to_send())
        status, body = 0, b""
        for event in self.h2.receive_data(self.client.data):
            if isinstance(event, ResponseReceived):
                status = int(dict(event.headers or ())[b":status"])
            elif isinstance(event, DataReceived):
                body += event.data or b""
        return status, body


__all__ = ["BASE", "HERE", "H2Caller", "SecureDoor", "key", "pair_of", "post"]
