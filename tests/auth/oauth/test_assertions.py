"""Assertions: what is believed, and everything that is not."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.jws import Malformed, make_jws, read_jws
from mcptwist.auth.keys import ALL_ALGORITHMS, to_base64url
from mcptwist.auth.oauth.assertions import Assertion, AssertionRefused, read_assertion
from mcptwist.auth.oauth.replay import ReplayCache, ReplaysFull
from tests.auth.people import ISSUER, KINDS, NOW, assertion, claims, key

WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def read(text: str, client: str | None = None, born: float = NOW - 1000) -> Assertion:
    return read_assertion(text, ISSUER, NOW, born, client)


def part(value: Any) -> str:
    return to_base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def unsigned(header: Any, payload: Any, signature: bytes = b"x" * 64) -> str:
    return f"{part(header)}.{part(payload)}.{to_base64url(signature)}"


class GoodTests(SynchronousTestCase):
    def test_each_kind(self) -> None:
        for kind in KINDS:
            signer = key(kind, kind)
            for algorithm in signer.public.algorithms:
                found = read(assertion(signer, algorithm=algorithm))
                self.assertEqual((found.client, found.algorithm), ("alice", algorithm))
                self.assertTrue(signer.public.verify(algorithm, found.signature, found.signed))
                self.assertEqual(found.until, int(NOW) + 330)

    def test_client_beside_it(self) -> None:
        self.assertEqual(read(assertion(key()), "alice").client, "alice")

    def test_header(self) -> None:
        """``typ`` may be left out; ``kid`` says which key."""
        for header in ({}, {"typ": "client-authentication+jwt"}, {"kid": "k"}):
            self.assertEqual(read(make_jws(key(), header, claims())).key, header.get("kid"))

    def test_clocks_differ_a_little(self) -> None:
        for iat in (NOW + 30, NOW - 329):
            self.assertTrue(read(assertion(key(), iat=iat, exp=iat + 300)))


class RefusedTests(SynchronousTestCase):
    def assert_refused(self, text: str, client: str | None = None) -> None:
        self.assertRaises(AssertionRefused, read, text, client)

    def test_times(self) -> None:
        now = int(NOW)
        for different in (
            {"exp": now + 301},
            {"exp": now},
            {"exp": now - 40, "iat": now - 100},
            {"iat": now + 31, "exp": now + 100},
            {"nbf": now + 31},
            {"nbf": "now"},
            {"nbf": True},
            *(
                {name: value}
                for name in ("iat", "exp")
                for value in (None, "1", True, [], {}, 10**40)
            ),
        ):
            self.assert_refused(assertion(key(), **different))

    def test_numbers_that_are_none(self) -> None:
        for number in ("NaN", "Infinity", "-Infinity", "1e400", "1" * 5000):
            payload = json.dumps(claims()).replace(f'"exp": {int(NOW) + 300}', f'"exp": {number}')
            self.assertIn(number, payload)
            self.assert_refused(unsigned({"alg": "EdDSA"}, payload.encode()))

    def test_made_before_the_start(self) -> None:
        """It may have been used then, and who would know?"""
        text = assertion(key(), now=NOW - 10)
        self.assertRaises(AssertionRefused, read, text, None, NOW - 9.5)
        self.assertTrue(read(text, None, NOW - 10))

    def test_audience(self) -> None:
        self.assertTrue(read(assertion(key(), aud=f"{ISSUER}/")))
        for audience in (
            f"{ISSUER}//",
            f"{ISSUER}/oauth/token",
            f"{ISSUER}/mcp",
            [ISSUER],
            [ISSUER, "http://other.example"],
            ISSUER.upper(),
            "http://other.example",
            "",
            None,
        ):
            self.assert_refused(assertion(key(), aud=audience))

    def test_client(self) -> None:
        self.assert_refused(assertion(key(), iss="bob"))
        self.assert_refused(assertion(key(), sub="bob"))
        self.assert_refused(assertion(key(), iss=None))
        self.assert_refused(assertion(key()), "bob")
        self.assert_refused(assertion(key(), client=""))
        self.assert_refused(assertion(key(), client="a" * 300))

    def test_jti(self) -> None:
        for jti in (None, "short", "x" * 129, 12345678, ["12345678"]):
            self.assert_refused(assertion(key(), jti=jti))

    def test_algorithm(self) -> None:
        for algorithm in ("none", "None", "HS256", "ES384", "EdDSA ", "", None, 7, ["EdDSA"]):
            self.assert_refused(unsigned({"alg": algorithm}, claims()))
        for algorithm in ALL_ALGORITHMS:
            self.assertTrue(read(unsigned({"alg": algorithm}, claims())))

    def test_header_members(self) -> None:
        """Nothing in a header may choose the key or change what is signed."""
        public = key().public.jwk()
        for member in (
            {"crit": ["exp"]},
            {"crit": []},
            {"b64": False},
            {"jwk": public},
            {"jku": "http://127.0.0.1:1/keys"},
            {"x5u": "http://127.0.0.1:1/keys"},
            {"x5c": ["AAAA"]},
            {"kid": 7},
            {"kid": ""},
            {"kid": "x" * 300},
            {"typ": "dpop+jwt"},
            {"typ": "at+jwt"},
            {"typ": "jwt"},
            {"typ": None},
        ):
            self.assert_refused(make_jws(key(), member, claims()))
        for kid in ("../../etc/passwd", "' OR 1=1 --", "SHA256:x"):
            self.assertEqual(read(make_jws(key(), {"kid": kid}, claims())).key, kid)

    def test_form(self) -> None:
        good = assertion(key())
        header, payload, signature = good.split(".")
        for text in (
            "",
            ".",
            "..",
            header,
            f"{header}.{payload}",
            f"{good}.",
            f".{good}",
            f"{good}.{signature}",
            f" {good}",
            f"{good}\n",
            f"{header}=.{payload}.{signature}",
            f"{header}.{payload}.{signature}==",
            f"{header}.{payload} .{signature}",
            f"{header}.{base64.b64encode(json.dumps(claims()).encode()).decode()}+/.{signature}",
            good + "A" * (1 << 20),
            unsigned([], claims()),
            unsigned({"alg": "EdDSA"}, []),
            unsigned({"alg": "EdDSA"}, b"\xff"),
            unsigned({"alg": "EdDSA"}, b"[" * 6000),
            unsigned({"alg": "EdDSA"}, b'{"iss":' * 700),
            unsigned(b'{"alg":"EdDSA","alg":"EdDSA"}', claims()),
            unsigned({"alg": "EdDSA"}, json.dumps(claims())[:-1].encode() + b',"sub":"alice"}'),
        ):
            self.assert_refused(text)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        self.assert_refused(text)
        self.assert_refused(f"{part({'alg': 'EdDSA'})}.{part(claims())}.{text}.")

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(["iss", "sub", "aud", "iat", "exp", "jti"]), WILD)
    def test_any_claim(self, name: str, value: Any) -> None:
        """A claim of any other type or value is refused, never a failure of ours."""
        good = claims()
        text = unsigned({"alg": "EdDSA"}, {**good, name: value})
        try:
            found = read(text)
        except AssertionRefused:
            return
        self.assertIn(name, ("iat", "exp", "jti"))
        self.assertIsInstance(found, Assertion)

    def test_no_secret_in_the_reason(self) -> None:
        for text in (assertion(key(), aud="x"), "secret.secret.secret", "s" * 9000):
            try:
                read(text)
            except AssertionRefused as refused:
                self.assertNotIn("secret", str(refused))

    def test_jwk_only_where_allowed(self) -> None:
        text = make_jws(key(), {"jwk": key().public.jwk()}, {})
        self.assertRaises(Malformed, read_jws, text, 10_000)
        self.assertTrue(read_jws(text, 10_000, frozenset({"jwk"})))


class ReplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wall = 1000.0
        self.mono = 5.0
        self.cache = ReplayCache(lambda: self.wall, lambda: self.mono, limit=4, share=3)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds

    def test_once(self) -> None:
        self.assertTrue(self.cache.first_use("a", "1", 1300))
        self.assertFalse(self.cache.first_use("a", "1", 1300))
        self.assertTrue(self.cache.first_use("b", "1", 1300))

    def test_full(self) -> None:
        """What cannot be remembered is not accepted; when others are over, it can."""
        for name in "123":
            self.cache.first_use("a", name, 1300)
        self.assertRaises(ReplaysFull, self.cache.first_use, "a", "4", 1300)
        self.assertTrue(self.cache.first_use("b", "1", 1300))
        self.assertRaises(ReplaysFull, self.cache.first_use, "c", "1", 1300)
        self.assertFalse(self.cache.first_use("a", "1", 1300))
        self.pass_by(301)
        self.assertTrue(self.cache.first_use("c", "1", 1700))
        self.assertEqual(len(self.cache), 1)

    def test_clock_set_back(self) -> None:
        """An assertion that is good again because the clock was set back is still used."""
        self.cache.first_use("a", "1", 1300)
        self.pass_by(301)
        self.wall -= 3600
        self.assertFalse(self.cache.first_use("a", "1", 1300))

    def test_clock_set_forward(self) -> None:
        """Nothing is forgotten because the clock was set forward, and nothing kept for ever."""
        self.cache.first_use("a", "1", 1300)
        self.wall += 3600
        self.assertFalse(self.cache.first_use("a", "1", 1300))
        self.wall -= 3600
        self.assertFalse(self.cache.first_use("a", "1", 1300))
        self.pass_by(7300)
        self.cache.first_use("b", "1", self.wall + 300)
        self.assertEqual(len(self.cache), 1)
