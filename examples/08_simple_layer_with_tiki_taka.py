"""Tiki-Taka: a fast array gathers gradients, a slow one holds the weight.

After Gokmen and Haensch (2020), "Algorithm for training neural networks on resistive device arrays",
Front. Neurosci.
"""

import time

import torch
from common import arguments, emulation, finish, run
from torch.nn.functional import mse_loss

import crossgrid as cg

X = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.1, 0.3]])
Y = torch.tensor([[1.0, 0.5], [0.7, 0.3]])

RPU_CONFIG = cg.UnitCellRPUConfig(
    device=cg.TransferCompound(
        unit_cell_devices=[
            cg.SoftBoundsDevice(w_min=-0.3, w_max=0.3),
            cg.SoftBoundsDevice(w_min=-0.6, w_max=0.6),
        ],
        units_in_mbatch=True,
        transfer_every=2,  # mini-batches between two reads of the fast array
        n_reads_per_transfer=1,
        gamma=0.0,  # products see the slow array only
        fast_lr=1.0,  # the fast array gathers at a rate of its own,
        scale_fast_lr=False,  # ... not relative to the optimizer's
        scale_transfer_lr=True,  # the transfer's learning rate is relative to the optimizer's
        transfer_lr=1.0,
    )
)


def main() -> None:
    args = arguments(__doc__, epochs=100, results="results/TIKI_TAKA")
    started = time.perf_counter()
    torch.manual_seed(args.seed)

    model = cg.AnalogLinear(4, 2, bias=True, rpu_config=RPU_CONFIG)
    print(model)
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    losses = []

    with emulation(model, args) as running:
        for _ in range(args.epochs):
            optimizer.zero_grad()
            loss = mse_loss(model(X), Y)
            loss.backward()
            optimizer.step()
            running.record(loss.item())
            losses.append(loss.item())
            print(f"Loss error: {loss.item():.16f}")

    finish(args, model, started, losses, running.totals.tiles)


if __name__ == "__main__":
    run(main)
