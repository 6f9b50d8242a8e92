"""Where fields of each configuration matter: what to set beside them, and a tile or layer that shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import torch
from torch import nn

import crossgrid as cg

#: from a configuration to numbers: outputs, gradients, weights, as bytes
Numbers = Callable[[Any], bytes]
#: fields that are set beside the one that is looked at
Beside = Mapping[str, Any]

X = torch.linspace(-0.7, 1.3, 24).reshape(6, 4).sin()
D = torch.linspace(1.1, -0.9, 18).reshape(6, 3).cos() - 0.6
W = torch.linspace(-0.5, 0.5, 12).reshape(3, 4)


def joined(values: Sequence[torch.Tensor]) -> bytes:
    return b"".join(value.detach().contiguous().numpy().tobytes() for value in values)


def of_tile(config: Any) -> bytes:
    """Reads both ways, updates, time that passes, a reset of a tile that learns by pulses."""
    tile = cg.AnalogTile(3, 4, config, seed=5)
    tile.set_weights(W)
    seen = [tile.get_weights(), tile.forward(X), tile.forward(40 * X), tile.backward(D)]
    for batch in range(5):
        tile.update(X, D * (1 + batch), 0.1)
        seen.append(tile.get_weights())
    if any(each.drift.active for each in devices_of(config.device)):
        tile.drift_weights(10.0)
        tile.drift_weights(100.0)
        seen.append(tile.get_weights())
    tile.reset()
    return joined([*seen, tile.get_weights(), tile.forward(X)])


def devices_of(device: Any) -> list[Any]:
    members = getattr(device, "unit_cell_devices", None)
    if members is None:
        members = [device.device] if hasattr(device, "device") else [device]
    return [member for member in members if hasattr(member, "drift")]


def of_cell_tile(config: Any) -> bytes:
    """Enough updates for a cell's transfers, choppers and refreshes, and a look at the weights in between."""
    tile = cg.AnalogTile(3, 4, config, seed=5)
    tile.set_weights(W)
    seen = [tile.get_weights(), tile.forward(X)]
    for batch in range(30):
        tile.update(X, D * (1 + batch % 3), 0.2)
        seen.append(tile.get_weights())
    return joined(seen)


def of_layer(config: Any) -> bytes:
    """Training with any optimizer, programming, drift, reads of a layer that is trained digitally."""
    layer = cg.AnalogLinear(4, 3, rpu_config=config, seed=5)
    layer.set_weights(W, torch.zeros(3))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    seen = []
    for batch in range(4):
        optimizer.zero_grad()
        x = (4 * X * (1 + batch)).requires_grad_()
        y = layer(x)
        (y * D).sum().backward()
        optimizer.step()
        seen += [y, x.grad, layer.get_weights()[0]]
    layer.eval()
    seen.append(layer(X))
    layer.program_analog_weights()
    seen.append(layer(X))
    for seconds in (25.0, 1e5):
        layer.drift_analog_weights(seconds)
        seen.append(layer(X))
    return joined(seen)


def of_convolution(config: Any) -> bytes:
    """A grouped layer and a wide one, and how many tiles they take."""
    seen = []
    torch.manual_seed(3)
    modules = (nn.Conv1d(4, 8, 2, groups=2), torch.ones(2, 4, 5)), (nn.Linear(9, 6), torch.ones(2, 9))
    for module, x in modules:
        layer = cg.convert_to_analog(module, config, seed=5)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            y = layer(x)
            y.square().sum().backward()
            optimizer.step()
            seen.append(y)
        seen.append(torch.tensor([float(len(layer.grid.spec.tiles))]))
    return joined(seen)


def single(**parts: Any) -> Numbers:
    return lambda config: of_tile(cg.SingleRPUConfig(**dict.fromkeys(parts, config)))


def inference(name: str) -> Numbers:
    return lambda config: of_layer(cg.InferenceRPUConfig(**{name: config}))


#: what is tried in the place of a value that is no number
OTHERS: dict[str, list[Any]] = {
    "gamma_vec": [[0.7, 0.2], [1.0, -0.5]],
    "transfer_every_vec": [[2.0, 0.0], [3.0, 1.0]],
    "transfer_lr_vec": [[0.3, 0.3]],
    "unit_cell_devices": [[cg.ConstantStepDevice(), cg.ConstantStepDevice()], [cg.ConstantStepDevice()]],
    "piecewise_up": [[1.0, 0.5], [1.0, 0.2, 1.0]], "piecewise_down": [[1.0, 0.5], [1.0, 0.2, 1.0]],
    "coeffs": [[0.2, 0.1, 0.05], [[0.1] * 8] * 8, [0.1, 0.2, 0.3, 0.4]],
    "prog_coeff": [[0.5, 0.3, 0.1], [0.5, 0.3, 0.1, 0.2]],
    "g_lst": [[0.0, 12.0], [[0.0, 0.0, 12.0], [25.0, 0.0, 0.0]]],
    "nu_mean_lst": [[0.3, 0.2]], "nu_std_lst": [[0.1, 0.2]],
    "f_lst": [[1.0, 2.0], [0.5]], "decay_std": [[0.2, 0.1]], "times": [[1.0, 40.0]],
    "drift": [cg.DriftParameter(nu=0.2)],
    "device": [cg.ConstantStepDevice(), cg.ReRamESPresetDevice()],
    "refresh_forward": [cg.IOParameters(is_perfect=True)],
    "transfer_forward": [cg.IOParameters(is_perfect=True), cg.IOParameters(out_noise=1.0)],
    "forward": [cg.IOParameters(is_perfect=True)],
    "backward": [cg.IOParameters(is_perfect=True), cg.IOParameters()],
    "refresh_update": [cg.UpdateParameters(desired_bl=3)],
    "transfer_update": [
        cg.UpdateParameters(desired_bl=3), cg.UpdateParameters(desired_bl=3, update_bl_management=False),
    ],
    "update": [cg.UpdateParameters(desired_bl=3)],
    "mapping": [cg.MappingParameter(weight_scaling_omega=0.9), cg.MappingParameter(max_input_size=2)],
    "g_converter": [
        cg.SinglePairConductanceConverter(g_min=1.0), cg.NPairConductanceConverter(f_lst=[1.0, 2.0]),
        cg.SingleDeviceConductanceConverter(g_max=40.0),
        cg.SinglePairConductanceConverter(g_max=8.0, g_min=1.0),
    ],
    "noise_model": [cg.ReRamCMONoiseModel()],
    "drift_compensation": [None, cg.PerColumnDriftCompensation()],
    "modifier": [cg.WeightModifierParameter(type="ADD_NORMAL", std_dev=0.1)],
    "clip": [cg.WeightClipParameter(type="LAYER_GAUSSIAN", sigma=0.5)],
    "remap": [cg.WeightRemapParameter(type="CHANNELWISE_SYMMETRIC")],
    "pre_post": [cg.PrePostProcessingParameter(input_range=cg.InputRangeParameter(enable=True))],
    "input_range": [cg.InputRangeParameter(enable=True)],
    "ir_drop": [1.0, "nodal"], "grouped": ["diagonal"],
}  # fmt: skip


def others(name: str, value: Any) -> list[Any]:
    """Values to set in the place of ``value``."""
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, Enum):
        return [member for member in type(value) if member is not value]
    if isinstance(value, int):
        return [number for number in (value + 1, value - 1, 2 * value, 2, 7, 1, 0) if number != value]
    numbers = [1.5 * (value or 0.0), 0.5 * (value or 0.0), 0.3, 0.02, -0.4, 3.0, 1.0, 0.9, 30.0, 1e-3]
    return [number for number in numbers if number != value]


def made(cls: Any, beside: Beside) -> Any:
    """A ``cls`` with what of ``beside`` it has."""
    known = {spec.name for spec in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in beside.items() if name in known})


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A configuration, what to set beside the field that is looked at, and where its numbers show."""

    cls: Any
    numbers: Numbers
    besides: tuple[Beside, ...] = ({},)


#: settings of the periphery that only a forward read has a use for
FORWARD_ONLY = ("bound_management", "bm_test_negative_bound", "max_bm_factor", "max_bm_res")

EVERYTHING = {
    "w_max_dtod": 3.0, "w_min_dtod": 3.0, "dw_min_dtod": 3.0, "drift": cg.DriftParameter(nu=0.1),
    "write_noise_std": 2.0, "reverse_up": True, "reverse_down": True, "subtract_symmetry_point": True,
    "reference_std": 0.1, "lifetime": 5.0, "diffusion": 0.01, "corrupt_devices_prob": 0.3,
}  # fmt: skip
NEUROSIM = {"drift": cg.DriftParameter(nu=0.1), "lifetime": 5.0, "diffusion": 0.01, "d2d_vari": 0.2}
DEVICES = [
    Case(cls, single(device=True), (EVERYTHING, {}, {"write_noise_std": 2.0}))
    for cls in (
        cg.IdealDevice, cg.FloatingPointDevice, cg.ConstantStepDevice, cg.LinearStepDevice,
        cg.SoftBoundsDevice, cg.SoftBoundsPmaxDevice, cg.SoftBoundsReferenceDevice, cg.ExpStepDevice,
        cg.PowStepDevice, cg.PowStepReferenceDevice, cg.PiecewiseStepDevice,
    )
] + [Case(cg.NeuroSimDevice, single(device=True), (NEUROSIM, {}))]  # fmt: skip
DRIFT = Case(
    cg.DriftParameter,
    lambda drift: of_tile(cg.SingleRPUConfig(device=cg.ConstantStepDevice(drift=drift))),
    ({"nu": 0.1, "nu_k": 0.05, "g_offset": 1.0, "w_noise_std": 0.01}, {"nu": 0.1}, {}),
)

FREE = {"update_bl_management": False, "update_management": False}
IMPLICIT = {"pulse_type": "DETERMINISTIC_IMPLICIT", "x_res_implicit": 0.1}
UPDATE = Case(
    cg.UpdateParameters, single(update=True),
    (
        {}, {"update_bl_management": False}, {**FREE, "desired_bl": 2}, {"res": 0.1}, IMPLICIT,
        {**FREE, "desired_bl": 99},  # a rate of 0.1 needs 100 steps of 0.001
    ),
)  # fmt: skip
READ = Case(
    cg.IOParameters, single(forward=True),
    (
        {}, {"out_bound": 0.02, "inp_res": 0.01}, {"out_bound": 0.02, "max_bm_factor": 4},
        {"noise_management": "NONE", "inp_bound": 0.5},
        {"w_noise": 0.1, "w_noise_type": "ADDITIVE_CONSTANT"}, {"ir_drop": 1.0},
        {"ir_drop": "nodal", "ir_drop_wire_ohm": 2e3},
        {"out_nonlinearity": 0.5, "out_bound": 2.0}, {"v_offset_std": 0.5}, {"out_noise_std": 0.5},
        {"mv_type": "POS_NEG_SEPARATE", "w_read_asymmetry_dtod": 0.1},
        {"out_noise": 0.0, "out_bound": 0.3, "noise_management": "NONE", "inp_bound": 2.0},
    ),
)  # fmt: skip


def converter(config: Any) -> bytes:
    model = cg.PCMLikeNoiseModel(g_converter=config, prog_coeff_g_max_reference=20.0)
    return of_layer(cg.InferenceRPUConfig(noise_model=model))


def input_range(config: Any) -> bytes:
    """Of a layer whose results clip, which nothing but the range manages."""
    bare = cg.IOParameters(noise_management="NONE", bound_management="NONE", out_bound=0.3)
    pre_post = cg.PrePostProcessingParameter(input_range=config)
    return of_layer(cg.InferenceRPUConfig(forward=bare, pre_post=pre_post))


def measured_days(config: Any) -> bytes:
    """Programmed and read at times that were measured."""
    layer = cg.AnalogLinear(4, 3, rpu_config=cg.InferenceRPUConfig(noise_model=config), seed=5).eval()
    layer.set_weights(W, torch.zeros(3))
    layer.program_analog_weights()
    seen = []
    for seconds in config.times[:2]:
        layer.drift_analog_weights(seconds)
        seen.append(layer(X))
    return joined(seen)


#: tables of two pairs that do not give back the weight, which a test refuses where it is not switched off
UNEVEN = [[0.0, 5.0, 25.0], [25.0, 0.0, 0.0], [0.0, 0.0, 20.0], [20.0, 0.0, 0.0]]
REFERENCE = {"prog_coeff_g_max_reference": 20.0}
INFERENCE = [
    *(Case(cls, inference("noise_model"), ({}, REFERENCE)) for cls in (
        cg.PCMLikeNoiseModel, cg.CustomDriftPCMLikeNoiseModel, cg.StateIndependentNoiseModel,
        cg.HermesNoiseModel, cg.ReRamCMONoiseModel,
    )),
    Case(cg.ReRamWan2022NoiseModel, measured_days),
    *(Case(cls, converter, ({}, {"g_min": 1.0})) for cls in (
        cg.SinglePairConductanceConverter, cg.NPairConductanceConverter, cg.SingleDeviceConductanceConverter,
    )),
    Case(cg.CustomPairConductanceConverter, converter, (
        {"f_lst": [1.0, 1.0], "g_lst": UNEVEN, "invertibility_test": False},
    )),
    *(Case(cls, inference("drift_compensation")) for cls in (
        cg.GlobalDriftCompensation, cg.GlobalDriftCompensationWithExactReference,
        cg.PerColumnDriftCompensation,
    )),
    Case(cg.WeightModifierParameter, inference("modifier"), (
        {}, *({"type": kind, "std_dev": 0.1, "res": 0.1, "enable_during_test": True, "pdrop": 0.2}
              for kind in cg.WeightModifierType),
        *({"type": kind, "std_dev": 0.1, "res": 0.1, "rel_to_actual_wmax": False}
          for kind in cg.WeightModifierType),
    )),
    Case(cg.WeightClipParameter, inference("clip"), tuple(
        {"type": kind, "sigma": 0.5, "fixed_value": 0.2} for kind in cg.WeightClipType
    )),
    Case(cg.WeightRemapParameter, inference("remap"), tuple(
        {"type": kind, "max_scale_range": scale} for kind in cg.WeightRemapType for scale in (0.0, 1.2)
    )),
    Case(cg.InputRangeParameter, input_range, (
        {"enable": True, "init_from_data": 2}, {"enable": True, "init_from_data": 0, "init_value": 0.5},
        {"enable": True, "init_from_data": 0, "init_value": 50.0, "decay": 0.1},
        {"enable": True, "init_from_data": 0, "init_value": 2.0, "input_min_percentage": 0.5, "decay": 0.1},
        {"enable": True, "init_from_data": 0, "init_value": 2.0, "manage_output_clipping": True},
        {},
    )),
]  # fmt: skip

SOFT = cg.SoftBoundsDevice(dw_min=0.01)
TWO, ONE = {"unit_cell_devices": [SOFT, SOFT]}, {"unit_cell_devices": [SOFT]}
OFTEN = {**TWO, "transfer_every": 1.0, "units_in_mbatch": False, "fast_lr": 0.5}


def of_cell(device: Any) -> bytes:
    return of_cell_tile(cg.UnitCellRPUConfig(device=device))


CELLS = [
    Case(cg.VectorUnitCell, of_cell, (
        TWO, {**TWO, "update_policy": "SINGLE_FIXED"}, {**TWO, "update_policy": "SINGLE_SEQUENTIAL"},
    )),
    Case(cg.ReferenceUnitCell, of_cell, (TWO,)),
    Case(cg.OneSidedUnitCell, of_cell, (
        {**ONE, "refresh_every": 2, "refresh_upper_thres": 0.1, "refresh_lower_thres": 0.01}, ONE,
    )),
    Case(cg.TransferCompound, of_cell, (
        {**TWO, "gamma": 0.3, "with_reset_prob": 0.3}, {**TWO, "n_reads_per_transfer": 2}, TWO,
    )),
    Case(cg.BufferedTransferCompound, of_cell, (
        {**TWO, "gamma": 0.3, "momentum": 0.5, "thres_scale": 0.05}, {**OFTEN, "thres_scale": 0.01}, TWO,
    )),
    Case(cg.ChoppedTransferCompound, of_cell, (
        {**OFTEN, "gamma": 0.3, "momentum": 0.5, "buffer_granularity": 0.05},
        {**OFTEN, "auto_scale": True, "auto_granularity": 10.0, "in_chop_random": False},
        {**OFTEN, "correct_gradient_magnitudes": True, "buffer_granularity": 0.01}, TWO,
    )),
    Case(cg.DynamicTransferCompound, of_cell, (
        {**OFTEN, "gamma": 0.3, "momentum": 0.5, "buffer_granularity": 0.05, "in_chop_prob": 0.5},
        {**OFTEN, "auto_scale": True, "auto_granularity": 10.0, "in_chop_prob": 0.5},
        {**OFTEN, "correct_gradient_magnitudes": True, "buffer_granularity": 0.01, "in_chop_prob": 0.5,
         "forget_buffer": False, "buffer_cap": 0.1}, TWO,
    )),
    Case(cg.MixedPrecisionCompound, of_cell, (
        {"device": SOFT, "n_rows_per_transfer": 1, "n_x_bins": 5, "n_d_bins": 5}, {"device": SOFT},
    )),
]  # fmt: skip


def of_tile_and_layer(config: Any) -> bytes:
    """A tile of its own, and how many tiles a layer takes."""
    layer = cg.AnalogLinear(4, 3, rpu_config=config, seed=5)
    return of_tile(config) + joined([torch.tensor([len(layer.grid.spec.tiles)])])


def mapping(config: Any) -> bytes:
    return of_convolution(cg.InferenceRPUConfig(mapping=config))


WHOLE = [
    Case(cg.MappingParameter, mapping, ({"weight_scaling_omega": 0.9, "learn_out_scaling": True}, {})),
    Case(cg.PrePostProcessingParameter, lambda c: of_layer(cg.InferenceRPUConfig(pre_post=c))),
    Case(cg.InferenceRPUConfig, of_layer),
    Case(cg.SingleRPUConfig, of_tile_and_layer),
    Case(cg.UnitCellRPUConfig, of_tile_and_layer, ({"device": cg.VectorUnitCell(**TWO)},)),
    Case(cg.FloatingPointRPUConfig, of_convolution),
]
CASES = [*DEVICES, DRIFT, UPDATE, READ, *INFERENCE, *CELLS, *WHOLE]
