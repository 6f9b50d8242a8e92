"""LeNet5 trained on the tiles of a chip, every physical tile with its own devices and converters."""

import time

import torch
from common import arguments, emulation, evaluate, images, plot_curves, run, save_results, say, train_epoch
from lenet5 import LeNet5
from torch import nn

import crossgrid as cg

BATCH, LEARNING_RATE = 8, 0.01

# Real devices that are pulsed, or their digital twin
RPU_CONFIGS = {
    "constant-step": cg.SingleRPUConfig(device=cg.ConstantStepDevice()),
    "floating-point": cg.FloatingPointRPUConfig(device=cg.FloatingPointDevice()),
}


def main() -> None:
    args = arguments(__doc__, 30, "results/LENET5", images=True, chip="demo-128", crosspoints=[*RPU_CONFIGS])
    started = time.perf_counter()
    torch.manual_seed(args.seed)
    train_loader, test_loader = images(args, BATCH)

    model = cg.convert_to_analog(LeNet5(), RPU_CONFIGS[args.crosspoint])
    print(model)
    optimizer, criterion = cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE), nn.NLLLoss()
    train_losses, test_losses, accuracies = [], [], []

    with emulation(model, args) as running:
        print(running.report())
        say("Started LeNet5 Example")
        for epoch in range(args.epochs):
            train_losses.append(
                train_epoch(model, train_loader, criterion, optimizer, running, f"epoch {epoch}")
            )
            test_loss, accuracy = evaluate(model, test_loader, criterion)
            test_losses.append(test_loss)
            accuracies.append(accuracy)
            say(
                f"Epoch: {epoch}\tTrain loss: {train_losses[-1]:.4f}\tValid loss: {test_loss:.4f}\t"
                f"Test error: {1 - accuracy:.2%}\tAccuracy: {accuracy:.2%}"
            )
        say("Completed LeNet5 Example")
        print(running.report())

    plot_curves(args.results / "test_losses.png", "loss", {"train": train_losses, "test": test_losses})
    errors = [1 - accuracy for accuracy in accuracies]
    plot_curves(args.results / "test_error.png", "test error", {"test": errors})
    if running.plan is not None:
        cg.draw_floor_plan(running.plan, args.results / "tiles.png")
    save_results(
        args, model, started, loss=train_losses, test_loss=test_losses, accuracy=accuracies,
        test_error=errors, tiles=running.totals.tiles,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
