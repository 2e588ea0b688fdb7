"""Tests of mcptwist.protocols.hostcertificate: the certificate that is made when none is given."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.hostcertificate import host_certificate, own_names, state_directory
from mcptwist.protocols.tls import CertificateProblem, Certificates
from tests.protocols.tlsfront import NOW, SecureTestFront, TLSClient

NAMES = ["localhost", "127.0.0.1", "::1", "mcp.example"]
DAY = 86400


class Case(SynchronousTestCase):
    """A directory that is not there yet."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "state"
        self.addCleanup(os.umask, os.umask(0))

    def make(self, names: list[str] = NAMES, now: float = NOW) -> tuple[bytes, bytes]:
        """The certificate and the key."""
        files = host_certificate(self.directory, names, now)
        return Path(files.certificate).read_bytes(), Path(files.key).read_bytes()

    def problem(self) -> str:
        return str(self.assertRaises(CertificateProblem, self.make))


class MadeTests(Case):
    """What is made."""

    def test_certificate(self) -> None:
        """P-256, for these names, for signing, no authority, for 398 days at most."""
        certificate = x509.load_pem_x509_certificate(self.make()[0])
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.assertEqual(key.curve.name, "secp256r1")
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost", "mcp.example"])
        self.assertEqual(
            [str(each) for each in names.get_values_for_type(x509.IPAddress)], ["127.0.0.1", "::1"]
        )
        self.assertFalse(extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
        valid = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        self.assertLessEqual(valid, timedelta(days=398))
        certificate.verify_directly_issued_by(certificate)

    def test_modes(self) -> None:
        """For us alone, whatever the umask is."""
        files = host_certificate(self.directory, NAMES, NOW)
        modes = [
            stat.S_IMODE(os.stat(path).st_mode)
            for path in (self.directory, files.key, files.certificate)
        ]
        self.assertEqual(modes, [0o700, 0o600, 0o600])
        self.assertEqual(len(os.listdir(self.directory)), 2)

    def test_kept(self) -> None:
        """Another start finds both again."""
        self.assertEqual(self.make(), self.make(now=NOW + 300 * DAY))

    def test_renewed(self) -> None:
        """Before its end another certificate is made, with the same key."""
        old, key = self.make()
        new, same = self.make(now=NOW + 370 * DAY)
        self.assertNotEqual(old, new)
        self.assertEqual(key, same)

    def test_other_names(self) -> None:
        """So it is when the names have changed."""
        old, key = self.make()
        new, same = self.make([*NAMES, "other.example"])
        self.assertNotEqual(old, new)
        self.assertEqual(key, same)

    def test_certificate_lost_or_broken(self) -> None:
        """Or the certificate has gone, or is no certificate, or one of another key."""
        _, key = self.make()
        path = self.directory / "host_cert.pem"
        other = host_certificate(self.directory / "other", NAMES, NOW)
        for content in (b"nonsense", Path(other.certificate).read_bytes()):
            path.write_bytes(content)
            new, same = self.make()
            self.assertNotEqual(new, content)
            self.assertEqual(key, same)
        path.unlink()
        self.assertEqual(self.make()[1], key)

    def test_used(self) -> None:
        """A listener shows it."""
        certificates = Certificates(
            lambda: [host_certificate(self.directory, NAMES, NOW)], False, lambda: NOW
        )
        certificates.load()
        client = TLSClient(SecureTestFront(certificates), ["h2"]).shake()
        self.assertEqual(client.names, ["localhost", "mcp.example"])
        self.assertRegex(certificates.fingerprint, r"\A([0-9A-F]{2}:){31}[0-9A-F]{2}\Z")


class RefusedTests(Case):
    """What others could get at is not used."""

    def test_directory_of_all(self) -> None:
        """A directory that others may write to."""
        self.directory.mkdir(parents=True)
        self.directory.chmod(0o770)
        self.assertIn("chmod 700", self.problem())

    def test_readable_key(self) -> None:
        """A key that others may read."""
        self.make()
        (self.directory / "host_key.pem").chmod(0o640)
        self.assertIn("chmod 600", self.problem())

    def test_linked_key(self) -> None:
        """A key that is a link to something else."""
        self.make()
        key = self.directory / "host_key.pem"
        key.rename(self.directory / "elsewhere")
        key.symlink_to("elsewhere")
        self.assertIn("does not belong", self.problem())

    def test_no_key(self) -> None:
        """A key that is none; it is not replaced, for clients may know the real one."""
        self.make()
        (self.directory / "host_key.pem").write_bytes(b"nonsense")
        self.assertIn("remove it", self.problem())

    def test_no_directory(self) -> None:
        """A directory that cannot be made."""
        self.directory.parent.mkdir()
        self.directory.write_bytes(b"")
        self.assertIn("tls.directory", self.problem())


class PlaceTests(SynchronousTestCase):
    """Where it is kept, and for whom it is made."""

    def test_directory(self) -> None:
        """systemd's, that of the person's state, or the usual one."""
        for environ, path in (
            ({"STATE_DIRECTORY": "/var/lib/a:/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
            ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/mcptwist"),
            ({"HOME": "/h"}, "/h/.local/state/mcptwist"),
        ):
            self.assertEqual(state_directory(environ), Path(path))

    def test_names(self) -> None:
        """This machine's, and those that are configured, without their ports."""
        names = own_names(["mcp.example:8443", "[::2]:1", "10.0.0.1", "localhost"])
        self.assertEqual(names[:3], ["localhost", "127.0.0.1", "::1"])
        self.assertEqual(names[-3:], ["mcp.example", "[::2]", "10.0.0.1"])
