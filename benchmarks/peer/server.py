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


def answer(request: dict[str, Any], jobs: list[Job]) -> Any:
    if request["do"] == "open":
        jobs.clear()
        jobs.append(JOBS[request["kind"]](request["device"], Row(**request["row"])))
        return "ready"
    return jobs[0].times(request["repeats"]) if request["do"] == "times" else jobs[0].checked()


def main() -> None:
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    replies, sys.stdout = sys.stdout, sys.stderr
    jobs: list[Job] = []
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), jobs)), file=replies, flush=True)


if __name__ == "__main__":
    main()
