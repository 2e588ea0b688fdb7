"""``mcptwist.opened``: what one far end asked of us."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.asked import cancelled_notification
from mcptwist.errors import DuplicateId, Overloaded
from mcptwist.messages import Notification
from mcptwist.opened import Opened
from tests.test_exchange import exchange


class OpenedTests(SynchronousTestCase):
    """What one far end asked, by its own ids."""

    def test_duplicate(self) -> None:
        """MCP, *Requests*: an id may not be used twice; the second is refused, the first stays."""
        table = Opened(10)
        first, heard = exchange(id=0)
        table.add(first)
        problem = self.assertRaises(DuplicateId, table.add, exchange(id=0)[0])
        self.assertEqual(problem.data["id"], 0)
        self.assertEqual(list(table), [first])
        self.assertEqual((heard.answers, heard.gone), (0, None))

    def test_number_and_text(self) -> None:
        """1 and "1" are two ids."""
        table = Opened(10)
        table.add(exchange(id=1)[0])
        table.add(exchange(id="1")[0])
        self.assertEqual(len(table), 2)

    def test_again_when_over(self) -> None:
        """An id may be used again when its request is over."""
        table = Opened(1)
        first, _ = exchange(id=1)
        table.add(first)
        table.remove(first)
        second, _ = exchange(id=1)
        table.add(second)
        table.remove(first)
        self.assertEqual(list(table), [second])

    def test_limit(self) -> None:
        """Only so many may be open; the error names the limit."""
        table = Opened(1)
        table.add(exchange(id=1)[0])
        problem = self.assertRaises(Overloaded, table.add, exchange(id=2)[0])
        self.assertEqual(problem.data["limit"], "in_flight")

    def test_cancelled(self) -> None:
        """A cancellation ends the request it names, with its reason."""
        table = Opened(10)
        one, heard = exchange(id="x")
        other, _ = exchange(id="y")
        table.add(one)
        table.add(other)
        self.assertTrue(table.cancelled(cancelled_notification("x", "changed my mind")))
        self.assertEqual(heard.gone, "changed my mind")
        self.assertEqual(list(table), [other])

    def test_cancelled_unknown(self) -> None:
        """MCP, *Cancellation, Error Handling*: unknown and malformed ones are ignored."""
        table = Opened(10)
        one, heard = exchange(id=1)
        table.add(one)
        for params in (
            b"", b"{}", b"[]", b'{"requestId":2}', b'{"requestId":"1"}', b'{"requestId":true}',
            b'{"requestId":null}', b'{"requestId":1,"reason":5}', b'{"requestId":1.0}',
        ):  # fmt: skip
            said = Notification("notifications/cancelled", params)
            self.assertFalse(table.cancelled(said), params)
        self.assertIsNone(heard.gone)

    def test_cancel_all(self) -> None:
        """When the far end is gone nothing stays open."""
        table = Opened(10)
        ends = [exchange(id=n) for n in range(3)]
        for one, _ in ends:
            table.add(one)
        table.cancel_all("gone")
        self.assertEqual([heard.gone for _, heard in ends], ["gone"] * 3)
        self.assertEqual(len(table), 0)
