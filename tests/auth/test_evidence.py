"""What a request brings to prove who sent it: which of several sorts counts, and which is none."""

from __future__ import annotations

import gc
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509
from twisted.internet.interfaces import ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mcptwist.auth import evidence
from mcptwist.auth.addresses import Address
from mcptwist.auth.checkers import CredentialsRefused
from mcptwist.auth.credentials import (
    AccessToken,
    ClientCertificate,
    LocalPeer,
    PresentedTicket,
)
from mcptwist.auth.evidence import Evidence, shown_key, tickets_in
from tests.auth.people import ISSUER, key

MCP = Address(ISSUER, "/mcp", "/", "mcp")
WS = Address(ISSUER, "/ws", "/", "ws")
HERE = "10.0.0.1"


def certificate(public: Any) -> X509:
    """As the far end shows it; by whom it is signed does not matter."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    begins = datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(name, name, public, 1, begins, begins + timedelta(1))
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    return X509.from_cryptography(signed)


@implementer(ISSLTransport)
class Secure:
    """A connection whose far end has shown a certificate, or none."""

    def __init__(self, shown: X509 | None) -> None:
        self.shown = shown
        self.asked = 0

    def getPeerCertificate(self) -> X509 | None:
        self.asked += 1
        return self.shown


class Connection:
    def __init__(self, transport: Any) -> None:
        self.transport = transport


class Stream:
    def __init__(self, connection: Connection, port: int | None) -> None:
        self.connection = connection
        self.port = port
        self.is_secure = isinstance(connection.transport, Secure)


class Asking:
    """A request."""

    method = b"POST"

    def __init__(self, connection: Connection, port: int | None, headers: Any) -> None:
        self.stream = Stream(connection, port)
        self.headers = headers

    def header(self, name: bytes) -> bytes | None:
        return next(iter(self.header_values(name)), None)

    def header_values(self, name: bytes) -> list[bytes]:
        value = self.headers.get(name.decode().replace("-", "_"), [])
        return value if isinstance(value, list) else [value]


def alice() -> Any:
    """The public half of her key."""
    private: Any = load_pem_private_key(key("alice").pem(), None)
    return private.public_key()


class EvidenceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.evidence = Evidence()
        self.plain = Connection(object())

    def of(
        self,
        address: Address = MCP,
        by: Connection | None = None,
        port: int | None = 1,
        **headers: Any,
    ) -> Any:
        request: Any = Asking(by or self.plain, port, headers)
        return self.evidence.of(request, address, HERE)

    def assert_refused(self, why: str, **how: Any) -> None:
        refused = self.assertRaises(CredentialsRefused, self.of, **how)
        self.assertEqual(refused.error, None)
        self.assertIn(why, refused.reason)


class OrderTests(EvidenceCase):
    """Of several sorts the first counts, whatever the others are worth."""

    def test_nothing(self) -> None:
        self.assertIsNone(self.of())

    def test_token_first(self) -> None:
        shown = Connection(Secure(certificate(alice())))
        tickets = {"sec_websocket_protocol": b"mcp.ticket.abc"}
        found = self.of(WS, shown, authorization=b"Bearer x", **tickets)
        self.assertIsInstance(found, AccessToken)
        self.assertIsInstance(self.of(WS, shown, **tickets), PresentedTicket)
        self.assertIsInstance(self.of(WS, shown), ClientCertificate)

    def test_header_that_is_none(self) -> None:
        """Whoever sends one means it: what else there is does not stand in for it."""
        shown = Connection(Secure(certificate(alice())))
        for value in (b"", b"Bearer", b"Basic dTpw", b"\xff"):
            self.assertIsInstance(self.of(MCP, shown, authorization=value), AccessToken)

    def test_two_headers(self) -> None:
        self.assert_refused("several credentials", authorization=[b"Bearer a", b"Bearer a"])


class TokenTests(EvidenceCase):
    def test_parts(self) -> None:
        """The scheme is of any case, and the proofs are all there are (RFC 9110, section 11.1)."""
        found = self.of(authorization=b"DPoP  abc ", dpop=[b"one", b"two"])
        self.assertEqual(
            (found.scheme, found.token, found.proofs), ("dpop", b"abc", ("one", "two"))
        )
        self.assertEqual((found.method, found.url), ("POST", f"{ISSUER}/mcp"))
        self.assertEqual((found.resource, found.source), (f"{ISSUER} /", HERE))


class TicketTests(EvidenceCase):
    """Tickets among sub-protocols."""

    def test_where(self) -> None:
        """They are none where no WebSocket is opened."""
        offered = {"sec_websocket_protocol": b"mcp, mcp.ticket.abc", "origin": b"https://a"}
        found = self.of(WS, **offered)
        self.assertEqual((found.text, found.resource), (b"abc", f"{ISSUER} /"))
        self.assertEqual((found.origin, found.source), (b"https://a", HERE))
        self.assertIsNone(self.of(MCP, **offered))

    def test_several(self) -> None:
        """In one header or in two: none of them is taken for the one that is meant."""
        for offered in (b"mcp.ticket.a,mcp.ticket.b", [b"mcp.ticket.a", b"mcp.ticket.a"]):
            self.assert_refused("several tickets", address=WS, sec_websocket_protocol=offered)

    def test_found(self) -> None:
        """All that look like one, for whoever has to use them up."""
        offered = [b"mcp,\tmcp.ticket.a , x.mcp.ticket.b", b"mcp.ticket.", b"MCP.TICKET.c"]
        request: Any = Asking(self.plain, 1, {"sec_websocket_protocol": offered})
        self.assertEqual(tickets_in(request), [b"a", b""])


class CertificateTests(EvidenceCase):
    """Keys of certificates, looked at once for each connection."""

    def test_shown(self) -> None:
        connection = Connection(Secure(certificate(alice())))
        for place in (MCP, Address(ISSUER, "/servers/x/mcp", "/servers/x", "mcp")):
            found = self.of(place, connection)
            self.assertEqual((found.key, found.source), (key("alice").public, HERE))
            self.assertEqual(found.place, place.place)
        self.assertEqual(connection.transport.asked, 1)

    def test_none(self) -> None:
        connection = Connection(Secure(None))
        for _ in range(2):
            self.assertIsNone(self.of(by=connection))
        self.assertEqual(connection.transport.asked, 1)

    def test_not_taken(self) -> None:
        """Keys of other kinds, which no line can name; the connection stays, and may bring more."""
        for public in (
            ec.generate_private_key(ec.SECP384R1()).public_key(),
            x25519.X25519PrivateKey.generate().public_key(),
        ):
            connection = Connection(Secure(certificate(public)))
            self.assert_refused("none that is taken", by=connection)
            self.assertIsInstance(self.of(by=connection, authorization=b"Bearer x"), AccessToken)

    def test_no_tls(self) -> None:
        self.assertIsNone(shown_key(object()))

    def test_forgotten(self) -> None:
        """With the connection."""
        self.of(by=Connection(Secure(certificate(alice()))))
        gc.collect()
        self.assertEqual(len(self.evidence._shown), 0)


class UserTests(EvidenceCase):
    """Users of this machine, by sockets that have no port."""

    def setUp(self) -> None:
        super().setUp()
        self.uid: int | None = 1000
        self.asked = 0
        self.patch(evidence, "uid_of", self.uid_of)

    def uid_of(self, transport: Any) -> int | None:
        self.asked += 1
        return self.uid

    def test_asked_once(self) -> None:
        """Root is a user, too."""
        for uid in (1000, 0):
            connection, self.uid, self.asked = Connection(object()), uid, 0
            for _ in range(2):
                self.assertEqual(self.of(by=connection, port=None), LocalPeer(uid, "/"))
            self.assertEqual(self.asked, 1)

    def test_unknown(self) -> None:
        """Whom the system does not know is nobody."""
        self.uid = None
        for _ in range(2):
            self.assertIsNone(self.of(port=None))
        self.assertEqual(self.asked, 1)

    def test_elsewhere(self) -> None:
        """Of connections with a port the system is not even asked."""
        self.assertIsNone(self.of(port=8808))
        self.assertEqual(self.asked, 0)

    def test_forgotten(self) -> None:
        self.of(by=Connection(object()), port=None)
        gc.collect()
        self.assertEqual(len(self.evidence._users), 0)
