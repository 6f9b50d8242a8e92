"""Memory is used again only when no array, view or tensor over it is left."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from crossgrid.kernels.machine.pages import SMALLEST, Recycled

SHAPE = (2, SMALLEST // 8)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_the_memory_of_a_dropped_array_serves_again() -> None:
    recycled = Recycled()
    first = recycled.empty(SHAPE)
    assert first.shape == SHAPE
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert first.flags.writeable
    place = address(first)
    del first
    assert address(recycled.empty(SHAPE)) == place


def test_arrays_views_and_tensors_keep_their_memory() -> None:
    recycled = Recycled()
    first = recycled.empty(SHAPE)
    view, tensor = first[1, 3:], torch.from_numpy(first).reshape(-1)[5:]
    place = address(first)
    del first
    second = recycled.empty(SHAPE)
    assert address(second) != place
    del view
    third = recycled.empty(SHAPE)
    assert address(third) != place
    del tensor
    assert address(recycled.empty(SHAPE)) == place


def test_another_size_gets_memory_of_its_own() -> None:
    recycled = Recycled()
    del_me = recycled.empty(SHAPE)
    del del_me
    larger = recycled.empty((3, *SHAPE))
    larger[:] = 1.0
    assert larger.shape == (3, *SHAPE)
    assert recycled.empty((2, 2)).shape == (2, 2)


def test_released_memory_goes_back_and_what_is_in_use_stays() -> None:
    recycled = Recycled()
    first = recycled.empty(SHAPE)
    first[:] = 1.0
    recycled.release()
    assert (first == 1.0).all()
    before = psutil.Process().memory_info().rss
    del first
    recycled.release()
    # half of the array's 1 MiB: looking takes some memory, too
    assert before - psutil.Process().memory_info().rss >= SMALLEST // 2


STEP = """
import sys
import torch
import crossgrid as cg
from crossgrid.kernels.machine import pages

torch.manual_seed(0)
modifier = cg.WeightModifierParameter(type=cg.WeightModifierType.ADD_NORMAL, std_dev=0.1)
model = cg.convert_to_analog(torch.nn.Linear(600, 500), cg.InferenceRPUConfig(modifier=modifier))
optimizer = cg.AnalogSGD(model.parameters(), lr=0.125)
used = []
memory = pages._pages
pages._pages = lambda size: used.append(size) or memory(size)
for _ in range(2):
    optimizer.zero_grad()
    model(torch.ones(2, 600) / 8).sum().backward()
    optimizer.step()
print(cg.weights_sha256(model), bool(used))
"""


def step(**environment: str) -> list[str]:
    """The bits of a training whose layer is larger than SMALLEST, and whether pages were taken for it."""
    ran = subprocess.run(
        [sys.executable, "-c", STEP], env={**os.environ, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return ran.stdout.split()


def test_it_can_be_switched_off_and_gives_the_same_bits() -> None:
    with_pages, without = step(), step(CROSSGRID_PLAIN="pages")
    assert with_pages[0] == without[0]
    assert [with_pages[1], without[1]] == ["True", "False"]


FAULTS = """
import resource
import numpy as np
import crossgrid.kernels.machine.jit

def step():
    arrays = [np.ones(1 << 19, np.float32) for _ in range(4)]

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> int:
    """Pages that ten steps take from the system, each of which frees four arrays of 2 MiB."""
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS], env={**os.environ, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return int(ran.stdout)


def test_freed_arrays_serve_again_unless_the_user_chose_otherwise() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the allocator is not glibc's: its limits are not ours to set")
    all_pages = 10 * 4 * (2 << 20) // resource.getpagesize()
    assert faults() < 0.05 * all_pages
    assert faults(CROSSGRID_PLAIN="malloc") > 0.5 * all_pages
    assert faults(MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 0.9 * all_pages
