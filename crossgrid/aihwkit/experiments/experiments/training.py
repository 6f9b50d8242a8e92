"""A training loop in a class, to be run in this process."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from ...missing import absent
from ...optim import AnalogSGD


class Signals(Enum):
    """When a hook is called."""

    EXPERIMENT_START = "experiment_start"
    EXPERIMENT_END = "experiment_end"
    EPOCH_START = "epoch_start"
    EPOCH_END = "epoch_end"
    TRAIN_EPOCH_START = "train_epoch_start"
    TRAIN_EPOCH_END = "train_epoch_end"
    VALIDATION_EPOCH_START = "validation_epoch_start"
    VALIDATION_EPOCH_END = "validation_epoch_end"


class BasicTraining:
    """Train a model on a data set and look at its accuracy after every epoch.

    Args:
        dataset: a class of torchvision's data sets, or one like them: (root, train=, download=, transform=).
        model: what is trained.
        batch_size, epochs, learning_rate: of the training.
        loss_function: a class of torch's criteria.
    """

    def __init__(
        self,
        dataset: Any,
        model: nn.Module,
        batch_size: int = 64,
        loss_function: Any = nn.NLLLoss,
        epochs: int = 30,
        learning_rate: float = 0.05,
    ) -> None:
        self.dataset, self.model, self.batch_size = dataset, model, batch_size
        self.loss_function, self.epochs, self.learning_rate = loss_function, epochs, learning_rate
        self.hooks: dict[Signals, list[Callable[..., Any]]] = {signal: [] for signal in Signals}

    def add_hook(self, key: Signals, hook: Callable[..., Any]) -> None:
        """Call ``hook`` at a signal."""
        self.hooks[key].append(hook)

    def clear_hooks(self) -> None:
        """Call nothing any more."""
        for hooks in self.hooks.values():
            hooks.clear()

    def _tell(self, key: Signals, *args: Any) -> None:
        for hook in self.hooks[key]:
            hook(*args)

    def get_dataset_arguments(self, dataset: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Further arguments of the training set and of the validation set."""
        return {"train": True}, {"train": False}

    def get_dataset_transform(self, dataset: Any) -> Any:
        """What every image goes through."""
        from torchvision import transforms

        return transforms.Compose([transforms.ToTensor()])

    def get_data_loaders(
        self, dataset: Any, batch_size: int, max_elements_train: int = 0, dataset_root: str = "data"
    ) -> tuple[Any, Any]:
        """Batches of the training set, shuffled, and of the validation set."""
        transform, loaders = self.get_dataset_transform(dataset), []
        for number, arguments in enumerate(self.get_dataset_arguments(dataset)):
            data: Any = dataset(dataset_root, download=True, transform=transform, **arguments)
            if max_elements_train > 0:
                data = torch.utils.data.Subset(data, range(min(max_elements_train, len(data))))
            loaders.append(DataLoader(data, batch_size=batch_size, shuffle=number == 0))
        return loaders[0], loaders[1]

    def get_optimizer(self, learning_rate: float, model: nn.Module) -> torch.optim.Optimizer:
        """What updates the model."""
        return AnalogSGD(model.parameters(), lr=learning_rate)

    def training_step(
        self, training_loader: Any, model: nn.Module, optimizer: Any, loss_function: Any, device: Any
    ) -> None:
        """One epoch of training."""
        total, count = 0.0, 0
        self._tell(Signals.TRAIN_EPOCH_START)
        model.train()
        for images, labels in training_loader:
            optimizer.zero_grad()
            loss = loss_function(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total, count = total + loss.item() * len(images), count + len(images)
        self._tell(Signals.TRAIN_EPOCH_END, total / max(count, 1))

    @torch.no_grad()
    def validation_step(
        self, validation_loader: Any, model: nn.Module, loss_function: Any, device: Any
    ) -> dict[str, float]:
        """Loss and accuracy on the validation set, as a fraction."""
        total, right, count = 0.0, 0, 0
        self._tell(Signals.VALIDATION_EPOCH_START)
        model.eval()
        for images, labels in validation_loader:
            predicted, wanted = model(images.to(device)), labels.to(device)
            total += loss_function(predicted, wanted).item() * len(images)
            right, count = right + int((predicted.argmax(1) == wanted).sum()), count + len(images)
        found = {"valid_loss": total / max(count, 1), "accuracy": right / max(count, 1)}
        self._tell(Signals.VALIDATION_EPOCH_END, found)
        return found

    def train(
        self, training_loader: Any, validation_loader: Any, model: nn.Module, optimizer: Any,
        loss_function: Any, epochs: int, device: Any,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """All epochs; what each one gave."""
        results = []
        for epoch in range(epochs):
            self._tell(Signals.EPOCH_START, epoch)
            self.training_step(training_loader, model, optimizer, loss_function, device)
            found = self.validation_step(validation_loader, model, loss_function, device)
            results.append({"epoch": epoch, **found})
            self._tell(Signals.EPOCH_END, results[-1])
        return results

    def run(
        self, max_elements: int = 0, dataset_root: str = "data", device: Any = "cpu"
    ) -> list[dict[str, Any]]:
        """Load the data, train, and say what every epoch gave."""
        loaders = self.get_data_loaders(self.dataset, self.batch_size, max_elements, dataset_root)
        model = self.model.to(device)
        optimizer = self.get_optimizer(self.learning_rate, model)
        self._tell(Signals.EXPERIMENT_START)
        results = self.train(*loaders, model, optimizer, self.loss_function(), self.epochs, device)
        self._tell(Signals.EXPERIMENT_END, results)
        return results


__getattr__ = absent(__name__)
