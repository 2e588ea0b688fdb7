"""Compact JWS, read as strictly as it can be."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.jws import (
    Malformed,
    make_jws,
    moment,
    read_jws,
    read_object,
    sign_jws,
    word,
)
from mcptwist.auth.keys import RSA, to_base64url
from tests.auth.people import KINDS, key


def encoded(header: bytes | dict[str, Any], claims: bytes | dict[str, Any] = b"{}") -> str:
    """Without a signature worth the name."""
    parts = (each if isinstance(each, bytes) else json.dumps(each).encode()
             for each in (header, claims))  # fmt: skip
    return ".".join([*map(to_base64url, parts), to_base64url(b"signature")])


class Case(SynchronousTestCase):
    def assert_malformed(self, why: str, *call: Any) -> None:
        self.assertIn(why, str(self.assertRaises(Malformed, *call)))


class ReadTests(Case):
    """RFC 7515, section 5.2; RFC 8725, section 3."""

    def test_parts(self) -> None:
        """What is signed is what came, to the letter."""
        text = encoded({"alg": "EdDSA", "x": 1}, {"a": "\u00e9"})
        jws = read_jws(text, len(text))
        head, _, rest = text.partition(".")
        self.assertEqual(
            (jws.algorithm, jws.header["x"], jws.claims), ("EdDSA", 1, {"a": "\u00e9"})
        )
        self.assertEqual(jws.head, head.encode())
        self.assertEqual(jws.signed, f"{head}.{rest.partition('.')[0]}".encode())
        self.assertEqual(jws.signature, b"signature")

    def test_bound(self) -> None:
        """As long as it may be, and no character more; what is longer is not looked into."""
        text = encoded({"alg": "EdDSA"})
        self.assertEqual(read_jws(text, len(text)).algorithm, "EdDSA")
        self.assert_malformed("too long", read_jws, text, len(text) - 1)
        self.assert_malformed("too long", read_jws, "." * 100, 99)

    def test_number_of_parts(self) -> None:
        text = encoded({"alg": "EdDSA"})
        for bad in ("", text.rpartition(".")[0], f"{text}.", f"{text}.e30.e30"):
            self.assert_malformed("three parts", read_jws, bad, 1000)

    def test_base64(self) -> None:
        text = encoded({"alg": "EdDSA"})
        for bad in (text + "=", text.replace(".", ".\n", 1), " " + text, text + "\u00e9"):
            self.assert_malformed("base64url", read_jws, bad, 1000)

    def test_no_key_of_its_own(self) -> None:
        """Nothing in a message says which key it is to be verified by, unless that is asked for."""
        for name in ("jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip"):
            for value in ({}, None, False):
                text = encoded({"alg": "EdDSA", name: value})
                self.assert_malformed("header member", read_jws, text, 1000)
        shown = encoded({"alg": "EdDSA", "jwk": {}})
        self.assertEqual(read_jws(shown, 1000, frozenset({"jwk"})).header["jwk"], {})
        more = encoded({"alg": "EdDSA", "jwk": {}, "crit": ["exp"]})
        self.assert_malformed("header member", read_jws, more, 1000, frozenset({"jwk"}))

    def test_no_algorithm(self) -> None:
        for header in ({}, {"alg": None}, {"alg": ["EdDSA"]}, {"Alg": "EdDSA"}):
            self.assert_malformed("no algorithm", read_jws, encoded(header), 1000)


class ObjectTests(Case):
    """JSON that can be understood in one way only."""

    def test_members_twice(self) -> None:
        """At any depth, and however they are spelled."""
        for text in (b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"x":[{"a":1,"a":2}]}'):
            self.assert_malformed("twice", read_object, text)
        self.assertEqual(read_object(b'{"a":{"a":1}}'), {"a": {"a": 1}})

    def test_numbers_that_are_none(self) -> None:
        for text in (b'{"exp":NaN}', b'{"exp":Infinity}', b'{"x":[-Infinity]}'):
            self.assert_malformed("number that is none", read_object, text)

    def test_no_objects(self) -> None:
        for text in (b"[]", b"5", b"null", b'"a"'):
            self.assert_malformed("no object", read_object, text)

    def test_no_json(self) -> None:
        """Nor what costs Python its stack, or long to read."""
        for text in (
            b"", b"{", b"{'a':1}", b'{"a":1}x', b'\xff{"a":1}', '\ufeff{"a":1}'.encode(),
            '{"a":1}'.encode("utf-16"), b'{"a":' * 100_000, b'{"a":' + b"1" * 5000 + b"}",
        ):  # fmt: skip
            self.assert_malformed("not JSON", read_object, text)

    @given(st.binary(max_size=40))
    @settings(max_examples=50, deadline=None)
    def test_anything(self, data: bytes) -> None:
        try:
            self.assertIsInstance(read_object(data), dict)
        except Malformed:
            pass


class ClaimTests(Case):
    """What a claim may be."""

    def test_moments(self) -> None:
        """RFC 7519, section 2: also with fractions. No later than a double can tell seconds."""
        for value in (0, 1.5, -1, 1 << 53, -(1 << 53), 2**53 * 1.0):
            self.assertEqual(moment({"exp": value}, "exp"), float(value))
        for value in ((1 << 53) + 1, -(1 << 53) - 1, 10**400, 1e300, float("inf"), float("-inf")):
            self.assert_malformed("no time", moment, {"exp": value}, "exp")
        self.assert_malformed("no time", moment, {"exp": float("nan")}, "exp")
        self.assert_malformed("no time", moment, read_object(b'{"exp":1e999}'), "exp")

    def test_no_moments(self) -> None:
        for value in (None, "1", True, False, [1], {}):
            self.assert_malformed("no number", moment, {"exp": value}, "exp")
        self.assert_malformed("no number", moment, {}, "exp")

    def test_words(self) -> None:
        for size in (2, 4):
            self.assertEqual(word({"jti": "x" * size}, "jti", 2, 4), "x" * size)
        for value in ("x", "xxxxx", None, 5, ["xx"], {}):
            self.assert_malformed("2 to 4", word, {"jti": value}, "jti", 2, 4)
        self.assert_malformed("1 to 256", word, {"iss": ""}, "iss")


class Slow:
    """An agent, which answers when it has."""

    def __init__(self, name: str) -> None:
        self._key = key(name)
        self.public = self._key.public
        self.asked: Deferred[None] = Deferred()

    def sign(self, algorithm: str, data: bytes) -> Any:
        return self.asked.addCallback(lambda ignored: self._key.sign(algorithm, data))


class MakeTests(Case):
    """What we sign ourselves."""

    def test_there_and_back(self) -> None:
        for kind in KINDS:
            signer = key("alice", kind)
            jws = read_jws(make_jws(signer, {"typ": "JWT"}, {"a": "\u00e9"}), 4096)
            self.assertEqual(jws.header, {"alg": signer.public.algorithms[0], "typ": "JWT"})
            self.assertTrue(signer.public.verify(jws.algorithm, jws.signature, jws.signed))

    def test_chosen(self) -> None:
        signer = key("alice", RSA)
        for algorithm in signer.public.algorithms:
            made = make_jws(signer, {}, {}, algorithm)
            waited = self.successResultOf(
                Deferred.fromCoroutine(sign_jws(signer, {}, {}, algorithm))
            )
            for text in (made, waited):
                self.assertEqual(read_jws(text, 4096).algorithm, algorithm)

    def test_by_an_agent(self) -> None:
        agent = Slow("alice")
        signing = Deferred.fromCoroutine(sign_jws(agent, {}, {"a": 1}))
        self.assertNoResult(signing)
        agent.asked.callback(None)
        self.assertEqual(self.successResultOf(signing), make_jws(key("alice"), {}, {"a": 1}))

    def test_by_an_agent_at_once(self) -> None:
        agent = Slow("alice")
        agent.asked = succeed(None)
        made = self.successResultOf(Deferred.fromCoroutine(sign_jws(agent, {}, {})))
        self.assertEqual(made, make_jws(key("alice"), {}, {}))
