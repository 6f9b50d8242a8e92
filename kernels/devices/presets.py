"""Devices with the parameters of measured arrays; each names the publication that it was fitted to.

A preset is a device with other defaults: any field may be given, ``ReRamESPresetDevice(dw_min=0.001)``.
"""

from __future__ import annotations

from ..config import config, field
from .constant_step import ConstantStepDevice
from .exp_step import ExpStepDevice
from .linear_step import LinearStepDevice
from .soft_bounds_reference import SoftBoundsReferenceDevice


@config
class ReRamESPresetDevice(ExpStepDevice):
    """ReRAM whose step falls off exponentially with the weight, with strong noise of steps and writes.

    Source: Gong et al., "Signal and noise extraction from analog memory elements for neuromorphic computing",
    Nature Communications 9, 2102 (2018).
    """

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
    """ReRAM with soft bounds and additive noise, read against a reference at its symmetry point.

    A looser fit than ``ReRamESPresetDevice`` to the same data. Source: Gong et al., "Signal and noise
    extraction from analog memory elements for neuromorphic computing", Nature Communications 9, 2102 (2018).
    """

    dw_min: float = field(0.002, above=0.0)
    dw_min_std: float = field(3.75, at_least=0.0)
    w_max: float = field(1.25)
    w_min: float = field(-0.75)
    w_max_dtod: float = field(0.24, at_least=0.0)
    w_min_dtod: float = field(0.4, at_least=0.0)
    write_noise_std: float = field(56.0, at_least=0.0)


@config
class ReRamArrayOMPresetDevice(SoftBoundsReferenceDevice):
    """ReRAM array of an optimised material: soft bounds, symmetry points subtracted up to 5 % of the range.

    Its yield loss, corrupt_devices_prob = 0.1348, is off. Source: Gong et al., "Deep learning acceleration in
    14nm CMOS compatible ReRAM array: device, material and algorithm co-optimization", IEDM 2022.
    """

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
    """ReRAM array of HfO2: soft bounds, symmetry points subtracted up to 5 % of the range.

    Its yield loss, corrupt_devices_prob = 0.0977, is off. Source: Gong et al., "Deep learning acceleration in
    14nm CMOS compatible ReRAM array: device, material and algorithm co-optimization", IEDM 2022.
    """

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
    """Capacitor cell: nearly constant steps, and a leakage that ``lifetime`` must be adapted to.

    Source: Li et al., "Capacitor-based cross-point array for analog neural network with record symmetry and
    linearity", VLSI Technology 2018; the leakage is assumed.
    """

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
    """Electrochemical RAM with lithium: a linear step, its range shifted so that it is symmetric at 0.

    Source: Tang et al., "ECRAM as scalable synaptic cell for high-speed, low-power neuromorphic computing",
    IEDM 2018.
    """

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
    """Electrochemical RAM of a metal oxide: a small linear step, its range shifted as with lithium.

    Source: Kim et al., "Metal-oxide based, CMOS-compatible ECRAM for deep learning accelerator", IEDM 2019.
    """

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
    """Constant symmetric steps, 10 000 states: eight times as many as the GokmenVlasov device has.

    Source: Rasch, Gokmen, Haensch, "Training large-scale ANNs on simulated resistive crossbar arrays",
    arXiv 1906.02698 (2019).
    """

    dw_min: float = field(2e-4, above=0.0)
    up_down_dtod: float = field(0.0, at_least=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)


@config
class GokmenVlasovPresetDevice(ConstantStepDevice):
    """Constant steps, about 1200 states: what a resistive processing unit needs.

    Source: Gokmen and Vlasov, "Acceleration of deep neural network training with resistive cross-point
    devices: design considerations", Frontiers in Neuroscience 10, 333 (2016); scaled to weights of -1 to 1.
    """

    dw_min: float = field(0.0016, above=0.0)
    w_max: float = field(1.0)
    w_min: float = field(-1.0)


@config
class PCMPresetDevice(ExpStepDevice):
    """Phase-change memory (Ge2Sb2Te5), one side: it only steps up, for the two sides of a OneSidedUnitCell.

    Source: Nandakumar et al., "Mixed-precision deep learning based on computational memory", Frontiers in
    Neuroscience 14, 406 (2020).
    """

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
