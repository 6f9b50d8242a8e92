"""Emulating on a chip that slices weights and streams inputs: same bits everywhere, counted as costed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import crossgrid as cg
from crossgrid.chip.cost.events import layer_events
from crossgrid.emulator.tiles.layer_spec import LayerSpec
from crossgrid.kernels.analog_mvm import SlicedIOParameters

pytestmark = pytest.mark.filterwarnings("ignore:chip 'neurosim-one-cell'")  # its ADC is too coarse

#: 16 outputs a tile, and 128; 300 inputs are three tiles
TILES = {"isaac": 1 + 7 * 3, "neurosim-128": 1 + 7 * 3, "neurosim-one-cell": 1 + 3}


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 12, 2), nn.Tanh(), nn.Flatten(), nn.Linear(300, 100))


def trained(chip: str, **where: object) -> tuple[str, list[LayerSpec], torch.Tensor, float, float]:
    torch.manual_seed(5)
    model = cg.convert_to_analog(network(), cg.SingleRPUConfig(device=cg.ConstantStepDevice()))
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    x = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    with cg.emulate(model, chip=chip, **where) as running:
        for _ in range(2):
            optimizer.zero_grad()
            y = model(x)
            (y**2).mean().backward()
            optimizer.step()
        report = running.report()
        counted = sum(counters["conversions"] for _, counters in report.samples)
        events = report.events()
        assert events is not None
    return cg.weights_sha256(model), list(report.specs), y.detach(), counted, events.adc_conversion


@pytest.fixture(scope="module", params=sorted(TILES))
def local(request: pytest.FixtureRequest) -> tuple[str, tuple]:
    return request.param, trained(request.param)


def test_a_run_on_converters_that_lose_their_sums_is_warned() -> None:
    model = cg.convert_to_analog(nn.Linear(4, 3), cg.SingleRPUConfig())
    with pytest.warns(UserWarning, match="'neurosim-one-cell': adc.bits = 5: sums of 128 rows need 15 bits"):
        cg.emulate(model, chip="neurosim-one-cell")


def test_a_row_group_at_a_time_computes_what_all_rows_do_where_nothing_is_lost() -> None:
    """neurosim-128: ones of 32 rows fit 5 bits but for 32 of 32, so 8-bit products come out exactly."""
    torch.manual_seed(1)
    digital = nn.Linear(128, 16, bias=False)
    nn.init.uniform_(digital.weight, -1.0, 1.0)
    quiet = cg.IOParameters(
        out_noise=0.0,
        noise_management=cg.NoiseManagementType.NONE,
        bound_management=cg.BoundManagementType.NONE,
    )
    model = cg.convert_to_analog(digital, cg.SingleRPUConfig(device=cg.IdealDevice(), forward=quiet))
    x = torch.rand(50, 128) * 2 - 1
    with cg.emulate(model, chip="neurosim-128"), torch.no_grad():
        y = model(x)
    codes_w, codes_x = (torch.round(part.double() * 127) for part in (digital.weight, x))
    exact = codes_x @ codes_w.T / 127**2
    assert (y.double() - exact).abs().max() < 1e-4


def test_conversions_counted_are_those_that_are_costed(local: tuple[str, tuple]) -> None:
    """Counted by the tiles while they read, both ways; costed from the plan and the vectors read."""
    chip, (_, specs, _, counted, costed) = local
    assert all(isinstance(spec.rpu_config.forward, SlicedIOParameters) for spec in specs)
    assert len({tile.label for spec in specs for tile in spec.tiles}) == TILES[chip]
    assert counted == pytest.approx(costed, rel=1e-12)
    described = cg.load_chip(chip)
    assert counted >= 2 * 3 * 100 * described.slices * described.passes


@pytest.mark.usefixtures("ray_session")
def test_ray_gives_the_bits_of_local(local: tuple[str, tuple]) -> None:
    chip, (weights, _, y, counted, _) = local
    remote = trained(chip, backend="ray", tiles_per_actor=-(-TILES[chip] // 2))
    assert remote[0] == weights
    assert torch.equal(remote[2], y)
    assert remote[3] == counted


def test_a_sliced_chip_computes_other_numbers_than_the_configuration_s_own_converters() -> None:
    """isaac's 16-bit inputs and weights are nearly exact; the default's 7 and 9 bits are not."""
    torch.manual_seed(1)
    digital = nn.Linear(60, 40, bias=False)
    nn.init.uniform_(digital.weight, -0.4, 0.4)
    quiet = cg.IOParameters(out_noise=0.0)
    config = cg.SingleRPUConfig(device=cg.IdealDevice(), forward=quiet)
    x = torch.rand(50, 60) - 0.5
    errors = {}
    for chip in ("demo-128", "isaac", "ideal"):
        model = cg.convert_to_analog(digital, config)
        with cg.emulate(model, chip=chip), torch.no_grad():
            errors[chip] = float((model(x) - digital(x)).std())
    assert errors["isaac"] < 1e-3 < errors["demo-128"]
    # the ideal chip leaves the configuration's own converters, which are those of demo-128
    assert errors["ideal"] == errors["demo-128"]


def test_events_of_a_layer_are_conversions_of_its_blocks() -> None:
    chip = cg.load_chip("isaac")
    plan = cg.map_layers([cg.LayerShape("a", 100, 300, 2)], chip)
    (events,) = layer_events(plan, chip)
    assert events.adc_conversion == 2 * 3 * 100 * 8 * 16  # three blocks of inputs, 8 slices, 16 passes
