"""A fully connected network (784-256-128-10) trained on analog tiles.

After Gokmen and Vlasov (2016), "Acceleration of deep neural network training with resistive cross-point
devices: design considerations", Front. Neurosci.
"""

import time

import torch
from common import arguments, emulation, evaluate, images, plot_curves, run, save_results, say, train_epoch
from torch import nn

import crossgrid as cg

BATCH, LEARNING_RATE = 64, 0.05

RPU_CONFIG = cg.SingleRPUConfig(device=cg.ConstantStepDevice())


def main() -> None:
    args = arguments(__doc__, epochs=30, results="results/MNIST", images=True)
    started = time.perf_counter()
    torch.manual_seed(args.seed)
    train_loader, test_loader = images(args, BATCH, flat=True)

    model = cg.AnalogSequential(
        cg.AnalogLinear(784, 256, rpu_config=RPU_CONFIG), nn.Sigmoid(),
        cg.AnalogLinear(256, 128, rpu_config=RPU_CONFIG), nn.Sigmoid(),
        cg.AnalogLinear(128, 10, rpu_config=RPU_CONFIG), nn.LogSoftmax(dim=1),
    )  # fmt: skip
    print(model)
    optimizer, criterion = cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE), nn.NLLLoss()
    losses, accuracies = [], []

    with emulation(model, args) as running:
        for epoch in range(args.epochs):
            losses.append(train_epoch(model, train_loader, criterion, optimizer, running, f"epoch {epoch}"))
            accuracies.append(evaluate(model, test_loader, criterion)[1])
            say(f"Epoch: {epoch}\tTrain loss: {losses[-1]:.4f}\tAccuracy: {accuracies[-1]:.2%}")

    plot_curves(args.results / "loss.png", "loss", {"train": losses})
    plot_curves(args.results / "accuracy.png", "accuracy", {"test": accuracies})
    save_results(args, model, started, loss=losses, accuracy=accuracies, tiles=running.totals.tiles)


if __name__ == "__main__":
    run(main)
