"""Patches against torch's unfold, and the adjoint identity <unfold x, p> = <x, fold p>."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossgrid.kernels.backends import CPU, backend_of
from crossgrid.kernels.errors import InputError
from crossgrid.kernels.patches.unfold import window

CASES = [
    pytest.param((8, 1, 28, 28), (5, 5), 1, 0, 1, id="lenet-first"),
    pytest.param((3, 2, 9, 7), (3, 2), (2, 1), (1, 0), (2, 3), id="2d-awkward"),
    pytest.param((2, 3, 11), (4,), 3, 2, 1, id="1d"),
    pytest.param((2, 2, 5, 6, 4), (2, 3, 2), (1, 2, 1), (0, 1, 1), (2, 1, 1), id="3d"),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), CASES)
@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_unfold_is_exact_and_fold_is_its_adjoint(shape, kernel, stride, padding, dilation, backend) -> None:
    rng = np.random.default_rng(1)
    # small integers: every sum is exact in float32
    images = rng.integers(-8, 9, shape).astype(np.float32)
    moves = window(kernel, stride, padding, dilation, axes=len(kernel))
    kernels = backend_of(backend).patches
    patches = kernels.unfold(images, moves)
    if len(kernel) == 2:
        expected = torch.nn.functional.unfold(torch.from_numpy(images), kernel, dilation, padding, stride)
        np.testing.assert_array_equal(patches, expected.transpose(1, 2).reshape(patches.shape).numpy())
    weight = rng.integers(-8, 9, (4, shape[1], *kernel)).astype(np.float32)
    convolve = [torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d]
    result = convolve[len(kernel) - 1](
        torch.from_numpy(images), torch.from_numpy(weight), None, stride, padding, dilation
    )
    product = (patches @ weight.reshape(4, -1).T).reshape(shape[0], -1, 4).transpose(0, 2, 1)
    np.testing.assert_array_equal(product, result.reshape(product.shape).numpy())

    other = rng.integers(-8, 9, patches.shape).astype(np.float32)
    back = kernels.fold(other, shape[0], shape[1], shape[2:], moves)
    assert float((patches * other).sum()) == float((images * back).sum())


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), CASES)
@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_images_with_their_channels_last_are_the_same_images(
    shape, kernel, stride, padding, dilation, backend
) -> None:
    """To the bit: what is added to a pixel comes in the same order."""
    rng = np.random.default_rng(2)
    first = rng.standard_normal(shape).astype(np.float32)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(first, 1, -1)), -1, 1)
    moves = window(kernel, stride, padding, dilation, axes=len(kernel))
    kernels = backend_of(backend).patches
    patches = kernels.unfold(first, moves)
    np.testing.assert_array_equal(kernels.unfold(last, moves), patches)
    back = kernels.fold(patches, shape[0], shape[1], shape[2:], moves)
    stored = kernels.fold(patches, shape[0], shape[1], shape[2:], moves, last=True)
    np.testing.assert_array_equal(stored, back)
    assert back.flags.c_contiguous
    assert np.moveaxis(stored, 1, -1).flags.c_contiguous


def test_a_kernel_larger_than_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="larger image or more padding"):
        CPU.patches.unfold(np.zeros((1, 1, 3, 3), np.float32), window((5, 5)))


@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_patches_of_another_shape_are_refused(backend) -> None:
    with pytest.raises(InputError, match="patches have shape"):
        backend_of(backend).patches.fold(np.zeros((3, 4), np.float32), 1, 1, (3, 3), window((2, 2)))
