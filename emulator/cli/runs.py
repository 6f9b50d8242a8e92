"""The command about saved runs: inspect."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table


def inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", help="folder that emulation.save wrote")
    parser.add_argument("--verify", action="store_true", help="read every part and compare its digest")


def run_inspect(args: argparse.Namespace) -> int:
    """What is in a saved run; an error where a part is missing, or with --verify damaged."""
    from ..disk.folder import Folder
    from ..run.manifest import read_manifest

    with Folder(args.directory) as folder:
        manifest = read_manifest(folder)
        if args.verify:
            for part in manifest.parts:
                folder.verify_part(part)
    run, console = manifest.run, Console()
    chip = f"chip '{run['chip']}', strategy {run['strategy']}" if run["chip"] else "no chip"
    console.print(
        f"{chip}; {run['samples']} samples, {run['batch']} batches, update_delay {run['update_delay']}"
    )
    table = Table("layer", "tiles", "weights", "key")
    for name, blocks in run["blocks"].items():
        weights = sum(out * in_ for out, in_ in blocks)
        table.add_row(name, str(len(blocks)), f"{weights:,}", f"{run['keys'][name]:x}")
    console.print(table)
    table = Table("part", "bytes", "digest")
    for number, part in enumerate(manifest.parts):
        names = [*_names(manifest.tree, {tensor for tensor, _ in manifest.in_part(number)})]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        table.add_row("".join(names[:1]) + more, f"{part.size:,}", part.digest.hex()[:16])
    console.print(table)
    checked = "every part has its digest" if args.verify else "sizes are right; --verify reads the parts too"
    console.print(f"{sum(part.size for part in manifest.parts):,} bytes: {checked}")
    return 0


def _names(tree: Any, numbers: set[int], path: str = "") -> Iterator[str]:
    """Where in ``tree`` the tensors of these numbers stand."""
    from ..run.tree import Number  # loads torch

    if isinstance(tree, Number):
        if tree.number in numbers:
            yield path
    elif isinstance(tree, (dict, list, tuple)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _names(value, numbers, f"{path}.{key}".lstrip("."))
