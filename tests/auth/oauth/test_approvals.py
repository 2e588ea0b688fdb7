"""What waits for approval: codes, outcomes, bounds."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.keys import PrivateKey
from mcptwist.auth.oauth.approvals import (
    ALPHABET,
    APPROVE,
    DENIED,
    DENY,
    EXPIRED,
    Approvals,
    ApprovalsFull,
    Approved,
    Bounds,
    Pending,
    Wanted,
    code_in,
    statement,
)

READ = frozenset({"mcp:read"})
ISSUER = "https://a.example"
GRANT = Grant(key=PrivateKey.generate().public, principal="ann")


def wanted(source: str = "192.0.2.1") -> Wanted:
    """A browser of the client ``inspector``."""
    place = Address(ISSUER, "/mcp", "/", "mcp")
    scopes = frozenset({"mcp:read", "mcp:call"})
    return Wanted(ISSUER, "c1", "Inspector", "http://localhost:6274/back", place, scopes, source)


class ApprovalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.approvals = Approvals(
            self.clock.seconds, os.urandom, Bounds(limit=4, per_source=2, lifetime=300, tries=5)
        )

    def test_code(self) -> None:
        pending = self.approvals.ask(wanted())
        self.assertRegex(pending.code, rf"\A[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}\Z")
        self.assertEqual(len(set(ALPHABET)), 20)
        self.assertIs(self.approvals.find(pending.code), pending)
        self.assertIsNone(pending.outcome)
        self.assertEqual(self.approvals.waiting(), [pending])

    def test_each_letter_is_as_likely(self) -> None:
        """What would make some likelier is thrown away, and a code that is taken is not given."""
        drawn = [b"\xff" * 8, bytes(8), bytes(8), b"\xf0" * 8, bytes([1] * 8)]
        approvals = Approvals(self.clock.seconds, lambda length: drawn.pop(0))
        self.assertEqual(approvals.ask(wanted()).code, "BBBB-BBBB")
        self.assertEqual(approvals.ask(wanted()).code, "CCCC-CCCC")

    def test_never_again(self) -> None:
        """A code that somebody has signed is given to nobody else: the signature would be good."""
        drawn = [bytes(8), bytes(8), bytes([1] * 8), bytes([1] * 8)]
        approvals = Approvals(self.clock.seconds, lambda length: drawn.pop(0))
        approvals.approve(approvals.ask(wanted()), GRANT, READ)
        second = approvals.ask(wanted())
        self.assertEqual(second.code, "CCCC-CCCC")
        self.clock.advance(300)
        self.assertEqual(approvals.ask(wanted()).code, "CCCC-CCCC")

    def test_approved(self) -> None:
        told: list[Pending] = []
        pending = self.approvals.ask(wanted())
        pending.when_settled(told.append)
        self.approvals.approve(pending, GRANT, READ)
        self.assertEqual(pending.outcome, Approved(GRANT, READ))
        self.assertEqual(told, [pending])
        self.assertIsNone(self.approvals.find(pending.code))
        pending.when_settled(told.append)
        self.assertEqual(told, [pending, pending])

    def test_denied(self) -> None:
        pending = self.approvals.ask(wanted())
        told: list[Pending] = []
        pending.when_settled(told.append)
        pending.forget(told.append)
        self.approvals.deny(pending)
        self.assertEqual((pending.outcome, told), (DENIED, []))
        self.assertIsNone(self.approvals.find(pending.code))

    def test_time(self) -> None:
        first = self.approvals.ask(wanted())
        self.clock.advance(200)
        second = self.approvals.ask(wanted())
        self.assertEqual(self.approvals.seconds_left(first), 100)
        self.clock.advance(100)
        self.assertIsNone(self.approvals.find(first.code))
        self.assertEqual((first.outcome, second.outcome), (EXPIRED, None))
        self.assertIs(self.approvals.find(second.code), second)

    def test_tries(self) -> None:
        """The fifth wrong signature ends it."""
        pending = self.approvals.ask(wanted())
        for _ in range(4):
            self.approvals.miss(pending)
        self.assertIs(self.approvals.find(pending.code), pending)
        self.approvals.miss(pending)
        self.assertIsNone(self.approvals.find(pending.code))
        self.assertEqual(pending.outcome, EXPIRED)

    def test_bounds(self) -> None:
        """Of one source so many, of all so many; what ends makes room."""
        first = self.approvals.ask(wanted("2001:db8::1"))
        self.approvals.ask(wanted("2001:db8::2"))
        self.assertRaises(ApprovalsFull, self.approvals.ask, wanted("2001:db8::3"))
        self.approvals.ask(wanted())
        self.approvals.ask(wanted())
        self.assertRaises(ApprovalsFull, self.approvals.ask, wanted("198.51.100.1"))
        self.approvals.deny(first)
        self.approvals.ask(wanted("198.51.100.1"))
        self.clock.advance(300)
        self.assertEqual(self.approvals.waiting(), [])
        self.approvals.ask(wanted("2001:db8::3"))


class CodeTests(SynchronousTestCase):
    def test_typed(self) -> None:
        for text in ("BCDF-GHJK", "bcdf-ghjk", "bcdf ghjk", "BCDFGHJK", " BCDF-GHJK\n"):
            self.assertEqual(code_in(text), "BCDF-GHJK")
        for text in ("", "BCDF", "BCDF--GHJK", "ABCD-EFGH", "BCDF-GHJKL", "BCDF-GHJ\u212a"):
            self.assertIsNone(code_in(text), text)

    @settings(max_examples=50, deadline=None)
    @given(st.text(max_size=12))
    def test_anything(self, text: str) -> None:
        code = code_in(text)
        if code is not None:
            self.assertEqual(code_in(code), code)


class StatementTests(SynchronousTestCase):
    def test_text(self) -> None:
        scopes = frozenset({"mcp:call", "mcp:read"})
        self.assertEqual(
            statement(APPROVE, "BCDF-GHJK", wanted(), scopes),
            "approve BCDF-GHJK https://a.example c1 http://localhost:6274/back "
            "https://a.example/mcp mcp:read mcp:call\n",
        )

    def test_device(self) -> None:
        device = Wanted(ISSUER, "c1", "", "", wanted().resource, READ, "unix")
        self.assertEqual(
            statement(DENY, "BCDF-GHJK", device, READ),
            "deny BCDF-GHJK https://a.example c1 - https://a.example/mcp mcp:read\n",
        )

    def test_parts_stay_apart(self) -> None:
        """Nothing that a client calls itself can pass for the next part, or the next line."""
        hostile = Wanted(
            ISSUER,
            "c1 http://good/ \n",
            "",
            "http://x/\u00e9\ud800",
            wanted().resource,
            READ,
            "unix",
        )
        self.assertEqual(
            statement(DENY, "BCDF-GHJK", hostile, READ),
            "deny BCDF-GHJK https://a.example c1%20http://good/%20%0A http://x/%C3%A9? "
            "https://a.example/mcp mcp:read\n",
        )
