"""Tests of mcptwist.protocols.tls and .secure: handshakes, certificates, and what follows them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from OpenSSL import SSL
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.http1 import HTTP1Connection
from mcptwist.protocols.http1factory import COURTESY
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.protocols.limits import Limits
from mcptwist.protocols.tls import CertificateFiles, CertificateProblem, Certificates
from tests.protocols.tlsfront import NOW, SecureTestFront, TLSClient, make_pair

GET = b"GET /stock HTTP/1.1\r\nHost: localhost:8443\r\n\r\n"


class Case(SynchronousTestCase):
    """A directory with a certificate, and a front that shows it."""

    tls12 = False

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.files = [make_pair(self.directory, "first")]
        self.now = NOW
        self.certificates = Certificates(lambda: self.files, self.tls12, lambda: self.now)
        self.certificates.load()
        self.front = self.make_front()

    def make_front(self, **arguments: Any) -> SecureTestFront:
        return SecureTestFront(self.certificates, **arguments)

    def client(self, *offers: str, **arguments: Any) -> TLSClient:
        return TLSClient(self.front, offers, **arguments)

    def count(self, name: str) -> int:
        return self.front.counters.snapshot()[name]

    def logged(self) -> list[dict[str, Any]]:
        """What is logged from now on, as long as the test runs."""
        found: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(found.append)
        self.addCleanup(globalLogPublisher.removeObserver, found.append)
        return found

    def check_neighbour(self) -> None:
        client = self.client().shake()
        client.send(GET)
        self.assertIn(b"hello", client.data)


class NegotiationTests(Case):
    """Which protocol is spoken inside."""

    def test_table(self) -> None:
        """HTTP/2 before HTTP/1.1, HTTP/1.1 where nothing is offered."""
        for offers, chosen, spoken in (
            (("h2", "http/1.1"), "h2", HTTP2Connection),
            (("http/1.1", "h2"), "h2", HTTP2Connection),
            (("h2",), "h2", HTTP2Connection),
            (("http/1.1",), "http/1.1", HTTP1Connection),
            (("x", "http/1.1"), "http/1.1", HTTP1Connection),
            ((), None, HTTP1Connection),
        ):
            client = self.client(*offers).shake()
            self.assertEqual(client.ssl.selected_alpn_protocol(), chosen)
            protocol: Any = client.wire.protocol
            self.assertIsInstance(protocol.wrappedProtocol, spoken)
            self.assertTrue(protocol.wrappedProtocol.is_secure)

    def test_nothing_in_common(self) -> None:
        """An offer with neither in it ends the handshake with the alert for that."""
        for offer in ("x", "h3", "http/1.0", "HTTP/1.1", "h2c"):
            error = self.assertRaises(ssl.SSLError, self.client(offer).shake)
            self.assertIn("NO_APPLICATION_PROTOCOL", str(error).upper().replace(" ", "_"))
        self.assertEqual(self.count("handshakes_failed"), 0)  # the transport is closing
        self.check_neighbour()

    def test_http1(self) -> None:
        """HTTP/1.1 inside."""
        client = self.client("http/1.1").shake()
        client.send(GET)
        self.assertTrue(client.data.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(client.data.endswith(b"hello"))

    def test_http2(self) -> None:
        """HTTP/2 inside."""
        client = self.client("h2").shake()
        h2 = H2Connection(H2Configuration(client_side=True))
        h2.initiate_connection()
        h2.send_headers(
            1,
            [(":method", "GET"), (":path", "/stock"), (":scheme", "https"),
             (":authority", "localhost:8443")],
            end_stream=True,
        )  # fmt: skip
        client.send(h2.data_to_send())
        happened = h2.receive_data(client.data)
        data = [event.data for event in happened if isinstance(event, events.DataReceived)]
        self.assertEqual(data, [b"hello"])

    def test_http2_ends(self) -> None:
        """After a broken rule, goodbye is said and the connection cut although nobody answers."""
        client = self.client("h2").shake()
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(client.closed)
        for _ in range(3):
            self.front.clock.advance(1)
        self.assertTrue(client.wire.aborted)
        self.check_neighbour()


class ProfileTests(Case):
    """Which TLS is spoken."""

    def test_version(self) -> None:
        """1.3; and nothing older, unless configured."""
        self.assertEqual(self.client().shake().ssl.version(), "TLSv1.3")
        old = self.client(version=ssl.TLSVersion.TLSv1_2)
        self.assertRaises(ssl.SSLError, old.shake)
        self.check_neighbour()

    def test_no_resumption(self) -> None:
        """No session can be taken up again: every handshake is a whole one."""
        first = self.client().shake()
        first.send(GET)
        again = self.client()
        again.resume(first)
        again.shake()
        self.assertFalse(again.ssl.session_reused)

    def test_options(self) -> None:
        """What OpenSSL would refuse by itself, today, is refused whatever it is told elsewhere."""
        context = self.certificates._default
        assert context is not None
        options = context.set_options(0)
        for wanted in (SSL.OP_NO_TICKET, SSL.OP_NO_COMPRESSION, SSL.OP_NO_RENEGOTIATION):
            self.assertTrue(options & wanted, wanted)

    def test_plain_http(self) -> None:
        """Who does not speak TLS at all is dropped."""
        wire = self.front.accept()
        assert wire is not None
        wire.protocol.dataReceived(GET)
        self.assertTrue(wire.disconnecting)
        wire.lose()
        self.assertEqual(self.count("handshakes_failed"), 1)
        self.check_neighbour()


class OlderProfileTests(Case):
    """TLS 1.2, where it is configured."""

    tls12 = True

    def test_aead_only(self) -> None:
        """With forward secrecy and AEAD."""
        client = self.client("h2", version=ssl.TLSVersion.TLSv1_2).shake()
        cipher = client.ssl.cipher()
        assert cipher is not None
        self.assertEqual(client.ssl.version(), "TLSv1.2")
        self.assertRegex(cipher[0], "^ECDHE-ECDSA-.*(GCM|POLY1305)")
        session = client.ssl.session
        self.assertFalse(session is not None and session.has_ticket)
        again = self.client("h2", version=ssl.TLSVersion.TLSv1_2)
        again.resume(client)
        again.shake()
        self.assertFalse(again.ssl.session_reused)

    def test_no_cbc(self) -> None:
        """A client with other suites only is turned away."""
        client = self.client(version=ssl.TLSVersion.TLSv1_2)
        client.ssl.context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
        again = client.ssl.context.wrap_bio(client._in, client._out)
        client.ssl = again
        self.assertRaises(ssl.SSLError, client.shake)


class HandshakeTests(Case):
    """What is not done yet."""

    def test_late(self) -> None:
        """A handshake has ten seconds, however it comes."""
        silent = self.front.accept()
        assert silent is not None
        for _ in range(9):
            self.front.clock.advance(1)
            self.assertFalse(silent.aborted)
        self.front.clock.advance(1)
        self.assertTrue(silent.aborted)
        self.assertEqual(self.count("handshakes_late"), 1)
        self.assertEqual((self.front.secure.handshakes, self.count("handshakes_failed")), ({}, 0))

    def test_too_many(self) -> None:
        """A thousand silent ones keep nobody out: the oldest goes."""
        self.front = self.make_front(most=5)
        wires = [self.front.accept() for _ in range(5)]
        self.check_neighbour()
        self.assertEqual([wire.aborted for wire in wires if wire], [True] + 4 * [False])
        self.assertEqual(self.count("handshakes_dropped"), 1)

    def test_given_up(self) -> None:
        """A client that leaves leaves nothing behind."""
        wire = self.front.accept()
        assert wire is not None
        wire.lose()
        self.assertEqual(self.count("handshakes_failed"), 1)
        self.assertEqual(self.front.clock.getDelayedCalls(), [])

    def test_done(self) -> None:
        """One that is done is counted among the connections, and has no handshake's deadline."""
        client = self.client().shake()
        self.assertEqual((self.count("connections"), self.front.secure.handshakes), (1, {}))
        self.front.clock.advance(9.9)
        self.assertFalse(client.wire.aborted)

    def test_one_too_many(self) -> None:
        """Far beyond the limit, a connection is cut as soon as it is there."""
        full = Limits(connections=1)
        self.front.factory.limits = full
        clients = [self.client("h2").shake() for _ in range(1 + COURTESY)]
        self.assertEqual([client.wire.aborted for client in clients], (1 + COURTESY) * [False])
        extra = self.client("h2").shake()
        self.assertTrue(extra.wire.aborted)
        self.assertEqual(self.count("connections_refused"), 1)

    def test_draining(self) -> None:
        """Nobody is let in to a front that drains."""
        early = self.client()
        self.front.factory.drain()
        self.assertIsNone(self.front.accept())
        early.shake()
        self.assertTrue(early.wire.aborted)


class NamesTests(Case):
    """Several certificates on one port (SNI)."""

    def setUp(self) -> None:
        super().setUp()
        self.files += [
            make_pair(self.directory, "second", ["b.example", "C.example"]),
            make_pair(self.directory, "third", ["*.d.example", "b.example"]),
        ]
        self.certificates.load()

    def test_table(self) -> None:
        """The first that has the name; the first of all for others."""
        for name, shown in (
            ("b.example", "b.example"),
            ("B.EXAMPLE", "b.example"),
            ("c.example", "b.example"),
            ("x.d.example", "*.d.example"),
            ("d.example", "localhost"),
            ("x.y.d.example", "localhost"),
            ("unknown.example", "localhost"),
            (None, "localhost"),
        ):
            client = self.client("h2", "http/1.1", name=name).shake()
            self.assertEqual(client.names[0], shown, name)
            self.assertEqual(client.ssl.selected_alpn_protocol(), "h2")


class ReloadTests(Case):
    """Certificates are renewed while the daemon runs."""

    def renew(self, name: str) -> None:
        make_pair(self.directory, "first", [name])

    def test_renewed(self) -> None:
        """New connections get the new one; those that are there go on."""
        old = self.client().shake()
        before = self.certificates.fingerprint
        self.renew("renewed.example")
        self.certificates.reload_if_changed()
        self.assertEqual(self.client().shake().names, ["renewed.example"])
        self.assertNotEqual(self.certificates.fingerprint, before)
        old.send(GET)
        self.assertIn(b"hello", old.data)

    def test_not_changed(self) -> None:
        """Files that are as they were are not read."""
        self.files = []
        self.certificates.reload_if_changed()
        self.check_neighbour()

    def test_bad(self) -> None:
        """What cannot be used is logged once, and the old one stays."""
        logged = self.logged()
        before = self.certificates.fingerprint
        for content in (b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n"):
            Path(self.files[0].certificate).write_bytes(content)
            for _ in range(3):
                self.certificates.reload_if_changed()
            errors = [event for event in logged if event["log_level"] is LogLevel.error]
            self.assertEqual(len(errors), 1)
            self.assertIn("is not a PEM certificate", errors[0]["problem"])
            logged.clear()
        self.assertEqual(self.certificates.fingerprint, before)
        self.check_neighbour()

    def test_half_renewed(self) -> None:
        """A certificate whose key is not there yet waits for it."""
        key = Path(self.files[0].key).read_bytes()
        self.renew("renewed.example")
        new_key = Path(self.files[0].key).read_bytes()
        Path(self.files[0].key).write_bytes(key)
        self.certificates.reload_if_changed()
        self.assertEqual(self.client().shake().names, ["localhost"])
        Path(self.files[0].key).write_bytes(new_key)
        self.certificates.reload_if_changed()
        self.assertEqual(self.client().shake().names, ["renewed.example"])

    def test_removed(self) -> None:
        """Nor does a missing file end anything."""
        os.unlink(self.files[0].key)
        self.certificates.reload_if_changed()
        self.check_neighbour()

    def test_daily(self) -> None:
        """Once a day it is asked which files there are."""
        self.files = [make_pair(self.directory, "new", ["new.example"])]
        self.certificates.reload_if_changed()
        self.assertEqual(self.client().shake().names, ["localhost"])
        self.now += 86400
        self.certificates.reload_if_changed()
        self.assertEqual(self.client().shake().names, ["new.example"])


class FilesTests(Case):
    """What a certificate and a key must be."""

    def problem(self, files: CertificateFiles) -> str:
        self.files = [files]
        return str(self.assertRaises(CertificateProblem, self.certificates.load))

    def test_missing(self) -> None:
        """The message names the file."""
        nowhere = str(self.directory / "nowhere.pem")
        files = CertificateFiles(nowhere, self.files[0].key)
        self.assertIn(f"{nowhere} cannot be read: No such file", self.problem(files))

    def test_not_its_key(self) -> None:
        """A key of another certificate."""
        other = make_pair(self.directory, "other")
        files = CertificateFiles(self.files[0].certificate, other.key)
        self.assertIn(f"{other.key} is not the key of", self.problem(files))

    def test_encrypted(self) -> None:
        """A key with a password: a daemon has nobody to ask for it."""
        key = rsa.generate_private_key(65537, 2048)
        path = Path(self.files[0].key)
        password = BestAvailableEncryption(b"secret")
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password))
        self.assertIn("is not an unencrypted PEM key", self.problem(self.files[0]))

    def test_exchanged(self) -> None:
        """Key and certificate the wrong way round."""
        files = CertificateFiles(self.files[0].key, self.files[0].certificate)
        self.assertIn("is not a PEM certificate", self.problem(files))

    def test_chain(self) -> None:
        """What follows the certificate is shown with it."""
        second = make_pair(self.directory, "root")
        path = Path(self.files[0].certificate)
        path.write_bytes(path.read_bytes() + Path(second.certificate).read_bytes())
        self.certificates.load()
        self.check_neighbour()

    def test_ends_soon(self) -> None:
        """One that ends within two weeks is worth a warning, one that has ended too."""
        for days, word in ((10, "is"), (-10, "was")):
            logged = self.logged()
            self.files = [make_pair(self.directory, "short", days=days)]
            self.certificates.load()
            warnings = [event for event in logged if event["log_level"] is LogLevel.warn]
            self.assertEqual([event["is_or_was"] for event in warnings], [word])

    def test_no_secret_is_told(self) -> None:
        """No message and no repr shows a key."""
        key = rsa.generate_private_key(65537, 2048)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = Path(self.files[0].certificate)
        path.write_bytes(text)
        self.assertNotIn(text[40:60].decode(), self.problem(self.files[0]))
