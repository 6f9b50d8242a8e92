"""Chips of several kinds of tiles in a run: each layer goes through the converters of its own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.chip import Chip, converted_by
from crossgrid.chip.cost.cost import cost_of
from crossgrid.chip.description.load import PRESETS, parse_chip
from crossgrid.emulator.config.rpu import RPUConfig
from crossgrid.kernels.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:chip ")  # four bits lose what they sum, and are warned of

KINDS = {"0": "fine", "3": "coarse", "5": "digital"}
X = torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 40), nn.ReLU(), nn.Linear(40, 10)
    ).eval()  # fmt: skip


def analog(config: RPUConfig | None = None) -> nn.Module:
    return cg.convert_to_analog(network(), config or cg.InferenceRPUConfig(), seed=5).eval()


def described(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((PRESETS / "demo-128.yaml").read_text())
    return {**data, **changes}


def mixed() -> Chip:
    kinds = {"fine": {"tiles": 30, "adc": {"bits": 8}}, "coarse": {"tiles": 30, "adc": {"bits": 4}}}
    return parse_chip(described(kinds=kinds, digital={"cores": 10}), "mixed.yaml")


def of_bits(bits: int) -> Chip:
    data = described()
    data["adc"]["bits"] = bits
    return parse_chip(data, "alone.yaml")


def outputs(model: nn.Module, chip: Chip, **arguments: Any) -> Tensor:
    with cg.emulate(model, chip, **arguments) as running:
        model.program_analog_weights()  # type: ignore[operator]
        model.drift_analog_weights(3600.0)  # type: ignore[operator]
        return running.infer(X)


@pytest.mark.parametrize(("kind", "bits"), [("fine", 8), ("coarse", 4), ("home", 9)])
def test_a_model_on_one_kind_has_the_bits_of_a_chip_of_it(kind: str, bits: int) -> None:
    assert torch.equal(outputs(analog(), mixed(), kinds={"*": kind}), outputs(analog(), of_bits(bits)))


def test_each_layer_goes_through_its_own_kind() -> None:
    """The same as a configuration by hand that gives each layer its converters, the last one exact."""

    def chosen(name: str, module: nn.Module, config: Any) -> RPUConfig | None:
        if name == "5":
            return None
        config.forward = converted_by(of_bits({"0": 8, "3": 4}[name]), config.forward)
        return config  # type: ignore[no-any-return]

    by_hand = cg.convert_to_analog(
        network(), cg.InferenceRPUConfig(), specific_rpu_config_fun=chosen, seed=5
    ).eval()
    ideal = parse_chip({**described(), "ideal": True}, "ideal.yaml")
    found = outputs(analog(), mixed(), kinds=KINDS)
    torch.testing.assert_close(found, outputs(by_hand, ideal), rtol=1e-5, atol=1e-6)


def test_layers_on_cores_are_exact_and_tiles_again_when_the_run_is_over() -> None:
    model, alone = analog(), analog()
    before = outputs(alone, of_bits(8))
    y = outputs(model, mixed(), kinds={"*": "digital"})
    torch.testing.assert_close(y, network()(X).detach(), rtol=1e-5, atol=1e-6)
    assert {type(layer.rpu_config) for layer in model.analog_layers()} == {cg.InferenceRPUConfig}
    assert torch.equal(outputs(model, of_bits(8)), before)  # the same devices as if nothing had been


def test_devices_that_learn_hold_what_cores_learnt() -> None:
    """On cores an update is exact: w - lr x d. Afterwards devices of 31 slots and their bounds hold it."""
    model = cg.convert_to_analog(nn.Linear(4, 2, bias=False), cg.SingleRPUConfig(), seed=1)
    (layer,) = model.matrices().values()
    start = layer.get_weights()[0]
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    x = torch.tensor([[1.0, 0.5, -0.25, 0.0]])
    with cg.emulate(model, mixed(), kinds={"*": "digital"}):
        model(x).sum().backward()
        optimizer.step()
        learnt = layer.get_weights()[0]
    torch.testing.assert_close(learnt, start - 0.1 * x.expand(2, 4), rtol=1e-5, atol=1e-6)
    assert type(layer.rpu_config) is cg.SingleRPUConfig
    torch.testing.assert_close(layer.get_weights()[0], learnt, rtol=1e-5, atol=1e-6)


def test_a_saved_plan_with_kinds_runs(tmp_path: Path) -> None:
    with cg.emulate(analog(), mixed(), kinds=KINDS, example_input=(1, 1, 8, 8)) as running:
        assert running.plan is not None
        cg.save_plan(running.plan, tmp_path / "mixed.plan")
    wanted = outputs(analog(), mixed(), kinds=KINDS)
    assert torch.equal(outputs(analog(), mixed(), plan=tmp_path / "mixed.plan"), wanted)


def test_the_energy_of_a_run_is_that_of_its_plan() -> None:
    """Inputs of one plan: as many times its energy as inputs passed, part by part."""
    model = analog()
    with cg.emulate(model, mixed(), kinds=KINDS, example_input=(1, 1, 8, 8)) as running:
        running.infer(X)
        report = running.report()
    assert report.plan is not None
    cost, events = cost_of(report.plan, mixed()), report.events()
    assert events is not None
    for name in ("adc_conversion", "cell_pass", "hop_bit", "buffer_bit", "busy_ns"):
        assert getattr(events, name) == pytest.approx(3 * getattr(cost.events, name))
    rows = {
        line.split("│")[1].strip(): line.split("│")[2].strip()
        for line in str(report).splitlines()
        if "│" in line
    }
    assert float(rows["total"]) == pytest.approx(3 * cost.energy_pj / 1e6, abs=6e-4)
    assert float(rows["digital cores"]) == pytest.approx(
        3 * cost.energy_by_part["digital cores"] / 1e6, abs=6e-4
    )


def test_a_saved_run_goes_on_with_its_kinds(tmp_path: Path) -> None:
    model = analog()
    with cg.emulate(model, mixed(), kinds=KINDS) as running:
        model.program_analog_weights()
        running.save(tmp_path / "run")
        wanted = running.infer(X)
    again = analog()
    with cg.restore(tmp_path / "run", again, chip=mixed()) as running:
        assert running.plan is not None
        assert running.plan.kind_names == KINDS
        assert torch.equal(running.infer(X), wanted)


def test_actors_give_the_same_bits() -> None:
    local = outputs(analog(), mixed(), kinds=KINDS)
    assert torch.equal(outputs(analog(), mixed(), kinds=KINDS, backend="ray", tiles_per_actor=4), local)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown kind of chip 'demo-128' 'fin': did you mean 'fine'"):
        cg.emulate(analog(), mixed(), kinds={"0": "fin"})
    with pytest.raises(ConfigError, match="unknown layer in kinds 'conv'"):
        cg.emulate(analog(), mixed(), kinds={"conv": "fine"})
    with pytest.raises(ConfigError, match="chips, placement and kinds are of a chip"):
        cg.emulate(analog(), kinds={"0": "fine"})
    with pytest.raises(ConfigError, match="tiles of chip 'demo-128' are all alike"):
        cg.emulate(analog(), "demo-128", kinds={"0": "fine"})
    with pytest.raises(ConfigError, match="some layers are on digital cores"):
        cg.emulate(analog(), mixed(), kinds=KINDS, strategy="time-multiplexed", reprogram=True)


def test_a_sweep_varies_kinds(tmp_path: Path) -> None:
    """Text or mapping; what is on cores alone is right every time."""
    labels = network()(X).argmax(1)
    data = described(kinds={"coarse": {"tiles": 30, "adc": {"bits": 2}}}, digital={"cores": 20})
    study = {
        "model": network(), "data": (X, labels),
        "parameters": {"kinds": ["*=digital", {"*": "coarse"}, "*=coarse,5=digital", "0=coarse"]},
    }  # fmt: skip
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(data))
    done = cg.sweep({**study, "chip": str(tmp_path / "mixed.yaml")})
    assert [row["kinds"] for row in done.rows] == ["*=digital", "*=coarse", "*=coarse,5=digital", "0=coarse"]
    assert done.rows[0]["accuracy"] == 1.0
    assert len({row["numbers"] for row in done.rows[:3]}) == 3
    assert len({row["energy_pj"] for row in done.rows[:3]}) == 3
