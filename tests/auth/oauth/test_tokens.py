"""Tokens: issued, found, ended."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.oauth.tokens import PREFIX, Token, TokensExhausted, TokenTable, is_ours

READ = frozenset({"mcp:read"})


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.made = 0
        self.table = TokenTable(self.clock.seconds, self.make, limit=5, per_key=3)

    def make(self, length: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(length, "big")

    def issue(self, key: str = "k", lifetime: float = 600) -> tuple[bytes, Token]:
        text, token = self.table.issue("alice", key, "http://x/mcp", READ, lifetime)
        return text.encode(), token

    def test_found(self) -> None:
        text, token = self.issue()
        self.assertIs(self.table.find(text), token)
        self.assertIsNone(self.table.find(text[:-1]))
        self.assertIsNone(self.table.find(b""))

    def test_written(self) -> None:
        """The secret is in the text, and nowhere in the table."""
        text, token = self.issue()
        self.assertTrue(text.startswith(PREFIX.encode()) and is_ours(text))
        self.assertEqual(len(text), len(PREFIX) + 43 + 7)
        for other in (b"", b"mcp_at_", text[:-1] + b"!", b"x" + text, b"\xff" * 50):
            self.assertFalse(is_ours(other))
        for name in Token.__slots__:
            self.assertNotIn(text.decode(), repr(getattr(token, name)))

    def test_ends(self) -> None:
        text, token = self.issue(lifetime=600)
        self.clock.advance(599)
        self.assertIs(self.table.find(text), token)
        self.clock.advance(1)
        self.assertIsNone(self.table.find(text))
        self.assertFalse(token.is_live)

    def test_withdrawn(self) -> None:
        one, two = self.issue("k"), self.issue("k")
        other = self.issue("other")
        self.assertEqual(self.table.withdraw("k"), 2)
        self.assertEqual(self.table.withdraw("k"), 0)
        self.assertFalse(one[1].is_live or two[1].is_live)
        self.assertIsNone(self.table.find(one[0]))
        self.assertIs(self.table.find(other[0]), other[1])

    def test_revoked(self) -> None:
        """Only by the key it belongs to."""
        text, token = self.issue("k")
        self.assertIsNone(self.table.revoke(text, "other"))
        self.assertTrue(token.is_live)
        self.assertIs(self.table.revoke(text, "k"), token)
        self.assertIsNone(self.table.find(text))
        self.assertIsNone(self.table.revoke(text, "k"))

    def test_the_oldest_of_a_key_goes(self) -> None:
        issued = [self.issue("k") for _ in range(4)]
        self.assertEqual([token.is_live for _, token in issued], [False, True, True, True])

    def test_exhausted(self) -> None:
        for n in range(5):
            self.issue(str(n), lifetime=60 if n == 0 else 600)
        self.assertRaises(TokensExhausted, self.issue, "new")
        self.clock.advance(60)
        self.issue("new")
        self.assertEqual(len(self.table), 5)
