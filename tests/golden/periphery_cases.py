"""Reads that this project and aihwkit both make, to compare how outputs are distributed.

A case gives fields of IOParameters, which have the same names in both; enumerations are given by member.
Forward tiles hold LINES below each other, as often as the sampling says; backward tiles hold their transpose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DIRECTIONS = ("forward", "backward")
LEVELS = (np.arange(64) + 0.5) / 64  # of the stored quantiles
ENUMS = {
    "mv_type": "AnalogMVType",
    "bound_management": "BoundManagementType",
    "noise_management": "NoiseManagementType",
    "w_noise_type": "WeightNoiseType",
}

_I, _J = np.arange(3)[:, None], np.arange(8)[None]
SIGN_J = np.where(_J % 3 == 2, -1.0, 1.0)  # of the inputs
# A line of negative outputs, a mixed and a positive one, in this order: with bm_test_negative_bound off,
# aihwkit takes a negative clip for a pass even after a positive one, so no positive line may come first.
LINES = np.float32([[-0.6], [0.06], [0.54]] * SIGN_J + 0.4 * np.sin(5.0 * _I + 2.0 * _J))
# The second vector is beyond the DAC's range unless noise management scales it.
VECTORS = np.float32([[0.8], [1.9]] * SIGN_J * np.abs(np.sin(1.3 * _I[:2] + 0.7 * _J + 0.4)))


class Sampling(NamedTuple):
    """How independent samples of each line's output are had."""

    tiles: int
    copies: int  # of each line in a tile
    reads: int  # of each vector by a tile
    of_lines: bool = False  # whether a sample is a line's standard deviation over its reads, not an output

    def weights(self, direction: str) -> Array:
        w_LJ = np.tile(LINES, (self.copies, 1))
        return np.ascontiguousarray(w_LJ if direction == "forward" else w_LJ.T)

    def groups(self, y_TBL: Array, offset_TL: Array) -> list[Array]:
        """Samples of one distribution each; if lines have offsets, of those with a positive one only."""
        if offset_TL.any():
            y_TBL = np.where(offset_TL[:, None] > 0, y_TBL, np.nan)
        y = y_TBL.reshape(self.tiles, self.reads, len(VECTORS), self.copies, len(LINES))
        if self.of_lines:
            return [y[:, :, 0].std(axis=1, dtype=np.float64).ravel()]
        rows = y.transpose(2, 4, 0, 1, 3).reshape(len(VECTORS) * len(LINES), -1)
        return [row[~np.isnan(row)] for row in rows]


READS = Sampling(tiles=16, copies=1, reads=2048)  # what all lines of a read share
DRAWN = Sampling(tiles=64, copies=512, reads=1)  # what is drawn once for a line
TILES = Sampling(tiles=2048, copies=1, reads=1)  # ... where the lines of a tile share its mean
LINE_STDS = Sampling(tiles=32, copies=320, reads=64, of_lines=True)


class Case(NamedTuple):
    fields: dict[str, Any]
    sampling: Sampling = READS
    kind: str = "IOParameters"
    gain: float = 1.0  # of the vectors

    def inputs(self) -> Array:
        """The vectors in turn."""
        return np.tile(np.float32(self.gain) * VECTORS, (self.sampling.reads, 1))

    def io(self, names: Any) -> Any:
        """The parameters, of the package whose classes are in the namespace ``names``."""
        return built(self.fields, names, self.kind)


def built(fields: dict[str, Any], names: Any, kind: str = "IOParameters") -> Any:
    found = {
        name: getattr(getattr(names, ENUMS[name]), value) if name in ENUMS else value
        for name, value in fields.items()
    }
    return getattr(names, kind)(**found)


def quiet(**fields: Any) -> dict[str, Any]:
    """A periphery with nothing but ``fields``, and the bounds of its converters."""
    nothing = {
        "inp_res": 0.0, "out_res": 0.0, "out_noise": 0.0,
        "noise_management": "NONE", "bound_management": "NONE",
    }  # fmt: skip
    return {**nothing, **fields}


def case(sampling: Sampling = READS, **fields: Any) -> Case:
    return Case(quiet(**fields), sampling)


ADDITIVE = {"w_noise": 0.1, "w_noise_type": "ADDITIVE_CONSTANT"}
PCM_READ = {"w_noise": 0.1, "w_noise_type": "PCM_READ"}
WIRES = {"ir_drop": 1.0, "ir_drop_g_ratio": 60.0}
RANDOM_CONVERTERS = {"inp_sto_round": True, "inp_res": 1 / 16, "out_sto_round": True, "out_res": 1 / 128}
# Steps that bounds and halved inputs are even multiples of: elsewhere the last bit of a float32 decides
# whether the largest input rounds up and whether the ADC's last level is above its bound.
COARSE = {"inp_res": 1 / 32, "out_res": 1 / 128}
CURVED = {"out_nonlinearity": 0.8, "out_nonlinearity_std": 0.3, "out_bound": 4.0}
HITTING = {"out_noise": 0.1, "out_bound": 2.2, **COARSE}  # some reads hit the bound, some do not

NOISY: dict[str, Case] = {
    "default": Case({}),
    "preset": Case({}, kind="PresetIOParameters"),
    "standard": Case({}, kind="StandardIOParameters"),
    "input_noise": case(inp_noise=0.1),
    "input_noise_then_asymmetry": case(inp_noise=0.4, inp_asymmetry=0.4),
    "input_noise_of_zeros": Case(quiet(noise_management="ABS_MAX", inp_noise=0.1), gain=0.0),
    "input_rounding": case(inp_sto_round=True, inp_res=1 / 14),
    "output_noise": case(out_noise=0.1),
    "output_noise_after_asymmetry": case(out_noise=0.1, out_asymmetry=0.3),
    "output_noise_spread": case(LINE_STDS, out_noise=0.1, out_noise_std=0.3),
    "output_rounding": case(out_sto_round=True, out_res=1 / 14, out_bound=4.0),
    "both_roundings": case(out_bound=4.0, inp_noise=0.1, out_noise=0.1, **RANDOM_CONVERTERS),
    "weight_noise_constant": case(**ADDITIVE),
    "weight_noise_pcm": case(**PCM_READ),
    "weight_noise_two_passes": case(mv_type="POS_NEG_SEPARATE", **PCM_READ),
    "weight_noise_before_curve": case(out_nonlinearity=2.0, out_bound=4.0, **ADDITIVE),
    "wires_after_input_noise": case(inp_noise=0.2, **WIRES),
    "weight_noise_after_wires": case(**WIRES, **PCM_READ),
    "offset": case(DRAWN, v_offset_std=0.1),
    "offset_half_reference": case(DRAWN, v_offset_std=0.1, v_offset_w_min=-0.5),
    "offset_no_reference": case(DRAWN, v_offset_std=0.1, v_offset_w_min=0.0),
    "offset_and_series": case(DRAWN, v_offset_std=0.1, r_series=0.1),
    "curve_spread": case(DRAWN, **CURVED),
    "curve_spread_calibrated": case(TILES, slope_calibration=0.5, r_series=0.05, **CURVED),
    "read_asymmetry": case(DRAWN, mv_type="POS_NEG_SEPARATE", w_read_asymmetry_dtod=0.2),
    "read_asymmetry_digital": case(
        DRAWN, mv_type="POS_NEG_SEPARATE_DIGITAL_SUM", w_read_asymmetry_dtod=0.2, out_noise=0.05
    ),
    "digital_sum": case(mv_type="POS_NEG_SEPARATE_DIGITAL_SUM", inp_noise=0.1, out_noise=0.1, out_bound=1.6),
    "scaled_abs_max": case(noise_management="ABS_MAX", out_noise=0.1, inp_noise=0.05),
    "scaled_abs_max_limited": case(noise_management="ABS_MAX", nm_thres=1.2, out_noise=0.1, inp_noise=0.05),
    "scaled_max": case(noise_management="MAX", out_noise=0.1, out_bound=4.0, **COARSE),
    "scaled_constant": case(
        noise_management="CONSTANT", nm_thres=1.5, out_noise=0.1, out_bound=4.0, **COARSE
    ),
    "scaled_average": case(noise_management="AVERAGE_ABS_MAX", out_noise=0.1),
    "scaled_number_sum": case(noise_management="ABS_MAX_NP_SUM", out_noise=0.1, out_bound=1.2),
    "bound_iterative": case(bound_management="ITERATIVE", noise_management="ABS_MAX", **HITTING),
    "bound_iterative_unscaled": case(bound_management="ITERATIVE", **{**HITTING, "out_bound": 2.0}),
    "bound_worst_case": case(bound_management="ITERATIVE_WORST_CASE", noise_management="ABS_MAX", **HITTING),
    "bound_positive": case(
        bound_management="ITERATIVE", noise_management="ABS_MAX", bm_test_negative_bound=False,
        **{**HITTING, "out_bound": 1.6},
    ),
    "all": case(
        noise_management="ABS_MAX", bound_management="ITERATIVE", out_noise=0.08, inp_noise=0.05,
        inp_asymmetry=0.1, out_asymmetry=0.1, r_series=0.02, out_nonlinearity=0.4, slope_calibration=0.5,
        out_bound=3.0, **RANDOM_CONVERTERS, **WIRES, **PCM_READ,
    ),
}  # fmt: skip

EXACT: dict[str, dict[str, Any]] = {
    "bounds": quiet(out_bound=1.0),
    "no_bounds": quiet(inp_bound=0.0, out_bound=0.0),
    "wide_input": quiet(inp_bound=1.5, inp_res=1 / 14),
    "converters": quiet(**COARSE, out_bound=3.0),
    "resolutions_in_steps": quiet(inp_res=14, out_res=30, out_bound=3.0),
    "asymmetries": quiet(inp_asymmetry=0.2, out_asymmetry=0.3),
    "scale": quiet(out_scale=0.7),
    "perfect": {"is_perfect": True, "out_scale": 0.7},
    "ideal": {"mv_type": "IDEAL"},
    "wires": quiet(ir_drop=1.0, ir_drop_g_ratio=60.0),
    "wires_weak": quiet(ir_drop=0.5, ir_drop_g_ratio=20.0),
    "series": quiet(r_series=0.1),
    "series_half_reference": quiet(r_series=0.1, v_offset_w_min=-0.5),
    "series_no_reference": quiet(r_series=0.1, v_offset_w_min=0.0),
    "curve": quiet(out_nonlinearity=0.8, out_bound=3.0),
    "curve_calibrated": quiet(out_nonlinearity=0.8, slope_calibration=0.5, out_bound=3.0),
    "series_calibrated": quiet(r_series=0.1, slope_calibration=0.5, out_bound=3.0),
    "two_passes": quiet(mv_type="POS_NEG_SEPARATE", r_series=0.1, **WIRES, **COARSE),
    "digital_sum": quiet(
        mv_type="POS_NEG_SEPARATE_DIGITAL_SUM", out_nonlinearity=0.8, out_bound=1.5, **COARSE
    ),
    "abs_max": quiet(noise_management="ABS_MAX", **COARSE),
    "abs_max_limited": quiet(noise_management="ABS_MAX", nm_thres=1.2, **COARSE),
    "max": quiet(noise_management="MAX", **COARSE),
    "max_limited": quiet(noise_management="MAX", nm_thres=0.9, **COARSE),
    "constant": quiet(noise_management="CONSTANT", **COARSE),
    "constant_limit": quiet(noise_management="CONSTANT", nm_thres=1.7, **COARSE),
    "average": quiet(noise_management="AVERAGE_ABS_MAX", **COARSE),
    "number_sum": quiet(noise_management="ABS_MAX_NP_SUM", out_bound=1.2, inp_res=1 / 32),
    "number_sum_finest": quiet(noise_management="ABS_MAX_NP_SUM", out_bound=0.2, inp_res=1 / 32),
    "number_sum_no_bound": quiet(noise_management="ABS_MAX_NP_SUM", out_bound=0.0, inp_res=1 / 32),
    "iterative": quiet(bound_management="ITERATIVE", noise_management="ABS_MAX", out_bound=0.8, **COARSE),
    "iterative_few": quiet(bound_management="ITERATIVE", max_bm_factor=1, out_bound=0.3, **COARSE),
    "iterative_finest": quiet(bound_management="ITERATIVE", max_bm_res=0.2, out_bound=0.1, **COARSE),
    "worst_case": quiet(
        bound_management="ITERATIVE_WORST_CASE", noise_management="ABS_MAX", out_bound=0.8, **COARSE
    ),
}  # fmt: skip
EXACT_VECTORS = np.float32(1.9 * np.sin(2.0 + 1.1 * np.arange(16)[:, None] + 1.7 * _J))
