"""What a daemon says of its keys, and what a client believes of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.hostkeys import (
    LIFETIME,
    SKEW,
    HostKeys,
    StatementRefused,
    make_statement,
    read_statement,
)
from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import P256, PrivateKey
from tests.auth.people import NOW, key

ISSUER = "https://mcp.example.com:8443"
CURRENT, NEXT, MALLORY = (key(name, P256) for name in ("host", "next host", "mallory"))


def said(
    current: PrivateKey = CURRENT, following: PrivateKey | None = NEXT, **different: Any
) -> dict[str, Any]:
    begins = None if following is None else NOW + 1000.0
    given: dict[str, Any] = {"issuer": ISSUER, "now": NOW, **different}
    return make_statement(current=current, following=following, begins=begins, **given)


def read(document: Any, shown: PrivateKey = CURRENT, now: float = NOW) -> HostKeys:
    return read_statement(json.dumps(document).encode(), shown.public, ISSUER, now)


def signed(claims: dict[str, Any], *signers: PrivateKey, **header: Any) -> dict[str, Any]:
    head = {"typ": "mcptwist-host-keys+jwt", **header}
    parts = [make_jws(each, head, claims).split(".") for each in signers]
    return {
        "payload": parts[0][1],
        "signatures": [{"protected": p, "signature": s} for p, _, s in parts],
    }


def claims(*keys: PrivateKey, **different: Any) -> dict[str, Any]:
    told = [each.public.jwk() for each in keys]
    return {"iss": ISSUER, "iat": int(NOW), "exp": int(NOW) + 60, "keys": told, **different}


class StatementTests(SynchronousTestCase):
    def test_both_keys(self) -> None:
        found = read(said())
        self.assertEqual(found, HostKeys(CURRENT.public, NEXT.public, NOW + 1000))

    def test_one_key(self) -> None:
        self.assertEqual(read(said(following=None)), HostKeys(CURRENT.public))

    def test_as_the_page_has_it(self) -> None:
        """What this test builds by hand from the page is what the daemon makes."""
        self.assertEqual(read(signed(claims(CURRENT, NEXT), CURRENT, NEXT)).following, NEXT.public)

    def assert_refused(self, document: Any, **how: Any) -> None:
        with self.assertRaises(StatementRefused):
            read(document, **how)

    def test_signed_with_one_key_only(self) -> None:
        """G16: neither who holds only the old key nor who holds only the new one is believed."""
        told = claims(CURRENT, NEXT)
        self.assert_refused(signed(told, CURRENT))
        self.assert_refused(signed(told, NEXT))
        self.assert_refused(signed(told, CURRENT, CURRENT))
        self.assert_refused(signed(told, CURRENT, MALLORY))
        self.assert_refused(signed(told, NEXT, CURRENT))

    def test_another_than_shown(self) -> None:
        """Who is in between cannot pass on what another daemon says."""
        self.assert_refused(said(), shown=MALLORY)
        self.assert_refused(said(), shown=NEXT)

    def test_of_another_daemon(self) -> None:
        self.assert_refused(said(issuer="https://other.example.com"))

    def test_of_another_time(self) -> None:
        self.assert_refused(said(), now=NOW + LIFETIME + SKEW + 1)
        self.assert_refused(said(), now=NOW - SKEW - 1)
        self.assert_refused(signed(claims(CURRENT, exp=int(NOW) + LIFETIME + 1), CURRENT))

    def test_other_statements(self) -> None:
        """Nothing else that such a key signs is taken for this."""
        self.assert_refused(signed(claims(CURRENT), CURRENT, typ="JWT"))
        self.assert_refused(signed(claims(CURRENT), CURRENT, crit=["x"]))
        self.assert_refused(signed(claims(CURRENT), CURRENT, jwk=MALLORY.public.jwk()))
        self.assert_refused(signed(claims(CURRENT) | {"keys": "x"}, CURRENT))
        self.assert_refused(signed(claims(CURRENT) | {"keys": [{"kty": "oct"}]}, CURRENT))
        self.assert_refused(signed(claims(CURRENT, next_from="soon"), CURRENT))

    def test_no_statements(self) -> None:
        for document in ({}, [], {"payload": "", "signatures": []}, {"payload": 1}):
            self.assert_refused(document)
        good = said()
        self.assert_refused(good | {"signatures": [1]})
        self.assert_refused(good | {"signatures": good["signatures"] * 2})
        self.assert_refused(good | {"payload": good["payload"] + "A" * 20_000})

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=300))
    def test_wild(self, text: bytes) -> None:
        with self.assertRaises(StatementRefused):
            read_statement(text, CURRENT.public, ISSUER, NOW)
