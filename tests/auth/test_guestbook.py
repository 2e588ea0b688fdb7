"""``mcptwist.auth.guestbook``: who came in, and who knocked in vain."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.guestbook import STRANGERS, Guestbook


class GuestbookTests(SynchronousTestCase):
    """One guestbook, and a clock that is turned by hand."""

    def setUp(self) -> None:
        self.now = 100.0
        self.book = Guestbook(lambda: self.now)

    def test_last(self) -> None:
        """The last time counts."""
        self.book.came("SHA256:one")
        self.now = 160.0
        self.book.came("SHA256:one")
        self.assertEqual(self.book.last, {"SHA256:one": 160.0})

    def test_knocks(self) -> None:
        """A stranger is one line however often they come, the last one first."""
        self.book.knocked("eve", "203.0.113.1")
        self.book.knocked("mallory", "203.0.113.2")
        self.now = 200.0
        self.book.knocked("eve", "203.0.113.3")
        first, second = self.book.knocks()
        self.assertEqual(
            (first.client, first.source, first.time, first.times), ("eve", "203.0.113.3", 200.0, 2)
        )
        self.assertEqual((second.client, second.times), ("mallory", 1))

    def test_bounded(self) -> None:
        """Whoever makes up names fills nothing, and steers no terminal."""
        for number in range(STRANGERS + 5):
            self.book.knocked(f"name{number}\x1b[2J" + "x" * 10_000, "203.0.113.1")
        knocks = self.book.knocks()
        self.assertEqual(len(knocks), STRANGERS)
        self.assertTrue(all(k.client.isprintable() and len(k.client) < 120 for k in knocks))
        self.assertTrue(knocks[0].client.startswith(f"name{STRANGERS + 4}"))
