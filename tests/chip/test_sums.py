"""Partial sums of several tiles: each is added once, in as few bits as lose nothing."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrid.chip import Chip, LayerShape, load_chip, map_layers
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.cost.sums import additions, entering, sum_bits
from crossgrid.chip.cost.traffic import traffic_of
from crossgrid.chip.description.spec import SUMS, Grid


def chip_with(sums: str, columns: int = 32) -> Chip:
    chip = load_chip("demo-128")
    links = dataclasses.replace(chip.links, sums=sums)
    return dataclasses.replace(chip, links=links, grid=Grid(1, columns))


@given(st.sampled_from(SUMS), st.integers(1, 70))
def test_every_partial_sum_is_added_once(kind: str, columns: int) -> None:
    """Blocks hold different powers of two: a sum of all has every bit once, and each sender what it says."""
    held, sent = [1 << k for k in range(columns)], 0
    for stage in additions(columns, kind):
        for giver, taker, terms in stage:
            assert held[giver].bit_count() == terms
            held[taker] += held[giver]
            held[giver] = 0
            sent += 1
    assert held == [(1 << columns) - 1] + [0] * (columns - 1)
    assert sent == columns - 1
    stages = {"star": min(columns - 1, 1), "chain": columns - 1, "tree": math.ceil(math.log2(columns))}
    assert len(additions(columns, kind)) == stages[kind]


@given(st.integers(1, 500))
def test_sums_lose_nothing_and_waste_no_bit(terms: int) -> None:
    """Codes of nine bits are whole numbers of at most 2^9 - 1 in magnitude and sign together."""
    most = terms * (2**9 - 1)
    assert sum_bits(load_chip("demo-128"), terms) == 9 + math.ceil(math.log2(terms))
    assert 2 ** sum_bits(load_chip("demo-128"), terms) > most


def test_shifted_digits_are_wider() -> None:
    """Sums of 32 rows of one-bit cells and inputs, 5 bits; eight of each are shifted, four groups added."""
    assert sum_bits(load_chip("neurosim-128"), 1) == 5 + 7 + 7 + 2
    assert sum_bits(load_chip("isaac"), 100) == 16  # as published: all values have 16 bits


def test_what_travels_by_hand() -> None:
    """Four tiles in a row of 128 inputs each, 10 outputs of one vector: sums of 9, 10, 11 bits."""
    layer = [LayerShape("a", 10, 512)]
    inputs = 9 * 128 * (0 + 1 + 2 + 3)
    for kind, links in (
        ("star", 9 * (1 + 2 + 3)), ("chain", 9 + 10 + 11), ("tree", 9 + 9 + 10 * 2),
    ):  # fmt: skip
        chip = chip_with(kind, 4)
        traffic = traffic_of(map_layers(layer, chip), chip)
        assert traffic.hop_bits.tolist() == [inputs + 10 * links]
        # inputs pass three links; one after the other the stages pass 3, 3 times 1, and 1 + 2
        assert traffic.way_ns.tolist() == [3 + 3]


def test_a_tree_relieves_the_port_and_a_chain_the_links() -> None:
    layer = [LayerShape("a", 128, 32 * 128, 50)]
    costs = {kind: cost_of(map_layers(layer, chip_with(kind)), chip_with(kind)) for kind in SUMS}
    traffics = {kind: traffic_of(map_layers(layer, chip_with(kind)), chip_with(kind)) for kind in SUMS}
    ports = {kind: entering(chip_with(kind), 32) for kind in SUMS}
    assert ports["chain"] < ports["tree"] < ports["star"] == 31 * 9
    assert ports["tree"] == 9 + 10 + 11 + 12 + 13
    for kind, cost in costs.items():
        taken = float(traffics[kind].loads.taken[0, 0])
        assert taken == 50 * 128 * (ports[kind] + 9)
        assert cost.events.add == costs["star"].events.add == 31 * 128 * 50
    assert costs["tree"].interval_ns < costs["star"].interval_ns
    assert costs["chain"].hop_bits < costs["tree"].hop_bits < costs["star"].hop_bits


@pytest.mark.parametrize("bits", [4, 24])
def test_the_width_can_be_given(bits: int) -> None:
    chip = dataclasses.replace(chip_with("tree"), sum_bits=bits)
    assert sum_bits(chip, 1) == sum_bits(chip, 1000) == bits
