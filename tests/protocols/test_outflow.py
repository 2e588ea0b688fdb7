"""What waits to be written: slices, order, and who is held back meanwhile."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.outflow import take
from tests.protocols.front import HOST, SENTINEL, Front, Producer, answers, statuses


class TakeTests(SynchronousTestCase):
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=9), max_size=9), st.integers(1, 12))
    def test_all_of_it_in_order(self, pieces: list[bytes], room: int) -> None:
        """As much as there is room for, as long as there is something, and nothing else."""
        queue = deque(map(memoryview, pieces))
        taken = []
        while queue:
            taken.append(take(queue, room))
        self.assertEqual(b"".join(taken), b"".join(pieces))
        self.assertEqual({len(each) for each in taken[:-1]} - {room}, set())

    def test_nothing(self) -> None:
        """Of nothing, or where there is no room."""
        queue = deque([memoryview(b"abc")])
        self.assertEqual((take(queue, 0), take(deque(), 9)), (b"", b""))
        self.assertEqual(bytes(queue[0]), b"abc")


class BackPressureTests(SynchronousTestCase):
    """Nobody makes more than the client takes."""

    def setUp(self) -> None:
        self.front = Front()
        self.wire = self.front.talk(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        self.request = self.front.held.requests[0]

    def test_producer_follows_the_transport(self) -> None:
        producer = Producer()
        self.request.start(200, [])
        self.request.registerProducer(producer, True)
        self.wire.full = True
        self.request.write(b"a")
        self.assertEqual(producer.said, ["pause"])
        self.request.write(b"b")
        self.assertEqual(producer.said, ["pause"])
        self.assertGreater(self.request.backlog, 0)
        self.wire.taken()
        self.assertEqual(producer.said, ["pause", "resume"])
        self.assertEqual(self.request.backlog, 0)
        self.request.unregisterProducer()
        self.request.finish()
        self.assertEqual([body for _, _, body in answers(self.wire.value())], [b"ab"])

    def test_producer_registered_while_the_client_does_not_read(self) -> None:
        self.wire.full = True
        self.request.start(200, [])
        producer = Producer()
        self.request.registerProducer(producer, True)
        self.assertEqual(producer.said, ["pause"])

    def test_producer_is_stopped_when_the_client_leaves(self) -> None:
        producer = Producer()
        self.request.registerProducer(producer, True)
        self.wire.lose()
        self.assertEqual(producer.said, ["stop"])
        late = Producer()
        self.request.registerProducer(late, True)
        self.assertEqual(late.said, ["stop"])

    def test_large_answers_go_out_in_slices(self) -> None:
        written: list[int] = []
        write = self.wire.write

        def watched(data: bytes) -> None:
            written.append(len(data))
            write(data)

        self.patch(self.wire, "write", watched)
        big = bytes(1000000)
        self.request.respond(200, [], [b"[", big, b"]"])
        self.assertLessEqual(max(written), 128 * 1024)
        self.assertEqual(answers(self.wire.value())[0][2], b"[" + big + b"]")

    def test_large_answers_wait_for_the_client(self) -> None:
        self.wire.full = True
        self.request.respond(200, [], bytes(1000000))
        self.assertLess(len(self.wire.value()), 200000)
        self.wire.protocol.dataReceived(SENTINEL)
        while self.wire.producer_paused:
            self.wire.producer_paused = False
            self.wire.protocol.resumeProducing()
        self.wire.taken()
        self.assertEqual([len(body) for _, _, body in answers(self.wire.value())], [1000000, 5])

    def test_close_waits_for_a_large_answer(self) -> None:
        wire = self.front.talk(b"GET /held HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
        wire.full = True
        self.front.held.requests[-1].respond(200, [], bytes(1000000))
        self.assertFalse(wire.is_closed)
        wire.taken()
        self.assertTrue(wire.disconnecting)
        self.assertEqual(len(answers(wire.value())[0][2]), 1000000)

    def test_no_request_is_begun_while_answers_wait(self) -> None:
        wire = self.front.connect()
        wire.full = True
        wire.protocol.dataReceived(SENTINEL * 3)
        self.assertEqual(statuses(wire), [200])
        wire.taken()
        self.assertEqual(statuses(wire), [200, 200, 200])

    def test_backlog_is_bounded(self) -> None:
        lost: list[Failure] = []
        self.request.on_lost = lost.append
        self.wire.full = True
        self.request.start(200, [])
        for _ in range(40):
            self.request.write(bytes(1024 * 1024))
        self.assertTrue(self.wire.aborted)
        self.assertEqual(self.front.counters.backlogs_exceeded, 1)
        self.assertEqual(len(lost), 1)
