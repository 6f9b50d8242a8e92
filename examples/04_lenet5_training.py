"""LeNet5 trained on analog tiles, every physical tile with its own devices and converters.

After Gokmen, Onen and Haensch (2017), "Training deep convolutional neural networks with resistive
cross-point devices", Front. Neurosci.
"""

import sys
import time

import torch
from common import arguments, emulation, evaluate, images, plot_curves, save_results, say, train_epoch
from crossgrid.chip import draw_floor_plan
from torch import nn

import crossgrid as cg

BATCH, LEARNING_RATE = 8, 0.01

# Pulsed updates of real devices; for the digital twin take cg.FloatingPointRPUConfig()
RPU_CONFIG = cg.SingleRPUConfig(device=cg.ConstantStepDevice())


class LeNet5(nn.Module):
    """An ordinary torch model."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Tanh(),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(512, 128), nn.Tanh(), nn.Linear(128, 10), nn.LogSoftmax(dim=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.feature_extractor(x).flatten(1))


def main() -> None:
    args = arguments(__doc__, epochs=30, results="results/LENET5", images=True)
    started = time.perf_counter()
    torch.manual_seed(args.seed)
    train_loader, test_loader = images(args, BATCH)

    model = cg.convert_to_analog(LeNet5(), RPU_CONFIG)
    print(model)
    optimizer, criterion = cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE), nn.NLLLoss()
    train_losses, test_losses, accuracies = [], [], []

    with emulation(model, args, chip="demo-128") as running:
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
        plan, tiles = running.plan, running.totals.tiles

    plot_curves(args.results / "test_losses.png", "loss", {"train": train_losses, "test": test_losses})
    errors = [100 * (1 - accuracy) for accuracy in accuracies]
    plot_curves(args.results / "test_error.png", "test error, %", {"test": errors})
    if plan is not None:
        draw_floor_plan(plan, args.results / "tiles.png")
    save_results(
        args, model, started, loss=train_losses, test_loss=test_losses, accuracy=accuracies, tiles=tiles
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except cg.CrossgridError as error:
        sys.exit(f"error: {error}")
