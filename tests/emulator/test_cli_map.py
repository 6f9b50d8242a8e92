"""The command: map, compare, chips, diff; every mistake one line on stderr and status 2."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crossgrid.chip import load_chip
from crossgrid.chip.plan.file import load_plan
from crossgrid.emulator.cli.main import COMMANDS, main
from crossgrid.emulator.shapes.zoo import ZOO, zoo_digital, zoo_layers


def test_map_writes_everything_that_is_asked_for(tmp_path: Path, capsys) -> None:
    files = {name: str(tmp_path / name) for name in ("json", "html", "save", "png", "neurosim", "zigzag")}
    options = [text for name, path in files.items() for text in (f"--{name}", path)]
    assert main(["map", "lenet5", "--chip", "demo-128", *options]) == 0
    data = json.loads(Path(files["json"]).read_text())
    assert data["tiles_used"] == 10
    assert data["strategy"] == "per-layer"
    assert data["model"] == "lenet5"
    assert load_plan(files["save"]).tiles_used == 10
    assert "<!doctype html>" in Path(files["html"]).read_text()
    assert Path(files["png"]).read_bytes().startswith(b"\x89PNG")
    assert Path(files["neurosim"]).read_text().startswith("28,28,1,5,5,16,1,1\n")
    assert "workload:" in Path(files["zigzag"]).read_text()
    assert "conv1" in capsys.readouterr().out


@pytest.mark.parametrize("model", sorted(set(ZOO) - {"llama-2-70b"}))
def test_every_model_of_the_zoo_maps(model: str, capsys) -> None:
    assert main(["map", model, "--chip", "hermes-64", "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in data["layers"]] == [layer.name for layer in zoo_layers(model)]
    assert data["tiles_available"] == data["chips_used"] * 64


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("resnet18", 11_678_912), ("resnet50", 25_502_912), ("bert-base", 85_524_480), ("gpt2", 123_532_032),
        ("llama-2-7b", 6_607_077_376), ("llama-2-70b", 68_713_185_280), ("vgg8", 12_973_440),
        ("lenet5", 80_016), ("vgg16", 138_344_128), ("mobilenet-v2", 3_469_760), ("vit-b-16", 86_292_480),
        ("unet", 31_024_960), ("mixtral-8x7b", 46_571_454_464),
    ],
)  # fmt: skip
def test_zoo_has_the_published_numbers_of_weights(model: str, weights: int) -> None:
    """Published parameters without biases, norms and embeddings: ResNet-18 11,689,512 less 10,600, ResNet-50
    25,557,032 less 54,120; Llama 2 6,738,415,616 less 131,072,000 of the embedding and 266,240 of the norms,
    and 68,976,648,192 less 262,144,000 and 1,318,912. VGG-16 138,357,544 less 13,416 biases, MobileNetV2
    3,504,872 less 34,112 of norms and 1,000 biases, ViT-B/16 86,567,656 less 275,176 (positions 151,296,
    class 768, norms 38,400, biases 84,712), Mixtral 46,702,792,704 less 131,072,000 and 266,240."""
    assert sum(layer.weights for layer in zoo_layers(model)) == weights


@pytest.mark.parametrize(
    ("model", "gigamacs"), [("resnet18", 1.81), ("resnet50", 4.09), ("vgg16", 15.47), ("mobilenet-v2", 0.30)]
)
def test_zoo_has_the_published_multiplications(model: str, gigamacs: float) -> None:
    """torchvision's tables of its weights (GFLOPS there: a multiplication and its addition are one)."""
    macs = sum(layer.weights * layer.reuse for layer in zoo_layers(model))
    assert macs / 1e9 == pytest.approx(gigamacs, abs=0.006)


def test_zoo_s_vision_transformer_has_the_published_multiplications() -> None:
    """17.56 of torchvision's table counts attention's products too, 12 x 2 x 197 x 197 x 768."""
    macs = sum(layer.weights * layer.reuse for layer in zoo_layers("vit-b-16"))
    attention = sum(work.macs or 0.0 for work in zoo_digital("vit-b-16"))
    assert attention == 12 * 2 * 197 * 197 * 768
    assert (macs + attention) / 1e9 == pytest.approx(17.56, abs=0.02)


def test_compare_puts_chips_side_by_side(tmp_path: Path, capsys) -> None:
    page = tmp_path / "compare.html"
    chips = ["--chip", "demo-128", "--chip", "hermes-64"]
    assert main(["compare", "resnet9", *chips, "--all-strategies", "--html", str(page)]) == 0
    text = capsys.readouterr().out
    assert text.count("hermes-64") == 4
    assert '"chip":"hermes-64"' in page.read_text()
    assert main(["compare", "resnet9", *chips, "--json", "-"]) == 0
    assert [entry["chip"] for entry in json.loads(capsys.readouterr().out)] == ["demo-128", "hermes-64"]


def test_chips_lists_and_draws(capsys) -> None:
    assert main(["chips"]) == 0
    listed = capsys.readouterr().out
    assert all(
        name in listed for name in ("demo-128", "hermes-64", "isaac", "neurosim-128", "speech-34", "ideal")
    )
    assert main(["chips", "isaac"]) == 0
    assert "ISAAC, table I" in capsys.readouterr().out
    assert main(["chips", "hermes-64", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["tops"] == pytest.approx(63.1, rel=0.01)


def test_diff_and_why(tmp_path: Path, capsys) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["map", "lenet5", "--chip", "demo-128", "--save", one]) == 0
    assert (
        main(["map", "lenet5", "--chip", "demo-128", "--strategy", "packed", "--save", two, "--why", "conv2"])
        == 0
    )
    assert "conv2[0:32, 0:100] on 0/" in capsys.readouterr().out
    assert main(["diff", one, two]) == 0
    assert "strategy: per-layer -> packed" in capsys.readouterr().out


def test_a_saved_plan_is_taken_for_its_own_model_and_chip_alone(tmp_path: Path, capsys) -> None:
    plan = str(tmp_path / "plan")
    assert main(["map", "lenet5", "--chip", "demo-128", "--strategy", "packed", "--save", plan]) == 0
    capsys.readouterr()
    assert main(["map", "lenet5", "--chip", "demo-128", "--plan", plan, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["strategy"] == "packed"
    again = ["map", "lenet5", "--chip", "demo-128", "--plan", plan, "--strategy", "packed"]
    assert main(again) == 2
    assert "is mapped already: leave out --strategy" in capsys.readouterr().err
    assert main(["map", "resnet9", "--chip", "demo-128", "--plan", plan]) == 2
    assert "the plan belongs to another model: its layer 0 is 'conv1' (16 x 25)" in capsys.readouterr().err
    assert main(["map", "lenet5", "--chip", "hermes-64", "--plan", plan]) == 2
    assert "the plan belongs to another chip: it was made for 'demo-128'" in capsys.readouterr().err


def test_strategy_and_placement_and_chips_are_passed_on(capsys) -> None:
    options = ["--strategy", "replicated", "--placement", "traffic", "--chips", "1", "--json", "-"]
    assert main(["map", "lenet5", "--chip", "demo-128", *options]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["strategy"], data["placement"], data["chips_used"]) == ("replicated", "traffic", 1)
    assert data["layers"][0]["copies"] > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["map", "lenet", "--chip", "demo-128"], "unknown model 'lenet': did you mean 'lenet5'"),
        (["map", "lenet5", "--chip", "demo128"], "unknown chip 'demo128': did you mean 'demo-128'"),
        (["map", "lenet5", "--chip", "none.yaml"], "does not exist"),
        (["map", "lenet5", "--chip", "demo-128", "--strategy", "pack"], "unknown strategy 'pack'"),
        (["map", "resnet18", "--chip", "demo-128", "--chips", "1"], "8 chips would do"),
        (["map", "lenet5", "--chip", "demo-128", "--chips", "0"], "chips = 0 must be"),
        (["map", "lenet5", "--chip", "demo-128", "--why", "conv9"], "unknown layer 'conv9'"),
        (["map", "none.py:model", "--chip", "demo-128"], "no file 'none.py'"),
        (["map", "lenet5", "--chip", "demo-128", "--json", "/nowhere/x"], "/nowhere/x"),
        (["diff", "none", "none"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], words: str, capsys) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_help_names_every_command(capsys) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^\s+{name}\b", text, re.M) for name in COMMANDS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_llama_2_7b_maps_in_five_seconds_and_a_gigabyte() -> None:
    """The whole command in its own process, timed by the processor: other work does not count.

    The peak is that of the process's own memory: getrusage also counts what it was forked from.
    """
    code = (
        "import os, re, sys; from crossgrid.emulator.cli.main import main; "
        "status = main(['map', 'llama-2-7b', '--chip', 'hermes-64', '--json', '-']); "
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
        "print(sum(os.times()[:2]), peak, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, kilobytes = done.stderr.split()[-2:]
    assert float(seconds) < 5
    assert int(kilobytes) * 1024 < 1e9
    assert json.loads(done.stdout)["tiles_used"] == 100_816


@pytest.mark.slow
def test_llama_2_70b_maps_in_thirty_seconds(capsys) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert main(["map", "llama-2-70b", "--chip", "hermes-64", "--json", "-"]) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 30
    assert json.loads(capsys.readouterr().out)["tiles_used"] == 1_048_480


def test_map_does_not_load_torch() -> None:
    code = (
        "import sys; from crossgrid.emulator.cli.main import main; "
        "main(['map', 'lenet5', '--chip', 'demo-128']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_zoo_lenet5_fits_the_demo_chip() -> None:
    assert main(["map", "lenet5", "--chip", "demo-128", "--chips", str(load_chip("demo-128").chips)]) == 0
