"""The fuzz targets themselves: each holds for its seeds, and for what hypothesis makes of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS


class TargetTests(SynchronousTestCase):
    """Guided guessing needs atheris and time; these few guesses are for every day."""

    def test_each_has_seeds(self) -> None:
        """No target begins with nothing."""
        self.assertEqual(set(TARGETS), set(SEEDS))

    def test_seeds(self) -> None:
        """Each target holds for its seeds, whole and cut."""
        for name, seeds in SEEDS.items():
            for seed in seeds:
                for cut in (seed, seed[: len(seed) // 2], seed[1:]):
                    TARGETS[name](cut)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.data())
    def test_guesses(self, data: st.DataObject) -> None:
        """A seed with some bytes changed."""
        name = data.draw(st.sampled_from(sorted(TARGETS)))
        seed = bytearray(data.draw(st.sampled_from(SEEDS[name])))
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(seed) - 1))
            seed[at] = data.draw(st.integers(0, 255))
        TARGETS[name](bytes(seed))
