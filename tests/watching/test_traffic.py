"""``mcptwist.watching.traffic``: what passes, for those who watch."""

from __future__ import annotations

from mcptwist.errors import ServerExited
from mcptwist.messages import Notification, Request
from mcptwist.watching.sieve import Sieve
from mcptwist.watching.tally import Tally
from mcptwist.watching.traffic import FIELDS, Traffic, TrafficLimits
from tests.watching.watched import WatchedCase


class TrafficTests(WatchedCase):
    """A link, and who watches it."""

    def make_tally(self) -> Tally:
        limits = TrafficLimits(watchers=2, waiting=4, shown=40, kept=200)
        self.traffic = Traffic(limits, lambda: 1000.0)
        return Tally("one", self.clock, self.traffic)

    def test_nobody_watches(self) -> None:
        """Then nothing is made."""
        self.ask(name="add")
        self.answer()
        self.assertEqual(self.traffic.frames, 0)

    def test_request_and_answer(self) -> None:
        """Both are seen, and belong together."""
        watcher = self.traffic.watch()
        self.ask(name="add", arguments={"a": 1})
        self.clock.advance(0.5)
        self.answer(b'{"isError":true}')
        (request, answer), missed = watcher.take()
        self.assertEqual(missed, 0)
        self.assertEqual((request.kind, request.tool, request.id), ("request", "add", "a"))
        self.assertEqual((request.server, request.client), ("one", "ed 2"))
        self.assertEqual(
            (answer.of, answer.status, answer.seconds), (request.number, "failed", 0.5)
        )
        self.assertEqual(answer.text, '{"isError":true}')
        self.assertEqual(request.text, '{"name":"add","arguments":{"a":1}}')

    def test_no_answer(self) -> None:
        """A request that is not answered is seen to end all the same."""
        watcher = self.traffic.watch()
        self.ask(name="add").cancel("enough")
        self.ask(name="add")
        self.link.lost(ServerExited("over"))
        frames, _ = watcher.take()
        self.assertEqual([f.status for f in frames], ["", "cancelled", "", "lost"])

    def test_servers_own_words(self) -> None:
        """Notifications and questions of a server are seen."""
        watcher = self.traffic.watch()
        self.link.received(Notification("notifications/tools/list_changed"))
        self.link.received(Request(7, "roots/list"))
        frames, _ = watcher.take()
        seen = [(f.kind, f.method) for f in frames]
        changed = ("notification", "notifications/tools/list_changed")
        self.assertEqual(seen, [changed, ("question", "roots/list")])

    def test_slow_watcher(self) -> None:
        """One that does not take what waits misses the rest, and knows how much."""
        watcher = self.traffic.watch()
        for _ in range(6):
            self.ask(name="add")
        frames, missed = watcher.take()
        self.assertEqual((len(frames), missed), (4, 2))
        self.assertEqual(self.traffic.missed, 2)
        self.assertEqual(watcher.take(), ([], 0))

    def test_slow_watcher_leaves_others_alone(self) -> None:
        """What one has no room for, another gets."""
        slow, quick = self.traffic.watch(), self.traffic.watch()
        for _ in range(4):
            self.ask(name="add")
        quick.take()
        self.ask(name="add")
        self.assertEqual(len(quick.take()[0]), 1)
        self.assertEqual(slow.take()[1], 1)

    def test_filter(self) -> None:
        """Only what is wanted takes room."""
        watcher = self.traffic.watch(Sieve("tool:sub", FIELDS))
        for name in ("add", "sub", "add"):
            self.ask(name=name)
            self.answer()
        self.assertEqual([f.tool for f in watcher.take()[0]], ["sub", "sub"])

    def test_watchers_are_bounded(self) -> None:
        """So many may watch; when one leaves there is room again."""
        first = self.traffic.watch()
        self.traffic.watch()
        self.assertRaises(OverflowError, self.traffic.watch)
        self.traffic.leave(first)
        self.assertEqual(self.traffic.watchers, 1)
        self.traffic.watch()

    def test_last_leaves(self) -> None:
        """Nothing is kept when nobody watches."""
        watcher = self.traffic.watch()
        self.ask(name="add")
        (frame,), _ = watcher.take()
        self.assertIsNotNone(self.traffic.whole(frame.number))
        self.traffic.leave(watcher)
        self.assertFalse(self.traffic.watched)
        self.assertIsNone(self.traffic.whole(frame.number))
        self.answer()
        self.assertEqual(self.traffic.frames, 1)

    def test_long_messages(self) -> None:
        """A frame shows the beginning; the whole is kept, as far as there is room."""
        watcher = self.traffic.watch()
        self.ask(name="add", text="x" * 100)
        (frame,), _ = watcher.take()
        self.assertEqual((len(frame.text), frame.size), (40, 124))
        whole = self.traffic.whole(frame.number)
        assert whole is not None
        self.assertEqual(len(whole.json), 124)
        self.ask(name="add", text="y" * 100)
        self.assertIsNone(self.traffic.whole(frame.number))
