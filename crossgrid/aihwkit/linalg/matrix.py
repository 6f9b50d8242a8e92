"""A matrix on tiles as a linear operator, as SciPy's solvers take it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from ..missing import absent


class AnalogMatrix(LinearOperator):  # type: ignore[misc]
    """A[out, in] on analog tiles: products read them, ``ger`` pulses them.

    Args:
        matrix: the numbers, a tensor or an array.
        rpu_config: how the tiles behave.
        realistic: write with pulses or with the noise of programming, or else exactly.
        to_kwargs: as of ``torch.nn.Module.to``.
    """

    def __init__(self, matrix: Any, rpu_config: Any, realistic: bool = False, **to_kwargs: Any) -> None:
        weight = torch.as_tensor(matrix)
        make = rpu_config.get_default_tile_module_class(*weight.shape)
        self._tile = make(*weight.shape, rpu_config, bias=False)
        if to_kwargs:
            self._tile = self._tile.to(**to_kwargs)
        self._tile.set_weights(weight, realistic=realistic)
        self._tile.eval()
        self.realistic = realistic
        super().__init__(np.dtype("float32"), tuple(weight.shape))

    def to(self, *args: Any, **kwargs: Any) -> AnalogMatrix:
        """As of ``torch.nn.Module``."""
        self._tile = self._tile.to(*args, **kwargs)
        return self

    def get_weights(self) -> Tensor:
        """The numbers as the devices hold them."""
        found: Tensor = self._tile.get_weights()[0]
        return found

    def __matmul__(self, x: Any) -> Any:
        """A x: [B, out] of a tensor's rows x[B, in]; of arrays as SciPy means it, A[out, in] x[in, B]."""
        if isinstance(x, Tensor):
            return self._read(x)
        return super().__matmul__(x)

    def __rmatmul__(self, d: Any) -> Any:
        """d A, of rows d[B, out]: [B, in]."""
        with torch.no_grad():
            z = self._tile.backward(torch.as_tensor(d, dtype=torch.float32))
        return z if isinstance(d, Tensor) else z.numpy()

    def _read(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y: Tensor = self._tile(x.float())
        return y

    def _matvec(self, x: Any) -> Any:
        return self._read(torch.as_tensor(np.asarray(x, np.float32).reshape(1, -1)))[0].numpy()

    def _matmat(self, x: Any) -> Any:
        return self._read(torch.as_tensor(np.asarray(x, np.float32).T.copy())).numpy().T

    def _rmatvec(self, d: Any) -> Any:
        return self.__rmatmul__(np.asarray(d, np.float32).reshape(1, -1))[0]

    def _rmatmat(self, d: Any) -> Any:
        return self.__rmatmul__(np.asarray(d, np.float32).T.copy()).T

    def ger(self, x_matrix: Any, d_matrix: Any, alpha: float = 1.0) -> None:
        """A <- A + alpha d x^T on average, by pulses, for every pair of rows x[B, in] and d[B, out]."""
        x, d = (torch.as_tensor(each, dtype=torch.float32) for each in (x_matrix, d_matrix))
        self._tile.set_learning_rate(alpha)
        self._tile.update(x, -d)


__getattr__ = absent(__name__)
