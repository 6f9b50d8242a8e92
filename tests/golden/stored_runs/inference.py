"""Tiles that are programmed and age, and the weights that hardware-aware training sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import crossgrid as cg

from .inputs import BATCH, IN, OUT, SEED, Results, new_tile, numbers, trained, with_weights

Modifier, Clip, Remap = cg.WeightModifierType, cg.WeightClipType, cg.WeightRemapType

#: with times in seconds after programming
MODELS: dict[str, tuple[Callable[[], Any], tuple[float, ...]]] = {
    "programmed-pcm": (cg.PCMLikeNoiseModel, (0.0, 1000.0)),
    "programmed-pcm-own-drift": (
        lambda: cg.CustomDriftPCMLikeNoiseModel(
            g_lst=[0.0, 10.0, 25.0], nu_mean_lst=[0.1, 0.07, 0.05], nu_std_lst=[0.05, 0.02, 0.01]
        ),
        (1000.0,),
    ),
    "programmed-hermes": (cg.HermesNoiseModel, (1000.0,)),
    "programmed-hermes-one-device": (lambda: cg.HermesNoiseModel(num_devices=1), (1000.0,)),
    "programmed-reram-wan": (cg.ReRamWan2022NoiseModel, (86400.0,)),
    "programmed-reram-cmo": (cg.ReRamCMONoiseModel, (1000.0,)),
    "programmed-state-independent": (cg.StateIndependentNoiseModel, (1000.0,)),
    "programmed-in-three-pairs": (
        lambda: cg.PCMLikeNoiseModel(g_converter=cg.NPairConductanceConverter(f_lst=[1.0, 2.0, 4.0])),
        (1000.0,),
    ),
    "programmed-in-single-devices": (
        lambda: cg.PCMLikeNoiseModel(g_converter=cg.SingleDeviceConductanceConverter()),
        (1000.0,),
    ),
}


def programmed(make: Callable[[], Any], times_s: tuple[float, ...]) -> Results:
    """The weights after programming and at each time."""
    tile = new_tile(cg.InferenceRPUConfig(noise_model=make()))
    tile.program_weights()
    found: Results = {"programmed": tile.get_weights()}
    for t_s in times_s:
        tile.drift_weights(t_s)
        found[f"after {t_s:g} s"] = tile.get_weights()
    return found


def new_layer(config: Any) -> Any:
    """A layer for inference; tiles of 8 x 8, so that it is cut."""
    config.mapping = cg.MappingParameter(max_input_size=8, max_output_size=8)
    return with_weights(cg.AnalogLinear(IN, OUT, bias=False, rpu_config=config, seed=SEED))


def compensated(make: Callable[[], Any]) -> Results:
    """Reads of a layer after programming, and after drift that is compensated."""
    layer = new_layer(cg.InferenceRPUConfig(drift_compensation=make())).eval()
    x = numbers(BATCH, IN, start=51)
    with torch.no_grad():
        layer.program_analog_weights()
        found: Results = {"programmed": layer(x)}
        layer.drift_analog_weights(3600.0)
        return {**found, "after an hour": layer(x)}


COMPENSATIONS: dict[str, Callable[[], Any]] = {
    "not-compensated": lambda: None,
    "compensated-globally": cg.GlobalDriftCompensation,
    "compensated-by-output": cg.PerColumnDriftCompensation,
    "compensated-to-the-exact-product": cg.GlobalDriftCompensationWithExactReference,
}

MODIFIERS: dict[str, dict[str, Any]] = {
    "modified-Discretize": {"type": Modifier.DISCRETIZE, "res": 0.1, "sto_round": True},
    "modified-MultNormal": {"type": Modifier.MULT_NORMAL, "std_dev": 0.1},
    "modified-AddNormal": {"type": Modifier.ADD_NORMAL, "std_dev": 0.1, "copy_last_column": True},
    "modified-DiscretizeAddNormal": {"type": Modifier.DISCRETIZE_ADD_NORMAL, "res": 0.1, "std_dev": 0.1},
    "modified-DoReFa": {"type": Modifier.DOREFA, "res": 0.1, "std_dev": 0.05},
    "modified-Poly": {"type": Modifier.POLY, "std_dev": 1.0, "rel_to_actual_wmax": False},
    "modified-PCMNoise": {
        "type": Modifier.PCM_NOISE, "std_dev": 1.0, "pcm_t_inference": 100.0, "pcm_zero_thres": 0.1,
        "pcm_prob_at_reset": 0.05, "pcm_prob_at_gmax": 0.05, "pcm_prob_at_random": 0.05,
    },
    "modified-ProgNoise": {"type": Modifier.PROG_NOISE, "std_dev": 1.0},
    "modified-DropConnect": {"type": Modifier.DROP_CONNECT, "pdrop": 0.25},
    "modified-AddNormal-and-dropped": {"type": Modifier.ADD_NORMAL, "std_dev": 0.1, "pdrop": 0.25},
}  # fmt: skip


#: parameters whose name in the table is an older one
STORED_AS = {"weight": "analog_tile.weight"}


def hardware_aware(config: Any) -> Results:
    """Two mini-batches of training: outputs, gradients of inputs and weights; what the trainer holds."""
    layer = new_layer(config)
    found: Results = {}
    for k in range(2):
        x = numbers(BATCH, IN, start=61 + 100 * k).requires_grad_(True)
        y = layer(x)
        layer.zero_grad()
        y.backward(numbers(BATCH, OUT, start=71 + 100 * k))
        gradients = {f"gradient {k} {STORED_AS.get(n, n)}": p.grad for n, p in layer.named_parameters()}
        found |= {f"y {k}": y.detach(), f"z {k}": x.grad, **gradients}
    return {**found, "weights": layer.get_weights()[0]}


def modified(fields: dict[str, Any]) -> Results:
    """Training with a modifier, read without imperfections: what is seen is the modified weight."""
    perfect = cg.IOParameters(is_perfect=True)
    own = cg.InferenceRPUConfig(forward=perfect, modifier=cg.WeightModifierParameter(**fields))
    return hardware_aware(own)


CLIPS: dict[str, dict[str, Any]] = {
    "clipped-FixedValue": {"clip": cg.WeightClipParameter(type=Clip.FIXED_VALUE, fixed_value=0.25)},
    "clipped-LayerGaussian": {"clip": cg.WeightClipParameter(type=Clip.LAYER_GAUSSIAN, sigma=1.0)},
    "clipped-AverageChannelMax": {"clip": cg.WeightClipParameter(type=Clip.AVERAGE_CHANNEL_MAX)},
    **{f"remapped-{kind.value}": {"remap": cg.WeightRemapParameter(type=kind)}
       for kind in (Remap.LAYERWISE_SYMMETRIC, Remap.CHANNELWISE_SYMMETRIC)},
}  # fmt: skip


def modified_on_a_large_tile() -> Results:
    """Enough weights for several threads."""
    own = cg.InferenceRPUConfig(
        modifier=cg.WeightModifierParameter(type=Modifier.DISCRETIZE_ADD_NORMAL, res=0.1, std_dev=0.1)
    )
    layer = with_weights(cg.AnalogLinear(400, 500, bias=False, rpu_config=own, seed=SEED))
    return {"y": layer(numbers(4, 400, start=81)).detach()}


def tidied(fields: dict[str, Any]) -> Results:
    """Training with weights that are clipped or remapped before they are read."""
    return hardware_aware(cg.InferenceRPUConfig(**fields))


def trained_within_a_range() -> Results:
    """Steps of the digital trainer, after each of which weights are clipped, and remapped within a range."""
    config = cg.InferenceRPUConfig(
        clip=cg.WeightClipParameter(type=Clip.LAYER_GAUSSIAN, sigma=1.5),
        remap=cg.WeightRemapParameter(type=Remap.CHANNELWISE_SYMMETRIC, max_scale_range=1.01),
    )
    return trained(new_layer(config), numbers(BATCH, IN, start=171), steps=3)


RUNS = {
    **{name: partial(programmed, *of) for name, of in MODELS.items()},
    **{name: partial(compensated, make) for name, make in COMPENSATIONS.items()},
    **{name: partial(modified, fields) for name, fields in MODIFIERS.items()},
    "modified-on-a-large-tile": modified_on_a_large_tile,
    "trained-and-remapped-within-a-range": trained_within_a_range,
    **{name: partial(tidied, fields) for name, fields in CLIPS.items()},
}
