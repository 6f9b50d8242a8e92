"""aihwkit's side: reads one JSON request a line, answers with one JSON line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from peer.job import Job
from peer.rows import Row
from peer.theirs import JOBS


def answer(request: dict[str, Any], jobs: dict[int, Job]) -> Any:
    """What is asked of job ``number``: to open or close it, to check it, or to time some runs."""
    number = request["number"]
    if request["do"] == "open":
        jobs[number] = JOBS[request["kind"]](request["device"], Row(**request["row"]))
        return "ready"
    if request["do"] == "close":
        del jobs[number]
        return "closed"
    return jobs[number].times(request["repeats"]) if request["do"] == "times" else jobs[number].checked()


def main() -> None:
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    replies, sys.stdout = sys.stdout, sys.stderr
    jobs: dict[int, Job] = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), jobs)), file=replies, flush=True)


if __name__ == "__main__":
    main()
