"""``crossgrid doctor``: what this machine has, and whether the parts that a run needs work here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..summary.summary import AnalogSummary

PACKAGES = ("numpy", "numba", "torch", "ray", "pyzmq", "triton", "prometheus-client")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    works: bool
    says: str


def examine(start_ray: bool) -> Iterator[Finding]:
    """Look at everything; starting Ray takes a few seconds and can be left out."""
    yield Finding("python", True, platform.python_version())
    for package in PACKAGES:
        yield _version(package)
    yield Finding("processors", True, str(os.cpu_count()))
    yield _tried("memory", _memory)
    yield _tried("kernel cache", _kernel_cache)
    yield _tried("lean numba", _lean_numba)
    yield _tried("a tile computes", _tile)
    yield _tried("CUDA", _cuda)
    if start_ray:
        yield _tried("Ray starts", _ray)


def examine_model(text: str, config: str, chip: str | None) -> AnalogSummary:
    """The summary of ``file.py:callable``; a model without analog layers is converted with a ``config``."""
    import warnings

    from ..config import rpu
    from ..model.analog_model import analog_layers
    from ..model.convert import convert_to_analog
    from ..readers.python_file import load_model
    from ..summary.summary import analog_summary

    model, example = load_model(text, lambda make: make())
    if next(analog_layers(model), None) is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the summary says what stays digital
            model = convert_to_analog(model, getattr(rpu, config)(), inplace=True, seed=0)
    return analog_summary(model, example, chip=chip)


def _version(package: str) -> Finding:
    try:
        return Finding(package, True, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        extra = {"ray": "ray", "pyzmq": "ray", "triton": "cuda"}.get(package)
        way_out = f"pip install 'crossgrid[{extra}]'" if extra else f"pip install {package}"
        return Finding(package, False, f"not installed: {way_out}")


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except Exception as error:
        return Finding(what, False, f"{type(error).__name__}: {error}")


def _memory() -> str:
    import psutil

    from ..actors.packing import ACTOR_BYTES

    available = psutil.virtual_memory().available
    return f"{available >> 20} MB free, room for about {available // ACTOR_BYTES} tile actors"


def _kernel_cache() -> str:
    """numba keeps compiled kernels beside their source, or in a folder of the user's."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", Path(__file__).parents[2] / "kernels"))
    with tempfile.TemporaryFile(dir=folder):
        return f"{folder} can be written"


def _lean_numba() -> str:
    """Tile actors load kernels without what compiling them needs, where this numba's internals are known."""
    import numba

    from crossgrid.kernels.machine.lean_numba import why_not

    reason = why_not()
    state = "in tile actors" if reason is None else f"off, an actor takes 28 MB more: {reason}"
    return f"{state} (numba {numba.__version__})"


def _tile() -> str:
    import torch

    from ..nn.linear import AnalogLinear

    layer = AnalogLinear(8, 4, seed=0)
    y = layer(torch.ones(2, 8))
    return f"{tuple(y.shape)} outputs of a 4 x 8 tile"


def _cuda() -> str:
    """A tile on the card: what compiles there compiles here, which takes some seconds the first time."""
    import numpy as np

    from crossgrid.kernels.pulsed_update.parameters import UpdateParameters

    from ..config.rpu import SingleRPUConfig
    from ..tiles.bank import TileBank

    name = _card_name()
    if name is None:
        return "no card: tiles run on processors"
    config, first = SingleRPUConfig(update=UpdateParameters(desired_bl=2)), np.zeros(1, np.int64)
    bank = TileBank(0, [0], 4, 8, config, "cuda")
    x, d = np.full((1, 1, 8), 0.5, np.float32), np.full((1, 1, 4), 0.1, np.float32)
    y, _ = bank.forward(x, first, 0)
    bank.update(x, first, d, first, 0.1, 0)
    return f"{name}: a tile gave {y.shape[2]} outputs and took {int(bank.stats.pulses[0])} pulses"


def _card_name() -> str | None:
    """What kernels for a card would run on; None where there is nothing.

    Raises:
        ConfigError: there is a card, but no Triton, or not the C compiler that Triton builds launchers with.
    """
    import torch

    from crossgrid.kernels.errors import ConfigError

    if importlib.util.find_spec("triton") is None:
        if torch.cuda.is_available():
            raise ConfigError("there is a card, and Triton is not installed: pip install 'crossgrid[cuda]'")
        return None
    import triton

    if triton.knobs.runtime.interpret:
        return "Triton's interpreter"
    if not torch.cuda.is_available():
        return None
    if "CC" not in os.environ and not any(shutil.which(compiler) for compiler in ("gcc", "clang")):
        raise ConfigError("Triton needs a C compiler and finds none: install gcc, or say where one is in CC")
    return torch.cuda.get_device_name()


def _ray() -> str:
    import torch
    from torch import nn

    from ..config.rpu import SingleRPUConfig
    from ..model.convert import convert_to_analog
    from ..run.emulate import emulate

    with emulate(convert_to_analog(nn.Linear(8, 4), SingleRPUConfig()), backend="ray") as running:
        running.model(torch.ones(2, 8))
        return f"{running.totals.actors} tile actor answered"
