"""Devices with the parameters of measured arrays, under aihwkit's names.

Sources: ReRamES, ReRamSB: Gong et al., IEDM 2018 (optimised ReRAM); ReRamArray*: Gong et al., IEDM 2022;
Capacitor: Li et al., VLSI 2018; EcRam*: Tang et al., IEDM 2018, and Onen et al., Science 2022;
Idealized, GokmenVlasov: Gokmen and Vlasov, 2016; PCM: Nandakumar et al., 2018 (one side of a pair).
"""

from __future__ import annotations

from ..config import config, field
from .constant_step import ConstantStepDevice
from .exp_step import ExpStepDevice
from .linear_step import LinearStepDevice
from .soft_bounds_reference import SoftBoundsReferenceDevice


@config
class ReRamESPresetDevice(ExpStepDevice):
    """ReRAM, exponential step."""

    dw_min: float = field(0.00135, above=0.0)
    dw_min_dtod: float = field(0.2, at_least=0.0)
    dw_min_std: float = field(5.0, at_least=0.0)
    up_down: float = field(0.259359)
    up_down_dtod: float = field(0.05, at_least=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)
    a: float = field(-0.5)
    b: float = field(-0.5)
    gamma_up: float = field(5.0)
    gamma_down: float = field(5.0)
    A_up: float = field(-1.18445)
    A_down: float = field(-0.081404)
    write_noise_std: float = field(75.0, at_least=0.0)


@config
class ReRamSBPresetDevice(SoftBoundsReferenceDevice):
    """ReRAM, soft bounds with additive noise."""

    dw_min: float = field(0.002, above=0.0)
    dw_min_std: float = field(3.75, at_least=0.0)
    w_max: float = field(1.25)
    w_min: float = field(-0.75)
    w_max_dtod: float = field(0.24, at_least=0.0)
    w_min_dtod: float = field(0.4, at_least=0.0)
    write_noise_std: float = field(56.0, at_least=0.0)


@config
class ReRamArrayOMPresetDevice(SoftBoundsReferenceDevice):
    """ReRAM array, optimised material; its yield loss, corrupt_devices_prob = 0.1348, is off."""

    dw_min: float = field(0.0949, above=0.0)
    dw_min_dtod: float = field(0.7829, at_least=0.0)
    dw_min_dtod_log_normal: bool = field(True)
    dw_min_std: float = field(0.4158, at_least=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)
    w_max_dtod: float = field(0.3499, at_least=0.0)
    w_min_dtod: float = field(0.5695, at_least=0.0)
    write_noise_std: float = field(1.4113, at_least=0.0)
    reference_std: float = field(0.05, at_least=0.0)
    subtract_symmetry_point: bool = field(True)
    corrupt_devices_range: float = field(0.01, at_least=0.0)


@config
class ReRamArrayHfO2PresetDevice(SoftBoundsReferenceDevice):
    """ReRAM array, HfO2; its yield loss, corrupt_devices_prob = 0.0977, is off."""

    dw_min: float = field(0.4622, above=0.0)
    dw_min_dtod: float = field(0.7125, at_least=0.0)
    dw_min_dtod_log_normal: bool = field(True)
    dw_min_std: float = field(0.2174, at_least=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)
    w_max_dtod: float = field(0.4295, at_least=0.0)
    w_min_dtod: float = field(0.5990, at_least=0.0)
    write_noise_std: float = field(0.5841, at_least=0.0)
    reference_std: float = field(0.05, at_least=0.0)
    subtract_symmetry_point: bool = field(True)
    corrupt_devices_range: float = field(0.01, at_least=0.0)


@config
class CapacitorPresetDevice(LinearStepDevice):
    """Capacitor cell with leakage."""

    dw_min: float = field(0.005, above=0.0)
    dw_min_dtod: float = field(0.1, at_least=0.0)
    up_down_dtod: float = field(0.06, at_least=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)
    w_max_dtod: float = field(0.07, at_least=0.0)
    w_min_dtod: float = field(0.07, at_least=0.0)
    gamma_up: float = field(0.05)
    gamma_down: float = field(0.05)
    gamma_up_dtod: float = field(0.01, at_least=0.0)
    gamma_down_dtod: float = field(0.01, at_least=0.0)
    mult_noise: bool = field(False)
    lifetime: float = field(1e6, at_least=0.0)
    lifetime_dtod: float = field(0.3, at_least=0.0)


@config
class EcRamPresetDevice(LinearStepDevice):
    """Electrochemical RAM with lithium."""

    dw_min: float = field(0.002, above=0.0)
    dw_min_dtod: float = field(0.1, at_least=0.0)
    w_max: float = field(1.1724)
    w_min: float = field(-0.8276)
    w_max_dtod: float = field(0.05, at_least=0.0)
    w_min_dtod: float = field(0.05, at_least=0.0)
    gamma_up: float = field(0.1153)
    gamma_down: float = field(0.5085)


@config
class EcRamMOPresetDevice(LinearStepDevice):
    """Electrochemical RAM, metal oxide."""

    dw_min: float = field(2.8214e-4, above=0.0)
    dw_min_dtod: float = field(0.1, at_least=0.0)
    dw_min_std: float = field(2.0, at_least=0.0)
    w_max: float = field(1.1714)
    w_min: float = field(-0.8286)
    w_max_dtod: float = field(0.05, at_least=0.0)
    w_min_dtod: float = field(0.05, at_least=0.0)
    gamma_up: float = field(0.4152)
    gamma_down: float = field(0.7342)


@config
class IdealizedPresetDevice(ConstantStepDevice):
    """Ten times as many states as the GokmenVlasov device."""

    dw_min: float = field(2e-4, above=0.0)
    up_down_dtod: float = field(0.0, at_least=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)


@config
class GokmenVlasovPresetDevice(ConstantStepDevice):
    """The device that a resistive processing unit needs: about 1200 states."""

    dw_min: float = field(0.0016, above=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)


@config
class PCMPresetDevice(ExpStepDevice):
    """Phase-change memory, one side: it only steps up, for the two sides of a OneSidedUnitCell."""

    dw_min: float = field(0.01, above=0.0)
    dw_min_dtod: float = field(0.2, at_least=0.0)
    dw_min_std: float = field(0.6, at_least=0.0)
    up_down_dtod: float = field(0.05, at_least=0.0)
    w_max: float = field(2.0)
    w_min: float = field(0.0)
    w_max_dtod: float = field(0.1, at_least=0.0)
    w_min_dtod: float = field(0.0, at_least=0.0)
    a: float = field(-1.0)
    b: float = field(0.0)
    gamma_up: float = field(2.5)
    gamma_down: float = field(2.5)
    A_up: float = field(-27.235)
    A_down: float = field(-2.235)
    dw_min_std_add: float = field(0.042, at_least=0.0)
    dw_min_std_slope: float = field(0.108, at_least=0.0)
    reset: float = field(0.01)
    reset_dtod: float = field(0.02, at_least=0.0)
