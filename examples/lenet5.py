"""The network of examples 4 and 6: an ordinary torch model.

After Gokmen, Onen and Haensch (2017), "Training deep convolutional neural networks with resistive
cross-point devices", Front. Neurosci.
"""

import torch
from torch import nn


class LeNet5(nn.Module):
    """Two convolutions and two linear layers for images of 28x28 pixels in ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Tanh(),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(512, 128), nn.Tanh(), nn.Linear(128, 10), nn.LogSoftmax(dim=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [B, 10] of images [B, 1, 28, 28]."""
        return self.classifier(self.feature_extractor(x).flatten(1))
