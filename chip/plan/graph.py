"""Which layer reads which: a network's branches and loops.

A layer reads the outputs of its ``sources``. Values of several layers that are combined on the way (a
shortcut is added, a query meets its key) are combined where the last of them was made: the others are
its ``joins``, and who reads the result reads it there. A layer that is used again and reads from a later one
closes a loop; of its edges only those from earlier layers keep it waiting.
"""

from __future__ import annotations

from collections.abc import Sequence

from crossgrid.kernels.errors import ConfigError, unknown

from .layer_shape import OUTSIDE, LayerShape


def source_numbers(layers: Sequence[LayerShape]) -> list[tuple[int, ...]]:
    """For each layer the numbers of those whose outputs it reads; -1 is what comes from outside."""
    numbers = _numbers(layers)
    return [
        (k - 1,) if layer.sources is None else tuple(numbers[name] for name in layer.sources)
        for k, layer in enumerate(layers)
    ]


def join_numbers(layers: Sequence[LayerShape]) -> list[tuple[tuple[int, int], ...]]:
    """For each layer the numbers of those whose values join its outputs, and how many values they are."""
    numbers = _numbers(layers)
    return [tuple((numbers[join.name], join.values) for join in layer.joins) for layer in layers]


def serial_steps(layers: Sequence[LayerShape]) -> list[int]:
    """For each layer how often it works one after the other for one input: once, but for those in a loop.

    A layer in a loop waits for what it made before: a recurrent one for its state, a layer that is used
    again for the layers in between.
    """
    readers: list[list[int]] = [[] for _ in layers]
    numbers = source_numbers(layers)
    for k, sources in enumerate(numbers):
        for source in sources:
            if source >= 0:
                readers[source].append(k)
    looped: set[int] = set()
    for k, sources in enumerate(numbers):
        for late in (source for source in sources if source >= k):  # closes a loop from k to it and back
            looped |= _reached(k, readers) & _reached(late, numbers)
    return [(layer.steps or layer.reuse) if k in looped else 1 for k, layer in enumerate(layers)]


def _reached(start: int, edges: Sequence[Sequence[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        for k in edges[waiting.pop()]:
            if k >= 0 and k not in found:
                found.add(k)
                waiting.append(k)
    return found


def check_names(layers: Sequence[LayerShape]) -> None:
    """Refuse sources and joins that are no layers."""
    numbers = _numbers(layers)
    for layer in layers:
        if layer.sources == ():
            raise ConfigError(
                f"layer '{layer.name}' reads nothing: name the layers that it reads, '' for the input of the "
                "network, or give sources=None for the layer before it"
            )
        for name in (*(layer.sources or ()), *(join.name for join in layer.joins)):
            if name not in numbers:
                raise unknown(f"source of layer '{layer.name}'", name, numbers)


def _numbers(layers: Sequence[LayerShape]) -> dict[str, int]:
    return {layer.name: k for k, layer in enumerate(layers)} | {OUTSIDE: -1}
