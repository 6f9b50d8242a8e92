"""Devices fitted to measured pulses: data of a formula give back what it was made with."""

from __future__ import annotations

import numpy as np
import pytest

from crossgrid.aihwkit.exceptions import ArgumentError, ConfigError
from crossgrid.aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig, SoftBoundsDevice
from crossgrid.aihwkit.utils.fitting import fit_measurements

UP_AND_DOWN = np.repeat([1.0, -1.0], 40)
TRUE = {"dw_min": 0.05, "up_down": 0.2, "w_max": 0.7}
SEARCHED = {"dw_min": (0.1, 0.001, 0.5), "up_down": (0.0, -0.9, 0.9), "w_max": (1.0, 0.1, 2.0)}


def soft_bounds(pulses: np.ndarray, start: float, dw_min: float, up_down: float, w_max: float) -> np.ndarray:
    """The weight before each pulse: w + dw_min (1 - w / w_max) up, w - dw_min (1 - u)(1 + w) down, u > 0."""
    w, trace = start, []
    for pulse in pulses:
        trace.append(w)
        w += dw_min * (1 - w / w_max) if pulse > 0 else -dw_min * (1 - up_down) * (1 + w)
    return np.array(trace)


def test_a_fit_finds_the_fields_that_the_data_were_made_with() -> None:
    response = soft_bounds(UP_AND_DOWN, -0.5, **TRUE)
    device = SoftBoundsDevice(w_min=-1.0)
    found, fitted, model = fit_measurements(SEARCHED, UP_AND_DOWN, response, device)
    assert found.success
    assert found.params.valuesdict() == pytest.approx(TRUE, rel=0.01)
    assert fitted.dw_min == found.params["dw_min"].value
    assert device.dw_min == SoftBoundsDevice().dw_min
    np.testing.assert_allclose(model[:, 0], response, atol=1e-3)
    assert found.chisqr == pytest.approx(np.square(found.residual).sum())


def test_several_measurements_are_fitted_at_once_by_their_weights() -> None:
    """One step fits two slopes best at their mean, weighted by the squares of their factors."""
    pulses = np.ones(11)
    slopes, factors = (0.02, 0.05), (1.0, 2.0)
    responses = tuple(slope * np.arange(11) for slope in slopes)
    config = SingleRPUConfig(device=ConstantStepDevice(w_max=2.0))
    config.update.desired_bl, config.update.update_management = 1, False
    config.update.update_bl_management = False
    found, fitted, model = fit_measurements(
        {"dw_min": (0.03, 0.01, 0.1)}, (pulses, pulses), responses, config, fit_weights=factors, tol=1e-8
    )  # fmt: skip
    expected = (1 * 0.02 + 4 * 0.05) / 5
    assert found.params["dw_min"].value == pytest.approx(expected, rel=1e-3)
    assert fitted.device.dw_min == found.params["dw_min"].value
    assert len(model) == 2


@pytest.mark.parametrize(
    ("parameters", "method", "error", "words"),
    [
        (
            {"dw_maximum": (0.1, 0.0, 1.0)},
            "powell",
            ConfigError,
            "SoftBoundsDevice has no field 'dw_maximum'",
        ),
        ({"dw_min": (2.0, 0.0, 1.0)}, "powell", ArgumentError, "must be .start, min, max."),
        ({"dw_min": (0.1, 0.0, 1.0)}, "bisection", ArgumentError, "known are: powell"),
    ],
)
def test_impossible_fits_are_refused(parameters: dict, method: str, error: type, words: str) -> None:
    response = soft_bounds(UP_AND_DOWN, -0.5, **TRUE)
    with pytest.raises(error, match=words):
        fit_measurements(parameters, UP_AND_DOWN, response, SoftBoundsDevice(), method=method)


def test_measurements_must_fit_their_pulses() -> None:
    with pytest.raises(ArgumentError, match="both be tuples"):
        fit_measurements(SEARCHED, (UP_AND_DOWN,), UP_AND_DOWN, SoftBoundsDevice())
    with pytest.raises(ArgumentError, match="a pulse for each response"):
        fit_measurements(SEARCHED, UP_AND_DOWN[:10], UP_AND_DOWN, SoftBoundsDevice())
