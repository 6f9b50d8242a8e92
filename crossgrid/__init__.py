"""crossgrid: a distributed emulator of analog crossbar chips.

A torch model goes in, its layers are cut into the physical tiles of a described chip, and every tile
computes and learns with its own imperfect devices. The public names stand in ``__init__.pyi`` and are loaded
when first used: a process that only hosts tiles never imports torch.
"""

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"crossgrid has no public name '{name}'; see dir(crossgrid)")
    from .emulator.hosts.interrupts import Uninterrupted

    with Uninterrupted():  # a half of torch or numba could not be imported again
        return _load(name)
