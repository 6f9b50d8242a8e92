"""Three different devices at every crosspoint; a random one of them learns from each vector."""

import time

import torch
from common import arguments, emulation, finish, run
from torch.nn.functional import mse_loss

import crossgrid as cg

X = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.1, 0.3]])
Y = torch.tensor([[1.0, 0.5], [0.7, 0.3]])

# The weight is the mean of the three; only one of them is pulsed by each vector
RPU_CONFIG = cg.UnitCellRPUConfig(
    device=cg.VectorUnitCell(
        unit_cell_devices=[
            cg.ConstantStepDevice(w_max=0.3),
            cg.ConstantStepDevice(w_max_dtod=0.4),
            cg.ConstantStepDevice(up_down_dtod=0.1),
        ],
        update_policy=cg.VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    )
)


def main() -> None:
    args = arguments(__doc__, epochs=100, results="results/OTHER_DEVICES")
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
