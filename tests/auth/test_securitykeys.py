"""Keys in hardware: which are taken, and when one was touched."""

from __future__ import annotations

from base64 import b64encode

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.keyformats import KeyProblem, string
from mcptwist.auth.securitykeys import (
    SK_ED25519,
    SK_P256,
    TOUCHED,
    SecurityKey,
    read_key,
    read_touched,
)
from tests.auth.people import key
from tests.auth.touched import Authenticator, made_blob

POINT = key().public.blob[-32:]


class KeyTests(SynchronousTestCase):
    """OpenSSH's ``PROTOCOL.u2f``: the type, the point and the application."""

    def assert_refused(self, why: str, blob: bytes) -> None:
        self.assertIn(why, str(self.assertRaises(KeyProblem, SecurityKey, blob)))

    def test_parts(self) -> None:
        blob = made_blob(POINT)
        self.assertEqual(SecurityKey(blob).blob, blob)
        self.assert_refused("the key is no sk-", blob + string(b""))
        self.assert_refused("the key is no sk-", string(SK_ED25519.encode()) + string(POINT))
        self.assert_refused("the key is no sk-", key().public.blob + string(b"ssh:"))
        self.assert_refused("the key is no sk-", blob.replace(b"ed25519", b"ed25518"))
        self.assert_refused("cut short", blob[:-1])

    def test_points(self) -> None:
        for point in (b"", POINT[:-1], POINT + b"\0"):
            self.assert_refused("32 bytes", made_blob(point))

    def test_applications(self) -> None:
        """Keys for websites are none of SSH's: what they sign is asked for by pages."""
        for application in (b"https://example.com", b"", b"ssh", b"xssh:"):
            self.assert_refused("not made for SSH", made_blob(POINT, application))
        longest = b"ssh:" + b"x" * 252
        self.assertEqual(SecurityKey(made_blob(POINT, longest)).kind, SK_ED25519)
        self.assert_refused("not made for SSH", made_blob(POINT, longest + b"x"))

    def test_alike(self) -> None:
        one, same = SecurityKey(made_blob(POINT)), SecurityKey(made_blob(POINT))
        other = SecurityKey(made_blob(POINT, b"ssh:other"))
        self.assertEqual((one, hash(one)), (same, hash(same)))
        self.assertNotEqual(one, other)
        self.assertNotEqual(one.fingerprint, other.fingerprint)
        self.assertNotEqual(one, key().public)
        self.assertEqual(repr(one), f"<SecurityKey {one.fingerprint}>")


class TouchTests(SynchronousTestCase):
    """Whether somebody was there."""

    kind = SK_ED25519

    def setUp(self) -> None:
        self.authenticator = Authenticator(kind=self.kind)
        self.public = self.authenticator.public

    def touch(self, data: bytes = b"a", flags: int = TOUCHED) -> bytes:
        found = read_touched(self.authenticator.touch(data, flags))
        assert found is not None
        self.assertEqual(found[0], self.kind)
        return found[1]

    def test_touched(self) -> None:
        made = self.touch(b"data")
        self.assertIs(self.public.is_touched(made, b"data"), True)
        self.assertIs(self.public.is_touched(made, b"date"), False)

    def test_not_touched(self) -> None:
        """Signed by the key, and nobody was there: the other flags do not say so."""
        for flags in (0, 0x04, 0xFE):
            self.assertIs(self.public.is_touched(self.touch(flags=flags), b"a"), False)
        self.assertIs(self.public.is_touched(self.touch(flags=TOUCHED | 0x04), b"a"), True)

    def test_what_was_added(self) -> None:
        """Flags and counter are signed as well, and there is nothing else."""
        made = self.touch()
        for changed in (
            made[:64] + bytes([made[64] | 0x04]) + made[65:],
            made[:-1] + bytes([made[-1] ^ 1]),
            made + b"\0", made[:-1], made[:64], b"",
        ):  # fmt: skip
            self.assertIs(self.public.is_touched(changed, b"a"), False)

    def test_another_application(self) -> None:
        """What the same key has signed for another is nothing here."""
        other = SecurityKey(made_blob(self.authenticator.point, b"ssh:other", self.kind))
        self.assertIs(other.is_touched(self.touch(), b"a"), False)

    def test_no_jws(self) -> None:
        """It is good for no token, whatever the algorithm is said to be."""
        made = self.touch()
        for algorithm in ("EdDSA", "", "Ed25519", "ES256"):
            self.assertIs(self.public.verify(algorithm, made[:64], b"a"), False)
        self.assertEqual((self.public.algorithms, self.public.thumbprint), ((), ""))


class P256TouchTests(TouchTests):
    kind = SK_P256


class ReadTests(SynchronousTestCase):
    """The two words in a line."""

    def test_read(self) -> None:
        public = SecurityKey(made_blob(POINT))
        self.assertEqual(read_key(*public.words().split()), public)
        other = key().public
        self.assertEqual(read_key(*other.words().split()), other)

    def test_refused(self) -> None:
        good = b64encode(made_blob(POINT)).decode()
        self.assertTrue(good.endswith("o="))  # of whose last letter two bits stand for nothing
        for text in (good[:-1], good + "\n", good + "=", "\u00e9", "", good[:-2] + "p="):
            self.assertRaises(KeyProblem, read_key, SK_ED25519, text)
        self.assertRaises(KeyProblem, read_key, "ssh-ed25519", good)
        plain = b64encode(key().public.blob).decode()
        self.assertRaises(KeyProblem, read_key, SK_ED25519, plain)
