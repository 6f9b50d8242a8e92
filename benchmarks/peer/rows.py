"""The work that both sides are given. Imported by both environments: numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE = 0.01
DEVICES = ("ConstantStepDevice", "SoftBoundsDevice", "ExpStepDevice")


@dataclass(frozen=True)
class Row:
    """One shape: outputs, inputs, vectors a batch, and the share of inputs that are not zero."""

    out_size: int
    in_size: int
    batch: int
    density: float

    @property
    def name(self) -> str:
        return f"{self.out_size}x{self.in_size}x{self.batch}"

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x = tanh of normals, thinned; d = 0.01 normals."""
        rng = np.random.default_rng(1)
        x = np.tanh(rng.standard_normal((self.batch, self.in_size)))
        x *= rng.random(x.shape) < self.density
        d = 0.01 * rng.standard_normal((self.batch, self.out_size))
        return x.astype(np.float32), d.astype(np.float32)

    def weights(self) -> NDArray[np.float32]:
        """Weights [out, in] inside the bounds of the default devices."""
        rng = np.random.default_rng(2)
        return rng.uniform(-0.3, 0.3, (self.out_size, self.in_size)).astype(np.float32)


ROWS = (
    Row(16, 25, 4608, 0.2),
    Row(32, 400, 512, 0.5),
    Row(128, 512, 8, 1.0),
    Row(512, 512, 64, 1.0),
    Row(1024, 1024, 16, 1.0),
)
LAYER = Row(4096, 4096, 16, 1.0)
TILE_SIZE = 512  # the layer is cut into 64 tiles
IMAGES = Row(10, 28 * 28, 8, 0.2)  # classes, pixels, images, and the share of pixels that are not zero


@dataclass(frozen=True)
class Case:
    """A kind of work (a key of both sides' JOBS), on a device, of a shape."""

    kind: str
    device: str
    row: Row


CASES = (
    *(Case("update", device, row) for device in DEVICES for row in ROWS),
    *(Case(kind, "ConstantStepDevice", row) for kind in ("forward", "backward") for row in ROWS),
    Case("layer forward", "SoftBoundsDevice", LAYER),
    Case("layer step", "SoftBoundsDevice", LAYER),
    Case("hardware-aware", "AddNormal", LAYER),
    Case("LeNet5 step", "ConstantStepDevice", IMAGES),
    Case("program", "PCMLikeNoiseModel", LAYER),
    Case("drift", "PCMLikeNoiseModel", LAYER),
)
