"""``mcptwist.console.model``: what the console knows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.console.model import MESSAGES, World, clean
from mcptwist.watching.events import Events
from mcptwist.watching.figures import amount, octets, rate, span
from mcptwist.watching.paces import History, Pace
from mcptwist.watching.status import ConnectionStatus, Latencies, Outcome, ServerStatus, Status
from mcptwist.watching.tally import BOUNDS
from mcptwist.watching.traffic import Frame


def took(**counts: int) -> Latencies:
    """Latencies with so many in the bucket of that number."""
    buckets = [0] * (len(BOUNDS) + 1)
    for name, count in counts.items():
        buckets[int(name[1:])] = count
    return Latencies(count=sum(buckets), seconds=float(sum(buckets)), buckets=tuple(buckets))


def picture(clock: float, good: int, **buckets: int) -> Status:
    """A daemon with one server."""
    server = ServerStatus(
        name="one", state="up", scope="shared", calls=Outcome(good=good, took=took(**buckets))
    )
    return Status(clock=clock, servers=(server,))


def request(number: int) -> Frame:
    return Frame(number, 0.0, "request", "one", "tools/call", tool="add")


def answer(number: int, of: int) -> Frame:
    return Frame(number, 1.0, "answer", "one", "tools/call", of=of, seconds=1.0, status="ok")


class PaceTests(SynchronousTestCase):
    """What goes on between two pictures."""

    def test_rates_and_recent_percentiles(self) -> None:
        """Only what came since counts, so old calls do not hide new slowness."""
        world = World()
        world.saw(picture(10.0, 100, b0=100))
        self.assertEqual(world.paces["one"].rate, 0.0)
        world.saw(picture(12.0, 110, b0=100, b20=10))
        pace = world.paces["one"]
        self.assertEqual(pace.rate, 5.0)
        assert pace.took.p95 is not None
        self.assertGreater(pace.took.p95, BOUNDS[19])
        self.assertEqual(world.whole.rate, 5.0)
        self.assertEqual(pace.rates.last(9), [5.0])

    def test_restarted(self) -> None:
        """A daemon that counts from the beginning again has no negative rates."""
        pace = Pace()
        pace.look(10.0, 100, 0, took())
        pace.look(11.0, 3, 0, took())
        self.assertEqual(pace.rate, 0.0)
        pace.look(12.0, 4, 0, took())
        self.assertEqual(pace.rate, 1.0)

    def test_server_gone(self) -> None:
        """What is not there any more is forgotten."""
        world = World()
        world.saw(picture(1.0, 1))
        world.saw(Status(clock=2.0))
        self.assertEqual((world.paces, world.servers), ({}, {}))

    def test_requests_of_connections(self) -> None:
        """The same for each connection."""
        world = World()
        first = ConnectionStatus(id="c1", wire="h2", peer="x", requests=10)
        later = ConnectionStatus(id="c1", wire="h2", peer="x", requests=30)
        world.saw_connections([first], 1, 5.0)
        self.assertEqual(world.request_rates, {})
        world.saw_connections([later], 1, 7.0)
        self.assertEqual(world.request_rates, {"c1": 10.0})


class MessageTests(SynchronousTestCase):
    """What passed."""

    def setUp(self) -> None:
        self.world = World()

    def test_pairs(self) -> None:
        """A request and its answer are one message."""
        self.world.heard(Events(frames=(request(1), request(2), answer(3, 1))))
        first, second = self.world.messages.values()
        self.assertEqual((first.status, second.status), ("ok", "open"))
        self.assertEqual(first.fields()["status"], "ok")

    def test_pause(self) -> None:
        """While it stands still, what comes is only counted."""
        self.world.pause(True)
        self.world.heard(Events(frames=(request(1),), missed=3))
        self.assertEqual((len(self.world.messages), self.world.held, self.world.missed), (0, 1, 3))
        self.world.pause(False)
        self.assertEqual(self.world.held, 0)

    def test_bounded(self) -> None:
        """Only the last are kept."""
        self.world.heard(Events(frames=tuple(map(request, range(MESSAGES + 5)))))
        self.assertEqual(len(self.world.messages), MESSAGES)
        self.assertNotIn((0, 0), self.world.messages)
        self.world.forget_messages()
        self.assertEqual(len(self.world.messages), 0)

    def test_answer_without_request(self) -> None:
        """An answer whose request nobody saw stands for itself."""
        self.world.heard(Events(frames=(answer(5, 4),)))
        self.assertIn((0, 5), self.world.messages)


class LinkTests(SynchronousTestCase):
    """How it is connected."""

    def test_versions(self) -> None:
        """A daemon of another version is named, and whether it is older or newer."""
        world = World()
        world.strange("9.9", 2)
        self.assertIn("newer", world.link.reason)
        world.strange("0.0", 0)
        self.assertIn("older", world.link.reason)

    def test_again(self) -> None:
        """What another run of the daemon said is not mixed with what this one says."""
        world = World()
        world.saw(picture(10.0, 100))
        world.lost("it is gone")
        world.connected()
        self.assertEqual((world.paces, world.link.state, world.link.times), ({}, "connected", 1))


class WritingTests(SynchronousTestCase):
    """How values are written."""

    def test_span(self) -> None:
        """Short, whatever the size."""
        cases = {None: "-", 0.0003: "0.3ms", 0.25: "250ms", 4.12: "4.1s", 42: "42s", 192: "3m12s",
                 3600 * 5 + 180: "5h03m", 86400 * 2 + 3600 * 4: "2d4h"}  # fmt: skip
        for seconds, text in cases.items():
            self.assertEqual(span(seconds), text)

    def test_amounts(self) -> None:
        """Numbers, rates and bytes."""
        self.assertEqual([amount(n) for n in (None, 0, 999, 1200, 123_456)],
                         ["-", "0", "999", "1.2k", "123k"])  # fmt: skip
        self.assertEqual(
            [octets(n) for n in (None, 12, 1536, 5 << 20)], ["-", "12B", "1.5K", "5.0M"]
        )
        self.assertEqual([rate(n) for n in (0, 0.25, 99.94, 1500)], ["0", "0.2", "99.9", "1.5k"])

    def test_clean(self) -> None:
        """Text from elsewhere cannot steer the terminal."""
        self.assertEqual(clean("a\x1b[2Jb\nc\x07"), "ab c\N{REPLACEMENT CHARACTER}")

    def test_history(self) -> None:
        """The last values, as many as there are."""
        history = History(3)
        for value in range(5):
            history.add(value)
        self.assertEqual(history.last(2), [3, 4])
        self.assertEqual(history.last(9), [2, 3, 4])
        self.assertEqual(history.last(0), [])
