"""Which reads belong to one mini-batch: they share one draw of the weights' modification.

A mini-batch is one call of a model's root (``cg.AnalogModel``, as conversion makes it), of a recurrent layer,
or one ``train_step`` with all its micro-batches. Where gradients are accumulated, every call is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

#: stands for the mini-batch that this thread computes
CURRENT: ContextVar[object | None] = ContextVar("mini_batch", default=None)


@contextlib.contextmanager
def mini_batch() -> Iterator[None]:
    """Reads inside belong to one mini-batch; one that is open already goes on."""
    if CURRENT.get() is not None:
        yield
        return
    token = CURRENT.set(object())
    try:
        yield
    finally:
        CURRENT.reset(token)


def current_mini_batch() -> object | None:
    """What stands for the present mini-batch; None outside of any: then every read is one."""
    return CURRENT.get()


def recomputes() -> bool:
    """Whether a backward pass is on its way: a read in it (activation checkpointing) repeats another."""
    return bool(torch._C._current_graph_task_id() != -1)
