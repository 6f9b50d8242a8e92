"""Transfer arithmetic against a plain statement of the rules, with devices and reads that are exact.

Fast arrays follow w <- w - rate d x exactly, slow ones are written exactly (v1) or in whole steps of dw_min.
test_cell_properties.py holds the backends to the same bits, so the rules are looked at with one of them.
The statements below run in float64, one vector at a time; float32 differs by a few 1e-7 a vector.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cell_helpers import EXACT, PERFECT, gradients, make, plain, train

from crossgrid.kernels.cells import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    TransferCompound,
)

OUT, IN, VECTORS, STEP = 5, 4, 60, 0.01
LINES = {"columns": True, "rows": False}


def devices(count: int = 2) -> list[Any]:
    return [plain(dw_min=STEP, w_max=9.0, w_min=-9.0) for _ in range(count)]


def hidden(cell: Any, k: int) -> np.ndarray:
    return cell.hidden_parameters()[f"hidden_weights_{k}"][0]


@pytest.mark.parametrize("columns", LINES.values(), ids=LINES)
@pytest.mark.parametrize("reads", [1, 3])
@pytest.mark.parametrize(("every", "in_batches", "batch"), [(2, False, 5), (1.5, True, 4), (0, True, 4)])
def test_tiki_taka_moves_lines_of_the_fast_array(
    columns: bool, reads: int, every: float, in_batches: bool, batch: int
) -> None:
    x, d = gradients(VECTORS, OUT, IN)
    rate, transfer_lr, fast_lr, gamma = 0.1, 0.5, 0.7, 0.3
    own = TransferCompound(
        unit_cell_devices=devices(), transfer_every=every, units_in_mbatch=in_batches, gamma=gamma,
        n_reads_per_transfer=reads, transfer_columns=columns, transfer_lr=transfer_lr, fast_lr=fast_lr,
        transfer_forward=PERFECT, transfer_update=EXACT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN, start=0.2), x, d, rate, batch)

    fast, slow, line = np.zeros((OUT, IN)), np.full((OUT, IN), 0.2), 0
    period = math.ceil(every * batch) if in_batches else every
    for u in range(VECTORS):
        fast -= fast_lr * rate * np.outer(d[u], x[u])
        if period and (u + 1) % period == 0:
            for _ in range(reads):
                at = (slice(None), line) if columns else (line, slice(None))
                slow[at] += transfer_lr * rate * fast[at]
                line = (line + 1) % (IN if columns else OUT)
    np.testing.assert_allclose(hidden(cell, 0), fast, atol=1e-5)
    np.testing.assert_allclose(hidden(cell, 1), slow, atol=1e-5)
    np.testing.assert_allclose(cell.weights[0], gamma * fast + slow, atol=1e-5)


@pytest.mark.parametrize(
    ("scaled", "fast_lr", "expected"), [(False, 0.3, 0.3), (True, 0.3, 0.03), (True, 0.0, 0.1)]
)
def test_rate_of_the_fast_array(scaled: bool, fast_lr: float, expected: float) -> None:
    x, d = gradients(1, OUT, IN)
    own = TransferCompound(
        unit_cell_devices=devices(), fast_lr=fast_lr, scale_fast_lr=scaled, transfer_every=0,
        transfer_forward=PERFECT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN), x, d, 0.1, 1)
    np.testing.assert_allclose(hidden(cell, 0), -expected * np.outer(d[0], x[0]), rtol=1e-5, atol=1e-8)
    assert not cell.weights.any()  # gamma 0: what has not been transferred is not seen


def test_a_chain_of_three_passes_on_at_its_own_pace() -> None:
    x, d = gradients(VECTORS, OUT, IN)
    own = TransferCompound(
        unit_cell_devices=devices(3), transfer_every=1, units_in_mbatch=False, gamma_vec=[0.25, 0.5, 2.0],
        transfer_lr_vec=[0.5, 0.25, 0.0], scale_transfer_lr=False, transfer_forward=PERFECT,
        transfer_update=EXACT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN, start=0.2), x, d, 0.1, 7)

    w, turns = (
        [np.zeros((OUT, IN)), np.zeros((OUT, IN)), np.full((OUT, IN), 0.1)],
        [0, 0],
    )  # 0.2 / gamma_vec[-1]
    for u in range(VECTORS):
        w[0] -= 0.1 * np.outer(d[u], x[u])
        for level, period, rate in ((0, 1, 0.5), (1, OUT, 0.25)):  # transfer_every * out_size ** level
            if (u + 1) % period == 0:
                line = turns[level] % IN
                w[level + 1][:, line] += rate * w[level][:, line]
                turns[level] += 1
    for k in range(3):
        np.testing.assert_allclose(hidden(cell, k), w[k], atol=1e-4)
    np.testing.assert_allclose(cell.weights[0], 0.25 * w[0] + 0.5 * w[1] + 2.0 * w[2], atol=1e-4)


def test_reset_empties_the_column_once_it_is_read() -> None:
    x, d = gradients(2 * IN, OUT, IN)
    own = TransferCompound(
        unit_cell_devices=[plain(w_max=9.0, w_min=-9.0, reset=0.125)] * 2, transfer_every=1,
        units_in_mbatch=False, with_reset_prob=1.0, transfer_forward=PERFECT, transfer_update=EXACT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN), x, d, 0.1, 3)
    fast, slow = np.zeros((OUT, IN)), np.zeros((OUT, IN))
    for u in range(2 * IN):
        fast -= 0.1 * np.outer(d[u], x[u])
        slow[:, u % IN] += 0.1 * fast[:, u % IN]
        fast[:, u % IN] = 0.125
    np.testing.assert_allclose(hidden(cell, 0), fast, atol=1e-6)
    np.testing.assert_allclose(hidden(cell, 1), slow, atol=1e-6)


def test_random_lines_are_each_taken_equally_often() -> None:
    transfers, lines = 6000, 8
    own = TransferCompound(
        unit_cell_devices=devices(), transfer_every=1, units_in_mbatch=False, random_selection=True,
        fast_lr=-1.0, transfer_lr=1.0, scale_transfer_lr=False, transfer_forward=PERFECT,
        transfer_update=EXACT,
    )  # fmt: skip
    cell = make(own, 1, lines)
    x, d = np.zeros((transfers, lines), np.float32), np.zeros((transfers, 1), np.float32)
    cell.members[0].set_weights(np.full((1, 1, lines), 2.0**-12, np.float32))
    train(cell, x, d, 0.1, transfers)
    counts = cell.weights[0, 0] * 2**12
    # chi-square of 7 degrees of freedom: above 24.3 with probability 0.001
    assert ((counts - transfers / lines) ** 2 / (transfers / lines)).sum() < 24.3
    assert counts.sum() == transfers


def fire(held: np.ndarray, size: float, momentum: float, forget: bool, cap: float = 0.0) -> np.ndarray:
    """Steps that a buffer releases (at most one a read); ``held`` is left with the rest."""
    steps = np.clip(np.trunc(held / size), -1, 1)
    rest = momentum * held if forget else held - (1 - momentum) * steps * size
    if cap and not forget:
        rest = np.clip(rest, -cap, cap)
    held[...] = np.where(steps != 0, rest, held)
    return steps


@pytest.mark.parametrize("columns", LINES.values(), ids=LINES)
@pytest.mark.parametrize("forget", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_buffered_transfer_writes_whole_steps(columns: bool, forget: bool, gamma: float) -> None:
    x, d = gradients(4 * VECTORS, OUT, IN)
    own = BufferedTransferCompound(
        unit_cell_devices=devices(), units_in_mbatch=False, transfer_columns=columns, gamma=gamma,
        thres_scale=2.5, momentum=0.2, forget_buffer=forget, transfer_forward=PERFECT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN), x, d, 0.2, 6)

    fast, slow, held = np.zeros((OUT, IN)), np.zeros((OUT, IN)), np.zeros((OUT, IN))
    for u in range(4 * VECTORS):
        fast -= 0.2 * np.outer(d[u], x[u])
        at = (slice(None), u % IN) if columns else (u % OUT, slice(None))
        held[at] += 0.2 * (gamma or 1.0) * fast[at]
        slow[at] += STEP * fire(held[at], 2.5 * STEP, 0.2, forget)
    np.testing.assert_allclose(hidden(cell, 0), fast, atol=1e-5)
    np.testing.assert_allclose(cell.hidden_parameters()["buffered_FP_weight_0"][0], held, atol=1e-5)
    np.testing.assert_allclose(hidden(cell, 1), slow, atol=1e-5)
    assert np.abs(slow).max() > 2 * STEP


class Choppers:
    """The signs of c-TTv2, regular or with probability 1, and the buffer that they feed."""

    def __init__(self, lines: int, others: int, period: int) -> None:
        self.line, self.other, self.period = np.ones(lines), np.ones(others), period
        self.sweeps, self.at = 0, 0

    def after_read(self, flip_others: bool = False) -> bool:
        """Flip what is due and go on to the next line; whether the line's chopper has flipped."""
        flipped = self.period > 0 and self.sweeps % self.period == self.period - 1
        if flipped:
            self.line[self.at] *= -1
        self.at += 1
        if self.at == len(self.line):
            self.at, self.sweeps = 0, self.sweeps + 1
            if flip_others:
                self.other *= -1
        return flipped


@pytest.mark.parametrize("columns", LINES.values(), ids=LINES)
@pytest.mark.parametrize("period", [0, 2, 3])
@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("corrected", [False, True])
def test_chopped_transfer(columns: bool, period: int, auto: bool, corrected: bool) -> None:
    batch, rate, bl, momentum = 6, 0.3, 31, 0.9
    x, d = gradients(4 * VECTORS, OUT, IN)
    own = ChoppedTransferCompound(
        unit_cell_devices=[plain(dw_min=2 * STEP, w_max=9.0, w_min=-9.0), *devices(1)],
        transfer_columns=columns, in_chop_prob=1 / period if period else 0.0, in_chop_random=False,
        out_chop_prob=1.0, gamma=0.5, buffer_granularity=0.2,
        auto_granularity=40.0,
        auto_scale=auto, auto_momentum=momentum, fast_lr=0.5,
        correct_gradient_magnitudes=corrected, forget_buffer=False, momentum=0.25, transfer_forward=PERFECT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN), x, d, rate, batch)

    lines, others = (IN, OUT) if columns else (OUT, IN)
    chop, held = Choppers(lines, others, period), np.zeros((lines, others))
    fast, slow = np.zeros((OUT, IN)), np.zeros((OUT, IN))
    quantum = 0.2 * 2 * STEP * 40.0 / lines * (0.5 if corrected else 1.0)  # g_slow / g_fast = 1/2
    m_x = m_d = 0.0
    for u in range(4 * VECTORS):
        x_max, d_max, follow = np.abs(x[u]).max(), np.abs(d[u]).max(), (1 - momentum) / batch
        m_x = (1 - follow) * m_x + follow * x_max if u else x_max
        m_d = (1 - follow) * m_d + follow * d_max if u else d_max
        fast_rate = 0.5 * bl * 2 * STEP / (m_x * m_d) if auto else 0.5
        signs = np.outer(chop.other, chop.line) if columns else np.outer(chop.line, chop.other)
        fast -= fast_rate * signs * np.outer(d[u], x[u])
        line = chop.at
        at = (slice(None), line) if columns else (line, slice(None))
        gain = rate * 0.5 / quantum / (fast_rate if corrected else 1.0)
        held[line] += gain * chop.line[line] * chop.other * fast[at]
        slow[at] += STEP * fire(held[line], 1.0, 0.25, False)
        chop.after_read(flip_others=True)
    signs = np.outer(chop.other, chop.line) if columns else np.outer(chop.line, chop.other)
    np.testing.assert_allclose(hidden(cell, 0), fast, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(hidden(cell, 1), slow, atol=1e-5)
    np.testing.assert_allclose(cell.weights[0], 0.5 * signs * fast + slow, rtol=1e-4, atol=1e-4)
    assert np.abs(slow).max() > 2 * STEP


@pytest.mark.parametrize("columns", LINES.values(), ids=LINES)
@pytest.mark.parametrize("cap", [0.0, 0.5])
def test_agad_counts_from_the_last_period(columns: bool, cap: float) -> None:
    period, tail, rate = 3, 2.0, 0.5
    x, d = gradients(6 * VECTORS, OUT, IN)
    own = DynamicTransferCompound(
        unit_cell_devices=devices(), transfer_columns=columns, in_chop_prob=1 / period, tail_weightening=tail,
        buffer_granularity=8.0, forget_buffer=cap == 0.0, buffer_cap=cap, momentum=0.1, fast_lr=0.5,
        transfer_forward=PERFECT,
    )  # fmt: skip
    cell = train(make(own, OUT, IN), x, d, rate, 8)

    lines, others = (IN, OUT) if columns else (OUT, IN)
    chop, held = Choppers(lines, others, period), np.zeros((lines, others))
    mean, past, switched = np.zeros((lines, others)), np.zeros((lines, others)), np.zeros(lines, bool)
    fast, slow = np.zeros((OUT, IN)), np.zeros((OUT, IN))
    for u in range(6 * VECTORS):
        signs = np.outer(chop.other, chop.line) if columns else np.outer(chop.line, chop.other)
        fast -= 0.5 * signs * np.outer(d[u], x[u])
        line, sweeps = chop.at, chop.sweeps
        at = (slice(None), line) if columns else (line, slice(None))
        read = fast[at].copy()
        if switched[line]:
            past[line] = mean[line]
        held[line] += rate / (8.0 * STEP) * chop.line[line] * (read - past[line])
        steps = fire(held[line], 1.0, 0.1, cap == 0.0, cap)
        if sweeps > period:
            slow[at] += STEP * steps
        mean[line] += tail / period * (read - mean[line])
        switched[line] = chop.after_read()
    found = cell.hidden_parameters()
    for name, expected in (("running_mean_weight", mean), ("past_mean_weight", past)):
        np.testing.assert_allclose(found[name][0], expected.T if columns else expected, atol=1e-5)
    np.testing.assert_allclose(hidden(cell, 1), slow, atol=1e-5)
    assert np.abs(slow).max() > 2 * STEP
