"""``TorchInferenceRPUConfigIRDropT``: layers beside aihwkit's stored reads, and what is said of fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossgrid.aihwkit.inference import PCMLikeNoiseModel, SinglePairConductanceConverter
from crossgrid.aihwkit.nn import AnalogLinear
from crossgrid.aihwkit.simulator.configs import (
    InferenceRPUConfig,
    IOParametersIRDropT,
    TorchInferenceRPUConfigIRDropT,
)
from crossgrid.kernels.errors import ConfigError

FILE = Path(__file__).parents[1] / "golden" / "timed_ir_drop.json"
TABLE: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


def configuration(case: dict[str, Any]) -> TorchInferenceRPUConfigIRDropT:
    config = TorchInferenceRPUConfigIRDropT()
    config.mapping.max_input_size = case["rows"]
    config.noise_model = PCMLikeNoiseModel(g_converter=SinglePairConductanceConverter(**case["pair"]))
    forward = config.forward
    forward.bound_management = forward.noise_management = None
    forward.out_noise, forward.out_bound, forward.out_res = 0.0, -1.0, -1.0
    forward.inp_res, forward.ir_drop_segments = 254.0, 4
    for name, value in case["given"].items():
        setattr(forward, name, value)
    return config


@pytest.mark.parametrize("name", ["no ticks", "sum", "split at 5", "bit by bit, no ticks"])
def test_a_layer_reads_as_aihwkit(name: str) -> None:
    case = TABLE[name]
    config = configuration({**case, "given": {**case["given"], "adc_quantization": False}})
    w, x = np.array(case["weights"], np.float32), np.array(case["code"], np.float32) / 127
    layer = AnalogLinear(w.shape[1], w.shape[0], bias=False, rpu_config=config).eval()
    layer.set_weights(torch.from_numpy(w))
    y = layer(torch.from_numpy(x)).detach().numpy()
    wanted = np.array(case["y"])
    tick = 100.0 / 6.24 / (0.2 * 14.5 / np.abs(w).max() * 127)  # "sum" was stored in ticks
    assert np.abs(y - wanted).max() < (1.1 * tick if name == "sum" else 1e-4)


def test_a_configuration_goes_into_a_checkpoint_and_back() -> None:
    config = configuration(TABLE["split at 5"])
    config.forward.adc_quantization = True
    layers = [AnalogLinear(13, 6, bias=False, rpu_config=config).eval() for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(3, 13)
    assert torch.equal(layers[0](x), layers[1](x))
    assert next(layers[1].analog_tiles()).rpu_config == config


def test_other_tiles_take_the_factor_alone() -> None:
    plain, timed = InferenceRPUConfig(), InferenceRPUConfig(forward=IOParametersIRDropT(ir_drop=0.5))
    plain.forward.ir_drop = 0.5
    torch.manual_seed(0)
    first = AnalogLinear(8, 4, bias=False, rpu_config=plain).eval()
    torch.manual_seed(0)
    second = AnalogLinear(8, 4, bias=False, rpu_config=timed).eval()
    assert torch.equal(first(torch.ones(2, 8)), second(torch.ones(2, 8)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("w_noise", 0.1, "w_noise = 0.1"), ("ir_drop_segments", 5, "must divide the 16 crossings")],
)
def test_what_contradicts_is_said_when_a_tile_is_made(name: str, value: Any, message: str) -> None:
    config = configuration(TABLE["one pass"])
    setattr(config.forward, name, value)
    with pytest.raises(ConfigError, match=message):
        AnalogLinear(13, 6, bias=False, rpu_config=config)


def test_inputs_in_parts_need_tiles_that_read_in_time() -> None:
    config = InferenceRPUConfig(forward=IOParametersIRDropT(mv_type="BIT_WISE"))
    with pytest.raises(ConfigError, match="mv_type = BIT_WISE"):
        AnalogLinear(13, 6, bias=False, rpu_config=config)


def test_a_name_without_effect_warns() -> None:
    with pytest.warns(UserWarning, match="split_mode_bit_shift"):
        IOParametersIRDropT().ir_drop_bit_shift = 4
