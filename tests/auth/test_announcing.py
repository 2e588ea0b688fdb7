"""The page on which a daemon says of its keys."""

from __future__ import annotations

import json
from pathlib import Path

from mcptwist.auth.addresses import Addresses
from mcptwist.auth.announcing import NAME, Announcement
from mcptwist.auth.hostkeys import HostKeys, StatementRefused, read_statement
from mcptwist.auth.keys import P256, PublicKey
from mcptwist.protocols.nexthostkey import Following
from tests.auth.behind_tls import BASE, HOST, SecureDoor
from tests.auth.closed import ClosedCase
from tests.auth.people import NOW, key
from tests.auth.proving import shown_key_of
from tests.protocols.tlsfront import TLSClient

PATH = f"/.well-known/{NAME.decode()}"


class AnnouncingCase(ClosedCase):
    following: Following | None = None

    def setUp(self) -> None:
        super().setUp()
        self.door = SecureDoor(self.house, Path(self.mktemp()), mutual=False)
        self.page = Announcement(
            Addresses(("https://mcp.example.com",)),
            self.door.certificates.key_shown,
            lambda: self.following,
            self.house.wall,
        )
        gatehouse = self.house.gatehouse
        gatehouse.announcement = self.page
        self.house.site.resource = gatehouse.gate(None, {})

    def get(self, client: TLSClient, host: str = HOST, method: str = "GET") -> tuple[int, bytes]:
        client.data = b""
        client.send(f"{method} {PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = client.data.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body

    def shown(self, client: TLSClient) -> PublicKey:
        from cryptography import x509

        der = client.ssl.getpeercert(True)
        assert der is not None
        certificate = x509.load_der_x509_certificate(der)

        class Shown:
            def to_cryptography(self) -> x509.Certificate:
                return certificate

        found = shown_key_of(Shown())
        assert found is not None
        return found

    def read(self, body: bytes, shown: PublicKey, issuer: str = BASE) -> HostKeys:
        return read_statement(body, shown, issuer, self.house.wall())


class PageTests(AnnouncingCase):
    def test_present_key(self) -> None:
        """Without credentials; what it says is believed by whoever sees that key."""
        client = self.door.client()
        status, body = self.get(client)
        self.assertEqual(status, 200)
        found = self.read(body, self.shown(client))
        self.assertEqual(found, HostKeys(self.shown(client)))

    def test_both(self) -> None:
        following = key("next host", P256)
        self.following = Following(following._key, NOW + 1000)
        client = self.door.client()
        found = self.read(self.get(client)[1], self.shown(client))
        self.assertEqual((found.following, found.begins), (following.public, NOW + 1000))

    def test_signed_once(self) -> None:
        """And again in time, so that it is always good."""
        client = self.door.client()
        first = self.get(client)[1]
        self.house.turn(600, 60)
        client = self.door.client()
        self.assertEqual(self.get(client)[1], first)
        self.house.turn(1200, 60)
        client = self.door.client()
        again = self.get(client)[1]
        self.assertNotEqual(again, first)
        self.read(again, self.shown(client))

    def test_only_names_of_ours(self) -> None:
        client = self.door.client()
        self.assertEqual(self.get(client, "localhost:9")[0], 421)
        client = self.door.client()
        with self.assertRaises(StatementRefused):
            self.read(self.get(client)[1], self.shown(client), "https://mcp.example.com")

    def test_only_with_tls(self) -> None:
        response = self.house.request("GET", PATH, {})
        self.assertEqual(response.status, 404)

    def test_only_read(self) -> None:
        self.assertEqual(self.get(self.door.client(), method="PUT")[0], 405)

    def test_nothing_secret(self) -> None:
        """Neither private key is in it."""
        following = key("next host", P256)
        self.following = Following(following._key, NOW + 1000)
        body = self.get(self.door.client())[1]
        for each in json.loads(body)["signatures"]:
            self.assertEqual(set(each), {"protected", "signature"})
        self.assertNotIn(following.jwk()["d"].encode(), body)
