"""The scaling of pulse trains, written once for numpy, numba and Triton (see ``machine/bind.py``).

Gokmen and Vlasov, "Acceleration of deep neural network training with resistive cross-point
devices", Frontiers in Neuroscience 10 (2016); update management: Gokmen, Onen, Haensch, 2017.
Only multiplications, divisions and square roots: all backends round them alike.
"""

from __future__ import annotations

from typing import Any

from ..rng import numpy_math as m


def train_length(x_max: Any, d_max: Any, rate: Any, granularity: Any, desired: Any, rule: Any) -> Any:
    """Number of slots of a train; 0: no update.

    ``rule`` is 0 for a fixed length, 1 for as many as the rate asks for, +2 for update management,
    4 for bit-length management. ``d_max`` includes ``um_grad_scale``.
    """
    wanted = m.divide(rate * x_max * d_max, granularity)
    managed = m.maximum(m.minimum(m.ceil(wanted), desired), 1.0)
    free = (rule & 1 == 1) & (granularity * desired < rate)
    by_rate = m.where(free, m.maximum(m.ceil(m.divide(rate, granularity)), 1.0), desired)
    length = m.where(rule >= 4, managed, by_rate)
    idle = (x_max <= 0.0) | (d_max <= 0.0) | (rate <= 0.0)
    return m.where(idle, 0.0, length)


def part_length(length: Any, part: Any, parts: Any) -> Any:
    """Slots of one of the ``parts`` of a train: words of 31 are filled one after the other."""
    own = m.maximum(m.minimum(length - 31.0 * part, 31.0), 0.0)
    return m.where(parts > 1, own, length)


def train_scale(
    x_max: Any, d_max: Any, rate: Any, granularity: Any, desired: Any, rule: Any, length: Any
) -> Any:
    """Factors (of d, of x) that turn a magnitude into a firing probability, for trains of ``length``."""
    free = (rule & 1 == 1) & (rule < 4) & (granularity * desired < rate)
    base = m.where(free, 1.0, m.sqrt(m.divide(rate, granularity * m.maximum(length, 1.0))))
    x_safe = m.where(x_max > 0.0, x_max, 1.0)
    d_safe = m.where(d_max > 0.0, d_max, 1.0)
    wanted = m.divide(rate * x_safe * d_safe, granularity)
    d_capped = m.where(wanted > desired, d_safe * m.divide(desired, wanted), d_safe)
    of_d = m.where(rule >= 2, m.sqrt(m.divide(x_safe, d_capped)), 1.0)
    of_x = m.where(rule >= 2, m.sqrt(m.divide(d_capped, x_safe)), 1.0)
    return base * of_d, base * of_x


def train_margin(level: Any, bits: Any) -> Any:
    """How far a line's firing probability is above 16 random bits, in units of their last place."""
    return level * 65536.0 - bits


def fires(margin: Any, finer: Any) -> Any:
    """Whether a line fires in a slot; ``finer``, uniform in [0, 1), decides where the bits are the level's.

    So the probability is the level, to the last bit. ``surely`` and ``perhaps`` tell where the finer draw is
    not needed.
    """
    return margin > finer


def surely(margin: Any) -> Any:
    """Whether a line fires whatever a finer draw says."""
    return margin >= 1.0


def perhaps(margin: Any) -> Any:
    """Whether a line fires for some finer draw."""
    return margin > 0.0


def quantised(value: Any, step: Any, jitter: Any) -> Any:
    """``value`` rounded half to even to multiples of ``step`` (<= 0: unchanged); jitter in [-1/2, 1/2)."""
    safe = m.where(step > 0.0, step, 1.0)
    return m.where(step > 0.0, m.rint(m.divide(value, safe) + jitter) * safe, value)
