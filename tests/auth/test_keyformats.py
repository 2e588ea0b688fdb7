"""How keys are written: each in one way only, and no longer than they may be."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.keyformats import (
    ED25519,
    LARGEST_RSA,
    P256,
    READERS,
    RSA,
    SMALLEST_HOST_RSA,
    KeyProblem,
    blob_of,
    from_base64url,
    is_fingerprint,
    json_object,
    member,
    mpint,
    number_of,
    point_of,
    rsa_of,
    string,
    strings,
    to_base64url,
)
from tests.auth.people import key


def bits(number: int) -> int:
    """A modulus of so many bits that may be one."""
    return (1 << number) - 1


class Case(SynchronousTestCase):
    def assert_refused(self, why: str, *call: Any) -> None:
        problem = self.assertRaises(KeyProblem, *call)
        self.assertIn(why, str(problem))


class Base64Tests(Case):
    """RFC 7515, section 2."""

    def test_strange_characters(self) -> None:
        """Python's own reader passes over them, so that one key could be written in many ways."""
        for text in ("A A", "AA==", "AA\n", "A+", "A/", "\u00e9", "AA."):
            self.assert_refused("characters", from_base64url, text)

    def test_impossible_length(self) -> None:
        self.assert_refused("not base64url", from_base64url, "AAAAA")

    def test_stray_bits(self) -> None:
        self.assertEqual(from_base64url("AQ"), b"\x01")
        self.assert_refused("canonical", from_base64url, "AR")


class StringTests(Case):
    """SSH's strings and numbers: RFC 4251, section 5."""

    @given(st.lists(st.binary(max_size=5), max_size=4))
    @settings(max_examples=30, deadline=None)
    def test_there_and_back(self, parts: list[bytes]) -> None:
        self.assertEqual(strings(b"".join(map(string, parts))), parts)

    def test_cut_short(self) -> None:
        """Anywhere: in a length, before what it is of, in that."""
        whole = string(b"ab") + string(b"c")
        for end in range(1, len(whole)):
            if end != 6:
                self.assert_refused("cut short", strings, whole[:end])
        self.assertEqual(strings(whole[:6]), [b"ab"])
        self.assert_refused("cut short", strings, b"\xff\xff\xff\xffx")

    def test_numbers(self) -> None:
        """They are signed there: one whose first bit is set has a zero before it."""
        for number, data in ((1, b"\x01"), (127, b"\x7f"), (128, b"\0\x80"), (65537, b"\1\0\1")):
            self.assertEqual(mpint(number), string(data))
        for number, text in ((1, "AQ"), (255, "_w"), (256, "AQA"), (65537, "AQAB")):
            self.assertEqual(number_of(number), text)

    def test_fingerprints(self) -> None:
        good = key().public.fingerprint
        self.assertTrue(is_fingerprint(good))
        for bad in (good[:-1], good + "A", good + "\n", good + "=", good.lower(), ""):
            self.assertFalse(is_fingerprint(bad), bad)


class KindTests(Case):
    """The kinds that are taken, and how large they may be."""

    def test_ed25519(self) -> None:
        """The curve's library takes what is longer, or shorter, for a mistake of ours."""
        read = READERS[ED25519]
        for parts in ([], [b"x" * 31], [b"x" * 33], [b"x" * 32, b""]):
            self.assert_refused("32 bytes", read, parts)

    def test_p256(self) -> None:
        point = strings(key("alice", P256).public.blob)[2]
        read = READERS[P256]
        for parts in ([b"nistp256"], [b"nistp384", point], [b"nistp256", point, b""], []):
            self.assert_refused("its type names", read, parts)

    def test_points(self) -> None:
        """Compressed ones are another way to write the same key, and that of infinity is none."""
        point = strings(key("alice", P256).public.blob)[2]
        compressed = (b"\x02" if point[-1] % 2 == 0 else b"\x03") + point[1:33]
        for bad in (compressed, point + b"\0", point[:-1], b"\x06" + point[1:], b"\0", b""):
            self.assert_refused("uncompressed", point_of, bad)
        self.assert_refused("not on the curve", point_of, point[:-1] + bytes([point[-1] ^ 1]))

    def test_other_curves(self) -> None:
        """A key of another curve has no place in the blob of this one."""
        other = ec.generate_private_key(ec.SECP384R1()).public_key()
        self.assert_refused("not taken", blob_of, other, 0)
        numbers = dsa.DSAParameterNumbers(p=(1 << 1024) - 105, q=(1 << 160) - 47, g=2)
        strange = dsa.DSAPublicNumbers(3, numbers).public_key()
        self.assert_refused("not taken", blob_of, strange, 0)

    def test_exponents(self) -> None:
        """Small ones are weak, large ones dear to whoever verifies, even ones no key."""
        modulus = bits(SMALLEST_HOST_RSA)
        for bad in (0, 3, 65535, 65536, 65538, 1 << 32, (1 << 32) + 1):
            self.assert_refused("exponent", rsa_of, bad, modulus)
        for good in (65537, (1 << 32) - 1):
            self.assertEqual(self.numbers(rsa_of(good, modulus)).e, good)

    def numbers(self, public: Any) -> rsa.RSAPublicNumbers:
        assert isinstance(public, rsa.RSAPublicKey)
        return public.public_numbers()

    def test_sizes(self) -> None:
        """From the smallest to the largest, both of them included."""
        for least in (2048, 3072):
            blob_of(rsa_of(65537, bits(least)), least)
            too_small = rsa_of(65537, bits(least - 1))
            self.assert_refused(f"{least} to {LARGEST_RSA}", blob_of, too_small, least)
        blob_of(rsa_of(65537, bits(LARGEST_RSA)), 3072)
        self.assert_refused("more than", rsa_of, 65537, bits(LARGEST_RSA + 1))

    def test_malformed_rsa(self) -> None:
        """The library's own objections are told as ours."""
        self.assert_refused("malformed", rsa_of, 65537, 4)

    def test_rsa_in_a_blob(self) -> None:
        """Numbers longer than any we take are not even made into such."""
        e, n, read = b"\1\0\1", b"\0" + b"\xff" * (LARGEST_RSA // 8), READERS[RSA]
        self.assertEqual(self.numbers(read([e, n])).n, bits(LARGEST_RSA))
        for parts in ([e], [e, n, b""], [e, b"\0" + n], [b"\0" + n, n]):
            self.assert_refused("malformed or too long", read, parts)


class MemberTests(Case):
    """The members of a JWK: RFC 7518, section 6."""

    def test_length(self) -> None:
        """A curve's numbers have all their zeros."""
        jwk = {"x": to_base64url(b"\0" + b"x" * 31)}
        self.assertEqual(len(member(jwk, "x", 32)), 32)
        self.assert_refused("must have 31 bytes", member, jwk, "x", 31)
        self.assert_refused("must have 33 bytes", member, jwk, "x", 33)

    def test_zeros(self) -> None:
        """RSA's numbers have none: one key would have several thumbprints otherwise."""
        self.assert_refused("begins with zeros", member, {"n": to_base64url(b"\0\x01")}, "n")
        self.assertEqual(member({"n": to_base64url(b"\x01\0")}, "n"), b"\x01\0")

    def test_no_strings(self) -> None:
        for value in (None, 5, ["AA"], {}, True):
            self.assert_refused("no string", member, {"n": value}, "n")

    def test_long(self) -> None:
        """What is far too long is not decoded."""
        self.assertEqual(len(member({"n": "_" * 2048}, "n")), 1536)
        self.assert_refused("fitting length", member, {"n": "_" * 2052}, "n")


class JsonTests(Case):
    def test_object(self) -> None:
        self.assertEqual(json_object('{"kty": "EC"}'), {"kty": "EC"})
        for text in ("[]", "5", "null", '"kty"'):
            self.assert_refused("no JWK", json_object, text)
        for text in ("", "{", "[" * 100_000, "1" * 5000):
            self.assert_refused("not JSON", json_object, text)
