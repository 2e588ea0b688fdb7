"""``mcptwist.watching.status``: the snapshot, and what is worked out for it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import ServerExited
from mcptwist.link import Link
from mcptwist.versions import MODERN
from mcptwist.watching.sieve import Sieve
from mcptwist.watching.status import CONNECTION_FIELDS, ServerStatus, Status, quantile
from mcptwist.watching.tally import BOUNDS, Histogram
from tests.administered import Administered
from tests.fakes import FakeWire
from tests.test_link import Listeners


class QuantileTests(SynchronousTestCase):
    """What buckets tell of durations."""

    def test_nothing(self) -> None:
        """Without calls there is nothing to tell."""
        self.assertIsNone(quantile([0] * (len(BOUNDS) + 1), 0.5))

    def test_one_bucket(self) -> None:
        """Within a bucket it goes by proportion."""
        counts = [0] * (len(BOUNDS) + 1)
        counts[6] = 10
        half = quantile(counts, 0.5)
        assert half is not None
        self.assertAlmostEqual(half, (BOUNDS[5] + BOUNDS[6]) / 2)

    def test_beyond(self) -> None:
        """What took longer than all bounds is told as the last of them."""
        counts = [0] * len(BOUNDS) + [5]
        self.assertEqual(quantile(counts, 0.5), BOUNDS[-1])

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.floats(0.0001, 600), min_size=1, max_size=60))
    def test_close(self, durations: list[float]) -> None:
        """An estimate is in the bucket of the true value."""
        histogram = Histogram()
        for seconds in durations:
            histogram.add(seconds)
        for part in (0.5, 0.95, 0.99):
            told = quantile(histogram.counts, part)
            rank = max(0, -(-len(durations) * part // 1) - 1)
            true = sorted(durations)[int(rank)]
            assert told is not None
            self.assertLessEqual(told, true * 2 + 0.0001)
            self.assertGreaterEqual(told, true / 2 - 0.0001)


class SurveyTests(SynchronousTestCase):
    """A daemon looked at."""

    def setUp(self) -> None:
        self.house = Administered()
        self.addCleanup(self.house.stop)

    def test_frozen_and_whole(self) -> None:
        """A picture can be sent and read back, and is not changed by what happens next."""
        before = self.house.survey.status("*")
        self.house.call("start_server", name="sums")
        self.house.turn(1)
        self.assertEqual(before.servers[0].state, "idle")
        after = self.house.survey.status("*")
        self.assertEqual(after.servers[0].state, "up")
        read = msgspec.json.decode(msgspec.json.encode(after), type=Status)
        self.assertEqual(read, after)

    def test_broken_servers(self) -> None:
        """A server that is not configured rightly is there, with the reason."""
        house = Administered({"bad": {"comand": "x"}})
        self.addCleanup(house.stop)
        (server,) = house.survey.status().servers
        self.assertEqual((server.name, server.state), ("bad", "misconfigured"))
        self.assertIn("mcpServers.bad", server.reason)

    def test_failing_server(self) -> None:
        """A server that cannot be started says why."""
        house = Administered({"gone": {"python": "tests.administered:nobody"}})
        self.addCleanup(house.stop)
        house.call("start_server", name="gone")
        house.turn(0.1)
        (server,) = house.survey.status().servers
        self.assertIn(server.state, ("waiting", "failing"))
        self.assertIn("nobody", server.reason)

    def test_spare_process(self) -> None:
        """A process that refused one era and is kept for the other is there to be seen."""
        (backend,) = self.house.daemon.gateway
        link = Link("sums", MODERN, Listeners(), self.house.reactor)
        wire: Any = FakeWire(link, clock=self.house.reactor)
        wire.pid, link.wire, link.refused_politely = 4712, wire, True
        self.assertTrue(backend.spare.keep(link))
        self.house.turn(5)
        (server,) = self.house.survey.status().servers
        (process,) = server.processes
        self.assertEqual((process.state, process.pid, process.era), ("spare", 4712, "legacy"))
        self.assertEqual((server.state, server.memory, server.pids), ("idle", 4 << 20, [4712]))
        self.assertAlmostEqual(process.since, 5)
        link.lost(ServerExited("it fell"))
        self.assertEqual(self.house.survey.status().servers[0].processes, ())

    def test_connections_are_sorted_and_bounded(self) -> None:
        """Those with the most come first, and only so many."""
        for size in (10, 30, 20):
            self.house.peer(port=size).protocol.dataReceived(b"G" * size)
        found = self.house.survey.connections("received", 2)
        self.assertEqual([each.received for each in found], [30, 20])

    def test_connections_keep_their_ids(self) -> None:
        """An id stays with its connection."""
        first = self.house.peer(port=1)
        ids = {c.peer: c.id for c in self.house.survey.connections()}
        self.house.peer(port=2)
        again = {c.peer: c.id for c in self.house.survey.connections()}
        self.assertEqual(again["203.0.113.7:1"], ids["203.0.113.7:1"])
        self.assertEqual(len(set(again.values())), 2)
        found = self.house.survey.find_connection(ids["203.0.113.7:1"])
        self.assertIs(found, first.protocol)

    def test_filter(self) -> None:
        """Connections can be looked for by what is told of them."""
        self.house.peer("203.0.113.7")
        self.house.peer("198.51.100.1")
        sieve = Sieve("peer:198.*", CONNECTION_FIELDS)
        self.assertEqual(len(self.house.survey.connections(sieve=sieve)), 1)

    def test_gauges(self) -> None:
        """What is bounded is told with its bound."""
        gauges = self.house.survey.status().gauges
        self.assertEqual(gauges["sessions"].limit, 10_000)
        self.assertEqual(gauges["connections"].used, 0)

    def test_troubles(self) -> None:
        """Troubles are what did not end well, but for what tools say themselves."""
        server = ServerStatus(name="x", state="up", scope="shared", late=1, lost=2, refused=3)
        self.assertEqual(server.troubles, 6)
        self.assertEqual(server.pids, [])
