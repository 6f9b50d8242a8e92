"""Cases of use: what users do to modules besides training them, and what must come out."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from case_networks import NETWORKS, exact, largest, perceptron, perfect
from torch import Tensor, nn

import crossgrid as cg

CONFIGS = {"pulsed": exact, "inference": perfect}


def trained(model: nn.Module, x: Tensor, between: Callable[[], object] = lambda: None) -> str:
    """The weights after two steps."""
    optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        between()
    return cg.weights_sha256(model)


@pytest.mark.case("F17")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("backend", ["local", "ray"])
def test_parameters_are_copied_and_averaged_wherever_the_tiles_are(
    backend: str, config: str, request: pytest.FixtureRequest
) -> None:
    """A target network beside the one that learns: torch's own loop, and its ``AveragedModel``."""
    if backend == "ray":
        request.getfixturevalue("ray_session")
    torch.manual_seed(0)
    digital, x = perceptron(), torch.randn(4, 20)
    analog = cg.convert_to_analog(digital, CONFIGS[config]())
    found = []
    for model in (digital, analog):
        target, averaged = copy.deepcopy(model), torch.optim.swa_utils.AveragedModel(model)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(0.5).add_(0.01)
        averaged.update_parameters(model)
        averaged.update_parameters(model)
        for own, other in zip(target.parameters(), model.parameters(), strict=True):
            own.data.copy_(0.9 * own.data + 0.1 * other.data)
        found.append([target, averaged, model])
    with cg.emulate(analog, chip="demo-128", backend=backend):
        again = torch.optim.swa_utils.AveragedModel(analog)
        with torch.no_grad():
            for p in analog.parameters():
                p.add_(0.25)
            for p in digital.parameters():
                p.add_(0.25)
        again.update_parameters(analog)
        for theirs, ours in zip(*found, strict=True):
            torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(again(x), digital(x), rtol=1e-5, atol=1e-5)


@pytest.mark.case("F18")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("network", NETWORKS)
def test_models_travel_as_bytes(network: str, config: str) -> None:
    """Pickled, and saved whole by torch; a learning copy is its own."""
    torch.manual_seed(0)
    model, x = cg.convert_to_analog(NETWORKS[network](), CONFIGS[config]()), torch.randn(4, 20)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    expected = model(x)
    for copied in (pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
        assert torch.equal(copied(x), expected)
        trained(copied, x)
    assert torch.equal(model(x), expected)


@pytest.mark.case("F18")
@pytest.mark.parametrize("config", CONFIGS)
def test_a_model_is_the_argument_and_the_result_of_a_ray_task(config: str, ray_session: None) -> None:
    import ray

    torch.manual_seed(0)
    model, x = cg.convert_to_analog(perceptron(), CONFIGS[config]()), torch.randn(4, 20)
    before = cg.weights_sha256(model)

    @ray.remote
    def task(model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
        optimizer = cg.AnalogSGD(model.parameters(), lr=0.1)
        model(x).square().sum().backward()
        optimizer.step()
        return model, model(x).detach()

    learned, y = ray.get(task.remote(model, x))
    assert torch.equal(learned(x), y)
    assert cg.weights_sha256(model) == before != cg.weights_sha256(learned)


@pytest.mark.case("F19")
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_flattening_within_a_model_changes_no_bit(kind: type[nn.Module]) -> None:
    model, x = cg.convert_to_analog(kind(3, 4, bidirectional=True), exact()), torch.randn(5, 2, 3)
    expected = model(x)[0]
    model.apply(lambda m: m.flatten_parameters() if hasattr(m, "flatten_parameters") else None)
    assert torch.equal(model(x)[0], expected)


class Between(nn.Module):
    """Two layers with torch code around them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(torch.cos(self.b(torch.tanh(self.a(x * 2) * 3))) + 1)


@pytest.mark.case("F22")
@pytest.mark.filterwarnings("ignore")  # what torch's compiler says about itself
@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_between_analog_layers_is_compiled(config: str) -> None:
    torch.manual_seed(0)
    digital, x = Between(), torch.randn(2, 5)
    analog, graphs = cg.convert_to_analog(digital, CONFIGS[config]()), []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    compiled = torch.compile(analog, backend=backend)
    torch.testing.assert_close(compiled(x), digital(x), rtol=1e-5, atol=1e-5)
    assert len(graphs) == 3  # before, between and after
    optimizers = cg.AnalogSGD(analog.parameters(), lr=0.1), torch.optim.SGD(digital.parameters(), lr=0.1)
    for model, optimizer in zip((compiled, digital), optimizers, strict=True):
        model(x).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(compiled(x), digital(x), rtol=1e-5, atol=1e-5)


@pytest.mark.case("F22")
@pytest.mark.filterwarnings("ignore")  # what torch's compiler says about itself
@pytest.mark.parametrize("root", [perceptron, lambda: nn.Linear(20, 3)], ids=["model", "layer"])
def test_one_graph_of_all_is_refused_with_a_way_out(root: Callable[[], nn.Module]) -> None:
    torch._dynamo.reset()  # what it compiled before with breaks, it does not look at again
    compiled = torch.compile(cg.convert_to_analog(root(), exact()), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=r"analog tiles are no torch code; leave fullgraph=True out"):
        compiled(torch.randn(2, 20))


IMAGES = {
    "Conv1d": (lambda: nn.Conv1d(3, 4, 3), (0, 3, 5), (0, 4, 3)),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3), (0, 3, 5, 5), (0, 4, 3, 3)),
    "Conv2d of groups, strided": (lambda: nn.Conv2d(4, 4, 3, 2, groups=2), (0, 4, 5, 5), (0, 4, 2, 2)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (0, 2, 4, 4, 4), (0, 3, 3, 3, 3)),
    "Linear over positions": (lambda: nn.Linear(5, 2), (0, 7, 5), (0, 7, 2)),
}


@pytest.mark.case("F23")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("layer", IMAGES)
def test_a_batch_from_which_all_was_filtered_passes_through(layer: str, config: str) -> None:
    make, shape, expected = IMAGES[layer]
    analog, x = cg.convert_to_analog(make(), CONFIGS[config]()), torch.zeros(shape, requires_grad=True)
    before = cg.weights_sha256(analog)
    optimizer = cg.AnalogSGD(analog.parameters(), lr=0.1)
    y = analog(x)
    y.sum().backward()
    optimizer.step()
    assert tuple(y.shape) == expected
    assert x.grad.shape == x.shape
    assert cg.weights_sha256(analog) == before


@pytest.mark.case("F29")
@pytest.mark.parametrize("frozen", ["root", "part", "nothing"])
def test_inference_returns_models_as_they_were(frozen: str) -> None:
    layers = nn.Sequential(nn.Linear(5, 6), nn.Sequential(nn.BatchNorm1d(6), nn.Dropout()), nn.Linear(6, 3))
    model = cg.convert_to_analog(layers, exact()).train()
    {"root": model, "part": model[1], "nothing": nn.Identity()}[frozen].eval()
    before = [module.training for module in model.modules()]
    with cg.emulate(model) as run:
        run.infer(torch.randn(8, 5), micro_batch=3)
    assert [module.training for module in model.modules()] == before


@pytest.mark.case("F11")
@pytest.mark.parametrize("times", [(1000.0, 1000.0), (500.0, 250.0, 250.0, 1000.0)])
def test_a_tile_drifts_from_the_call_that_notes_its_weight(times: tuple[float, ...]) -> None:
    """w(t) = w_0 t^-nu of the time since the first call, which only notes the weight."""
    tile = cg.AnalogTile(
        1, 1, cg.SingleRPUConfig(device=cg.SoftBoundsDevice(drift=cg.DriftParameter(nu=0.3)))
    )
    tile.set_weights(torch.tensor([[0.1]]))
    tile.drift_weights(1.0)
    assert tile.get_weights().item() == pytest.approx(0.1, rel=1e-6)
    for time in times:
        tile.drift_weights(time)
    assert tile.get_weights().item() == pytest.approx(0.1 * sum(times) ** -0.3, rel=1e-5)


@pytest.mark.case("S1")
@pytest.mark.parametrize("use", [
    lambda: cg.AnalogLinear(3, 2)(torch.zeros(1, 3, dtype=torch.complex64)),
    lambda: cg.AnalogConv1d(3, 2, 1)(torch.zeros(1, 3, 4, dtype=torch.complex128)),
    lambda: cg.AnalogLSTM(3, 2)(torch.zeros(4, 1, 3, dtype=torch.complex64)),
], ids=["linear", "convolution", "recurrent"])  # fmt: skip
def test_complex_numbers_lose_no_half(use: Callable[[], object]) -> None:
    with pytest.raises(cg.InputError, match="complex numbers"):
        use()


@pytest.mark.case("S3")
@pytest.mark.parametrize("excluded", ["head", ["head"], ("head",)])
def test_one_name_or_several_are_excluded(excluded: Any) -> None:
    model = nn.ModuleDict({"body": nn.Linear(3, 3), "head": nn.Linear(3, 2)})
    analog = cg.convert_to_analog(model, exact(), exclude_modules=excluded)
    assert [type(layer).__name__ for layer in analog.values()] == ["AnalogLinear", "Linear"]
    with pytest.raises(cg.ConfigError, match="'haed'"):
        cg.convert_to_analog(model, exact(), exclude_modules="haed")


@pytest.mark.case("S4")
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_matrices_of_a_recurrent_root_have_names(kind: type[nn.Module]) -> None:
    analog = cg.convert_to_analog(kind(3, 4), exact())
    with cg.emulate(analog, chip="hermes-64", example_input=(5, 1, 3)) as run:
        assert run.plan is not None
        assert [layer.name for layer in run.plan.layers] == ["weight_ih_l0", "weight_hh_l0"]


@pytest.mark.case("S5")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_validation_pass_between_steps_leaves_a_run_reproducible(network: str) -> None:
    """Reads count in the order of the program: the same program gives the same bits."""
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        model, x = cg.convert_to_analog(NETWORKS[network](), cg.SingleRPUConfig()), torch.randn(4, 20)
        found.append(trained(model, x, between=lambda model=model, x=x: model(x)))
    assert found[0] == found[1]


@pytest.mark.case("S6")
@pytest.mark.parametrize("aged", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_programmed_model_goes_back_with_its_trained_weights(network: str, aged: bool) -> None:
    torch.manual_seed(0)
    digital, x = NETWORKS[network]().eval(), torch.randn(4, 20)
    analog = cg.convert_to_analog(digital, perfect())
    analog.program_analog_weights()
    if aged:
        analog.drift_analog_weights(1e6)
    assert largest(analog(x), digital(x)) > 1e-3
    assert torch.equal(cg.convert_to_digital(analog)(x), digital(x))


@pytest.mark.case("S7")
@pytest.mark.parametrize("use", [
    lambda layer, x: torch.func.grad(lambda t: layer(t).sum())(x),
    lambda layer, x: torch.vmap(layer)(x),
    lambda layer, x: torch.func.jvp(layer, (x,), (x,)),
    torch.jit.trace,
    lambda layer, x: torch.fx.symbolic_trace(nn.Sequential(layer)),
    lambda layer, x: torch.autograd.functional.hessian(lambda t: layer(t).square().sum(), x),
], ids=["func.grad", "vmap", "jvp", "jit.trace", "fx", "hessian"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("config", CONFIGS)
def test_what_cannot_be_is_refused_in_one_line(config: str, use: Callable[..., object]) -> None:
    layer, x = cg.AnalogLinear(4, 3, rpu_config=CONFIGS[config]()), torch.randn(2, 4)
    with pytest.raises((cg.ConfigError, cg.InputError)) as told:
        use(layer, x)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.case("F05")
@pytest.mark.parametrize("config", CONFIGS)
def test_what_hangs_on_a_layer_stays_on_it(config: str) -> None:
    """Hooks, attributes and buffers of a digital layer, to analog and back."""
    torch.manual_seed(0)
    digital, x, seen = perceptron(), torch.randn(4, 20, requires_grad=True), []
    digital[0].register_forward_pre_hook(lambda *_: seen.append("pre"))
    handle = digital[0].register_forward_hook(lambda m, i, y: y * 2)
    digital[2].register_full_backward_hook(lambda *_: seen.append("backward"))
    digital[0].register_buffer("mask", torch.ones(2))
    digital[0].purpose = "features"
    expected = digital(x)
    for model in (
        cg.convert_to_analog(digital, CONFIGS[config]()),
        cg.convert_to_digital(cg.convert_to_analog(digital, CONFIGS[config]())),
    ):
        seen.clear()
        y = model(x)
        y.sum().backward()
        torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
        assert seen == ["pre", "backward"]
        assert model[0].purpose == "features"
        assert "0.mask" in model.state_dict()
    analog = cg.convert_to_analog(digital, CONFIGS[config](), inplace=True)
    handle.remove()  # who holds the handle still can
    assert largest(analog(x), expected) > 1e-3


@pytest.mark.case("F05")
@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_on_gradients_that_tiles_do_not_have_are_refused(register: str) -> None:
    digital = perceptron()
    getattr(digital[0].weight, register)(lambda g: None)
    cg.convert_to_analog(copy.deepcopy(digital), exact())  # torch's copies have none
    with pytest.raises(cg.ConfigError, match=r"0\.weight has a hook on its gradient"):
        cg.convert_to_analog(digital, exact(), inplace=True)
