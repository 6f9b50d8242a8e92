"""Where an experiment is run: in this process."""

from __future__ import annotations

from typing import Any

from ...missing import absent
from ..experiments.training import BasicTraining, Signals


class LocalRunner:
    """Runs an experiment here, on ``device``."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = device

    def run(
        self, experiment: BasicTraining, max_elements_train: int = 0, dataset_root: str = "data",
        stdout: bool = False,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """What every epoch gave; printed as well if ``stdout``."""
        if stdout:
            experiment.add_hook(Signals.EPOCH_END, print)
        return experiment.run(max_elements_train, dataset_root, self.device)


__getattr__ = absent(__name__)
