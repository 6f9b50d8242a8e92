"""One analog layer learns to map four numbers onto two."""

import time

import torch
from common import arguments, emulation, finish, run
from torch.nn.functional import mse_loss

import crossgrid as cg

X = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.1, 0.3]])
Y = torch.tensor([[1.0, 0.5], [0.7, 0.3]])

# Every crosspoint is a device whose conductance moves by about one step a pulse
RPU_CONFIG = cg.SingleRPUConfig(device=cg.ConstantStepDevice())


def main() -> None:
    args = arguments(__doc__, epochs=100, results="results/SIMPLE_LAYER")
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
