"""LeNet5 beside aihwkit's on MNIST: compare_lenet5.py --peer DIR --data-dir MNIST [--seeds 3].

DIR is a virtual environment with aihwkit 1.1.0, MNIST a folder with the four files. Both sides run the same
script (peer/training.py) on 3000 images, from the same weights and with the same batches. The table gives
the mean accuracy on 1000 test images over the seeds, and each seed's; the exit status is 1 where ours is
more than two points below theirs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "examples"))

from common import mnist  # noqa: E402
from peer.training import CONFIGURATIONS  # noqa: E402

TRAIN, TEST = 3000, 1000
POINTS = 0.02


def accuracy(python: Path | str, side: str, data: Path, name: str, seed: int) -> float:
    """The accuracy of one run, in a process of the side's own environment."""
    command = [str(python), "-m", "peer.training", side, str(data), name, str(seed)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="an environment with aihwkit 1.1.0")
    parser.add_argument("--data-dir", type=Path, help="where MNIST's four files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=CONFIGURATIONS, help="one configuration")
    args = parser.parse_args()

    (train_x, train_y), (test_x, test_y) = mnist(args.data_dir)
    below = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        np.savez(
            data, train_x=train_x[:TRAIN], train_y=train_y[:TRAIN], test_x=test_x[:TEST], test_y=test_y[:TEST]
        )
        print(f"| configuration | aihwkit | crossgrid | seeds 1 to {args.seeds} |\n|---|---|---|---|")
        for name in CONFIGURATIONS if args.only is None else [args.only]:
            pairs = [
                (accuracy(args.peer / "bin" / "python", "aihwkit", data, name, seed),
                 accuracy(sys.executable, "ours", data, name, seed))
                for seed in range(1, args.seeds + 1)
            ]  # fmt: skip
            theirs, ours = np.mean(pairs, axis=0)
            each = ", ".join(f"{a:.3f} / {b:.3f}" for a, b in pairs)
            print(f"| {name} | {theirs:.3f} | {ours:.3f} | {each} |", flush=True)
            if ours < theirs - POINTS:
                below.append(name)
    if below:
        sys.exit(f"more than {POINTS:.0%} below aihwkit: {'; '.join(below)}")


if __name__ == "__main__":
    main()
