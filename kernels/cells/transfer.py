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

from ..analog_mvm.parameters import IOParameters
from ..config import Config, config, field
from ..devices.cell import Keys
from ..errors import ConfigError
from ..pulsed_update.parameters import UpdateParameters
from .unit_cell import UnitCell

if TYPE_CHECKING:
    from .transfer_cell import TransferCell

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

    gamma: float = field(0.0, at_least=0.0)  # array k of n weighs gamma^(n-1-k); 0: only the last is seen
    gamma_vec: list[float] = field(factory=list)  # these weights themselves
    transfer_every: float = field(1.0, at_least=0.0)  # 0: never
    no_self_transfer: bool = field(True)
    transfer_every_vec: list[float] = field(factory=list)
    units_in_mbatch: bool = field(True)  # whether transfer_every counts mini-batches or vectors
    n_reads_per_transfer: int = field(1, at_least=1)
    transfer_columns: bool = field(True)  # lines are columns (read forward) or rows (read backward)
    with_reset_prob: float = field(0.0, at_least=0.0, at_most=1.0)  # that a column is reset once read
    random_selection: bool = field(False)  # a transfer starts at a random line
    fast_lr: float = field(1.0)  # learning rate of the fast array; <= 0: that of the optimizer
    scale_fast_lr: bool = field(True)  # whether fast_lr is in units of the optimizer's rate
    transfer_lr: float = field(1.0, at_least=0.0)
    transfer_lr_vec: list[float] = field(factory=list)
    scale_transfer_lr: bool = field(True)  # whether transfer_lr is in units of the optimizer's rate
    transfer_forward: IOParameters = field(factory=IOParameters)  # its management is not used
    transfer_update: UpdateParameters = field(factory=UpdateParameters)

    def __setattr__(self, name: str, value: Any) -> None:
        Config.__setattr__(self, _OLDER_NAMES.get(name, name), value)

    @property
    def n_cols_per_transfer(self) -> int:
        """The older name of ``n_reads_per_transfer``."""
        return self.n_reads_per_transfer

    def validate(self) -> None:
        name = type(self).__name__
        self.check_count(2)
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

    def build(
        self, parameters: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int, executor: str
    ) -> TransferCell:
        """The cell of stacked tiles (see ``build_cell``)."""
        from .transfer_cell import TransferCell
        from .transfer_rules import Direct

        self.validate()
        return TransferCell(self, Direct, parameters, keys_T2, out_size, in_size, executor)


@with_older_names
@config
class BufferedTransferCompound(TransferCompound):
    """Tiki-Taka v2: what is read is summed up digitally, and whole steps of the sum are written."""

    transfer_update: UpdateParameters = field(factory=single_pulses)
    thres_scale: float = field(1.0, above=0.0)  # the buffer fires at this many steps of its target
    step: float = field(1.0, above=0.0)  # pulses written where it fires once
    momentum: float = field(0.1, at_least=0.0, at_most=1.0)  # what stays in the buffer
    forget_buffer: bool = field(True)  # of the buffer's value, or else of what was written

    def validate(self) -> None:
        TransferCompound.validate(self)
        if self.with_reset_prob > 0.0:
            raise ConfigError(
                f"{type(self).__name__}.with_reset_prob = {self.with_reset_prob:g} must be 0: a buffered "
                "transfer does not reset"
            )

    def build(
        self, parameters: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int, executor: str
    ) -> TransferCell:
        """The cell of stacked tiles (see ``build_cell``)."""
        from .transfer_cell import TransferCell
        from .transfer_rules import Buffered

        self.validate()
        return TransferCell(self, Buffered, parameters, keys_T2, out_size, in_size, executor)


@with_older_names
@config
class ChoppedTransferCompound(TransferCompound):
    """c-TTv2: as TTv2, with the sign of the fast array's lines chopped to cancel its offset."""

    scale_fast_lr: bool = field(False)
    units_in_mbatch: bool = field(False)
    transfer_update: UpdateParameters = field(factory=single_pulses)
    in_chop_prob: float = field(0.1, at_least=0.0, at_most=1.0)
    in_chop_random: bool = field(True)  # flips are random, or else every 1 / in_chop_prob sweeps
    out_chop_prob: float = field(0.0, at_least=0.0, at_most=1.0)
    buffer_granularity: float = field(1.0, above=0.0)
    auto_granularity: float = field(0.0, at_least=0.0)
    step: float = field(1.0, above=0.0)
    momentum: float = field(0.0, at_least=0.0, at_most=1.0)
    forget_buffer: bool = field(True)
    no_buffer: bool = field(False)
    auto_scale: bool = field(False)  # set the fast rate by the running size of x and d
    auto_momentum: float = field(0.99, at_least=0.0, at_most=1.0)
    correct_gradient_magnitudes: bool = field(False)

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

    def build(
        self, parameters: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int, executor: str
    ) -> TransferCell:
        """The cell of stacked tiles (see ``build_cell``)."""
        from .choppers import Chopped
        from .transfer_cell import TransferCell

        self.validate()
        self.check_update(parameters)
        return TransferCell(self, Chopped, parameters, keys_T2, out_size, in_size, executor)

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

    in_chop_random: bool = field(False)  # random flips besides the regular ones
    experimental_correct_accumulation: bool = field(False)
    buffer_cap: float = field(0.0, at_least=0.0)  # limit of the buffer in longest trains; 0: none
    tail_weightening: float = field(5.0, at_least=0.0)  # how much more the end of a period counts

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

    def build(
        self, parameters: UpdateParameters, keys_T2: Keys, out_size: int, in_size: int, executor: str
    ) -> TransferCell:
        """The cell of stacked tiles (see ``build_cell``)."""
        from .choppers import Dynamic
        from .transfer_cell import TransferCell

        self.validate()
        self.check_update(parameters)
        return TransferCell(self, Dynamic, parameters, keys_T2, out_size, in_size, executor)
