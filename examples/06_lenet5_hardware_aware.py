"""LeNet5 trained digitally with noise, programmed into phase-change memory, and tested as it drifts."""

import copy
import time

import torch
from common import arguments, emulation, evaluate, images, plot_curves, run, save_results, say, train_epoch
from lenet5 import LeNet5
from torch import nn

import crossgrid as cg

BATCH, LEARNING_RATE = 8, 0.01
TIMES_S = [0.0, 1.0, 20.0, 1000.0, 1e5]

RPU_CONFIG = cg.InferenceRPUConfig()
RPU_CONFIG.forward.out_res = -1.0  # no ADC discretization
RPU_CONFIG.forward.w_noise_type = cg.WeightNoiseType.ADDITIVE_CONSTANT
RPU_CONFIG.forward.w_noise = 0.02
RPU_CONFIG.noise_model = cg.PCMLikeNoiseModel(g_max=25.0)


def drifted(model: nn.Module, loader: torch.utils.data.DataLoader, compensated: bool) -> list[float]:
    """Accuracy at each time after programming, with or without drift compensation."""
    model = copy.deepcopy(model).eval()
    if not compensated:
        for layer in (m for m in model.modules() if hasattr(m, "rpu_config")):
            layer.rpu_config.drift_compensation = None
    model.program_analog_weights()
    accuracies = []
    for t_inference in TIMES_S:
        model.drift_analog_weights(t_inference)
        accuracies.append(evaluate(model, loader, nn.NLLLoss())[1])
        say(f"Drift t={t_inference:g} s, compensation {compensated}\tAccuracy: {accuracies[-1]:.2%}")
    return accuracies


def main() -> None:
    args = arguments(__doc__, epochs=30, results="results/LENET5_HWA", images=True)
    started = time.perf_counter()
    torch.manual_seed(args.seed)
    train_loader, test_loader = images(args, BATCH)

    model = cg.convert_to_analog(LeNet5(), RPU_CONFIG)
    print(model)
    optimizer, criterion = cg.AnalogSGD(model.parameters(), lr=LEARNING_RATE), nn.NLLLoss()
    losses, test_losses, accuracies = [], [], []

    with emulation(model, args) as running:
        say("Started LeNet5 Example")
        for epoch in range(args.epochs):
            losses.append(train_epoch(model, train_loader, criterion, optimizer, running, f"epoch {epoch}"))
            test_loss, accuracy = evaluate(model, test_loader, criterion)
            test_losses.append(test_loss)
            accuracies.append(accuracy)
            say(
                f"Epoch: {epoch}\tTrain loss: {losses[-1]:.4f}\tValid loss: {test_loss:.4f}\t"
                f"Test error: {1 - accuracy:.2%}\tAccuracy: {accuracy:.2%}"
            )
        say("Completed LeNet5 Example")

    with_it, without = (drifted(model, test_loader, compensated) for compensated in (True, False))
    plot_curves(args.results / "test_losses.png", "loss", {"train": losses, "test": test_losses})
    errors = [1 - accuracy for accuracy in accuracies]
    plot_curves(args.results / "test_error.png", "test error", {"test": errors})
    curves = {"compensated": with_it, "not compensated": without}
    plot_curves(args.results / "drift.png", "accuracy", curves, x=TIMES_S, xlabel="seconds since programming")
    save_results(
        args, model, started, loss=losses, test_loss=test_losses, accuracy=accuracies,
        test_error=errors, tiles=running.totals.tiles,
        drift_seconds=TIMES_S, drift_accuracy=with_it, drift_accuracy_uncompensated=without,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
