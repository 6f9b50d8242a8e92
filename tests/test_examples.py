"""The examples run as a user runs them, and leave what they promise."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from common import mnist

ROOT = Path(__file__).parent.parent
SIMPLE = [
    "01_simple_layer",
    pytest.param("02_multiple_layer", marks=pytest.mark.slow),
    pytest.param("05_simple_layer_hardware_aware", marks=pytest.mark.slow),
    pytest.param("07_simple_layer_with_other_devices", marks=pytest.mark.slow),
    pytest.param("08_simple_layer_with_tiki_taka", marks=pytest.mark.slow),
]


def run(name: str, results: Path, *flags: str) -> tuple[dict[str, object], str]:
    """The example's metrics and what it printed."""
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--results", str(results), *flags]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, cwd=results.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads((results / "metrics.json").read_text()), done.stdout


@pytest.mark.parametrize("name", SIMPLE)
def test_a_simple_example_learns(name: str, tmp_path: Path) -> None:
    metrics, printed = run(name, tmp_path / "results", "--epochs", "60")
    assert len(metrics["loss"]) == 60
    assert metrics["loss"][-1] < metrics["loss"][0]
    assert len(metrics["weights_sha256"]) == 64
    assert metrics["tiles"] >= 1
    assert metrics["seconds"] > 0
    assert (tmp_path / "results" / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert printed.count("Loss error: ") == 60
    assert "metrics: http://localhost:" in printed


@pytest.mark.slow
def test_one_seed_gives_one_result_on_both_backends(tmp_path: Path) -> None:
    hashes = {
        (backend, seed): run("02_multiple_layer", tmp_path / f"{backend}{seed}", "--epochs", "5",
                             "--backend", backend, "--seed", seed)[0]["weights_sha256"]
        for backend, seed in (("local", "1"), ("ray", "1"), ("local", "2"))
    }  # fmt: skip
    assert hashes["local", "1"] == hashes["ray", "1"]
    assert hashes["local", "1"] != hashes["local", "2"]


def test_lenet5_on_the_digits(tmp_path: Path) -> None:
    results = tmp_path / "results"
    metrics, printed = run("04_lenet5_training", results, "--dataset", "digits", "--epochs", "1")
    assert metrics["tiles"] == 10
    assert len(metrics["loss"]) == len(metrics["accuracy"]) == 1
    assert 0.1 < metrics["accuracy"][0] <= 1.0
    assert {"test_losses.png", "test_error.png", "tiles.png"} <= {path.name for path in results.iterdir()}
    assert "feature_extractor.3" in printed
    assert "Epoch: 0\tTrain loss: " in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("03_mnist_training", []),
        ("04_lenet5_training", ["--crosspoint", "floating-point"]),
        ("06_lenet5_hardware_aware", []),
    ],
)
def test_the_other_image_examples(name: str, flags: list[str], tmp_path: Path) -> None:
    metrics, _ = run(name, tmp_path / "results", "--dataset", "digits", "--epochs", "2", *flags)
    assert len(metrics["accuracy"]) == 2
    if name.startswith("06"):
        assert len(metrics["drift_accuracy"]) == len(metrics["drift_accuracy_uncompensated"]) == 5
        assert (tmp_path / "results" / "drift.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_student_on_tiles_learns_from_its_teacher(tmp_path: Path) -> None:
    metrics, printed = run("09_distillation", tmp_path / "results", "--epochs", "2")
    assert metrics["loss"][1] < metrics["loss"][0]
    assert metrics["accuracy"][1] > 0.5
    assert metrics["teacher_accuracy"] > 0.8
    assert metrics["tiles"] == 2 + 1
    assert "Teacher\tAccuracy: " in printed
    assert (tmp_path / "results" / "accuracy.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_adapters_learn_in_stages_beside_fixed_weights_in_files(tmp_path: Path) -> None:
    """The bits of the local run: losses, and accuracies fresh and after a day of drift."""
    found = {}
    for backend in ("ray", "local"):
        flags = ("--epochs", "2", "--backend", backend)
        found[backend], _ = run("12_adapters_in_stages", tmp_path / backend, *flags)
        assert (tmp_path / backend / "loss.png").read_bytes()[:4] == b"\x89PNG"
    there, here = (found[backend] for backend in ("ray", "local"))
    assert there["loss"][1] < there["loss"][0]
    assert there["accuracy"][1] > there["accuracy_before"] + 0.2
    assert there["accuracy_after_a_day"] > there["accuracy_before"] + 0.2
    assert {**there, "seconds": 0} == {**here, "seconds": 0}


def test_an_example_can_be_read_in_a_minute() -> None:
    scripts = sorted((ROOT / "examples").glob("[0-9]*.py"))
    assert len(scripts) == 10
    assert all(len(script.read_text().splitlines()) < 100 for script in scripts)


@pytest.mark.parametrize("terminal", [True, False])
def test_long_loops_show_a_bar_in_a_terminal_and_nothing_elsewhere(terminal: bool) -> None:
    pty = pytest.importorskip("pty", reason="this system has no terminals of that kind")
    code = (
        "import torch, common; from crossgrid.emulator.run import progress; progress.LONG = -1.0\n"
        "batches = [(torch.ones(4, 2), torch.zeros(4, dtype=torch.long))] * 3\n"
        "common.evaluate(torch.nn.Linear(2, 2), batches, torch.nn.CrossEntropyLoss())"
    )
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with open(ours, "rb", buffering=0) as screen:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
        for forcing in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            environment.pop(forcing, None)
        folder = ROOT / "examples"
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, stderr=theirs, timeout=120, check=True
        )
        os.write(theirs, b"end")
        printed = screen.read(65536)
        os.close(theirs)
    assert (b"test" in printed) == terminal
    assert terminal or printed == b"end"


@pytest.mark.slow
def test_a_small_mnist_of_our_own_is_read(tmp_path: Path) -> None:
    """The real file format: big-endian headers, then bytes."""
    for stem, count in (("train", 16), ("t10k", 8)):
        header = struct.pack(">IIII", 2051, count, 28, 28)
        pixels = bytes(range(256)) * (count * 784 // 256 + 1)
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels[: count * 784]))
        labels = struct.pack(">II", 2049, count) + bytes(k % 10 for k in range(count))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    flags = ["--dataset", "mnist", "--data-dir", str(tmp_path), "--epochs", "1", "--chip", "none"]
    metrics, _ = run("04_lenet5_training", tmp_path / "results", *flags)
    assert len(metrics["accuracy"]) == 1


@pytest.mark.skipif(
    "CROSSGRID_MNIST" not in os.environ, reason="CROSSGRID_MNIST names no folder of MNIST's files"
)
def test_the_real_mnist_is_what_it_should_be() -> None:
    (x, y), (x_test, y_test) = mnist(Path(os.environ["CROSSGRID_MNIST"]))
    assert x.shape == (60000, 1, 28, 28)
    assert x_test.shape == (10000, 1, 28, 28)
    assert y[:5].tolist() == [5, 0, 4, 1, 9]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--chip", "demo-129"], "did you mean 'demo-128'"),
        (["--tiles-per-actor", "0"], "tiles_per_actor = 0"),
    ],
)
def test_what_a_user_can_mend_ends_in_one_line(tmp_path: Path, flags: list[str], words: str) -> None:
    command = [sys.executable, str(ROOT / "examples" / "01_simple_layer.py"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
