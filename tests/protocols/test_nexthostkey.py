"""The host key that will follow: made beside the present one, and put in its place in time."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.hostcertificate import host_certificate
from mcptwist.protocols.nexthostkey import NextHostKey
from mcptwist.protocols.tls import CertificateProblem
from tests.protocols.tlsfront import NOW

NAMES = ["localhost", "127.0.0.1", "mcp.example"]
DAY = 86400


class NextKeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.files = host_certificate(self.place, NAMES, NOW)
        self.next = NextHostKey(self.place)

    def key(self) -> bytes:
        return Path(self.files.key).read_bytes()

    def test_none(self) -> None:
        self.assertIsNone(self.next.look())
        self.assertFalse(self.next.is_due(NOW))
        self.next.follow_if_due(NOW)

    def test_made(self) -> None:
        """For the names of the present one; nobody else can read the key."""
        made = self.next.prepare(NOW + DAY)
        self.assertEqual(made.begins, int(NOW + DAY))
        found = self.next.look()
        assert found is not None
        self.assertEqual(found.begins, made.begins)
        self.assertEqual((self.place / "host_key.next.pem").stat().st_mode & 0o777, 0o600)
        text = (self.place / "host_cert.next.pem").read_bytes()
        names = x509.load_pem_x509_certificate(text).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        self.assertEqual({str(name.value) for name in names.value}, set(NAMES))

    def test_follows(self) -> None:
        """Not before its time; then it is the present one, and whole."""
        before = self.key()
        self.next.prepare(NOW + DAY)
        following = (self.place / "host_key.next.pem").read_bytes()
        self.next.follow_if_due(NOW + DAY - 2)
        self.assertEqual(self.key(), before)
        self.assertTrue(self.next.is_due(NOW + DAY))
        self.next.follow_if_due(NOW + DAY)
        self.assertEqual(self.key(), following)
        self.assertIsNone(self.next.look())
        certificate = Path(self.files.certificate).read_bytes()
        host_certificate(self.place, NAMES, NOW + DAY)
        self.assertEqual(Path(self.files.certificate).read_bytes(), certificate)

    def test_interrupted(self) -> None:
        """Where only the key was put in place, its certificate is made anew."""
        self.next.prepare(NOW + DAY)
        following = (self.place / "host_key.next.pem").read_bytes()
        os.rename(self.place / "host_key.next.pem", self.files.key)
        self.next.follow_if_due(NOW + DAY)
        files = host_certificate(self.place, NAMES, NOW + DAY)
        files.read()
        self.assertEqual(self.key(), following)

    def test_one_at_a_time(self) -> None:
        self.next.prepare(NOW + DAY)
        self.assertRaises(CertificateProblem, self.next.prepare, NOW + DAY)

    def test_no_present_one(self) -> None:
        nowhere = NextHostKey(Path(self.mktemp()))
        self.assertRaises(CertificateProblem, nowhere.prepare, NOW + DAY)

    def test_not_believed(self) -> None:
        """A key that others can read, or whose certificate is another's, follows nobody."""
        self.next.prepare(NOW)
        key = self.place / "host_key.next.pem"
        key.chmod(0o644)
        self.assertFalse(self.next.is_due(NOW + DAY))
        key.chmod(0o600)
        key.write_bytes(self.key())
        self.assertFalse(self.next.is_due(NOW + DAY))
        self.assertEqual(len(self.flushLoggedErrors()), 0)
