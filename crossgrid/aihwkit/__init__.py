"""aihwkit's module paths over this project: ``import crossgrid.aihwkit as aihwkit`` is the whole change.

Real modules of re-exports and thin subclasses, in which aihwkit's semantics live where they differ: scales,
input ranges and drift factors for each tile, the weights that were programmed, one modification an optimizer
step. ``docs/aihwkit.md`` lists what differs; a missing name raises an ImportError that says what to use.
"""

from .missing import absent

__version__ = "1.1.0"
"""The release of aihwkit whose names and behaviour these are."""

__getattr__ = absent(__name__)
