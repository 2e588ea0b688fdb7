"""SSH signatures: read strictly, and OpenSSH's own."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.keyformats import KeyProblem, mpint, string, strings
from mcptwist.auth.keys import ED25519, P256, RS512, RSA, PublicKey
from mcptwist.auth.securitykeys import SK_ED25519, SK_P256, SecurityKey, read_key
from mcptwist.auth.sshsig import (
    LONGEST,
    SignatureRefused,
    SshSignature,
    _to_be_signed,
    armored,
    read_sshsig,
    sign_text,
)
from tests.auth.people import KINDS, key
from tests.auth.touched import HARDWARE, Authenticator, made_blob
from tests.debian import SSH_KEYGEN

PURPOSE = "mcptwist-approve"
TEXT = b"approve BCDF-GHJK https://a.example c1 - https://a.example/mcp mcp:read\n"


def signed(text: bytes = TEXT, kind: str = ED25519, purpose: str = PURPOSE) -> str:
    """What a key of ours makes of it."""
    made: list[str] = []
    Deferred.fromCoroutine(sign_text(key(kind=kind), text, purpose)).addCallback(made.append)
    return made[0]


def bytes_of(text: str) -> bytes:
    """What is in the armor."""
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def wrapped(blob: bytes) -> str:
    """The same bytes in armor."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    inside = "\n".join(lines)
    return f"-----BEGIN SSH SIGNATURE-----\n{inside}\n-----END SSH SIGNATURE-----\n"


class SignatureTests(SynchronousTestCase):
    def test_every_kind(self) -> None:
        for kind in KINDS:
            found = read_sshsig(signed(kind=kind))
            self.assertEqual((found.key, found.namespace), (key(kind=kind).public, PURPOSE))
            self.assertTrue(found.is_of(TEXT, PURPOSE))

    def test_of_something_else(self) -> None:
        """Another text, another purpose, and what its signature says it is for."""
        for kind in KINDS:
            found = read_sshsig(signed(kind=kind))
            self.assertFalse(found.is_of(TEXT + b"\n", PURPOSE))
            self.assertFalse(found.is_of(TEXT[:-1], PURPOSE))
            self.assertFalse(found.is_of(TEXT, "file"))
        other = read_sshsig(signed(purpose="file"))
        self.assertTrue(other.is_of(TEXT, "file"))
        self.assertFalse(other.is_of(TEXT, PURPOSE))
        claimed = signed(purpose="file").splitlines()
        blob = bytes_of("\n".join(claimed)).replace(string(b"file"), string(PURPOSE.encode()))
        self.assertFalse(read_sshsig(wrapped(blob)).is_of(TEXT, PURPOSE))

    def test_another_key(self) -> None:
        blob = bytes_of(signed()).replace(key().public.blob, key("bob").public.blob)
        self.assertFalse(read_sshsig(wrapped(blob)).is_of(TEXT, PURPOSE))

    def test_another_hash(self) -> None:
        """The hash is signed with the text."""
        blob = bytes_of(signed()).replace(b"sha512", b"sha256")
        self.assertFalse(read_sshsig(wrapped(blob)).is_of(TEXT, PURPOSE))
        for name in (b"sha1", b"md5", b"", b"SHA512", b"\xff"):
            self._refused(wrapped(bytes_of(signed()).replace(string(b"sha512"), string(name))))

    def test_trailing(self) -> None:
        text = signed()
        read_sshsig(text.removesuffix("\n"))
        blob = bytes_of(text)
        inside = blob[: -4 - len(string(b"ssh-ed25519")) - 68]
        good = blob[-len(string(b"ssh-ed25519")) - 68 :]
        for wrong in (
            wrapped(blob + b"\0"),
            wrapped(blob + string(b"")),
            wrapped(blob[:-1]),
            wrapped(inside + string(good + b"\0")),
            wrapped(inside + string(good + string(b""))),
            wrapped(inside + string(good[:-68] + string(b"x" * 65))),
            f"{text}\n",
            f" {text}",
            f"{text}x",
            text.replace("\n", "\r\n"),
            text.replace("BEGIN SSH", "BEGIN PGP"),
            text.replace("-----END SSH SIGNATURE-----", ""),
            "".join(text.splitlines()),
            "",
            "x" * (LONGEST + 1),
            wrapped(b"SSHSIG\0\0\0\2" + blob[10:]),
            wrapped(b"sshsig\0\0\0\1" + blob[10:]),
        ):
            self._refused(wrong)

    def test_reserved(self) -> None:
        """Nothing may be said there that we do not understand."""
        blob = bytes_of(signed()).replace(
            string(PURPOSE.encode()) + string(b""), string(PURPOSE.encode()) + string(b"x")
        )
        self._refused(wrapped(blob))

    def test_kinds_that_do_not_fit(self) -> None:
        """What its algorithm is, the key says."""
        for kind in KINDS:
            for name in ("ssh-ed25519", P256, "rsa-sha2-512", "ssh-rsa", SK_ED25519, "none"):
                made = string(name.encode()) + string(b"x" * 64)
                public = key(kind=kind).public
                try:
                    found = read_sshsig(armored(public.blob, PURPOSE, "sha512", made))
                except SignatureRefused:
                    continue
                self.assertFalse(found.is_of(TEXT, PURPOSE))
        self._refused(armored(b"", PURPOSE, "sha512", string(b"ssh-ed25519") + string(b"x" * 64)))
        dsa = string(b"ssh-dss") + string(b"1")
        self._refused(armored(dsa, PURPOSE, "sha512", string(b"ssh-dss") + string(b"x" * 40)))

    def test_numbers_of_a_pair(self) -> None:
        """An ECDSA signature is written in one way only."""
        public = key(kind=P256).public
        for pair in (
            b"",
            mpint(5),
            mpint(5) * 3,
            string(b"\0\5") + mpint(5),
            string(b"\x80") + mpint(5),
            mpint(1 << 256) + mpint(5),
        ):
            made = string(P256.encode()) + string(pair)
            self._refused(armored(public.blob, PURPOSE, "sha512", made))

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(KINDS), st.integers(0, 1 << 16))
    def test_any_bit(self, kind: str, number: int) -> None:
        """With any bit changed, it is refused or not of that text."""
        blob = bytearray(bytes_of(signed(kind=kind)))
        at = number % (len(blob) * 8)
        blob[at // 8] ^= 1 << at % 8
        try:
            found = read_sshsig(wrapped(bytes(blob)))
        except SignatureRefused:
            return
        self.assertFalse(found.is_of(TEXT, PURPOSE))

    @settings(max_examples=100, deadline=None)
    @given(st.text() | st.binary().map(wrapped))
    def test_anything(self, text: str) -> None:
        try:
            read_sshsig(text)
        except SignatureRefused as refused:
            self.assertTrue(refused.reason)

    def _refused(self, text: str) -> None:
        self.assertRaises(SignatureRefused, read_sshsig, text)


class SecurityKeyTests(SynchronousTestCase):
    def test_touched(self) -> None:
        for kind in HARDWARE:
            hardware = Authenticator(kind=kind)
            found = read_sshsig(hardware.sign(TEXT, PURPOSE))
            self.assertEqual(found.key, hardware.public)
            self.assertTrue(found.is_of(TEXT, PURPOSE))
            self.assertFalse(found.is_of(TEXT, "file"))
            self.assertFalse(found.is_of(TEXT + b"x", PURPOSE))

    def test_nobody_there(self) -> None:
        """What malware could have it sign without its person is nothing."""
        for kind in HARDWARE:
            for flags in (0x00, 0x04):
                found = read_sshsig(Authenticator(kind=kind).sign(TEXT, PURPOSE, flags))
                self.assertFalse(found.is_of(TEXT, PURPOSE))

    def test_flags_are_signed(self) -> None:
        """And so is the counter."""
        for kind in HARDWARE:
            text = Authenticator(kind=kind).sign(TEXT, PURPOSE, 0x00)
            touched, counted = bytearray(bytes_of(text)), bytearray(bytes_of(text))
            touched[-5], counted[-1] = 1, 2
            for blob in (touched, counted):
                self.assertFalse(read_sshsig(wrapped(bytes(blob))).is_of(TEXT, PURPOSE))

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(HARDWARE), st.integers(0, 1 << 16))
    def test_any_bit(self, kind: str, number: int) -> None:
        """With any bit changed, it is refused or not of that text."""
        hardware = Authenticator(kind=kind)
        blob = bytearray(bytes_of(hardware.sign(TEXT, PURPOSE)))
        at = number % (len(blob) * 8)
        blob[at // 8] ^= 1 << at % 8
        try:
            found = read_sshsig(wrapped(bytes(blob)))
        except SignatureRefused:
            return
        self.assertFalse(found.is_of(TEXT, PURPOSE))

    def test_one_kind_for_another(self) -> None:
        """What its type is, the key says; nor is one without hardware its own."""
        ours, other = Authenticator(kind=SK_P256), Authenticator()
        made = strings(bytes_of(ours.sign(TEXT, PURPOSE))[10:])[4]
        plain = string(P256.encode()) + string(b"ecdsa") + b""
        for public, signature in (
            (other.public, made),
            (key(kind=P256).public, made),
            (ours.public, strings(bytes_of(other.sign(TEXT, PURPOSE))[10:])[4]),
            (ours.public, plain),
            (ours.public, made.replace(SK_P256.encode(), SK_ED25519.encode())),
        ):
            with self.assertRaises(SignatureRefused):
                read_sshsig(armored(public.blob, PURPOSE, "sha512", signature))

    def test_forms_of_a_pair(self) -> None:
        """Numbers are written in one way only, and a point is uncompressed, and on the curve."""
        hardware = Authenticator(kind=SK_P256)
        name = string(SK_P256.encode())
        five = mpint(5)
        for pair in (
            b"",
            five,
            five * 3,
            string(b"\0\5") + five,
            mpint(1 << 256) + five,
            b"x" * 64,
        ):
            signature = name + string(pair) + b"\1\0\0\0\1"
            with self.assertRaises(SignatureRefused):
                read_sshsig(armored(hardware.public.blob, PURPOSE, "sha512", signature))
        good = name + string(five + five) + b"\1\0\0\0\1"
        text = armored(hardware.public.blob, PURPOSE, "sha512", good)
        self.assertFalse(read_sshsig(text).is_of(TEXT, PURPOSE))
        compressed = bytes([2 + hardware.point[-1] % 2]) + hardware.point[1:33]
        for blob in (
            made_blob(compressed, kind=SK_P256),
            made_blob(hardware.point[:-1] + b"\0\0", kind=SK_P256),
            made_blob(b"\4" + b"\1" * 64, kind=SK_P256),
            made_blob(hardware.point, kind=SK_P256, curve=b"nistp384"),
            made_blob(hardware.point, b"https://a.example", SK_P256),
            hardware.public.blob + string(b""),
        ):
            self.assertRaises(KeyProblem, SecurityKey, blob)

    def test_type_of_the_line(self) -> None:
        """A line's type and its key's must be one."""
        words = Authenticator(kind=SK_P256).public.words().split()
        self.assertRaises(KeyProblem, read_key, SK_ED25519, words[1])
        self.assertRaises(KeyProblem, read_key, P256, words[1])
        self.assertEqual(read_key(*words).words().split(), words)

    def test_another_application(self) -> None:
        """Websites' keys are none of SSH's, and each application's are its own."""
        mine, other = Authenticator(b"ssh:mine"), Authenticator(b"ssh:other")
        blob = bytes_of(mine.sign(TEXT, PURPOSE))
        blob = blob.replace(string(b"ssh:mine"), string(b"ssh:self"))
        self.assertFalse(read_sshsig(wrapped(blob)).is_of(TEXT, PURPOSE))
        web = made_blob(other.public.blob[-45:-13], b"https://a.example")
        with self.assertRaises(SignatureRefused):
            read_sshsig(armored(web, PURPOSE, "sha512", string(b"x") + string(b"y")))

    def test_cut(self) -> None:
        blob = bytes_of(Authenticator().sign(TEXT, PURPOSE))
        for wrong in (blob[:-1], blob[:-5], blob + b"\0"):
            self.assertRaises(SignatureRefused, read_sshsig, wrapped(wrong))


class OpenSshTests(SynchronousTestCase):
    """``ssh-keygen -Y``: what it signs we verify, and what we sign it does."""

    def setUp(self) -> None:
        self.program = SSH_KEYGEN.needed()
        self.place = Path(self.mktemp())
        self.place.mkdir()

    def ssh_keygen(self, *words: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = [self.program, *words]
        return subprocess.run(argv, input=said, capture_output=True, check=False, timeout=60)

    def test_theirs(self) -> None:
        for kind in KINDS:
            for hashed in ("sha512", "sha256"):
                found = read_sshsig(self._sign(kind, hashed))
                self.assertEqual((found.hash, found.key), (hashed, key(kind=kind).public))
                self.assertTrue(found.is_of(TEXT, PURPOSE))
                self.assertFalse(found.is_of(TEXT, "file"))

    def test_made_twice(self) -> None:
        """Of the same bytes, Ed25519 has us write what they write."""
        self.assertEqual(self._sign(ED25519, "sha512"), signed())

    def test_ours(self) -> None:
        for kind in KINDS:
            found = self._verify(key(kind=kind).public, signed(kind=kind))
            self.assertEqual(found.returncode, 0, found.stderr)
            wrong = self._verify(key(kind=kind).public, signed(kind=kind, purpose="file"))
            self.assertNotEqual(wrong.returncode, 0)

    def test_security_key(self) -> None:
        """That our hardware in software signs as OpenSSH's does, OpenSSH says."""
        for kind in HARDWARE:
            hardware = Authenticator(kind=kind)
            found = self._verify(hardware.public, hardware.sign(TEXT, PURPOSE))
            self.assertEqual(found.returncode, 0, found.stderr)

    def test_fingerprints_of_security_keys(self) -> None:
        for kind in HARDWARE:
            public = Authenticator(kind=kind).public
            (self.place / "key.pub").write_text(f"{public.words()} token\n")
            told = self.ssh_keygen("-l", "-f", str(self.place / "key.pub"))
            self.assertIn(public.fingerprint.encode(), told.stdout, told.stderr)

    def _sign(self, kind: str, hashed: str) -> str:
        path = self.place / kind
        if not path.exists():
            path.write_bytes(key(kind=kind).openssh())
            path.chmod(0o600)
        made = self.ssh_keygen(
            "-Y", "sign", "-n", PURPOSE, "-O", f"hashalg={hashed}", "-f", str(path), said=TEXT
        )
        self.assertEqual(made.returncode, 0, made.stderr)
        return made.stdout.decode()

    def _verify(self, public: Any, text: str) -> subprocess.CompletedProcess[bytes]:
        signers, signature = self.place / "signers", self.place / "signature"
        signers.write_text(f"alice {public.words()}\n")
        signature.write_text(text)
        words = ("-Y", "verify", "-f", str(signers), "-I", "alice", "-n", PURPOSE)
        return self.ssh_keygen(*words, "-s", str(signature), said=TEXT)


class ReadKeyTests(SynchronousTestCase):
    def test_for_nothing_else(self) -> None:
        """What RSA keys sign for SSH alone is good for no JWS."""
        program = SSH_KEYGEN.needed()
        path = Path(self.mktemp())
        path.write_bytes(key(kind=RSA).openssh())
        path.chmod(0o600)
        argv = [program, "-Y", "sign", "-n", PURPOSE, "-f", str(path)]
        made = subprocess.run(argv, input=TEXT, capture_output=True, check=True, timeout=60)
        found = read_sshsig(made.stdout.decode())
        self.assertEqual(found.algorithm, RS512)
        self.assertTrue(found.is_of(TEXT, PURPOSE))
        signed = _to_be_signed(TEXT, PURPOSE, "sha512")
        public = key(kind=RSA).public
        self.assertTrue(public.verify_ssh(RS512, found.raw, signed))
        self.assertFalse(public.verify(RS512, found.raw, signed))

    def test_small_rsa(self) -> None:
        """A key that is too short for any line is not looked at."""
        public: PublicKey = key(kind=RSA).public
        made = string(b"rsa-sha2-512") + string(b"x" * 384)
        text = armored(public.blob, PURPOSE, "sha512", made)
        self.assertIsInstance(read_sshsig(text), SshSignature)
        self.assertRaises(SignatureRefused, read_sshsig, text, 4096)
