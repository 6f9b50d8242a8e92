"""A device's fields from measured answers to pulses: least squares by SciPy."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize

from crossgrid.emulator.nn.analog_tile import AnalogTile
from crossgrid.kernels.devices import PulsedDevice

from ..exceptions import ArgumentError, ConfigError
from ..missing import absent
from ..simulator.configs.configs import SingleRPUConfig, core_config

Array = NDArray[np.float64]
#: methods by the names that aihwkit's users know -> SciPy's
METHODS = {
    "powell": "Powell", "nelder": "Nelder-Mead", "lbfgsb": "L-BFGS-B", "tnc": "TNC", "cobyla": "COBYLA",
    "slsqp": "SLSQP",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A field's value, which varies from ``min`` to ``max`` or stays."""

    value: float
    min: float = -np.inf
    max: float = np.inf
    vary: bool = False

    @classmethod
    def of(cls, name: str, given: Any) -> Parameter:
        """From a number that stays, or (start, min, max).

        Raises:
            ArgumentError: it is neither, or the start is not between.
        """
        if isinstance(given, Parameter):
            return given
        if not isinstance(given, tuple):
            return cls(given)
        if len(given) != 3 or not given[1] <= given[0] <= given[2] or not np.isfinite(given).all():
            raise ArgumentError(
                f"parameters['{name}'] = {given} must be (start, min, max), the start between"
            )
        start, low, high = map(float, given)
        return cls(start, low, high, True)


class Parameters(dict[str, Parameter]):
    """Fields of a device by name."""

    def valuesdict(self) -> dict[str, float]:
        """The values alone."""
        return {name: each.value for name, each in self.items()}

    def at(self, values: Mapping[str, float]) -> Parameters:
        """The same with other ``values`` of some."""
        new = {name: dataclasses.replace(self[name], value=value) for name, value in values.items()}
        return Parameters({**self, **new})


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a fit found."""

    params: Parameters
    residual: Array  # model minus data
    chisqr: float  # the sum of its squares
    nfev: int  # traces that were computed
    success: bool
    message: str


def fit_measurements(
    parameters: Mapping[str, Any],
    pulse_data: Any,
    response_data: Any,
    device_config: Any,
    suppress_device_noise: bool = True,
    max_pulses: int | None = 1,
    n_traces: int = 1,
    fit_weights: Any = None,
    method: str = "powell",
    verbose: bool = False,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
) -> tuple[FitResult, Any, Any]:
    """Fit fields of a device so that it answers pulses as one that was measured.

    The sum of squares of (model - data) is made smallest; the model starts at the first response, and each
    pulse is an update of its own.

    Args:
        parameters: fields of the device: a number is set, (start, min, max) varies.
        pulse_data: pulses, above 0 up and below 0 down: [pulses] or [pulses, devices], or a tuple of those.
        response_data: the weight before each of them, alike.
        device_config: a device, or a configuration with one; copied.
        suppress_device_noise: set all spreads of the device (``..._dtod``, ``..._std``) to 0.
        max_pulses: longest train of a pulse, where a device alone is given.
        n_traces: devices that are averaged.
        fit_weights: factors of the deviations of each measurement.
        method: one of ``METHODS``.
        verbose: print what was found.
        tol, options: as of ``scipy.optimize.minimize``.

    Returns:
        What was found; the device or the configuration with it; its response, of the form of the data.

    Raises:
        ArgumentError: arguments do not fit each other.
        ConfigError: the device has no field of a name.
    """
    if isinstance(pulse_data, tuple) != isinstance(response_data, tuple):
        raise ArgumentError("pulse_data and response_data must both be tuples of measurements, or none")
    if method not in METHODS:
        raise ArgumentError(f"method '{method}' is not known; known are: {', '.join(METHODS)}")
    rpu_config = _configuration(device_config, suppress_device_noise, max_pulses)
    params = Parameters({name: Parameter.of(name, given) for name, given in parameters.items()})
    data = (pulse_data, response_data, rpu_config, n_traces, fit_weights)
    result = _search(params, data, METHODS[method], tol, options)
    if verbose:
        print(result.message, result.params.valuesdict())
    fitted = copy.deepcopy(device_config)
    _apply(fitted if isinstance(fitted, PulsedDevice) else fitted.device, result.params)
    return result, fitted, model_response(result.params, *data, only_response=True)


def _search(
    params: Parameters, data: tuple[Any, ...], method: str, tol: float | None, options: dict[str, Any] | None
) -> FitResult:
    """The place within all bounds where the sum of squares is smallest; ``data`` is ``model_response``'s."""
    free = [name for name, each in params.items() if each.vary]
    low, high = (np.array([getattr(params[name], end) for name in free]) for end in ("min", "max"))

    def values(place: Array) -> dict[str, float]:
        return dict(zip(free, (low + np.clip(place, 0, 1) * (high - low)).tolist(), strict=True))

    def squares(place: Array) -> float:
        return float(np.square(model_response(params.at(values(place)), *data)).sum())

    width = np.where(high > low, high - low, 1.0)
    start = (np.array([params[name].value for name in free]) - low) / width
    found = optimize.minimize(
        squares, start, method=method, bounds=[(0.0, 1.0)] * len(free), tol=tol, options=options
    )
    best = params.at(values(np.atleast_1d(found.x)))
    residual = model_response(best, *data)
    return FitResult(
        best, residual, float(np.square(residual).sum()), int(found.nfev), bool(found.success),
        str(found.message),
    )  # fmt: skip


def model_response(
    params: Parameters,
    pulse_data: Any,
    response_data: Any,
    rpu_config: Any,
    n_traces: int = 1,
    fit_weights: Any = None,
    only_response: bool = False,
) -> Any:
    """Model minus data of all measurements, one after another; or the model's responses alone.

    Arguments are those of ``fit_measurements``; ``rpu_config`` takes over ``params``.
    """
    _apply(rpu_config.device, params)
    single = not isinstance(pulse_data, tuple)
    measured = [(pulse_data, response_data)] if single else zip(pulse_data, response_data, strict=True)
    weights = [fit_weights] if single else fit_weights
    responses, deviations = [], []
    for k, (pulses, response) in enumerate(measured):
        data = np.asarray(response, float).reshape(len(response), -1)
        trace = _trace(np.asarray(pulses, float).reshape(len(pulses), -1), data, rpu_config, n_traces)
        responses.append(trace)
        factor = 1.0 if fit_weights is None else np.asarray(weights[k], float)
        deviations.append(((trace - data) * factor).ravel())
    if only_response:
        return responses[0] if single else responses
    return np.concatenate(deviations)


def _trace(pulses: Array, data: Array, rpu_config: Any, n_traces: int) -> Array:
    """The mean weight [responses, devices] before each pulse, from the first response on."""
    if len(pulses) < len(data) or pulses.shape[1] != data.shape[1]:
        raise ArgumentError(
            f"pulses of shape {pulses.shape} and responses of shape {data.shape}: there must be a pulse for "
            "each response, and as many devices"
        )
    tile = AnalogTile(n_traces, data.shape[1], core_config(rpu_config))
    tile.set_weights(torch.from_numpy(data[:1]).float().repeat(n_traces, 1))
    down = -torch.ones(1, n_traces)
    trace = np.empty(data.shape)
    for n in range(len(data)):
        trace[n] = tile.get_weights().mean(0).numpy()
        if n + 1 < len(data):
            tile.update(torch.from_numpy(pulses[n : n + 1]).float(), down, 1.0)
    return trace


def _configuration(device_config: Any, quiet: bool, max_pulses: int | None) -> Any:
    """A configuration of its own to be varied."""
    rpu_config = copy.deepcopy(device_config)
    if isinstance(rpu_config, PulsedDevice):
        rpu_config = SingleRPUConfig(device=rpu_config)
        if max_pulses is not None:
            rpu_config.update.desired_bl = max_pulses
            rpu_config.update.update_bl_management = rpu_config.update.update_management = False
    if quiet:
        for spec in dataclasses.fields(rpu_config.device):
            if spec.name.endswith(("dtod", "std")):
                setattr(rpu_config.device, spec.name, 0.0)
    return rpu_config


def _apply(device: Any, params: Parameters) -> None:
    for name, value in params.valuesdict().items():
        if not hasattr(device, name):
            raise ConfigError(
                f"{type(device).__name__} has no field '{name}'; see its class for those it has"
            )
        setattr(device, name, value)


__getattr__ = absent(__name__)
