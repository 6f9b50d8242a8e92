"""The Mersenne Twister moved on is the one that gave all its numbers; the outside truth is numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.kernels.rng.mersenne import WORDS, twisted


@pytest.mark.parametrize("times", [0, 1, 2, 7, 1000])
def test_words_moved_on_are_those_of_numpys_generator(times: int) -> None:
    generator = np.random.MT19937(5)
    generator.random_raw(3)  # not where it was seeded: the state is then whole
    before = generator.state["state"]
    words, kept = before["key"].astype(np.uint32), before["key"].copy()
    generator.random_raw(WORDS * times, output=False)
    after = generator.state["state"]
    assert (twisted(words, times) == after["key"]).all()
    assert before["pos"] == after["pos"]
    assert (words == kept).all(), "the state that was given has changed"
