"""Pinned client certificates: the handshake proves a key, and the key is looked up each time."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from mcptwist.auth.keys import P256, RSA
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.protocols.tls import CertificateFiles
from tests.auth.behind_tls import BASE, H2Caller, SecureDoor, pair_of, post
from tests.auth.closed import FULL, ClosedCase
from tests.auth.people import key
from tests.conversations.posting import rpc
from tests.protocols.tlsfront import TLSClient, make_pair


class MutualCase(ClosedCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = Path(self.mktemp())
        self.door = SecureDoor(self.house, self.place, mutual=True)

    def client(self, name: str = "alice", **how: Any) -> TLSClient:
        """One that shows the certificate of a person."""
        return self.door.client(shows=pair_of(self.place, name, key(name, self.kind)), **how)

    def assert_in(self, status: int) -> None:
        """It was let in; a handshake waits for the server then."""
        self.assertEqual(status, 0)
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)


class ComingInTests(MutualCase):
    def test_let_in(self) -> None:
        self.assert_in(post(self.client()))
        (event,) = self.house.events("auth.certificate.ok")
        self.assertEqual((event["principal"], event["key"]),
                         ("alice", self.alice.public.fingerprint))  # fmt: skip

    def test_http2(self) -> None:
        caller = H2Caller(self.client(offers=("h2",)))
        self.assert_in(caller.post()[0])
        (connection,) = self.house.factory.connections
        self.assertIsInstance(connection, HTTP2Connection)

    def test_each_kind(self) -> None:
        for kind in (P256, RSA):
            self.kind = kind
            self.setUp()
            self.assert_in(post(self.client()))

    def test_told_once(self) -> None:
        """Coming again on the same connection is nothing new."""
        client = self.client()
        for _ in range(3):
            post(client, rpc("ping"))
        self.assertEqual(len(self.house.events("auth.certificate.ok")), 1)
        self.assertEqual(self.house.gatehouse.guard.admitted, 3)

    def test_expired(self) -> None:
        """G15: the key decides, not what the certificate says of itself."""
        shows = pair_of(self.place, "old", self.alice, days=-100, names=("elsewhere",))
        self.assert_in(post(self.door.client(shows=shows)))

    def test_whoever_signed_it(self) -> None:
        """G15: a certificate that another key has signed is as good as one of its own."""
        self.assert_in(post(self.door.client(shows=self.signed_by_other("alice"))))

    def test_token_counts_first(self) -> None:
        """Who shows a certificate and sends a token is whom the token says."""
        self.assertEqual(post(self.client(), authorization="Bearer x"), 401)

    def test_scopes_and_reach(self) -> None:
        """What the key's line says holds."""
        self.house.write(self.line("alice", 'scope="mcp:read",tools="none"'))
        self.house.look()
        caller = H2Caller(self.client(offers=("h2",)))
        status, body = caller.post(rpc("tools/call", {"name": "x"}))
        self.assertEqual(status, 403)
        self.assertIn(b"insufficient-scope", body)

    def signed_by_other(self, name: str) -> CertificateFiles:
        files = pair_of(self.place, name, key(name))
        authority = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")]))
            .public_key(load_pem_private_key(key(name).pem(), None).public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .sign(authority, hashes.SHA256())
        )
        Path(files.certificate).write_bytes(certificate.public_bytes(Encoding.PEM))
        return files


class TurnedAwayTests(MutualCase):
    """G15: no certificate, another key, one that may not, one that was."""

    def assert_denied(self, status: int, reason: str) -> None:
        self.assertEqual(status, 401)
        self.assertEqual(self.house.events("auth.request.denied")[-1]["reason"], reason)
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)
        self.assert_unseen()

    def test_no_certificate(self) -> None:
        """The handshake fails; no request is looked at."""
        with self.assertRaisesRegex(ssl.SSLError, "CERTIFICATE_REQUIRED"):
            self.door.client()
        self.assertEqual(len(self.house.factory.connections), 0)

    def test_unknown_key(self) -> None:
        for status in (post(self.client("mallory")), post(self.client("mallory"), path="/nowhere")):
            self.assert_denied(status, "the certificate's key is not known, or not good")

    def test_kind_that_is_not_taken(self) -> None:
        shows = make_pair(self.place, "odd", key=ec.generate_private_key(ec.SECP384R1()))
        status = post(self.door.client(shows=shows))
        self.assert_denied(status, "the certificate's key is none that is taken")

    def test_not_for_certificates(self) -> None:
        self.house.write(self.line("alice", f'scope="{FULL}",no-mtls'))
        self.house.look()
        self.assert_denied(post(self.client()), "the key is not good for certificates")

    def test_from_elsewhere(self) -> None:
        self.house.write(self.line("alice", f'scope="{FULL}",from="10.0.0.0/8"'))
        self.house.look()
        self.assert_denied(post(self.client()), "not from there")

    def test_another_place(self) -> None:
        self.house.write(self.line("alice", f'scope="{FULL}",resource="/servers/far/mcp"'))
        self.house.look()
        client = self.client()
        self.assert_denied(post(client), "the key is not for that place")
        post(client, path="/servers/far/mcp")
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)

    def test_removed_while_connected(self) -> None:
        """A connection that is left open when its key is removed is of no use either."""
        client = self.client()
        for _ in range(2):
            self.assertEqual(post(client, rpc("ping")), 400)
        self.patch(self.house.gatehouse.presence, "_dismiss_connections", lambda identity: 0)
        self.house.write(self.line("bob"))
        self.house.look()
        self.assertEqual(post(client, rpc("ping")), 401)

    def test_headers_count_for_nothing(self) -> None:
        """A5: what proxies say of certificates is not listened to."""
        client = self.client("mallory")
        name = self.alice.public.fingerprint
        for header in ("x-client-cert", "x-ssl-client-cert", "x-remote-user", "client-cert"):
            self.assertEqual(post(client, **{header: name}), 401)
        self.assert_unseen()

    def test_penalty(self) -> None:
        """A key that is not known costs what a token costs that is none."""
        self.house.source = "203.0.113.9"
        for _ in range(3):
            self.assertEqual(post(self.client("mallory")), 401)
        self.assertEqual(post(self.client()), 429)

    def test_resumed(self) -> None:
        """G15: no session is taken up again, so that nothing stands for a proof."""
        first = self.client()
        post(first)
        second = self.client()
        self.assertFalse(second.ssl.session_reused)


class NotAskedTests(ClosedCase):
    def test_not_on_other_endpoints(self) -> None:
        """Where nobody was asked for a certificate, a token is wanted."""
        place = Path(self.mktemp())
        door = SecureDoor(self.house, place, mutual=False)
        client = door.client(shows=pair_of(place, "alice", self.alice))
        self.assertEqual(post(client), 401)
        self.assertIn(f'resource_metadata="{BASE}/'.encode(), client.data)


class WithdrawnTests(MutualCase):
    """C13: a key that is withdrawn takes its connections with it."""

    def test_open_connections(self) -> None:
        clients = [self.client(), self.client(offers=("h2",))]
        post(clients[0])
        H2Caller(clients[1]).post()
        gone = self.client()
        post(gone)
        gone.wire.abortConnection()
        self.house.turn(0)
        other = self.client("bob")
        post(other)
        self.house.write(*self.authorized()[1:])
        self.house.look()
        self.assertEqual([each.wire.aborted for each in clients], [True, True])
        self.assertFalse(other.wire.aborted)
        (event,) = self.house.events("auth.key.revoked")
        self.assertEqual((event["principal"], event["connections"]), ("alice", 2))

    def test_revoked(self) -> None:
        client = self.client()
        post(client)
        self.house.write(*self.authorized(), revoked=self.alice.public.fingerprint)
        self.house.look()
        self.assertTrue(client.wire.aborted)
        self.assertEqual(post(self.client()), 401)

    def test_before_anything_was_asked(self) -> None:
        """A connection that was not used yet is no good either."""
        client = self.client()
        self.house.write(*self.authorized()[1:])
        self.house.look()
        self.assertEqual(post(client), 401)
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)

    def test_line_changed(self) -> None:
        """What a line says now holds for the next request of the same head."""
        client = self.client()
        post(client, rpc("ping"))
        self.house.write(self.line("alice", 'scope="mcp:read"'))
        self.house.look()
        self.assertTrue(client.wire.aborted)
