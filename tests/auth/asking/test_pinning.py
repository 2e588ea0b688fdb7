"""Which key a server must show, and what is said when it shows another."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.auth.asking.knownhosts import KNOWN, KnownHosts, line_of
from mcptwist.auth.asking.pinning import Pinning
from mcptwist.auth.keys import P256, PublicKey
from mcptwist.errors import HostNotTrusted
from mcptwist.interfaces import IHostKeys
from tests.auth.people import key

HOST, OTHER = key("host", P256).public, key("other", P256).public
PLACE = ("mcp.example.com", 8443)


def spki(public: PublicKey) -> bytes:
    lines = public.pem().splitlines()[1:-1]
    return base64.b64decode("".join(lines))


def strange() -> bytes:
    """A key of a kind that certificates have and known_hosts of ours has not."""
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class HostKeyCase(SynchronousTestCase):
    def setUp(self) -> None:
        place = Path(self.mktemp()).resolve()
        place.mkdir(mode=0o700)
        self.file = place / "known_hosts"

    def write(self, *lines: str) -> None:
        self.file.write_text("".join(f"{line}\n" for line in lines))
        self.file.chmod(0o600)

    def keys(self, *given: str, accept_new: bool = False) -> Pinning:
        return Pinning(str(self.file), given, accept_new)

    def assert_refused(self, keys: Pinning, shown: bytes, *words: str, vouched: bool) -> None:
        before = self.file.read_bytes() if self.file.exists() else None
        problem = self.assertRaises(HostNotTrusted, keys.judge, *PLACE, shown, vouched)
        for word in words:
            self.assertIn(word, str(problem))
        self.assertEqual(self.file.read_bytes() if self.file.exists() else None, before)


class JudgeTests(HostKeyCase):
    def test_interface(self) -> None:
        verifyObject(IHostKeys, self.keys())

    def test_unknown(self) -> None:
        """A trusted certificate will do; nothing else does, and the file stays as it is."""
        self.keys().judge(*PLACE, spki(HOST), True)
        self.keys().judge(*PLACE, strange(), True)
        self.assertFalse(self.file.exists())
        words = (HOST.fingerprint, "mcptwist keyscan mcp.example.com:8443", "nothing was sent")
        self.assert_refused(self.keys(), spki(HOST), *words, vouched=False)
        self.assert_refused(self.keys(), strange(), "cannot be pinned", vouched=False)

    def test_known(self) -> None:
        """Then nobody has to vouch for it."""
        self.write(line_of(*PLACE, HOST))
        for vouched in (True, False):
            self.keys().judge(*PLACE, spki(HOST), vouched)

    def test_changed(self) -> None:
        """Whoever vouches for the new one, and also where new hosts are accepted."""
        self.write(line_of(*PLACE, HOST))
        words = ("HAS CHANGED", HOST.fingerprint, OTHER.fingerprint, "keygen -R mcp.example.com:84")
        for vouched in (True, False):
            for keys in (self.keys(), self.keys(accept_new=True)):
                self.assert_refused(keys, spki(OTHER), *words, vouched=vouched)
                self.assert_refused(keys, strange(), "HAS CHANGED", vouched=vouched)

    def test_revoked(self) -> None:
        """Wherever it is shown, and even if it was given."""
        self.write(f"@revoked * {HOST.words()}")
        for keys in (self.keys(), self.keys(HOST.fingerprint), self.keys(accept_new=True)):
            self.assert_refused(keys, spki(HOST), "REVOKED", vouched=True)

    def test_given(self) -> None:
        """One of these and no other; what known_hosts has of the host does not matter."""
        self.write(line_of(*PLACE, OTHER))
        keys = self.keys(HOST.fingerprint, key("third", P256).public.fingerprint)
        keys.judge(*PLACE, spki(HOST), False)
        for shown in (spki(OTHER), strange()):
            self.assert_refused(keys, shown, "FAILED", HOST.fingerprint, vouched=True)

    def test_accepted(self) -> None:
        """It is kept, for us alone, and is the only one then. One that is vouched for is not."""
        self.keys(accept_new=True).judge(*PLACE, spki(HOST), True)
        self.assertFalse(self.file.exists())
        self.keys(accept_new=True).judge(*PLACE, spki(HOST), False)
        self.assertEqual(KnownHosts(self.file.read_text()).verdict(*PLACE, HOST), KNOWN)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.keys().judge(*PLACE, spki(HOST), False)
        self.assert_refused(self.keys(accept_new=True), spki(OTHER), "CHANGED", vouched=False)

    def test_a_file_that_others_can_write(self) -> None:
        """It is not believed, so nobody is."""
        self.write(line_of(*PLACE, HOST))
        self.file.chmod(0o666)
        self.assert_refused(self.keys(), spki(HOST), "chmod go-w", vouched=True)

    def test_settled(self) -> None:
        """Whether a person has to be asked."""
        self.assertFalse(self.keys().is_settled(*PLACE))
        self.assertTrue(self.keys(accept_new=True).is_settled(*PLACE))
        self.assertTrue(self.keys(HOST.fingerprint).is_settled(*PLACE))
        self.write(line_of(*PLACE, HOST))
        self.assertTrue(self.keys().is_settled(*PLACE))
        self.assertFalse(self.keys().is_settled("elsewhere", 8443))
