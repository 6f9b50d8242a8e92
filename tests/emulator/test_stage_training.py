"""Training in stages: the bits of the local run with the same micro-batches, in any cut and order."""

from __future__ import annotations

import copy
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray.cloudpickle
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.model.deferred import is_deferred
from crossgrid.emulator.nn.dropout import addressed, of_micro_batch
from crossgrid.emulator.stages.optimizers import ALONE, built, recipe_of
from crossgrid.emulator.stages.orders import order

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes cannot import it

INFERENCE = cg.InferenceRPUConfig(
    modifier=cg.WeightModifierParameter(type=cg.WeightModifierType.ADD_NORMAL, std_dev=0.05)
)
PULSED = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_input_size=7, max_output_size=5))


PROCESSORS = 4  # of the tests' Ray
STAGES = {"backend": "ray", "stages": 2}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Torch's sums follow its threads, which tests set to as many as a stage has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.25), nn.Linear(16, 16), nn.ReLU(inplace=True),
        nn.Sequential(nn.Linear(16, 9), nn.Tanh()), nn.Linear(9, 4),
    )  # fmt: skip


class Skips(nn.Module):
    """Blocks with dropout, a parameter of the root, and a value that is used far from where it arises."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(11, 16), nn.Parameter(torch.randn(4, 16) / 4)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.drop, self.norm, self.head = nn.Dropout(0.1), nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        e = self.embed(tokens) + self.places[: tokens.shape[1]]
        r = self.first(e)
        h = e + self.drop(torch.relu(r))
        h = h + self.drop(torch.relu(self.second(self.norm(h)))) + r.mul_(0.5)
        return self.head(self.norm(h) + e).transpose(1, 2)


def floats() -> tuple[Tensor, Tensor]:
    return torch.rand(10, 12, generator=torch.Generator().manual_seed(5)), torch.arange(10) % 4


def tokens() -> tuple[Tensor, Tensor]:
    x = torch.randint(11, (7, 4), generator=torch.Generator().manual_seed(5))
    return x, x % 5


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return cg.AnalogSGD(model.parameters(), lr=0.1, momentum=0.9)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": decayed}, {"params": others, "weight_decay": 0.0}], lr=1e-2)


CASES: dict[str, tuple[Any, Callable[[], nn.Module], Any, Any]] = {
    "pulsed": (PULSED, chain, floats, sgd),
    "hardware-aware": (INFERENCE, Skips, tokens, adamw),
}


def trained(
    name: str, max_norm: float | None = None, schedule: Any = "gpipe", disturb: Any = None, **where: Any
) -> Any:
    """Losses, outputs in between, and everything that three steps of four micro-batches leave behind."""
    config, make, data, optimize = CASES[name]
    torch.manual_seed(7)
    model = cg.convert_to_analog(make(), config)
    optimizer, (x, y) = optimize(model), data()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    losses = []
    emulation = cg.emulate(model, **where)
    emulation.recovery = cg.Recovery(snapshot_messages=2, restarts=20)
    with emulation as running:
        if disturb is not None:
            disturb(running, optimizer)
        for _ in range(3):
            losses.append(running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, 4, schedule, max_norm))
            scheduler.step()
        output = running.infer(x, micro_batch=4)
        inside = bits(model.state_dict()), bits(flat(optimizer.state_dict()))
    return losses, bits({"y": output}), inside, bits(model.state_dict()), bits(flat(optimizer.state_dict()))


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    """The leaves of nested containers, by their paths."""
    if isinstance(tree, dict):
        return {k: v for key, each in tree.items() for k, v in flat(each, f"{name}.{key}").items()}
    if isinstance(tree, list):
        return flat(dict(enumerate(tree)), name)
    return {name: tree}


def bits(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v.contiguous().numpy().tobytes() if isinstance(v, Tensor) else v for k, v in values.items()}


@pytest.fixture(scope="module")
def local() -> Callable[..., Any]:
    """Local runs, each once."""
    known: dict[Any, Any] = {}

    def found(name: str, max_norm: float | None, threads: int) -> Any:
        torch.set_num_threads(threads)
        if (name, max_norm, threads) not in known:
            known[name, max_norm, threads] = trained(name, max_norm)
        return known[name, max_norm, threads]

    return found


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("name", "stages", "schedule", "max_norm"),
    [
        ("pulsed", 2, "gpipe", None), ("hardware-aware", 3, "1f1b", 0.5),
        *(
            pytest.param(name, stages, schedule, norm, marks=pytest.mark.slow)
            for name, norm in (("pulsed", 0.1), ("hardware-aware", None))
            for stages in (1, 2, 4)
            for schedule in ("gpipe", "1f1b")
        ),
    ],
    ids=str,
)  # fmt: skip
def test_training_in_stages_has_the_bits_of_the_local_run(
    local: Any, name: str, stages: int, schedule: Any, max_norm: float | None
) -> None:
    found = trained(name, max_norm, schedule, backend="ray", stages=stages)
    assert found == local(name, max_norm, PROCESSORS // stages)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("name", [pytest.param("hardware-aware", marks=pytest.mark.slow), "pulsed"])
def test_what_learnt_comes_home_to_a_model_without_numbers(name: str, tmp_path: Any) -> None:
    """A checkpoint is trained further in stages: afterwards the model computes as after the local run; what
    was frozen is in the file still."""
    config, _, _, optimize = CASES[name]

    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, 4))

    torch.manual_seed(7)
    save_file(network().state_dict(), tmp_path / "model.safetensors")
    x, y = floats()

    def run(frozen: bool, **where: Any) -> tuple[nn.Module, list[float]]:
        torch.manual_seed(8)
        torch.set_num_threads(PROCESSORS // 2)
        with cg.deferred():
            model = network()
        model = cg.convert_to_analog(model, config, seed=3)
        model[0].requires_grad_(not frozen)
        optimizer = optimize(model)
        with cg.emulate(model, weights=tmp_path, **where) as running:
            steps = range(2)
            losses = [running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, 2) for _ in steps]
        return model.eval(), losses

    (there, told), (here, known) = run(False, backend="ray", stages=2), run(False)
    assert told == known
    assert bits({"y": there(x).detach(), **there.state_dict()}) == bits(
        {"y": here(x).detach(), **here.state_dict()}
    )
    there, told = run(True, backend="ray", stages=2)
    here, known = run(True)
    assert told == known
    assert there[0].weight.is_meta or there[0].analog_tile.grid.is_absent
    assert torch.equal(there[2](x.new_ones(1, 16)), here[2](x.new_ones(1, 16)))


class Adapted(nn.Module):
    """A layer that a file has, and beside it one that it has not."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fixed, self.adapter = nn.Linear(inputs, outputs), None

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.fixed(x) + self.adapter(x))


@pytest.mark.parametrize(
    ("config", "where"),
    [
        pytest.param(INFERENCE, {}, id="hardware-aware-local"),
        pytest.param(PULSED, {}, id="pulsed-local"),
        pytest.param(INFERENCE, {"backend": "ray"}, id="hardware-aware-actors"),
        pytest.param(PULSED, {"backend": "ray"}, id="pulsed-actors", marks=pytest.mark.slow),
        pytest.param(INFERENCE, STAGES, id="hardware-aware-stages", marks=pytest.mark.slow),
        pytest.param(PULSED, STAGES, id="pulsed-stages"),
    ],
)
def test_adapters_learn_beside_fixed_weights_in_files(
    config: Any, where: Any, tmp_path: Any, request: Any
) -> None:
    """Everything is as in a model that was built with the file's numbers and adapted then; emulated again it
    goes on with the adapters that learnt."""
    if where:
        request.getfixturevalue("ray_session")
    torch.set_num_threads(PROCESSORS // 2)
    x, y = floats()

    def run(deferred: bool, **where: Any) -> tuple[nn.Module, list[Any], float]:
        torch.manual_seed(8)
        if deferred:
            with cg.deferred():
                model = nn.Sequential(Adapted(12, 16), Adapted(16, 4))
        else:
            model = nn.Sequential(Adapted(12, 16), Adapted(16, 4))
            save_file({name: values.clone() for name, values in model.state_dict().items()}, file)
        model.requires_grad_(False)
        torch.manual_seed(9)
        for part in model:
            part.adapter = nn.Linear(part.fixed.in_features, part.fixed.out_features)
        digital = lambda name, layer, config: None if "adapter" in name else config  # noqa: E731
        model = cg.convert_to_analog(model, config, specific_rpu_config_fun=digital, seed=3)
        learning = {name: p for name, p in model.named_parameters() if "adapter" in name}
        optimizer = torch.optim.AdamW(learning.values(), lr=0.05)
        with cg.emulate(model, weights=file if deferred else None, **where) as running:
            model.train()
            steps = range(2)
            found = [running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, 2) for _ in steps]
            found.append(bits({"y": running.infer(x)}))
            found.append({name: w.numpy().tobytes() for name, w in running.weights().items()})
        found.append(bits({name: p.detach() for name, p in learning.items()}))
        with cg.emulate(model, weights=file if is_deferred(model) else None, **where) as running:
            again = running.train_step(x, y, nn.CrossEntropyLoss(), optimizer, 2)
        return model, found, again

    file = tmp_path / "model.safetensors"
    _, wanted, _ = run(False)
    model, found, again = run(True, **where)
    assert found == wanted
    assert found[0] > found[1] > again
    assert [*found[3]] == ["0.fixed", "1.fixed"]
    if where.get("stages"):  # fixed weights stay where they are
        assert all(part.fixed.weight.is_meta or part.fixed.grid.is_absent for part in model)


class Kills:
    """Kills a stage in the first step's passes, before the next update, and behind the first snapshot."""

    def __init__(self, running: Any, optimizer: Any) -> None:
        self.running, self.steps = running, 0
        trainer = running.stages.trainer
        self.round = trainer._round
        trainer._round = self.passes
        optimizer.register_step_pre_hook(self.between)
        running.stages.revival.snapshot = self.snapshot
        self.taken = 0

    def kill(self, stage: int) -> None:
        os.kill(self.running.stages.stages[stage].address.pid, signal.SIGKILL)

    def passes(self, told: Any) -> Any:
        self.steps += 1
        if self.steps == 1:
            threading.Timer(0.01, self.kill, [1]).start()
        return self.round(told)

    def between(self, *_: Any) -> None:
        if self.running.totals.recovered.restarts == 1:
            self.kill(0)

    def snapshot(self) -> None:
        type(self.running.stages.revival).snapshot(self.running.stages.revival)
        self.taken += 1
        if self.taken == 1:
            self.kill(1)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    "name", ["hardware-aware", pytest.param("pulsed", marks=pytest.mark.slow)]
)  # fmt: skip
def test_stages_that_are_killed_in_training_cost_time_alone(local: Any, name: str) -> None:
    """In a pass, before an update, behind a snapshot: the bits are those of an undisturbed run."""
    kills: list[Kills] = []
    found = trained(name, None, "gpipe", lambda *each: kills.append(Kills(*each)), backend="ray", stages=2)
    assert kills[0].running.totals.recovered.restarts == 3
    assert kills[0].taken == 1
    assert found == local(name, None, PROCESSORS // 2)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_orders_keep_what_they_promise(schedule: str) -> None:
    """Each micro-batch goes forward before back, both in order; 1F1B holds no more than stages are left."""
    for stages, micro_batches in ((1, 1), (3, 2), (4, 9)):
        for stage in range(stages):
            held, most, found = 0, 0, list(order(schedule, stage, stages, micro_batches))
            for back in (False, True):
                assert [number for b, number in found if b is back] == list(range(micro_batches))
            for back, _ in found:
                held += -1 if back else 1
                assert held >= 0
                most = max(most, held)
            assert most == (micro_batches if schedule == "gpipe" else min(micro_batches, stages - stage))


def halves(model: nn.Module, names: list[str]) -> list[dict[str, nn.Parameter]]:
    own = dict(model.named_parameters())
    return [{n: own[n] for n in names[:2]}, {n: own[n] for n in names[2:]}]


@pytest.mark.parametrize("kind", ALONE, ids=lambda kind: kind.__name__)
def test_optimizers_in_parts_move_parameters_as_the_whole_does(kind: Any) -> None:
    """With states of before, another rate meanwhile, and groups of their own: bit for bit."""
    torch.manual_seed(1)
    whole = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    groups = [{"params": [*whole[0].parameters()], "lr": 0.02}, {"params": [*whole[1].parameters()]}]
    one = kind(groups, lr=0.01)
    gradients = [[torch.randn_like(p) for p in whole.parameters()] for _ in range(4)]

    def step(optimizers: list[Any], model: nn.Module, number: int) -> None:
        for parameter, gradient in zip(model.parameters(), gradients[number], strict=True):
            parameter.grad = gradient.clone()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] /= 1 + number
            optimizer.step()

    step([one], whole, 0)
    recipe = recipe_of(whole, one)
    cut = copy.deepcopy(whole)
    parts = [built(recipe, own) for own in halves(cut, [name for name, _ in cut.named_parameters()])]
    for number in range(1, 4):
        step([one], whole, number)
        step(parts, cut, number)
    assert all(map(torch.equal, whole.parameters(), cut.parameters()))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (nn.Dropout, (50, 40)), (nn.Dropout1d, (50, 40, 3)), (nn.Dropout2d, (50, 40, 2, 3)),
        (nn.Dropout3d, (50, 40, 2, 2, 2)), (nn.AlphaDropout, (50, 40)), (nn.FeatureAlphaDropout, (50, 40, 3)),
    ],
)  # fmt: skip
def test_addressed_dropout_is_torchs_with_other_masks(make: Any, shape: tuple[int, ...]) -> None:
    """What is kept has torch's value, as much is dropped as p says within five standard deviations, and the
    mask follows from the key, the name and the micro-batch alone."""
    model, x, p = nn.Sequential(make(0.3)), torch.randn(shape), 0.3
    torch.manual_seed(0)
    theirs = model(x)

    def of(number: int, key: int) -> Tensor:
        with addressed(model, key), of_micro_batch(number):
            return model(x)

    found, again = of(1, 5), of(1, 5)
    assert torch.equal(found, again)
    assert not torch.equal(found, of(2, 5))
    assert not torch.equal(found, of(1, 6))
    floor = torch.nn.functional.alpha_dropout(torch.full((10_000,), 9.0), p, True).min()
    dropped, of_theirs = (
        (y - (floor if "Alpha" in make.__name__ else 0)).abs() < 1e-5 for y in (found, theirs)
    )
    both = ~dropped & ~of_theirs
    torch.testing.assert_close(found[both], theirs[both], rtol=1e-6, atol=1e-6)
    units = dropped.flatten(2)[..., 0] if len(shape) > 2 else dropped
    assert abs(units.float().mean() - p) < 5 * (p * (1 - p) / units.numel()) ** 0.5
    assert torch.equal(model(x).isfinite(), x.isfinite())  # and torch's own is back


class OfTheBatch(nn.Module):
    """A loss that looks at other samples than its own."""

    def forward(self, y: Tensor, target: Tensor) -> Tensor:
        return ((y - y.mean(0)) ** 2).mean()


class Tied(nn.Module):
    """One weight at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.middle, self.outer = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.outer.weight = self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(torch.relu(self.middle(torch.relu(self.inner(x)))))


class Drawing(nn.Module):
    """Dropout that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(nn.functional.dropout(self.first(x), 0.5, self.training))


@pytest.mark.usefixtures("ray_session")
def test_what_cannot_be_trained_in_stages_is_one_line() -> None:
    x, y = floats()
    loss = nn.CrossEntropyLoss()

    def refused(
        running: Any, model: nn.Module, said: str, criterion: Any = loss, optimizer: Any = None, **how: Any
    ) -> None:
        before = cg.weights_sha256(model)
        optimizer = optimizer or torch.optim.SGD(model.parameters())
        with pytest.raises(cg.ConfigError, match=said):
            running.train_step(x, y, criterion, optimizer, **how)
        assert cg.weights_sha256(model) == before

    model = cg.convert_to_analog(Drawing(), INFERENCE)
    with cg.emulate(model, backend="ray", stages=2) as running:
        refused(running, model, r"drew from torch's generator.* set the dropout .* to 0")
        model.eval()  # nothing is drawn now
        refused(running, model, r"criterion's gradient of micro-batch 0 depends", OfTheBatch(), None,
                micro_batches=3, schedule="1f1b")  # fmt: skip
        refused(running, model, "LBFGS is not known", loss, torch.optim.LBFGS(model.parameters()))
        other = torch.optim.SGD(nn.Linear(2, 2).parameters())
        refused(running, model, "that the model in stages has not", loss, other)
        refused(running, model, "the criterion holds layers or parameters", lambda y, t: model(y).sum())
        refused(running, model, "schedule = 'zero' does not exist", schedule="zero")
        with pytest.raises(cg.ConfigError, match="gradients within train_step alone"):
            running.clip_grad_norm_(1.0)
        with pytest.raises(cg.ConfigError, match=r"to train, .* loss = emulation\.train_step\("):
            model(x)
    tied = cg.convert_to_analog(Tied(), INFERENCE)
    with cg.emulate(tied, backend="ray", stages=["middle", "outer"]) as running:
        refused(running, tied, r"weight learns in stage 0 of the model and in stage 2")
