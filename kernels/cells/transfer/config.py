"""Tiki-Taka and its kin: gradients go to a fast array, what it holds is transferred to a slow one.

Gokmen and Haensch, "Algorithm for training neural networks on resistive device arrays", Frontiers in
Neuroscience 14 (2020); TTv2: Gokmen, Frontiers in Artificial Intelligence 4 (2021); c-TTv2 and AGAD: Rasch,
Carta, Fagbohungbe, Gokmen, "Fast and robust analog in-memory deep neural network training", Nature
Communications 15 (2024).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...analog_mvm.parameters import IOParameters
from ...config import Config, config, field
from ...errors import ConfigError
from ...pulsed_update.parameters import UpdateParameters
from ..unit_cell import UnitCell

if TYPE_CHECKING:
    pass

T = TypeVar("T", bound=type)
_OLDER_NAMES = {"n_cols_per_transfer": "n_reads_per_transfer"}


def single_pulses() -> UpdateParameters:
    """Trains of one slot that always fires: a write of n != 0 makes one pulse."""
    return UpdateParameters(desired_bl=1, update_bl_management=False, update_management=False)


def with_older_names(cls: T) -> T:
    """Let the constructor take fields by their older names too."""
    plain_init: Callable[..., None] = cls.__init__  # type: ignore[misc]

    @functools.wraps(plain_init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        plain_init(self, *args, **{_OLDER_NAMES.get(name, name): value for name, value in kwargs.items()})

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


@with_older_names
@config
class TransferCompound(UnitCell):
    """Tiki-Taka v1: lines of array k are read and pulsed into array k + 1, round robin."""

    gamma: float = field(0.0, at_least=0.0)
    """Factor between neighbouring arrays' weights in W: array k of n counts gamma^(n-1-k), without unit; 0:
    only the last is seen."""
    gamma_vec: list[float] = field(factory=list)
    """Factors of the arrays' weights in W, one for each, the fast one first, without unit; empty: those of
    ``gamma``."""
    transfer_every: float = field(1.0, at_least=0.0)
    """Number of mini-batches (or vectors, see ``units_in_mbatch``) between two transfers from the fast array;
    0: never."""
    no_self_transfer: bool = field(True)
    """Whether the last array stays as it is, with nothing transferred into itself; it must be True."""
    transfer_every_vec: list[float] = field(factory=list)
    """Numbers of mini-batches or vectors between transfers out of each array; empty: those of
    ``transfer_every``, longer for each array down the chain."""
    units_in_mbatch: bool = field(True)
    """Whether ``transfer_every`` counts mini-batches, or else vector updates."""
    n_reads_per_transfer: int = field(1, at_least=1)
    """Number of lines that one transfer reads and writes."""
    transfer_columns: bool = field(True)
    """Whether the lines are columns, read forward, or else rows, read backward."""
    with_reset_prob: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that a column is reset once it has been read."""
    random_selection: bool = field(False)
    """Whether a transfer starts at a random line, or else where the last one ended."""
    fast_lr: float = field(1.0)
    """Learning rate of the fast array's update, relative to the optimizer's with ``scale_fast_lr``; 0 or
    less: the optimizer's."""
    scale_fast_lr: bool = field(True)
    """Whether ``fast_lr`` is a factor of the optimizer's learning rate, or else the rate itself."""
    transfer_lr: float = field(1.0, at_least=0.0)
    """Learning rate of a transfer, relative to the optimizer's with ``scale_transfer_lr``."""
    transfer_lr_vec: list[float] = field(factory=list)
    """Learning rates of the transfers out of each array, a factor as ``transfer_lr`` is; empty: all that."""
    scale_transfer_lr: bool = field(True)
    """Whether ``transfer_lr`` is a factor of the optimizer's learning rate, or else the rate itself."""
    transfer_forward: IOParameters = field(factory=IOParameters)
    """Periphery through which lines are read; noise and bound management are off there."""
    transfer_update: UpdateParameters = field(factory=UpdateParameters)
    """Pulses with which lines are written."""

    def __setattr__(self, name: str, value: Any) -> None:
        Config.__setattr__(self, _OLDER_NAMES.get(name, name), value)

    @property
    def n_cols_per_transfer(self) -> int:
        """The older name of ``n_reads_per_transfer``."""
        return self.n_reads_per_transfer

    def validate(self) -> None:
        name = type(self).__name__
        self.check_count(2)
        self.check_members()
        for each in ("gamma_vec", "transfer_every_vec", "transfer_lr_vec"):
            self.check_length(each, len(self.unit_cell_devices))
        for each in ("transfer_every_vec", "transfer_lr_vec"):
            if any(value < 0.0 for value in getattr(self, each)):
                raise ConfigError(f"{name}.{each} = {getattr(self, each)} must be at least 0 throughout")
        if self.gamma_vec and self.gamma_vec[-1] == 0.0:
            raise ConfigError(
                f"{name}.gamma_vec[-1] = 0 must not be 0: weights are written to the last array"
            )
        if self.with_reset_prob > 0.0 and not self.transfer_columns:
            raise ConfigError(
                f"{name}.with_reset_prob = {self.with_reset_prob:g} must be 0 where rows are transferred "
                "(transfer_columns False)"
            )
        if not self.no_self_transfer:
            raise ConfigError(f"{name}.no_self_transfer = False is not modelled; it must be True")

    def weights_of_members(self) -> list[float]:
        """How much each array weighs in W, the fast one first."""
        n = len(self.unit_cell_devices)
        return list(self.gamma_vec) or [self.gamma ** (n - 1 - k) for k in range(n)]


@with_older_names
@config
class BufferedTransferCompound(TransferCompound):
    """Tiki-Taka v2: what is read is summed up digitally, and whole steps of the sum are written."""

    transfer_update: UpdateParameters = field(factory=single_pulses)
    thres_scale: float = field(1.0, above=0.0)
    """Value at which the buffer fires, in units of its target's mean step."""
    step: float = field(1.0, above=0.0)
    """Number of pulses that are written where the buffer fires once."""
    momentum: float = field(0.1, at_least=0.0, at_most=1.0)
    """Fraction of the buffer that stays when it fires."""
    forget_buffer: bool = field(True)
    """Whether that is a fraction of the buffer's value, or else of what was written, and the rest stays."""

    def validate(self) -> None:
        TransferCompound.validate(self)
        if self.with_reset_prob > 0.0:
            raise ConfigError(
                f"{type(self).__name__}.with_reset_prob = {self.with_reset_prob:g} must be 0: a buffered "
                "transfer does not reset"
            )


@with_older_names
@config
class ChoppedTransferCompound(TransferCompound):
    """c-TTv2: as TTv2, with the sign of the fast array's lines chopped to cancel its offset."""

    scale_fast_lr: bool = field(False)
    units_in_mbatch: bool = field(False)
    transfer_update: UpdateParameters = field(factory=single_pulses)
    in_chop_prob: float = field(0.1, at_least=0.0, at_most=1.0)
    """Probability that the sign of a line flips after it was read, or one over the period of regular flips in
    sweeps."""
    in_chop_random: bool = field(True)
    """Whether flips are drawn, or else regular: all lines in every (1 / in_chop_prob)-th sweep."""
    out_chop_prob: float = field(0.0, at_least=0.0, at_most=1.0)
    """Probability that the sign of an output flips after a sweep over all lines."""
    buffer_granularity: float = field(1.0, above=0.0)
    """Value at which the buffer fires, in units of the fast array's mean step."""
    auto_granularity: float = field(0.0, at_least=0.0)
    """Factor of ``buffer_granularity`` once divided by lines times ``transfer_every``, the length of a sweep;
    0: no factor."""
    step: float = field(1.0, above=0.0)
    """Number of pulses that are written where the buffer fires once."""
    momentum: float = field(0.0, at_least=0.0, at_most=1.0)
    """Fraction of the buffer that stays when it fires."""
    forget_buffer: bool = field(True)
    """Whether that is a fraction of the buffer's value, or else of what was written, and the rest stays."""
    no_buffer: bool = field(False)
    """Whether reads are written at once; not modelled, it must be False (see TransferCompound)."""
    auto_scale: bool = field(False)
    """Whether the fast array's learning rate is fast_lr desired_bl granularity / (m_x m_d), m_x and m_d the
    running means of the largest |x| and |d|."""
    auto_momentum: float = field(0.99, at_least=0.0, at_most=1.0)
    """Fraction of those running means that stays in a mini-batch."""
    correct_gradient_magnitudes: bool = field(False)
    """Whether the buffer's scale takes account of the fast array's learning rate and of the granularities of
    both arrays."""

    def validate(self) -> None:
        TransferCompound.validate(self)
        name = type(self).__name__
        self.check_count(2, 2)
        for each, only in (
            ("n_reads_per_transfer", 1),
            ("with_reset_prob", 0.0),
            ("random_selection", False),
        ):
            if getattr(self, each) != only:
                raise ConfigError(
                    f"{name}.{each} = {getattr(self, each)} must be {only}: a chopped transfer reads one "
                    "line after the other and does not reset"
                )
        if self.no_buffer:
            raise ConfigError(f"{name}.no_buffer = True is not modelled; use TransferCompound")
        if self.auto_granularity > 0.0 and self.transfer_every == 0.0 and not self.transfer_every_vec:
            raise ConfigError(f"{name}.transfer_every = 0 must be above 0 with auto_granularity")

    def check_update(self, parameters: UpdateParameters) -> None:
        """Raise where the length of a train would depend on a rate that differs from tile to tile."""
        managed = parameters.update_management or parameters.update_bl_management
        if self.auto_scale and not (managed or parameters.fixed_bl):
            raise ConfigError(
                "UpdateParameters.fixed_bl = False without update management must not meet "
                f"{type(self).__name__}.auto_scale = True: set fixed_bl or update_management"
            )


@with_older_names
@config
class DynamicTransferCompound(ChoppedTransferCompound):
    """AGAD: as c-TTv2, with the fast array's offset estimated from the chopper's last period."""

    in_chop_random: bool = field(False)
    """Whether there are random flips, with probability ``in_chop_prob``, besides the regular ones."""
    experimental_correct_accumulation: bool = field(False)
    """Whether accumulation is corrected in an experimental way; not modelled, it must be False."""
    buffer_cap: float = field(0.0, at_least=0.0)
    """Limit of a buffer that is not forgotten, in units of the longest train; 0: none."""
    tail_weightening: float = field(5.0, at_least=0.0)
    """Rate of the running mean that estimates the offset, in units of 1 / (sweeps of a chopper's period); the
    larger, the more its end counts."""

    def validate(self) -> None:
        ChoppedTransferCompound.validate(self)
        name = type(self).__name__
        if self.in_chop_prob == 0.0:
            raise ConfigError(f"{name}.in_chop_prob = 0 must be above 0: it sets the chopper's period")
        if self.out_chop_prob > 0.0:
            raise ConfigError(
                f"{name}.out_chop_prob = {self.out_chop_prob:g} must be 0: only the lines that are "
                "read are chopped"
            )
        if self.experimental_correct_accumulation:
            raise ConfigError(
                f"{name}.experimental_correct_accumulation = True is not modelled; it must be False"
            )
