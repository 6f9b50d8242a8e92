"""A model in stages, each a process beside its tiles: the bits of the local run, whatever is killed."""

from __future__ import annotations

import copy
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray.cloudpickle
import torch
from chaos import Tally
from safetensors.torch import save_file
from torch import Tensor, nn

import crossgrid as cg
from crossgrid.emulator.stages.actor import StageActor
from crossgrid.emulator.stages.passes.cut import cut_model
from crossgrid.emulator.stages.passes.passing import Passages

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes cannot import it

INFERENCE = cg.InferenceRPUConfig()
PULSED = cg.SingleRPUConfig(mapping=cg.MappingParameter(max_input_size=7, max_output_size=5))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch's sums follow its threads: as many here as a stage has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
        nn.Sequential(nn.Linear(16, 9), nn.Tanh()), nn.Linear(9, 4),
    )  # fmt: skip


class Skips(nn.Module):
    """Blocks, a mask, positions that are the model's own, and values used far from where they arise."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(11, 16), nn.Parameter(torch.randn(4, 16) / 4)
        self.register_buffer("scale", torch.full((), 0.5), persistent=False)
        make = nn.TransformerEncoderLayer
        self.blocks = nn.ModuleList(make(16, 2, 32, batch_first=True, dropout=0.0) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, tokens: Tensor) -> dict[str, Any]:
        e = self.embed(tokens) + self.places[: tokens.shape[1]]
        length, h = tokens.shape[1], e * self.scale
        seen = torch.ones(length, length, device=e.device).tril() > 0
        mask = torch.zeros(length, length, device=e.device).masked_fill(~seen, float("-inf"))
        for block in self.blocks:
            h = block(h, src_mask=mask)
        return {"y": self.head(self.norm(h) + e), "hidden": h, "length": length}


class Lists(nn.Module):
    """Parts in lists, which nobody calls: those of a list are, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(12, 12), nn.Sequential(nn.Linear(12, 12), nn.Tanh())])
        self.heads = nn.ModuleDict({"first": nn.Linear(12, 40), "second": nn.Linear(12, 3)})

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = x + layer(x)
        return torch.cat([head(x) for head in self.heads.values()], 1)


def floats() -> Tensor:
    return torch.rand(9, 12, generator=torch.Generator().manual_seed(5))


def tokens() -> Tensor:
    return torch.randint(11, (7, 4), generator=torch.Generator().manual_seed(5))


def made(make: Callable[[], nn.Module], config: Any) -> nn.Module:
    torch.manual_seed(7)
    return cg.convert_to_analog(make(), config)


def as_bytes(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in model.state_dict().items()}


def outputs(model: nn.Module, running: Any, x: Tensor) -> list[Tensor]:
    """What it gives fresh, programmed, and aged."""
    found = [running.infer(x, micro_batch=2)]
    if not cg.analog_summary(model).analog[0].device:
        cg.program_analog_weights(model)
        found.append(running.infer(x, micro_batch=3, depth=1))
        cg.drift_analog_weights(model, 3600.0)
        found.append(running.infer([x, x[:3]], depth=4))
    return [each["y"] if isinstance(each, dict) else each for each in found]


CASES = {"chain": (chain, floats), "skips": (Skips, tokens), "lists": (Lists, floats)}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("name", "config", "stages"),
    [
        ("chain", PULSED, 2), ("skips", INFERENCE, 3), ("lists", INFERENCE, ["heads"]),
        pytest.param("lists", INFERENCE, 2, marks=pytest.mark.slow),
        pytest.param("lists", PULSED, ["body.1", "heads.second"], marks=pytest.mark.slow),
        *(
            pytest.param(name, config, stages, marks=pytest.mark.slow)
            for name, config in (("chain", PULSED), ("chain", INFERENCE), ("skips", INFERENCE))
            for stages in (1, 2, 4)
        ),
    ],
    ids=str,
)  # fmt: skip
def test_stages_give_the_bits_of_the_local_run(name: str, config: Any, stages: int | list[str]) -> None:
    make, inputs = CASES[name]
    expected, model = made(make, config), made(make, config)
    with cg.emulate(expected, "demo-128") as running:
        wanted = outputs(expected, running, inputs())
    with cg.emulate(model, "demo-128", "ray", stages=stages) as running:
        found = outputs(model, running, inputs())
        assert cg.weights_sha256(model) == cg.weights_sha256(expected)
        assert running.report().plan == running.plan
        assert running.totals.actors == (stages if isinstance(stages, int) else len(stages) + 1)
        samples = running.tile_samples()
        assert {tile["layer"] for tile, _ in samples} == {name for name, _ in running.layers}
        assert all(counters["forward_count"] > 0 for _, counters in samples)
    assert all(map(torch.equal, found, wanted))
    assert as_bytes(model) == as_bytes(expected)


@pytest.mark.usefixtures("ray_session")
def test_numbers_in_files_go_to_the_stages_alone(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        numbers = Skips().state_dict()
    save_file({name: tensor.clone() for name, tensor in numbers.items()}, tmp_path / "model.safetensors")
    expected = Skips()
    expected.load_state_dict(numbers)
    expected = cg.convert_to_analog(expected, INFERENCE, seed=3)
    with cg.deferred():
        model = Skips()
    model = cg.convert_to_analog(model, INFERENCE, seed=3)
    with cg.emulate(expected) as running:
        wanted = outputs(expected, running, tokens())
    with cg.emulate(model, backend="ray", stages=["blocks.1"], weights=tmp_path) as running:
        found = outputs(model, running, tokens())
        assert all(torch.equal(w, running.weights()[n]) for n, w in cg.analog_weights(expected).items())
    assert all(map(torch.equal, found, wanted))
    assert all(parameter.is_meta for parameter in model.parameters())  # nothing came home


@pytest.mark.usefixtures("ray_session")
def test_a_stage_that_dies_behind_the_last_output_has_lost_no_time_of_its_devices() -> None:
    """Before it could say how far its clocks are: the noise of what follows is that of the local run."""
    expected, model = made(chain, INFERENCE), made(chain, INFERENCE)
    with cg.emulate(expected) as running:
        wanted = [running.infer(floats(), micro_batch=4) for _ in range(2)]
    with cg.emulate(model, backend="ray", stages=2) as running:
        for number, output in enumerate(wanted):
            found = []
            for each, _ in running.stages.inference.outputs(iter(floats().split(4)), depth=1):
                found.append(each)
                if sum(map(len, found)) == len(floats()) and number == 0:
                    os.kill(running.stages.stages[1].address.pid, signal.SIGKILL)
            assert torch.equal(torch.cat(found), output), number


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.chaos])])
def test_a_stage_that_is_killed_costs_time_alone(kills: int) -> None:
    """Kills while the others wait or work: all hear of it within a second, and a new one joins."""
    expected, model = made(chain, INFERENCE), made(chain, INFERENCE)
    with cg.emulate(expected) as running:
        cg.program_analog_weights(expected)
        wanted = [running.infer(floats(), micro_batch=1) for _ in range(kills)]
    emulation = cg.emulate(model, backend="ray", stages=2)
    emulation.recovery = cg.Recovery(restarts=100)
    told: list[float] = []
    lost: list[float] = []
    with emulation as running:
        cg.program_analog_weights(model)
        start = running.stages.launcher.start

        def timed(*args: Any) -> None:
            told.append(time.monotonic())  # by now every other stage has left its round
            start(*args)

        running.stages.launcher.start = timed
        for number, output in enumerate(wanted):
            found = []
            for each, _ in running.stages.inference.outputs(iter(floats().split(1)), depth=1):
                found.append(each)
                if len(found) == 1 + number % 5:
                    killed = time.monotonic()
                    os.kill(running.stages.stages[number % 2].address.pid, signal.SIGKILL)
            assert torch.equal(torch.cat(found), output)
            lost.append(running.totals.recovered.seconds - sum(lost))
            assert len(told) == number + 1
            assert told[-1] - killed < 1.0
        assert running.totals.recovered.restarts == kills
    assert as_bytes(model) == as_bytes(expected)
    Tally("SIGKILL of a stage between micro-batches", kills, kills, lost).note()


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("stops", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_stopped_stage_is_replaced_after_its_time_and_does_not_answer_for_its_successor(stops: int) -> None:
    """Stopped before a programming; of three times in an inference and before the next one, too."""
    expected, model = made(chain, INFERENCE), made(chain, INFERENCE)
    with cg.emulate(expected) as running:
        wanted = [running.infer(floats(), micro_batch=1)]
        cg.program_analog_weights(expected)
        wanted += [running.infer(floats(), micro_batch=1) for _ in range(2)]
    patience_s = 6.0  # a stage that begins loads its kernels first: 3 s on a busy machine
    with cg.emulate(model, backend="ray", stages=2, timeout_s=patience_s) as running:
        stopped = []

        def stop(stage: int) -> float:
            stopped.append(running.stages.stages[stage].address.pid)
            os.kill(stopped[-1], signal.SIGSTOP)
            return time.monotonic()

        found: list[Tensor] = []
        for each, _ in running.stages.inference.outputs(iter(floats().split(1)), depth=1):
            found.append(each)
            if len(found) == 3 and stops > 1:
                began = stop(1)
        if stops > 1:
            assert time.monotonic() - began > patience_s
        began = stop(0)
        cg.program_analog_weights(model)
        assert time.monotonic() - began > patience_s
        outputs = [torch.cat(found), running.infer(floats(), micro_batch=1)]
        if stops > 1:
            stop(0)
        outputs.append(running.infer(floats(), micro_batch=1))
        assert all(map(torch.equal, outputs, wanted))
        assert running.totals.recovered.restarts == len(stopped)
        assert not [pid for pid in stopped if Path(f"/proc/{pid}").exists()]
    assert as_bytes(model) == as_bytes(expected)


class Waits(nn.LayerNorm):
    """Part of a stage, since it has numbers: gives the first real values that it gets 12 seconds later."""

    def __init__(self) -> None:
        super().__init__(12)
        self.waited = False

    def forward(self, x: Tensor) -> Tensor:
        if not (x.is_meta or self.waited):
            self.waited = True
            time.sleep(12.0)
        return super().forward(x)


@pytest.mark.usefixtures("ray_session")
def test_a_stage_that_is_slow_and_not_stopped_is_said() -> None:
    """For four times as long as it may be: a longer time is the way out, not another process; it goes on."""

    def network() -> nn.Module:
        return nn.Sequential(Waits(), nn.Linear(12, 12), nn.Linear(12, 4))

    expected, model = made(network, INFERENCE), made(network, INFERENCE)
    expected[0].waited = True
    with cg.emulate(expected) as running:
        wanted = running.infer(floats())
    with cg.emulate(model, backend="ray", stages=2, timeout_s=3.0) as running:
        with pytest.raises(cg.TileError, match="gave nothing for 3 s, and none is stopped: one is too slow"):
            running.infer(floats())
        running.stages.timeout_s = 60.0
        assert torch.equal(running.infer(floats()), wanted)
        assert len(running.weights()) == 2
        assert running.totals.recovered.restarts == 0


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_who_leaves_while_a_stage_is_busy_does_not_wait_for_it() -> None:
    """It is replaced on leaving, and everything comes home."""
    model = made(lambda: nn.Sequential(Waits(), nn.Linear(12, 12), nn.Linear(12, 4)), INFERENCE)
    kept = as_bytes(model)

    def run() -> None:
        with cg.emulate(model, backend="ray", stages=2, timeout_s=1.0) as running:
            running.infer(floats())

    with pytest.raises(cg.TileError, match="one is too slow"):
        run()
    assert as_bytes(model) == kept


@pytest.mark.usefixtures("ray_session")
def test_without_recovery_a_dead_stage_is_named() -> None:
    emulation = cg.emulate(made(chain, INFERENCE), backend="ray", stages=2)
    emulation.recovery = None
    with emulation as running:
        os.kill(running.stages.stages[1].address.pid, signal.SIGKILL)
        with pytest.raises(cg.TileError, match=r"stage 1 \(process \d+ on node \w+\) died"):
            running.infer(floats())
        emulation.stages.recovery = cg.Recovery()  # so that the tiles can come home


class Back(nn.Module):
    """The first layer again after the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(self.second(self.first(x)))


class Choosing(nn.Module):
    """A path that depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(y) if y.sum() > 0 else y


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Back, "first is in stage 0 .* after modules of stage 1: .* no cut is possible, leave stages= out"),
        (Choosing, "does not pass through the stages"),
    ],
)
def test_what_stages_cannot_run_is_one_line(make: Callable[[], nn.Module], said: str) -> None:
    model = made(make, INFERENCE)
    with cg.emulate(model, backend="ray", stages=2) as running:
        with pytest.raises(cg.ConfigError, match=said):
            running.infer(floats())
        with pytest.raises(cg.ConfigError, match=r"are in stages: call emulation\.infer\(x\)"):
            model(floats())


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (0, "stages = 0 must be a number of at least 1"),
        (True, "stages = True must be"),
        (9, "has 4 parts with weights that a stage can begin with"),
        ("all", "stages = 'all' must be"),
        (["2", "0"], "name modules in the model's order"),
        (["seven"], "unknown module in stages 'seven'|no module in stages|'seven'"),
    ],
)
def test_stages_that_do_not_exist_are_refused(stages: Any, said: str) -> None:
    with pytest.raises(cg.ConfigError, match=said):
        cg.emulate(made(chain, INFERENCE), backend="ray", stages=stages)
    with pytest.raises(cg.ConfigError, match="use backend='ray'"):
        cg.emulate(made(chain, INFERENCE), stages=2)


def families() -> Iterator[tuple[str, nn.Module]]:
    transformers = pytest.importorskip("transformers", reason="an extra: pip install 'crossgrid[models]'")
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32}
    heads = {"num_hidden_layers": 4, "num_attention_heads": 2}
    llama = transformers.LlamaConfig(**sizes, **heads, num_key_value_heads=2, use_cache=False)
    yield "llama", transformers.LlamaForCausalLM(llama)
    yield "bert", transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, **heads))
    gpt = transformers.GPT2Config(
        vocab_size=32, n_embd=16, n_layer=4, n_head=2, use_cache=False, bos_token_id=0, eos_token_id=0
    )
    yield "gpt", transformers.GPT2LMHeadModel(gpt)


def test_models_of_other_people_pass_through_stages() -> None:
    """Stage after stage in this process: what is handed on makes the whole model's output."""
    for name, digital in families():
        model = cg.convert_to_analog(digital, INFERENCE).eval()
        with torch.no_grad():
            expected = copy.deepcopy(model)(tokens()).logits
        for count in (2, 3, 4):
            cut = cut_model(model, count, 2)
            needs, _ = Passages(copy.deepcopy(model), cut, None).find_needs(tokens())
            handed: Any = {}
            for stage in range(count):
                wanted = frozenset(needs.crossing(stage + 1)) if stage + 1 < count else frozenset[str]()
                handed = Passages(copy.deepcopy(model), cut, stage).run(tokens(), handed, wanted)
            assert torch.equal(handed.logits, expected), (name, count)


def test_kernels_take_the_processors_of_stages_that_wait() -> None:
    """Of each micro-batch: at any moment the stages at work have all processors, and no more."""
    taken: dict[tuple[int, int], int] = {}
    for stage in range(3):
        actor: Any = StageActor.__new__(StageActor)
        actor.stage, actor._beside, actor._processors, actor._most = stage, range(3), 6, 6
        for batch in range(4):
            actor._set_threads = functools.partial(taken.__setitem__, (batch + stage, stage))
            actor._take_processors(batch, 4)
    moments = [sorted(n for (moment, _), n in taken.items() if moment == at) for at in range(6)]
    assert moments == [[6], [3, 3], [2, 2, 2], [2, 2, 2], [3, 3], [6]]
