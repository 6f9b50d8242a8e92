"""A device array's state on a CUDA card, with a copy on the host for what is not done there.

Pulses run on the card. The rest (writing, reset, decay, diffusion, drift) is rare and is done on the host
copy, by the same code as everywhere; whichever side is newer is copied when the other is asked for.
"""

from __future__ import annotations

from ..card import card
from ..devices.base import Array


class Resident:
    """Tensors [T, O, I] on the card that mirror host arrays."""

    def __init__(self, kept_TOI: Array, seen_TOI: Array, p_TOIP: Array) -> None:
        import torch

        self._host = (kept_TOI, seen_TOI)
        where = card()
        self.p_TOIP = torch.from_numpy(p_TOIP).to(where, copy=True)
        self.kept_TOI = torch.from_numpy(kept_TOI).to(where, copy=True)
        same = seen_TOI is kept_TOI
        self.seen_TOI = self.kept_TOI if same else torch.from_numpy(seen_TOI).to(where, copy=True)
        self.newer = False  # than the host

    def take_population(self, p_TOIP: Array) -> None:
        """Bring the card up to date after the devices' parameters have changed."""
        import torch

        self.p_TOIP.copy_(torch.from_numpy(p_TOIP))

    def download(self) -> None:
        """Bring the host arrays up to date."""
        if self.newer:
            for host, tensor in zip(self._host, (self.kept_TOI, self.seen_TOI), strict=True):
                host[...] = tensor.cpu().numpy()
            self.newer = False

    def upload(self) -> None:
        """Bring the card up to date after the host arrays have changed."""
        import torch

        for host, tensor in zip(self._host, (self.kept_TOI, self.seen_TOI), strict=True):
            tensor.copy_(torch.from_numpy(host))
