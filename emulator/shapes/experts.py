"""A mixture's experts as a mapper sees them: each has matrices of its own and its share of the tokens.

Which expert a token goes to depends on numbers, so the experts do not run while an example passes: zeros
stand for what they make, and each is taken to get as many tokens as the others.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from crossgrid.chip import LayerShape
from crossgrid.chip.plan.digital import DigitalWork

from ..nn.experts.experts import AnalogExperts
from ..nn.experts.layout import layout_of, stacks_of


@dataclass(frozen=True, slots=True)
class Experts:
    """The stacks of one module, in the order of use: the last one reads what the others made."""

    name: str
    counts: dict[str, int]  # of each stack: its matrices
    sizes: dict[str, tuple[int, int]]  # outputs and inputs of each

    @classmethod
    def of(cls, name: str, module: nn.Module) -> Experts | None:
        """The experts of a module called ``name``, digital or analog; None where none are known."""
        if isinstance(module, AnalogExperts):
            firsts = {m.weight_name: m.grid.spec for m in module.matrices().values() if m.number == 0}
            sizes = {stack: (spec.out_size, spec.in_size) for stack, spec in firsts.items()}
            counts = Counter(matrix.weight_name for matrix in module.matrices().values())
            return cls(name, dict(counts), sizes)
        layout, stacks = layout_of(module), stacks_of(module)
        if layout is None:
            return None
        kept = {stack: (int(p.shape[1]), int(p.shape[2])) for stack, p in stacks.items()}
        turned = {stack: kept[stack][::-1] if layout[stack] else kept[stack] for stack in layout}
        return cls(name, {stack: len(stacks[stack]) for stack in layout}, turned)

    @property
    def count(self) -> int:
        """Experts that compute: a stack may have places for more."""
        return min(self.counts.values())

    def activity(self, inputs: Sequence[Tensor]) -> float:
        """The part of the tokens that reaches one expert.

        A token goes to as many experts as come with it as indices, or else to one.
        """
        rows = self.rows(inputs)
        chosen = [x for x in inputs[1:] if not x.is_floating_point() and x.dim() > 1 and not x.numel() % rows]
        return min(1.0, (chosen[0].numel() if chosen else rows) / (rows * self.count))

    def rows(self, inputs: Sequence[Tensor]) -> int:
        """Tokens among the inputs."""
        return max(1, inputs[0].numel() // inputs[0].shape[-1])

    def shapes(self, reuse: int, activity: float) -> list[LayerShape]:
        """The matrices of all experts, each met by ``activity`` of ``reuse`` tokens."""
        *before, last = self.sizes
        found = []
        for stack, (out, in_) in self.sizes.items():
            for k in range(self.counts[stack]):
                sources = tuple(self._matrix(other, k) for other in before) if stack == last else ()
                name = self._matrix(stack, k)
                found.append(LayerShape(name, out, in_, reuse, sources=sources or None, activity=activity))
        return found

    def last(self) -> tuple[str, ...]:
        """The matrices that make the outputs."""
        last = [*self.sizes][-1]
        return tuple(self._matrix(last, k) for k in range(self.counts[last]))

    def made(self, inputs: Sequence[Tensor]) -> Tensor:
        """Zeros of the shape of what the experts make of the inputs."""
        x, (out, _) = inputs[0], [*self.sizes.values()][-1]
        return x.new_zeros(*x.shape[:-1], out)

    def work(self, inputs: Sequence[Tensor]) -> DigitalWork:
        """What is computed besides the matrices: gates, and weighted sums of what a token's experts made."""
        met = self.rows(inputs) * self.activity(inputs) * self.count
        values = 2.0 * met * sum(out for out, _ in self.sizes.values())
        return DigitalWork(self.name, "elementwise", 0.0, values, values)

    def _matrix(self, stack: str, expert: int) -> str:
        return f"{self.name}.{stack}.{expert}".lstrip(".")


@contextlib.contextmanager
def standing_in(module: nn.Module, stand_in: Callable[..., Any]) -> Iterator[None]:
    """Inside, the module's forward pass is another one."""
    module.forward = stand_in  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward
