"""Keys in all their formats, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.keys import (
    ED25519,
    P256,
    RSA,
    ISigner,
    KeyProblem,
    PrivateKey,
    PublicKey,
    from_base64url,
    is_fingerprint,
    to_base64url,
)
from tests.auth.people import KINDS, key
from tests.debian import SSH_KEYGEN

#: The examples of RFC 8037, appendix A.
RFC8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


class FormatTests(SynchronousTestCase):
    """Every format leads to the same key."""

    def test_public(self) -> None:
        for kind in KINDS:
            public = key(kind, kind).public
            for text in (public.words(), f"{public.words()} me@here", public.pem()):
                self.assertEqual(PublicKey.from_text(text), public)
            self.assertEqual(PublicKey.from_text(json.dumps(public.jwk())), public)
            self.assertEqual(PublicKey.from_blob(public.blob).fingerprint, public.fingerprint)
            self.assertTrue(is_fingerprint(public.fingerprint))

    def test_private(self) -> None:
        for kind in KINDS:
            private = key(kind, kind)
            for text in (private.openssh(), private.pem()):
                self.assertEqual(PrivateKey.from_text(text).public, private.public)
            self.assertTrue(ISigner.providedBy(private))

    def test_passphrase(self) -> None:
        """Without the passphrase, or with a wrong one, there is no key."""
        text = key().openssh(b"sesame")
        self.assertEqual(PrivateKey.from_text(text, b"sesame").public, key().public)
        for wrong in (None, b"simsim"):
            self.assertRaises(KeyProblem, PrivateKey.from_text, text, wrong)
        pem = key().pem(b"sesame")
        self.assertRaises(KeyProblem, PrivateKey.from_text, pem)
        self.assertRaises(KeyProblem, PrivateKey.from_text, pem, b"simsim")

    def test_thumbprint(self) -> None:
        """RFC 8037 appendix A.3."""
        self.assertEqual(PublicKey.from_jwk(RFC8037).thumbprint, RFC8037_THUMBPRINT)

    def test_private_jwk(self) -> None:
        for kind in KINDS:
            jwk = key(kind, kind).jwk()
            self.assertLessEqual(key(kind, kind).public.jwk().items(), jwk.items())
            self.assertRaises(KeyProblem, PublicKey.from_jwk, jwk)

    def test_repr_is_not_secret(self) -> None:
        private = key()
        for part in private.jwk()["d"], private.openssh().decode():
            self.assertNotIn(part, repr(private))

    def test_ssh_keygen(self) -> None:
        """``ssh-keygen`` reads what we write, and we read what it writes."""
        program = SSH_KEYGEN.needed()
        place = Path(self.mktemp())
        place.mkdir()
        for kind, name in ((ED25519, "ed25519"), (P256, "ecdsa"), (RSA, "rsa")):
            ours, theirs = place / f"ours-{name}", place / f"theirs-{name}"
            ours.touch(0o600)
            ours.write_bytes(key(kind, kind).openssh())
            listed = subprocess.run([program, "-lf", ours], capture_output=True, check=True)
            self.assertIn(key(kind, kind).public.fingerprint, listed.stdout.decode())
            bits = ["-b", "3072"] if kind == RSA else []
            quietly = ["-q", "-N", "", "-f", str(theirs)]
            subprocess.run([program, "-t", name, *bits, *quietly], check=True, env=os.environ)
            private = PrivateKey.from_text(theirs.read_bytes())
            public = PublicKey.from_text(theirs.with_suffix(".pub").read_text())
            self.assertEqual(private.public, public)


class SignatureTests(SynchronousTestCase):
    def test_each_algorithm(self) -> None:
        for kind in KINDS:
            private = key(kind, kind)
            for algorithm in private.public.algorithms:
                signature = private.sign(algorithm, b"words")
                self.assertTrue(private.public.verify(algorithm, signature, b"words"))
                self.assertFalse(private.public.verify(algorithm, signature, b"swords"))
                self.assertFalse(private.public.verify(algorithm, signature + b"\0", b"words"))
                self.assertFalse(private.public.verify(algorithm, b"", b"words"))

    def test_the_key_decides(self) -> None:
        """An algorithm of another kind of key's is refused whatever the signature is."""
        for kind in KINDS:
            private = key(kind, kind)
            best = private.public.algorithms[0]
            signature = private.sign(best, b"words")
            for other in {"none", "HS256", "ES384", "EdDSA", "ES256", "RS256"} - set(
                private.public.algorithms
            ):
                self.assertFalse(private.public.verify(other, signature, b"words"))
                self.assertRaises(KeyProblem, private.sign, other, b"words")

    def test_rsa_paddings_differ(self) -> None:
        private = key(RSA, RSA)
        signature = private.sign("RS256", b"words")
        self.assertFalse(private.public.verify("PS256", signature, b"words"))

    def test_der_is_no_jws(self) -> None:
        """An ECDSA signature in DER is not taken where JWS wants two numbers."""
        private = key(P256, P256)
        signature = private.sign("ES256", b"words")
        numbers = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        der = encode_dss_signature(*numbers)
        self.assertFalse(private.public.verify("ES256", der, b"words"))


class RefusalTests(SynchronousTestCase):
    def assert_refused(self, text: str) -> None:
        self.assertRaises(KeyProblem, PublicKey.from_text, text)

    def test_other_kinds(self) -> None:
        form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        others = [
            ec.generate_private_key(ec.SECP384R1()),
            ed448.Ed448PrivateKey.generate(),
            dsa.generate_private_key(1024),
        ]
        for other in others:
            self.assert_refused(other.public_key().public_bytes(*form).decode())

    def test_small_rsa(self) -> None:
        """2048 bits are taken only where they are asked for."""
        private = rsa.generate_private_key(65537, 2048)
        self.assertRaises(KeyProblem, PrivateKey, private)
        made = PrivateKey(private, 2048)
        self.assert_refused(made.public.words())
        self.assertEqual(PublicKey.from_text(made.public.words(), 2048), made.public)

    def test_words_that_contradict(self) -> None:
        text = key().public.words().replace(ED25519, P256)
        self.assert_refused(text)

    def test_not_canonical(self) -> None:
        kind, text = key().public.words().split()
        blob = base64.b64decode(text)
        for changed in (blob + b"\0", blob[:-1], blob + b"\0\0\0\0", b""):
            self.assert_refused(f"{kind} {base64.b64encode(changed).decode()}")
        self.assert_refused(f"{kind} {text}=")

    def test_rsa_with_leading_zeros(self) -> None:
        """One key has one blob, else its fingerprint could be another."""
        blob = key(RSA, RSA).public.blob
        parts = blob[:11], blob[11:]
        longer = parts[0] + b"\0\0\0\x04\0\x01\0\x01" + parts[1][7:]
        self.assertRaises(KeyProblem, PublicKey.from_blob, longer)

    def test_point_off_the_curve(self) -> None:
        jwk = key(P256, P256).public.jwk()
        for x, y in ((jwk["x"], jwk["x"]), (to_base64url(b"\0" * 32), to_base64url(b"\0" * 32))):
            self.assertRaises(KeyProblem, PublicKey.from_jwk, {**jwk, "x": x, "y": y})

    def test_jwk_of_other_kinds(self) -> None:
        for jwk in (
            {"kty": "oct", "k": "AAAA"},
            {"kty": "oct"},
            {**RFC8037, "crv": "X25519"},
            {**RFC8037, "kty": "EC"},
            {**RFC8037, "x": 7},
            {**RFC8037, "x": "AAAA"},
            {},
        ):
            self.assertRaises(KeyProblem, PublicKey.from_jwk, jwk)

    @settings(max_examples=200, deadline=None)
    @given(st.one_of(st.text(), st.binary().map(lambda b: base64.b64encode(b).decode())))
    def test_anything(self, text: str) -> None:
        """Whatever is given, it is refused by our own error."""
        for tried in (text, f"ssh-ed25519 {text}", f"ssh-rsa {text}", "{" + text):
            try:
                PublicKey.from_text(tried)
            except KeyProblem:
                pass

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=80))
    def test_base64url(self, data: bytes) -> None:
        """There is one way to write bytes."""
        text = to_base64url(data)
        self.assertEqual(from_base64url(text), data)
        for other in (f"{text}=", f" {text}", f"{text}\n", f"{text}+"):
            self.assertRaises(KeyProblem, from_base64url, other)

    def test_stray_bits(self) -> None:
        self.assertEqual(from_base64url("AA"), b"\0")
        self.assertRaises(KeyProblem, from_base64url, "AB")
        self.assertRaises(KeyProblem, from_base64url, "A")
