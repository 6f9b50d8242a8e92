"""Small runs whose results' bits are stored: name -> a function that runs it and gives its arrays.

Nothing here goes through torch's digital layers, sums or random numbers: they differ between processors.
"""

from __future__ import annotations

from . import cells, devices, inference, models, reads, restored, updates

PARTS = (devices, updates, cells, reads, inference, models, restored)
RUNS = {name: run for part in PARTS for name, run in part.RUNS.items()}

assert len(RUNS) == sum(len(part.RUNS) for part in PARTS), "two stored runs have one name"
