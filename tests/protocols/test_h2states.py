"""Tests of mcptwist.protocols.h2states."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2states import ENDED, RESET_BY_US, Streams


class StreamsTests(SynchronousTestCase):
    """What is known of streams."""

    def test_the_latest_are_remembered(self) -> None:
        """How they came to be over is known for a while, and only of so many."""
        streams = Streams(65535, 65535)
        for number in range(1, 8001, 2):
            streams.begin(number, True)
            if number % 4 == 1:
                streams.end(number, RESET_BY_US)
            else:
                streams.answered(number)
        self.assertEqual([streams.how(number) for number in (7997, 7999, 1)],
                         [RESET_BY_US, ENDED, None])  # fmt: skip
        self.assertLessEqual(len(streams._over), 1024)
        self.assertEqual(streams.open, {})

    def test_windows_follow(self) -> None:
        """Those of streams that are open change with that of new ones, below nought too."""
        streams = Streams(100, 50)
        streams.begin(1, False)
        streams.open[1].window -= 80
        streams.open[1].room -= 10
        streams.window, streams.room = 70, 60
        streams.begin(3, False)
        self.assertEqual([flow.window for flow in streams.open.values()], [-10, 70])
        self.assertEqual([flow.room for flow in streams.open.values()], [50, 60])
        self.assertEqual(streams.widest(), 70)

    def test_idle(self) -> None:
        """Above the highest, and what no client can open."""
        streams = Streams(100, 50)
        streams.begin(5, True)
        self.assertEqual([streams.is_idle(number) for number in (0, 2, 3, 5, 6, 7)],
                         [True, True, False, False, True, True])  # fmt: skip

    def test_ended_by_both(self) -> None:
        """It takes both, in whichever order; and ends once."""
        streams = Streams(100, 50)
        streams.begin(1, False)
        streams.answered(1)
        self.assertIn(1, streams.open)
        streams.asked(1)
        self.assertEqual((streams.how(1), streams.end(1, RESET_BY_US)), (ENDED, False))
