"""All that a machine with a card shows in ten minutes.

run.py [--parts WORD,WORD] [--seconds 570] [--results DIR]

Needs no network, pip or virtual environment: this Python, torch, Triton and those of the project's other
packages that are there (unpacked wheels of missing ones may stand in PYTHONPATH). Every part is a process of
its own that is ended, with its children, after its time. What each has printed is kept, and one table, named
after the card.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(Path(__file__).with_name("facts.py"))
KERNELS = ("numpy", "torch", "triton", "lazy_loader")  # what the kernels for a card need
PROCESSORS = (*KERNELS, "numba", "scipy")  # to be held to
NETWORKS = (*PROCESSORS, "msgpack", "msgspec", "prometheus_client", "psutil", "rich", "safetensors", "yaml")
TESTS = (*NETWORKS, "pytest", "pytest_timeout", "hypothesis")

#: seconds that the driver may take to say which card there is
ASK_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to run; ``{architecture}`` in its command is the card's, ``{results}`` the folder."""

    name: str
    seconds: float
    command: tuple[str, ...]
    needs: tuple[str, ...] = KERNELS
    tool: str | None = None  # a program that it runs under
    interpreted: bool = False  # whether Triton's interpreter can rehearse it


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended, and what it found: (what, figure)."""

    part: str
    ended: str
    figures: tuple[tuple[str, str], ...] = ()
    good: bool = True


def _pytest(folder: str, *flags: str) -> tuple[str, ...]:
    """The tests for a card of a folder; warnings of other versions are no failures."""
    spread = ("-n", "6") if importlib.util.find_spec("xdist") else ()
    plain = ("-W", "default", "-p", "no:cacheprovider", "--timeout", "120", "-q", "-rfE")
    return ("-m", "pytest", "-m", "gpu", *spread, *plain, *flags, folder)


UPDATES, READS = "tests/kernels/pulsed_update", "tests/kernels/analog_mvm"
PARTS = (
    Part("machine", 30, (FACTS, "machine"), interpreted=True),
    Part("compile updates", 90, (f"{UPDATES}/triton_ahead.py", "{architecture}")),
    Part("compile reads", 90, (f"{READS}/read_ahead.py", "{architecture}", "every")),
    Part("ceilings", 40, (FACTS, "ceilings")),
    Part("calls", 40, (FACTS, "calls")),
    Part("warm", 180, ("-m", "crossgrid.emulator.hosts.warm"), NETWORKS),
    Part("bits", 120, (FACTS, "bits"), PROCESSORS, interpreted=True),
    Part("tests of kernels", 150, _pytest("tests/kernels"), TESTS),
    Part("tests of networks", 90, _pytest("tests/emulator", "-k", "not ray"), TESTS),
    Part("step", 90, (FACTS, "step"), NETWORKS),
    Part("accuracy", 120, (FACTS, "accuracy"), (*NETWORKS, "sklearn", "matplotlib")),
    Part("memory", 40, (FACTS, "memory"), NETWORKS, interpreted=True),
    Part("processes", 60, (FACTS, "processes"), ("torch",)),
    Part("memcheck", 90, (f"{UPDATES}/triton_checks.py",), PROCESSORS, tool="memcheck"),
    Part("racecheck", 90, (f"{UPDATES}/triton_checks.py",), PROCESSORS, tool="racecheck"),
    Part("bench", 120, ("benchmarks/bench_gpu.py", "--json", "{results}/bench_gpu.json"), NETWORKS),
)  # fmt: skip
SANITIZER = "compute-sanitizer"


def why_not(part: Part, card: dict[str, Any]) -> str | None:
    """What a part lacks here, or None."""
    missing = [name for name in part.needs if importlib.util.find_spec(name) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if card["card"] is None:
        return card["why"]
    if card["interpreted"] and not part.interpreted:
        return "needs a card, Triton's interpreter is none"
    if part.tool is not None and shutil.which(SANITIZER) is None:
        return f"needs {SANITIZER}"
    return None


def execute(command: Sequence[str], seconds: float, log: Path) -> int | None:
    """The exit status of a process whose output goes to ``log``; None where its time was over.

    Its children end with it: they share its session.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_part(part: Part, card: dict[str, Any], results: Path, left_s: float) -> Outcome:
    """Run a part in its time, or in what is left of the whole."""
    lacks = why_not(part, card)
    if lacks is not None:
        return Outcome(part.name, f"not run: {lacks}", good=False)
    seconds = min(part.seconds, left_s)
    if seconds < 1.0:
        return Outcome(part.name, "not run: no time was left, see --parts and --seconds", good=False)
    fill = {"architecture": card["architecture"], "results": results}
    command = [sys.executable, *(word.format(**fill) for word in part.command)]
    if part.tool is not None:
        command = [SANITIZER, "--tool", part.tool, "--error-exitcode", "9", *command]
    log = results / f"{part.name.replace(' ', '-')}.log"
    start = time.monotonic()
    status = execute(command, seconds, log)
    took_s = time.monotonic() - start
    ended = f"ended after its {seconds:.0f} s" if status is None else f"{took_s:.0f} s"
    if status:
        ended = f"failed with {status}, {took_s:.0f} s"
    return Outcome(part.name, ended, figures_of(log), good=status == 0)


def figures_of(log: Path) -> tuple[tuple[str, str], ...]:
    """Lines "what | figure" of what a part has printed; else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    found = [(what, figure) for what, bar, figure in (line.partition(" | ") for line in lines) if bar]
    return tuple(found) or tuple(("last line", line[-110:].replace("|", "/")) for line in lines[-1:])


def ask_for_card(results: Path) -> dict[str, Any]:
    """Which card there is: its name, its architecture (90), or why there is none."""
    none = {"card": None, "interpreted": False, "architecture": 0}
    for name in ("torch", "triton"):
        if importlib.util.find_spec(name) is None:
            return {**none, "why": f"this Python has no {name}"}
    log = results / "card.log"
    if execute([sys.executable, FACTS, "card"], ASK_S, log) != 0:
        said = figures_of(log)
        return {**none, "why": said[0][1] if said else f"torch did not answer in {ASK_S:.0f} s"}
    return json.loads(log.read_text().splitlines()[-1])


def table(card: str, outcomes: Sequence[Outcome]) -> str:
    """Markdown: a row for every figure."""
    rows = [
        f"# {card}, {time.strftime('%Y-%m-%d %H:%M %z')}",
        "",
        "| part | took | what | figure |",
        "|---|---|---|---|",
    ]
    for outcome in outcomes:
        for what, figure in outcome.figures or (("", ""),):
            rows.append(f"| {outcome.part} | {outcome.ended} | {what} | {figure} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in PARTS]
    parser.add_argument("--parts", default=",".join(names), help=f"some of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=570.0, help="for everything")
    parser.add_argument("--results", type=Path, default=Path("results/card"))
    options = parser.parse_args()
    wanted = options.parts.split(",")
    if not set(wanted) <= set(names):
        parser.error(f"--parts takes some of: {', '.join(names)}")
    deadline = time.monotonic() + options.seconds
    results = options.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    card = ask_for_card(results)
    outcomes = []
    for part in (part for part in PARTS if part.name in wanted):
        outcome = run_part(part, card, results, deadline - time.monotonic())
        outcomes.append(outcome)
        print(f"{outcome.part}: {outcome.ended}", flush=True)
    if card["card"] is None:
        sys.exit(f"card: {card['why']}; nothing was run")
    file = results / f"{re.sub(r'[^A-Za-z0-9]+', '-', card['card']).strip('-').lower()}.md"
    file.write_text(table(card["card"], outcomes))
    print(f"{file}: the table; beside it what every part has printed")
    failed = [outcome.part for outcome in outcomes if not outcome.good]
    if failed:
        sys.exit(f"card: not whole: {', '.join(failed)}")


if __name__ == "__main__":
    main()
