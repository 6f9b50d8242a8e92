"""What a device's ``draw`` computes for one crosspoint, as the text of a function for Triton.

A population is drawn by numpy, from addressed numbers. A card that has the address needs no copy of it:
``draw`` is run once with symbols in place of the arrays, and what it did to them is written down. Only
operations that round alike everywhere are taken, and formulas of such (``evaluated``), which are called by
name. A device that needs others keeps its population, and so does one whose draw is long: a step would take
longer to draw than to read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ...machine.bind import Formula
from ...rng import Stream, counter_high
from ..base import PulsedDevice, changes_type, changing_names, dynamics

#: how Triton writes what numpy computes; each is correctly rounded, or exact
_FORMS: dict[Any, str] = {
    np.add: "{} + {}", np.subtract: "{} - {}", np.multiply: "{} * {}", np.divide: "tl.div_rn({}, {})",
    np.negative: "-{}", np.absolute: "tl.abs({})", np.sqrt: "tl.sqrt_rn({})",
    np.minimum: "tl.minimum({}, {})", np.maximum: "tl.maximum({}, {})",
    np.less: "{} < {}", np.less_equal: "{} <= {}", np.greater: "{} > {}", np.greater_equal: "{} >= {}",
    np.equal: "{} == {}", np.not_equal: "{} != {}",
    np.bitwise_and: "{} & {}", np.bitwise_or: "{} | {}", np.logical_and: "{} & {}",
    np.logical_or: "{} | {}",
}  # fmt: skip
_WHERE = "tl.where({}, {}, {})"
_LAST_COLUMN = (Ellipsis, -1)
LONGEST = 200  # lines that a kernel draws anew


class Traced(NamedTuple):
    """A function's text, and the formulas that it calls, by the names it calls them by."""

    text: str
    formulas: tuple[tuple[str, Formula], ...]


class NotTraceable(TypeError):
    """The device's draw does something that a card would not do alike, or not soon."""


class Symbol(NDArrayOperatorsMixin):
    """Stands for the float32 values, or truths, of all crosspoints; ``name`` is its variable."""

    def __init__(self, text: Text, name: str) -> None:
        self._text, self.name = text, name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Symbol:
        if method != "__call__" or options or ufunc not in _FORMS:
            raise NotTraceable(f"{ufunc.__name__} of drawn values")
        return self._text.add(_FORMS[ufunc], *inputs)

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Symbol:
        if function is np.where and len(inputs) == 3 and not options:
            return self._text.add(_WHERE, *inputs)
        fills = {np.zeros_like: 0.0, np.ones_like: 1.0}
        if function in fills and len(inputs) == 1 and not options:
            return self._text.filled(fills[function])
        if function is np.full_like and len(inputs) == 2 and not options:
            return self._text.filled(inputs[1])
        raise NotTraceable(f"{function.__name__} of drawn values")

    def __setitem__(self, place: Any, value: Any) -> None:
        if place != _LAST_COLUMN:
            raise NotTraceable(f"writing to {place} of drawn values")
        self.name = self._text.add("tl.where(column == columns - 1, {}, {})", value, self).name

    def evaluated(self, formula: Formula, *values: Any) -> Symbol:
        """See ``evaluated`` of devices."""
        return self._text.call(formula, *values)

    def __bool__(self) -> bool:
        raise NotTraceable("a decision by drawn values")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise NotTraceable("an array of drawn values")

    def copy(self) -> Symbol:
        """As an array's."""
        return Symbol(self._text, self.name)


class Text:
    """The lines of a function, and the draws of ``Draws`` as symbols."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.formulas: dict[Formula, str] = {}  # names of those that are called
        self._named: dict[str, str] = {}  # variables by what they are: nothing is computed twice

    def add(self, form: str, *inputs: Any) -> Symbol:
        """The variable of an operation."""
        return self._variable(form.format(*map(self._term, inputs)))

    def call(self, formula: Formula, *inputs: Any) -> Symbol:
        """The variable of a formula, which takes values of all crosspoints alone."""
        name = self.formulas.setdefault(formula, f"{formula.__name__}_{len(self.formulas)}")
        filled = (each if isinstance(each, Symbol) else self.filled(each) for each in inputs)
        return self._variable(f"{name}({', '.join(each.name for each in filled)})")

    def filled(self, value: Any) -> Symbol:
        """``value`` at every crosspoint."""
        return self._variable(f"tl.full(column.shape, {self._term(value)}, tl.float32)")

    def normal(self, index: int) -> Symbol:
        """See ``Draws``."""
        block, number = divmod(index, 4)
        pair = self._named.setdefault(f"pair {block} {number // 2}", f"n{block}_{number // 2}")
        line = f"{pair} = normal_pair({self._words(block)}[{number // 2}])"
        if line not in self.lines:
            self.lines.append(line)
        return Symbol(self, f"{pair}[{number % 2}]")

    def uniform(self, index: int) -> Symbol:
        """See ``Draws``."""
        block, number = divmod(index, 4)
        return self._variable(f"unit_interval({self._words(block)}[{number}])")

    def _words(self, block: int) -> str:
        low, top = counter_high(Stream.POPULATION, 0, block)
        counter = f"tl.full(column.shape, {low}, tl.uint32), tl.full(column.shape, {top}, tl.uint32)"
        return self._variable(f"philox4x32(k0, k1, column.to(tl.uint32), row, {counter})").name

    def _variable(self, expression: str) -> Symbol:
        if expression not in self._named:
            if len(self.lines) == LONGEST:
                raise NotTraceable("too long a draw")
            self._named[expression] = f"v{len(self._named)}"
            self.lines.append(f"{self._named[expression]} = {expression}")
        return Symbol(self, self._named[expression])

    @staticmethod
    def _term(value: Any) -> str:
        """A symbol's variable, or a number as numpy would round it to float32."""
        if isinstance(value, Symbol):
            return value.name
        if type(value) not in (int, float, np.float32) or not np.isfinite(np.float32(value)):
            raise NotTraceable(f"{value!r} among drawn values")
        return f"({float(np.float32(value))!r})"


def formula_text(device: PulsedDevice, changes: bool = False) -> Traced | None:
    """A function of (k0, k1, row, column, columns, KIND) that draws the devices; None if none can.

    The key and ``row`` are uint32, ``column`` int32 [n]; it gives a ``KIND`` of the parameters, float32 [n]:
    those of a step, or, for ``changes``, of a ``changes_type``.
    """
    text: Any = Text()
    fields = changes_type(changing_names(device))._fields if changes else device.parameters
    try:
        drawn = device.draw(text)
        if changes:
            drawn = {**drawn, **dynamics(device, text, drawn)}
        values = [drawn[name] for name in fields]
        names = [(each if isinstance(each, Symbol) else text.filled(each)).name for each in values]
    except (TypeError, AttributeError):  # of whatever else a draw may do to an array
        return None
    body = "\n    ".join([*text.lines, f"return KIND({', '.join(names)})"])
    function = f"def drawn(k0, k1, row, column, columns, KIND: tl.constexpr):\n    {body}\n"
    return Traced(function, tuple((name, formula) for formula, name in text.formulas.items()))
