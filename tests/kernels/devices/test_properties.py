"""Properties that hold for any configuration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crossgrid.kernels import devices
from crossgrid.kernels.arrays.build import build_cell
from crossgrid.kernels.pulsed_update.parameters import PulseType, UpdateParameters
from crossgrid.kernels.rng import tile_key

NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # a failure prints its configuration anyway
KINDS = [
    devices.ConstantStepDevice, devices.LinearStepDevice, devices.SoftBoundsDevice,
    devices.SoftBoundsReferenceDevice, devices.ExpStepDevice, devices.PowStepDevice,
    devices.PowStepReferenceDevice, devices.PiecewiseStepDevice,
]  # fmt: skip
FIELDS = {
    "dw_min": st.floats(1e-4, 0.3),
    "dw_min_dtod": st.floats(0.0, 1.5),
    "dw_min_std": st.floats(0.0, 5.0),
    "w_max": st.floats(0.0, 2.0),
    "w_min": st.floats(-2.0, 0.0),
    "w_max_dtod": st.floats(0.0, 1.0),
    "up_down": st.floats(-1.0, 1.0),
    "up_down_dtod": st.floats(0.0, 0.5),
    "corrupt_devices_prob": st.floats(0.0, 1.0),
    "lifetime": st.sampled_from([0.0, 0.5, 30.0]),
    "diffusion": st.sampled_from([0.0, 0.1]),
    "enforce_consistency": st.booleans(),
}
PULSED = [kind for kind in PulseType if kind is not PulseType.NONE]
TRAINS = {
    "pulse_type": st.sampled_from(PULSED),
    "desired_bl": st.integers(1, 100),
    "update_bl_management": st.booleans(),
    "update_management": st.booleans(),
    "res": st.sampled_from([0.0, 0.1]),
    "sto_round": st.booleans(),
}


def _trained(device, parameters, data_seed):
    keys = np.stack([tile_key(data_seed, 0), tile_key(data_seed, 1)])
    cell = build_cell(device, parameters, keys, 5, 6)
    rng = np.random.default_rng(data_seed)
    index = np.arange(2)
    for number in range(3):
        x, d = rng.standard_normal((2, 3, 6)), rng.standard_normal((2, 3, 5))
        cell.update(x, index, d, index, float(rng.choice([0.01, 0.3])), 3 * number)
    return cell


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None, derandomize=True, phases=NO_SHRINKING)
@given(fields=st.fixed_dictionaries(FIELDS), trains=st.fixed_dictionaries(TRAINS), seed=st.integers(0, 99))
def test_weights_stay_within_bounds_and_the_same_seed_gives_the_same_bits(kind, fields, trains, seed):
    device, parameters = kind(**fields), UpdateParameters(**trains)
    cell = _trained(device, parameters, seed)
    kept, array = cell.state()["kept"], cell.array
    assert not np.isnan(kept).any()
    assert (kept >= array.min_bound).all()
    assert (kept <= array.max_bound).all()
    assert np.array_equal(kept, _trained(device, parameters, seed).state()["kept"])
