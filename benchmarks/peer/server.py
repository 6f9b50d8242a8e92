"""aihwkit's side: reads one JSON request a line, answers with one JSON line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from peer.rows import Row
from peer.sides import JOBS, Job


def answer(request: dict[str, Any], jobs: list[Job]) -> Any:
    if request["do"] == "open":
        jobs[:] = [JOBS[request["kind"]][1](request["device"], Row(**request["row"]))]
        return "ready"
    if request["do"] == "times":
        return jobs[0].times(request["repeats"])
    jobs[0].start()
    jobs[0].run()
    return jobs[0].weights().tolist()


def main() -> None:
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    replies, sys.stdout = sys.stdout, sys.stderr
    jobs: list[Job] = []
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), jobs)), file=replies, flush=True)


if __name__ == "__main__":
    main()
