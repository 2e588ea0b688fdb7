"""Back-off and breaker."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.patience import Patience, jitter_from

LIMITS: dict[str, Any] = {
    "backoff_min": 1.0,
    "backoff_max": 8.0,
    "reset_after": 60.0,
    "breaker_starts": 4,
    "breaker_window": 100.0,
    "breaker_open_for": 300.0,
}


def patience(**changes: Any) -> Patience:
    return Patience(**{**LIMITS, **changes})


def crash(patience: Patience, now: float, lasting: float = 0.0) -> float:
    """Start it, and let it fail after a while; return when it may be started again."""
    patience.started(now)
    now += lasting
    patience.ended(now, False)
    return now + patience.may_start(now)


class BackOff(SynchronousTestCase):
    def test_each_wait_is_longer_up_to_the_longest(self) -> None:
        subject, now, waits = patience(breaker_starts=0), 0.0, []
        for _ in range(6):
            again = crash(subject, now)
            waits.append(again - now)
            now = again
        self.assertEqual(waits, [1, 2, 4, 8, 8, 8])
        self.assertEqual(subject.attempt, 6)

    def test_a_wait_passes(self) -> None:
        subject = patience()
        self.assertEqual(subject.may_start(0), 0)
        crash(subject, 10)
        self.assertEqual([subject.may_start(t) for t in (10, 10.5, 11, 99)], [1, 0.5, 0, 0])

    def test_a_start_alone_ends_no_row_of_failures(self) -> None:
        """It starts well and crashes a moment later, over and over."""
        subject = patience(breaker_starts=0)
        now = crash(subject, 0, lasting=1)
        now = crash(subject, now, lasting=59)
        self.assertEqual(subject.attempt, 2)
        self.assertEqual(crash(subject, now), now + 4)

    def test_a_start_that_lasts_does(self) -> None:
        subject = patience(breaker_starts=0)
        now = crash(subject, crash(subject, 0))
        subject.started(now)
        # A second more than asked, for sums of floats come out a little less than they should.
        self.assertEqual(subject.may_start(now + 61), 0)
        self.assertEqual(subject.attempt, 0)
        subject.ended(now + 61, False)
        self.assertEqual((subject.attempt, subject.may_start(now + 61)), (1, 1))

    def test_a_clean_end_is_no_failure(self) -> None:
        subject = patience()
        subject.started(0)
        subject.ended(1, True)
        self.assertEqual((subject.attempt, subject.may_start(1)), (0, 0))

    def test_a_clean_end_does_not_wait_less_long(self) -> None:
        subject = patience()
        crash(subject, 0)
        subject.ended(0, True)
        self.assertEqual(subject.may_start(0), 1)

    def test_jitter_takes_something_off(self) -> None:
        subject = patience(jitter=jitter_from(lambda: 0.5))
        self.assertAlmostEqual(crash(subject, 0), 0.9)

    def test_jitter_cannot_lengthen_or_forge_a_wait(self) -> None:
        self.assertEqual(crash(patience(jitter=lambda delay: delay * 9), 0), 1)
        self.assertEqual(crash(patience(jitter=lambda delay: -1), 0), 0)

    def test_a_clock_that_was_set_back_makes_nobody_wait_for_ever(self) -> None:
        subject = patience()
        crash(subject, 1_000_000)
        self.assertEqual(subject.may_start(0), 8)

    def test_a_very_long_row_of_failures(self) -> None:
        subject, now = patience(breaker_starts=0), 0.0
        for _ in range(2000):
            now = crash(subject, now)
        self.assertEqual(subject.may_start(now - 8), 8)


class Breaker(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject, self.now = patience(), 0.0
        for _ in range(4):
            self.assertEqual(self.subject.state, "closed")
            self.now = crash(self.subject, self.now)

    def test_too_many_failures_open_it(self) -> None:
        self.assertEqual(self.subject.state, "open")
        self.assertEqual(self.subject.may_start(self.now - 300), 300)

    def test_failures_far_apart_do_not(self) -> None:
        subject, now = patience(), 0.0
        for _ in range(9):
            crash(subject, now)
            now += 34
            self.assertEqual(subject.state, "closed")

    def test_after_a_while_one_start_is_let_through(self) -> None:
        self.assertEqual(self.subject.may_start(self.now), 0)
        self.assertEqual(self.subject.state, "half-open")
        self.subject.started(self.now)
        self.assertEqual(self.subject.may_start(self.now + 10), 50)

    def test_when_that_fails_it_opens_again(self) -> None:
        self.assertEqual(crash(self.subject, self.now, lasting=1), self.now + 301)
        self.assertEqual(self.subject.state, "open")

    def test_when_that_lasts_it_closes(self) -> None:
        self.subject.started(self.now)
        self.assertEqual(self.subject.may_start(self.now + 60), 0)
        self.assertEqual((self.subject.state, self.subject.attempt), ("closed", 0))
        self.assertEqual(crash(self.subject, self.now + 70), self.now + 71)

    def test_forgiving_closes_it(self) -> None:
        self.subject.forgive()
        self.assertEqual(self.subject.may_start(self.now - 200), 0)
        self.assertEqual((self.subject.state, self.subject.attempt), ("closed", 0))


class Policies(SynchronousTestCase):
    def test_what_is_started_again_unasked(self) -> None:
        for policy, after_failure, after_clean_end in (
            ("always", True, True),
            ("on-failure", True, False),
            ("never", False, False),
        ):
            subject = patience(policy=policy)
            self.assertEqual(
                (subject.restarts(False), subject.restarts(True)), (after_failure, after_clean_end)
            )


LIVES = st.lists(
    st.tuples(st.floats(0, 200), st.booleans(), st.floats(0, 200)), min_size=1, max_size=20
)


class Whatever(SynchronousTestCase):
    """Whatever lives and dies behind it."""

    @settings(max_examples=100, deadline=None)
    @given(LIVES)
    def test_waits_are_bounded_and_end(self, lives: list[tuple[float, bool, float]]) -> None:
        subject, now = patience(), 0.0
        for uptime, clean, pause in lives:
            subject.started(now)
            now += uptime
            subject.ended(now, clean)
            wait = subject.may_start(now)
            self.assertTrue(0 <= wait <= 300)
            self.assertLessEqual(subject.may_start(now + wait), 1e-6)
            if not clean and subject.state == "closed":
                self.assertAlmostEqual(wait, min(8, 2.0 ** (subject.attempt - 1)))
            now += max(wait, pause)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.floats(0, 59), min_size=1, max_size=60))
    def test_a_crash_loop_is_bounded(self, uptimes: list[float]) -> None:
        """However it crashes, it is started at most so often in any while."""
        subject, now, starts = patience(), 0.0, []
        for uptime in uptimes:
            starts.append(now)
            now = crash(subject, now, uptime)
        for start in starts:
            self.assertLessEqual(sum(start <= other < start + 100 for other in starts), 5)

    @settings(max_examples=50, deadline=None)
    @given(LIVES)
    def test_whoever_lasts_is_forgiven(self, lives: list[tuple[float, bool, float]]) -> None:
        subject, now = patience(), 0.0
        for uptime, clean, pause in lives:
            subject.started(now)
            subject.ended(now := now + uptime, clean)
            now += pause
        subject.started(now)
        # A second more than asked, for sums of floats come out a little less than they should.
        self.assertEqual(subject.may_start(now + 61), 0)
        self.assertEqual((subject.attempt, subject.state), (0, "closed"))
