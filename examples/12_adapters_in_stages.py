"""A small transformer in files, its weights on tiles and fixed: adapters beside them learn, in two stages."""

import json
import os
import time
from pathlib import Path

import torch
from common import arguments, emulation, images, plot_curves, run, save_results, say, shown
from safetensors.torch import save_file
from torch import nn
from transformer import Transformer, add_adapters, turned

import crossgrid as cg

BATCH, STAGES, DAY_S = 32, 2, 86400.0
PRETRAINING_EPOCHS, PRETRAINING_RATE, LEARNING_RATE = 8, 5e-3, 1e-2

RPU_CONFIG = cg.InferenceRPUConfig(mapping=cg.MappingParameter(weight_scaling_omega=1.0))
RPU_CONFIG.modifier.type = cg.WeightModifierType.ADD_NORMAL  # adapters learn beside weights with this noise
RPU_CONFIG.modifier.std_dev = 0.03
RPU_CONFIG.noise_model = cg.PCMLikeNoiseModel(g_max=25.0)


def write_pretrained(folder: Path, loader: torch.utils.data.DataLoader) -> None:
    """Train a digital model on upright digits, and write it as Hugging Face does: shards and their index."""
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PRETRAINING_RATE)
    for _ in range(PRETRAINING_EPOCHS):
        for x, y in shown(loader, "pretraining"):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    folder.mkdir(parents=True, exist_ok=True)
    state, weight_map = model.state_dict(), {}
    for number in (1, 2):
        shard = f"model-{number:05}-of-00002.safetensors"
        names = [*state][number - 1 :: 2]
        save_file({name: state[name] for name in names}, folder / shard)
        weight_map |= dict.fromkeys(names, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def adapted() -> nn.Module:
    """The model of the files on tiles, without its numbers and fixed; its adapters are digital and learn."""
    with cg.deferred():
        model = Transformer()
    model.requires_grad_(False)
    add_adapters(model)  # outside: they have numbers, which no file has
    chosen = lambda name, layer, config: None if "adapter" in name else config  # noqa: E731
    return cg.convert_to_analog(model, RPU_CONFIG, specific_rpu_config_fun=chosen)


def main() -> None:
    args = arguments(__doc__, 4, "results/adapters", images=True, backend="ray")
    started = time.perf_counter()
    torch.manual_seed(args.seed)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // STAGES))  # as a stage has: sums follow it
    train_loader, test_loader = images(args, BATCH)
    files = args.results / "pretrained"
    write_pretrained(files, train_loader)

    model, criterion = adapted(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    stages = STAGES if args.backend == "ray" else None
    losses, accuracies = [], []
    labels = torch.cat([y for _, y in test_loader])

    with emulation(model, args, weights=files, stages=stages) as running:

        def accuracy() -> float:
            outputs = running.infer((turned(x) for x, _ in test_loader))
            return (outputs.argmax(dim=1) == labels).double().mean().item()

        before = accuracy()
        say(f"Before\tAccuracy: {before:.2%}")
        for epoch in range(args.epochs):
            model.train()
            steps = [
                running.train_step(turned(x), y, criterion, optimizer, micro_batches=2)
                for x, y in shown(train_loader, f"epoch {epoch}")
            ]
            losses.append(sum(steps) / len(steps))
            accuracies.append(accuracy())
            say(f"Epoch: {epoch}\tTrain loss: {losses[-1]:.4f}\tAccuracy: {accuracies[-1]:.2%}")
        cg.program_analog_weights(model)
        cg.drift_analog_weights(model, DAY_S)
        after_a_day = accuracy()
        say(f"Programmed, a day later\tAccuracy: {after_a_day:.2%}")
        plot_curves(args.results / "loss.png", "loss", {"adapters": losses})
        save_results(
            args, model, started, loss=losses, accuracy=accuracies, tiles=running.totals.tiles,
            accuracy_before=before, accuracy_after_a_day=after_a_day,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
