"""What crosses from each stage to the next, for inputs of each shape, found by a pass without numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from crossgrid.kernels.errors import ConfigError

from ...model.joining import flatten
from ...nn.dropout import addressed
from .cut import Cut, units_of, way_out
from .passing import Branches, Passages
from .path import calls_of


class Crossings:
    """Of a model that is cut into stages."""

    def __init__(self, model: nn.Module, cut: Cut) -> None:
        self.model, self.cut = model, cut
        self.wanted: dict[bool, tuple[tuple[str, ...], ...]] = {}  # what stages hand on, training or not
        self._known: dict[Any, Any] = {}

    def path(self, x: Tensor) -> Any:
        """What puts the tensors of an output into its place, for an input of that shape.

        Raises:
            ConfigError: the stages cannot compute it.
        """
        training = self.model.training
        key = (tuple(x.shape), x.dtype, training)
        if key not in self._known:
            passages = Passages(self.model, self.cut, None)
            try:
                with addressed(self.model, 0):
                    needs, output = passages.find_needs(x)
            except Branches as error:
                passages.remove()
                raise self._ways_out(x, error) from None
            finally:
                passages.remove()
            leaves, back = flatten(output)
            for leaf in leaves:
                if not isinstance(leaf, (Tensor, bool, int, float, str, type(None))):
                    raise ConfigError(
                        f"the model's output holds a {type(leaf).__name__}, which stages cannot hand on; "
                        "leave it away (of transformers' models: config.use_cache = False)"
                    )
            wanted = tuple(needs.crossing(number + 1) for number in range(self.cut.count - 1))
            if wanted != self.wanted.setdefault(training, wanted):
                raise ConfigError(
                    f"an input of shape {key[0]} takes another path through the model than those before; "
                    "give it to an emulation of its own"
                )
            self._known[key] = lambda found: back(
                [found[str(n)] if isinstance(leaf, Tensor) else leaf for n, leaf in enumerate(leaves)]
            )
        return self._known[key]

    def _ways_out(self, x: Tensor, error: Branches) -> ConfigError:
        """The error with where stages can begin for this input."""
        calls = calls_of(self.model, x)
        where = "begin the stages elsewhere (stages=[names])"
        return ConfigError(f"{error}; {where if calls is None else way_out(units_of(self.model), calls)}")
