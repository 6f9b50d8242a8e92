"""A layer's tiles with everything that is in them: the devices' state, remembered passes, and counters.

A checkpoint is made between steps and needs the devices' state alone. A snapshot is taken at any moment, to
go on in another process after this one was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProtocolError
from .bank import Effort
from .gradients import Gradients, seen_by_tiles
from .group import Kept
from .layer import HostedLayer
from .messages import LoadSnapshot, Snapshot
from .values import as_array

#: what a bank's tiles have done together, by its name there
EFFORTS = ("forwards", "backwards", "updates")


def snapshot_of(layer: HostedLayer) -> Snapshot:
    """Everything that is in the layer's tiles here."""
    for group in layer.groups:
        group.bank.collect()
    state = layer.state()
    more = [*_counters(layer)]
    for record, kept in layer.kept.items():
        more += [(f"pass/{record}/{name}", values) for name, values in _pass(kept)]
    arrays = [np.array(as_array(values)) for _, values in more]
    return Snapshot(state.names, state.values, tuple(name for name, _ in more), arrays)


def load_snapshot(layer: HostedLayer, message: LoadSnapshot) -> None:
    """Go on as the tiles that gave this snapshot.

    Raises:
        ProtocolError: it is of other tiles.
    """
    layer.load_state(message)
    passes: dict[int, dict[str, NDArray[Any]]] = {}
    try:
        for name, values in zip(message.more, message.held, strict=True):
            kind, number, rest = name.split("/", 2)
            if kind == "pass":
                passes.setdefault(int(number), {})[rest] = np.array(values)
            else:
                _take_counter(layer, int(number), rest, values)
        layer.kept = {record: _kept(layer, held) for record, held in passes.items()}
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise ProtocolError(
            f"LoadSnapshot of {layer.spec.name}: this is no snapshot of it: {error!r:.120}"
        ) from error


def _counters(layer: HostedLayer) -> Iterator[tuple[str, Any]]:
    for k, group in enumerate(layer.groups):
        for counter in fields(group.bank.stats):
            yield f"stats/{k}/{counter.name}", getattr(group.bank.stats, counter.name)
        for name in EFFORTS:
            effort = getattr(group.bank, name)
            yield f"stats/{k}/{name}", np.array([effort.seconds, effort.vectors], np.float64)


def _take_counter(layer: HostedLayer, group: int, name: str, values: Any) -> None:
    bank = layer.groups[group].bank
    if name in EFFORTS:
        setattr(bank, name, Effort(float(values[0]), int(values[1])))
    else:
        getattr(bank.stats, name)[:] = values


def _pass(kept: Kept) -> Iterator[tuple[str, Any]]:
    yield "is", np.array([kept.vectors, kept.channels_last, *kept.image_shape], np.int64)
    for what, stacks in (("x", kept.x_XBI), ("w", kept.w_TOI), ("bound", kept.at_bound_TBO)):
        for k, values in enumerate(stacks):
            if values is not None:
                yield f"{what}/{k}", values
    for number, gradients in kept.gradients.items():
        for k, (d_XBO, d_of_tile, _) in enumerate(seen_by_tiles(*each) for each in gradients):
            yield f"d/{number}/{k}", d_XBO
            yield f"of/{number}/{k}", np.asarray(d_of_tile, np.int64)


def _kept(layer: HostedLayer, held: dict[str, NDArray[Any]]) -> Kept:
    vectors, channels_last, *image_shape = (int(value) for value in held["is"])
    groups = range(len(layer.groups))
    x_XBI = [layer.placed(held[f"x/{k}"]) for k in groups if f"x/{k}" in held]
    w_TOI = [layer.placed(held[f"w/{k}"]) if f"w/{k}" in held else None for k in groups]
    bound = [layer.placed(held[f"bound/{k}"]) if f"bound/{k}" in held else None for k in groups]
    kept = Kept(x_XBI, w_TOI, bound, vectors, tuple(image_shape), bool(channels_last))
    for number in sorted({int(name.split("/")[1]) for name in held if name.startswith("d/")}):
        kept.gradients[number] = [
            Gradients(layer.placed(held[f"d/{number}/{k}"]), held[f"of/{number}/{k}"].astype(np.intp))
            for k in groups
        ]
    return kept
