"""The order in which messages leave, whatever becomes of those before them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.lane import Lane


class LaneTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lane = Lane()
        self.left: list[str] = []
        self.done: dict[str, Callable[[], None]] = {}

    def put(self, name: str) -> None:
        """Small letters leave side by side, capitals alone."""

        def leave(done: Callable[[], None]) -> None:
            self.left.append(name)
            self.done[name] = done

        self.lane.put(leave, name.isupper())

    def assert_left(self, names: str) -> None:
        self.assertEqual("".join(self.left), names)

    def test_side_by_side(self) -> None:
        for name in "abc":
            self.put(name)
        self.assert_left("abc")

    def test_alone(self) -> None:
        """It waits for all before it to be written, and all after it until it was accepted."""
        for name in "abNcd":
            self.put(name)
        self.assert_left("ab")
        self.done["a"]()
        self.assert_left("ab")
        self.done["b"]()
        self.assert_left("abN")
        self.put("e")
        self.assert_left("abN")
        self.done["N"]()
        self.assert_left("abNcde")

    def test_several_alone(self) -> None:
        for name in "NMa":
            self.put(name)
        self.done["N"]()
        self.assert_left("NM")
        self.done["M"]()
        self.assert_left("NMa")

    def test_told_twice(self) -> None:
        """One that is written, and lost then, says both; only the first of it counts."""
        for name in "abN":
            self.put(name)
        self.done["a"]()
        self.done["a"]()
        self.assert_left("ab")
        self.done["b"]()
        self.put("c")
        self.done["a"]()
        self.done["b"]()
        self.assert_left("abN")

    def test_at_once(self) -> None:
        """Those that are written while they leave, as on a connection that is lost: however many
        have waited.
        """
        self.put("N")
        for number in range(5000):
            self.lane.put(lambda done: done(), number % 2 == 0)
        self.put("M")
        self.done["N"]()
        self.assert_left("NM")

    def test_put_while_another_leaves(self) -> None:
        def leave(done: Callable[[], None]) -> None:
            self.left.append("N")
            self.put("a")
            self.done["N"] = done

        self.lane.put(leave, True)
        self.assert_left("N")
        self.done["N"]()
        self.assert_left("Na")

    def test_cleared(self) -> None:
        """What waits is gone; what leaves still says so, and nothing comes of it."""
        for name in "aNb":
            self.put(name)
        self.lane.clear()
        self.done["a"]()
        self.assert_left("a")
        self.put("c")
        self.assert_left("ac")

    @given(st.text("abAB", max_size=12), st.randoms(use_true_random=False))
    @settings(max_examples=60, deadline=None)
    def test_any(self, names: str, random: Random) -> None:
        """They all leave, in order, and nothing is on its way beside one that is alone."""
        lane, left = Lane(), ""
        open_: list[tuple[str, Callable[[], None]]] = []

        def put(name: str) -> None:
            def leave(done: Callable[[], None]) -> None:
                nonlocal left
                left += name
                open_.append((name, done))

            lane.put(leave, name.isupper())

        for name in names:
            put(name)
        while open_:
            if any(name.isupper() for name, _ in open_):
                self.assertEqual(len(open_), 1)
            open_.pop(random.randrange(len(open_)))[1]()
        self.assertEqual(left, names)
