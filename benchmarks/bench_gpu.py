"""Tiles on a CUDA card: bench_gpu.py [--small] [--rows WORD,WORD] [--json FILE]. Needs no network.

Before a row is timed, the card must agree with the processors. Medians, synchronised.
``--small`` takes tiny shapes, which Triton's interpreter (TRITON_INTERPRET=1) bears.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import triton
from lenet import lenet5
from machine import machine
from numpy.typing import NDArray
from peer.rows import LEARNING_RATE, ROWS, Row
from torch import nn

import crossgrid as cg
from crossgrid.emulator.tiles.bank import TileBank
from crossgrid.kernels.card import card

Work = Callable[[], Any]
Where = Literal["cpu", "cuda"]
Floats = NDArray[np.float32]

WHERES: tuple[Where, Where] = ("cpu", "cuda")

DEVICES = {
    "ConstantStep": cg.ConstantStepDevice, "SoftBounds": cg.SoftBoundsDevice, "ExpStep": cg.ExpStepDevice,
}  # fmt: skip
SMALL_ROWS = (Row(3, 5, 2, 1.0),)

#: how far values may be apart, and the share of values that may be further: sums are added in another order,
#: which now and then tips a converter or a pulse
CLOSE, RARE = 1e-4, 0.02


@dataclass(frozen=True)
class Bench:
    """How much is done."""

    small: bool

    @property
    def rounds(self) -> int:
        return 1 if self.small else 30

    @property
    def rows(self) -> tuple[Row, ...]:
        return SMALL_ROWS if self.small else ROWS

    def config(self, device: Any = None, tile: int = 512) -> cg.SingleRPUConfig:
        """Tiles of this device; the interpreter bears short trains only."""
        update = cg.UpdateParameters(desired_bl=2) if self.small else cg.UpdateParameters()
        mapping = cg.MappingParameter(max_output_size=tile, max_input_size=tile)
        return cg.SingleRPUConfig(device=device or cg.ConstantStepDevice(), update=update, mapping=mapping)

    def median_ms(self, work: Work) -> float:
        """Milliseconds until the card is done, the median of some rounds after two that warm up."""
        times = []
        warm = 0 if self.small else 2
        for number in range(warm + self.rounds):
            wait_for_card()
            start = time.perf_counter()
            work()
            wait_for_card()
            if number >= warm:
                times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3


def wait_for_card() -> None:
    """Until all that was launched is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def host(values: Any) -> Floats:
    """As an array."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def require_close(what: str, here: Any, there: Any) -> None:
    """End the run where the card gave something else than processors."""
    difference = np.abs(host(here) - host(there))
    apart = float(np.mean(difference > CLOSE))
    if apart > RARE or not np.isfinite(difference).all():
        sys.exit(f"{what}: {apart:.1%} of the card's values are wrong, by up to {difference.max():.3g}; "
                 "nothing is timed")  # fmt: skip


def bank_of(where: Where, tiles: int, out_size: int, in_size: int, config: cg.SingleRPUConfig) -> TileBank:
    """A bank of tiles with small weights."""
    bank = TileBank(7, range(tiles), out_size, in_size, config, where)
    bank.cell.set_weights(np.random.default_rng(2).uniform(-0.3, 0.3, bank.cell.weights.shape))
    return bank


def there(values: Floats) -> torch.Tensor:
    """On the card."""
    return torch.from_numpy(values).to(card())


def updates(bench: Bench) -> Iterator[tuple[str, Work]]:
    """The pulsed update of single tiles."""
    first = np.zeros(1, np.int64)
    for name, device in DEVICES.items():
        for row in bench.rows:
            x, d = (values[None] for values in row.data())
            config = bench.config(device())
            banks = {w: bank_of(w, 1, row.out_size, row.in_size, config) for w in WHERES}
            for bank in banks.values():
                bank.update(x, first, d, first, LEARNING_RATE, 0)
            what = f"update {name} {row.name}"
            require_close(what, banks["cpu"].cell.weights, banks["cuda"].cell.weights)
            bank = banks["cuda"]
            yield what, partial(bank.update, there(x), first, there(d), first, LEARNING_RATE, 1)


def reads(bench: Bench) -> Iterator[tuple[str, Work]]:
    """Forward and backward of single tiles."""
    first = np.zeros(1, np.int64)
    for row in bench.rows:
        x, d = (values[None] for values in row.data())
        here, bank = (bank_of(where, 1, row.out_size, row.in_size, bench.config()) for where in WHERES)
        for what, values in (("forward", x), ("backward", d)):
            read, wanted = getattr(bank, what), getattr(here, what)
            require_close(f"{what} {row.name}", wanted(values, first, 0), read(values, first, 0))
            yield f"{what} {row.name}", partial(read, there(values), first, 1)


def many_tiles(bench: Bench) -> Iterator[tuple[str, Work]]:
    """1,000 tiles of 256 x 256 in one bank; a few of them are checked."""
    tiles, size, batch = (2, 4, 1) if bench.small else (1000, 256, 8)
    rng = np.random.default_rng(3)
    x, d = (rng.uniform(-s, s, (1, batch, size)).astype(np.float32) for s in (1.0, 0.01))
    bank, checked = bank_of("cuda", tiles, size, size, bench.config()), min(tiles, 10)
    here = bank_of("cpu", checked, size, size, bench.config())
    here.cell.set_weights(host(bank.cell.weights)[:checked])
    of_all, of_few = np.zeros(tiles, np.int64), np.zeros(checked, np.int64)
    name = f"{tiles} tiles of {size}x{size}, batch {batch}"
    require_close(f"forward {name}", here.forward(x, of_few, 0), bank.forward(x, of_all, 0)[:checked])
    require_close(f"backward {name}", here.backward(d, of_few, 0), bank.backward(d, of_all, 0)[:checked])
    for one, of_tiles in ((here, of_few), (bank, of_all)):
        one.update(x, of_tiles, d, of_tiles, LEARNING_RATE, 0)
    require_close(f"update {name}", here.cell.weights, host(bank.cell.weights)[:checked])
    x_there, d_there = there(x), there(d)
    yield f"forward {name}", lambda: bank.forward(x_there, of_all, 1)
    yield f"backward {name}", lambda: bank.backward(d_there, of_all, 1)
    yield f"update {name}", lambda: bank.update(x_there, of_all, d_there, of_all, LEARNING_RATE, 1)


def layer(size: int, config: cg.SingleRPUConfig) -> nn.Module:
    """A square layer, cut into tiles."""
    torch.manual_seed(1)
    return cg.AnalogLinear(size, size, bias=False, rpu_config=config, seed=3)


def trainer(model: nn.Module, x: torch.Tensor) -> Work:
    """A training step: forward, backward, update, as a user calls it. Gives the output before it."""
    optimizer = cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        y: torch.Tensor = model(x)
        (y * y).mean().backward()
        optimizer.step()
        return y.detach()

    return step


def networks(bench: Bench) -> Iterator[tuple[str, Work]]:
    """Training steps of LeNet5 and of a large layer."""
    cases: list[tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = [
        ("LeNet5 batch 8", lenet5, (8, 1, 28, 28)), ("LeNet5 batch 64", lenet5, (64, 1, 28, 28)),
        ("4096x4096 in 64 tiles, batch 16", lambda: layer(4096, bench.config()), (16, 4096)),
    ]  # fmt: skip
    if bench.small:
        cases = [("3x3 in 4 tiles, batch 1", lambda: layer(3, bench.config(tile=2)), (1, 3))]
    for name, build, shape in cases:
        x = torch.rand(shape, generator=torch.Generator().manual_seed(5)) - 0.5
        here, model = build(), build()
        with emulated(here, "cpu"), emulated(model, "cuda"):
            step = trainer(model, x)
            require_close(f"training step {name}", trainer(here, x)(), step())
            yield f"training step {name}", step


@contextlib.contextmanager
def emulated(model: nn.Module, device: Where) -> Iterator[None]:
    """``model`` on tiles, without the line about its metrics."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        running = cg.emulate(model, device=device)
        running.__enter__()
    try:
        yield
    finally:
        running.__exit__(None, None, None)


PARTS = {"update": updates, "read": reads, "tiles": many_tiles, "network": networks}


def about_the_card() -> dict[str, Any]:
    """The card that the figures were taken on."""
    found = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if found else "none: Triton's interpreter"
    return {"card": name, "cuda": torch.version.cuda}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny shapes, to try the script itself")
    parser.add_argument("--rows", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, default=Path("results/bench_gpu.json"))
    options = parser.parse_args()
    try:
        card()
    except cg.ConfigError:
        sys.exit("bench-gpu: torch finds no CUDA card here, and nothing else runs these kernels at speed")
    bench = Bench(options.small or triton.knobs.runtime.interpret)
    where = {**about_the_card(), **machine("torch", "triton")}
    print(f"card: {where['card']}", flush=True)
    results = []
    for part in options.rows.split(","):
        for name, work in PARTS[part](bench):
            taken = bench.median_ms(work)
            results.append({"row": name, "ms": taken})
            print(f"{name:48s} {taken:10.3f} ms", flush=True)
    report = {"machine": where, "small": bench.small, "results": results}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
