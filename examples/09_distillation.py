"""A digital network teaches a smaller one on tiles; each update sums the gradients of several batches."""

import time

import torch
from common import arguments, emulation, evaluate, images, plot_curves, run, save_results, say, shown
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader

import crossgrid as cg

BATCH, ACCUMULATED = 8, 4  # images a pass, passes an update
TEACHER_EPOCHS, TEACHER_RATE, LEARNING_RATE = 4, 0.1, 0.05
TEMPERATURE, SOFT = 4.0, 0.9  # of the teacher's distribution, and its weight in the loss

RPU_CONFIGS = {
    "constant-step": cg.SingleRPUConfig(device=cg.ConstantStepDevice()),
    "soft-bounds": cg.SingleRPUConfig(device=cg.SoftBoundsDevice()),
    "floating-point": cg.FloatingPointRPUConfig(),
}


def network(width: int) -> nn.Module:
    """Logits [B, 10] of flat images [B, 784]."""
    return nn.Sequential(nn.Linear(784, width), nn.Tanh(), nn.Linear(width, 10))


def train_teacher(loader: DataLoader) -> nn.Module:
    """A wide digital network, trained on the labels."""
    teacher = network(256)
    optimizer = torch.optim.SGD(teacher.parameters(), lr=TEACHER_RATE)
    for _ in range(TEACHER_EPOCHS):
        for x, y in shown(loader, "teacher"):
            optimizer.zero_grad()
            functional.cross_entropy(teacher(x), y).backward()
            optimizer.step()
    return teacher.eval().requires_grad_(False)


def distillation_loss(student: Tensor, teacher: Tensor, y: Tensor) -> Tensor:
    """What the student lacks of the teacher's softened distribution, and of the labels.

    Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015): gradients of a distribution
    at temperature T are as 1 / T^2, which its square makes up for.
    """
    soft = functional.kl_div(
        functional.log_softmax(student / TEMPERATURE, dim=1),
        functional.log_softmax(teacher / TEMPERATURE, dim=1), log_target=True, reduction="batchmean",
    )  # fmt: skip
    return SOFT * TEMPERATURE**2 * soft + (1 - SOFT) * functional.cross_entropy(student, y)


def distill_epoch(student: nn.Module, teacher: nn.Module, loader: DataLoader, optimizer: Optimizer) -> float:
    """One pass over the training images, an update after every ``ACCUMULATED`` batches; the mean loss."""
    student.train()
    total = 0.0
    optimizer.zero_grad()
    for number, (x, y) in enumerate(shown(loader, "student"), start=1):
        loss = distillation_loss(student(x), teacher(x), y)
        (loss / ACCUMULATED).backward()
        total += loss.item()
        if number % ACCUMULATED == 0 or number == len(loader):
            optimizer.step()
            optimizer.zero_grad()
    return total / len(loader)


def main() -> None:
    args = arguments(__doc__, 6, "results/distillation", images=True, crosspoints=tuple(RPU_CONFIGS))
    started = time.perf_counter()
    torch.manual_seed(args.seed)
    train_loader, test_loader = images(args, BATCH, flat=True)

    teacher = train_teacher(train_loader)
    teacher_accuracy = evaluate(teacher, test_loader, nn.CrossEntropyLoss())[1]
    say(f"Teacher\tAccuracy: {teacher_accuracy:.2%}")
    student = cg.convert_to_analog(network(48), RPU_CONFIGS[args.crosspoint])
    optimizer = cg.AnalogSGD(student.parameters(), lr=LEARNING_RATE)
    losses, accuracies = [], []
    with emulation(student, args) as running:
        for epoch in range(args.epochs):
            losses.append(distill_epoch(student, teacher, train_loader, optimizer))
            running.record(losses[-1])
            accuracies.append(evaluate(student, test_loader, nn.CrossEntropyLoss())[1])
            say(f"Epoch: {epoch}\tTrain loss: {losses[-1]:.4f}\tAccuracy: {accuracies[-1]:.2%}")

    curves = {"student on tiles": accuracies, "teacher": [teacher_accuracy] * len(accuracies)}
    plot_curves(args.results / "accuracy.png", "accuracy", curves)
    plot_curves(args.results / "loss.png", "loss", {"train": losses})
    save_results(
        args, student, started, loss=losses, accuracy=accuracies, teacher_accuracy=teacher_accuracy,
        tiles=running.totals.tiles,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
