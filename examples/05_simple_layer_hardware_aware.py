"""One layer trained digitally with the noise of its future tiles, then programmed, then left to drift."""

import time

import torch
from common import arguments, emulation, finish, run
from torch.nn.functional import mse_loss

import crossgrid as cg

X = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.2, 0.1, 0.1, 0.3]])
Y = torch.tensor([[1.0, 0.5], [0.7, 0.3]])

RPU_CONFIG = cg.InferenceRPUConfig()
RPU_CONFIG.forward.out_res = -1.0  # no ADC discretization
RPU_CONFIG.forward.w_noise_type = cg.WeightNoiseType.ADDITIVE_CONSTANT
RPU_CONFIG.forward.w_noise = 0.02  # short-term noise of every read
RPU_CONFIG.clip.type = cg.WeightClipType.FIXED_VALUE
RPU_CONFIG.clip.fixed_value = 1.0
RPU_CONFIG.modifier.pdrop = 0.03  # some devices fail
RPU_CONFIG.modifier.type = cg.WeightModifierType.ADD_NORMAL  # noise of the weights, new for every mini-batch
RPU_CONFIG.modifier.std_dev = 0.1
RPU_CONFIG.modifier.rel_to_actual_wmax = True
RPU_CONFIG.noise_model = cg.PCMLikeNoiseModel(g_max=25.0)  # what programming and time do
RPU_CONFIG.drift_compensation = cg.GlobalDriftCompensation()


def main() -> None:
    args = arguments(__doc__, epochs=100, results="results/SIMPLE_LAYER_HARDWARE_AWARE")
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

        model.eval()
        model.program_analog_weights()
        print(f"Target:\t{Y.flatten().numpy()}")
        for t_inference in [0.0, 1.0, 20.0, 1000.0, 1e5]:
            model.drift_analog_weights(t_inference)
            prediction = model(X).detach().flatten().numpy()
            alpha = model.analog_tile.alpha.item()
            print(f"Prediction after drift (t={t_inference}, correction={alpha:1.3f}):\t{prediction}")

    finish(args, model, started, losses, running.totals.tiles)


if __name__ == "__main__":
    run(main)
