"""Noise models whose programming and drift are one compiled kernel: the same bits, a fifth of the time.

That is ``PCMLikeNoiseModel`` with pairs of devices, the default. Any other model, one derived from it too, is
evaluated by numpy as it is written.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..backends import NAIVE, Backend
from ..machine.switches import PLAIN
from ..rng import Stream
from .draws import address
from .noise.base import BaseNoiseModel, log_age, read_spread
from .noise.converters import ConductanceScale, SinglePairConductanceConverter
from .noise.pcm import PCMLikeNoiseModel

Array = NDArray[np.float32]


def is_fused(model: BaseNoiseModel, backend: Backend) -> bool:
    """Whether ``leave`` knows the model, and numpy's functions on this machine are those of the kernel."""
    if backend is NAIVE or "fused" in PLAIN or type(model) is not PCMLikeNoiseModel:
        return False
    if type(model.g_converter) is not SinglePairConductanceConverter:
        return False
    from ..rng.numpy_alike import agrees

    return agrees()


def leave(
    model: BaseNoiseModel,
    w_TOI: Array,
    scales_T: tuple[ConductanceScale, ...],
    keys_T2: NDArray[np.uint32],
    programmed: int,
    drifted: tuple[float, int] | None,
) -> None:
    """Put in place of targets w[tiles, out, in] what programming at tick ``programmed`` leaves.

    With ``drifted`` it is what is left some seconds later, as a read at a tick finds it.
    """
    from .pcm import cpu

    assert isinstance(model, PCMLikeNoiseModel)
    assert isinstance(model.g_converter, SinglePairConductanceConverter)
    assert model.prog_coeff is not None
    assert model.g_max is not None
    assert model.prog_coeff_g_max_reference is not None
    seconds, read_tick = (0.0, 0) if drifted is None else drifted
    t_s = seconds + model.t_0
    law = cpu.Law(
        g_max=np.float32(model.g_max),
        largest=np.float32(model.g_converter.g_max),
        g_min=np.float32(model.g_converter.g_min),
        programming=np.float32(model.prog_noise_scale * model.g_max / model.prog_coeff_g_max_reference),
        exponents=np.float32(model.drift_scale),
        log_age=log_age(t_s, model.t_0),
        spread=np.float32(model.read_noise_scale) * read_spread(t_s, model.t_read),
        aged=drifted is not None,
    )
    purposes = (
        (Stream.PROGRAMMING, programmed), (Stream.DRIFT_EXPONENT, programmed), (Stream.READ_NOISE, read_tick),
    )  # fmt: skip
    words_322 = np.array([[address(*purpose, device) for device in range(2)] for purpose in purposes])
    ratio_T = np.array([scale.ratio_us for scale in scales_T], np.float32)
    cpu.leave(w_TOI, ratio_T, keys_T2, law, np.array(model.prog_coeff, np.float32), words_322)
