"""``mcptwist.watching.tally``: what is counted of one server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerExited
from mcptwist.link import Deadlines
from mcptwist.messages import Error, Notification, Result, encode_json
from mcptwist.watching.tally import BOUNDS, OTHERS, TOOLS, Histogram, outcome
from tests.watching.watched import WatchedCase


class HistogramTests(SynchronousTestCase):
    """Where a duration is counted."""

    def test_bounds(self) -> None:
        """A bound is the last of its bucket; what is beyond all of them has one too."""
        histogram = Histogram()
        for seconds in (0.0, BOUNDS[0], BOUNDS[1], 10_000.0):
            histogram.add(seconds)
        self.assertEqual(histogram.counts[:2], [2, 1])
        self.assertEqual(histogram.counts[-1], 1)
        self.assertEqual(len(histogram), 4)
        self.assertAlmostEqual(histogram.total, 10_000.0 + BOUNDS[0] + BOUNDS[1])


class OutcomeTests(SynchronousTestCase):
    """The three ways a tool call may end."""

    def test_kinds(self) -> None:
        """A result, a result that says it failed, an error."""
        self.assertEqual(outcome(Result(1, b'{"content":[],"isError":false}')), "ok")
        self.assertEqual(outcome(Result(1, b'{"isError" : true,"content":[]}')), "failed")
        self.assertEqual(outcome(Error(1, b'{"code":1}')), "error")

    def test_text_that_says_so(self) -> None:
        """The words inside of a text are not the member."""
        text = encode_json({"content": [{"type": "text", "text": '"isError":true'}]})
        self.assertEqual(outcome(Result(1, text)), "ok")

    def test_long(self) -> None:
        """The end of a long result is looked at."""
        text = encode_json({"content": "x" * 10_000, "isError": True})
        self.assertEqual(outcome(Result(1, text)), "failed")


class TallyTests(WatchedCase):
    """A link that counts."""

    deadlines = Deadlines(idle=5.0, total=None, in_flight=3)

    def test_calls_and_tools(self) -> None:
        """Calls are counted for the server and for the tool, with their time."""
        self.ask(name="add")
        self.clock.advance(0.2)
        self.answer()
        self.ask(name="add")
        self.answer(b'{"isError":true}')
        self.ask("tools/list")
        self.answer()
        self.assertEqual((self.tally.calls.good, self.tally.calls.failed), (2, 1))
        tool = self.tally.tools["add"]
        self.assertEqual((tool.good, tool.failed, tool.errors), (1, 1, 0))
        self.assertAlmostEqual(tool.took.total, 0.2)
        self.assertEqual(list(self.tally.tools), ["add"])

    def test_handshakes_are_no_calls(self) -> None:
        """What the daemon asks to begin with is not counted."""
        self.ask("initialize")
        self.answer()
        self.assertEqual(len(self.tally.calls.took), 0)

    def test_names_that_are_none(self) -> None:
        """Names that clients made up do not fill the table."""
        for name in ("x1", "x2", 7, None):
            self.ask(name=name)
            self.link.received(Error(self.wire.sent[-1].id, b'{"code":-32602}'))
        self.assertEqual(list(self.tally.tools), [OTHERS])
        self.assertEqual(self.tally.tools[OTHERS].errors, 4)

    def test_table_is_bounded(self) -> None:
        """Of a server without end of tools, so many are told apart."""
        for number in range(TOOLS + 10):
            self.ask(name=f"t{number}")
            self.answer()
        self.assertEqual(len(self.tally.tools), TOOLS + 1)
        self.assertEqual(self.tally.tools[OTHERS].good, 10)

    def test_what_has_no_answer(self) -> None:
        """Cancelled, late, lost and refused requests are each counted as what they are."""
        self.ask().cancel("enough")
        self.ask()
        self.clock.pump([1.0] * 6)
        for _ in range(4):
            self.ask()
        self.link.lost(ServerExited("over"))
        counted = self.tally.cancelled, self.tally.late, self.tally.refused, self.tally.lost
        self.assertEqual(counted, (1, 1, 1, 3))

    def test_nonsense(self) -> None:
        """Stray answers and frames without a message are counted."""
        self.link.received(Result(99, b"{}"))
        self.link.received(Notification("notifications/progress", b'{"progressToken":9}'))
        self.link.malformed(ServerExited("not JSON"))  # type: ignore[arg-type]
        self.assertEqual((self.tally.strays, self.tally.malformed), (2, 1))
