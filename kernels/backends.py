"""What computes: one object a backend, whose attributes are the kernels themselves.

* ``NAIVE``: numpy, one vector after another, to be read; the others are held to it.
* ``CPU``: numba, in threads. The same bits as ``NAIVE`` but for sums of products, whose order is its own.
* ``CUDA``: Triton, on tensors that stay on the card; what has no kernel there is the processor's.

An attribute is one family of kernels: a module with the same functions, of the same arguments, in every one.

=============  ===========================================================================================
analog_mvm     reads: ``prepare``, ``ready``, ``passed``, ``scales``, ``threads``, ``watched``,
               ``attempt``, ``at_bound``
pulsed_update  updates: ``run`` by pulses, ``update_exactly`` without
crosspoints    random numbers of a bank's crosspoints: ``words``, ``normals``
rows           random numbers of some rows of a tile: ``normals``, ``uniforms``
cells          what cells of several devices do with numbers: ``Numbers``
transfers      ``fill_buffer``, ``subtract_reference``, ``running_rates``, ``chop``
modifiers      weights of hardware-aware training: ``empty_like``, ``largest_magnitude``, ``modify``
patches        of images: ``unfold``, ``fold``
=============  ===========================================================================================

A family is loaded when it is first asked for: a tile on a processor loads neither torch nor Triton.
``on_card`` tells whether weights and results are tensors on a card, ``late`` whether nobody waits for it, and
``notes_looks`` whether an update can note the lines that are looked at between its vectors.
"""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import Any, Literal, Union

from .errors import unknown

BackendName = Literal["cpu", "cuda", "naive"]
Backend = Union["Naive", "Cpu"]


class Naive:
    """numpy."""

    name: BackendName = "naive"
    on_card = notes_looks = late = False

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return backend_of, (self.name,)  # modules do not travel

    @cached_property
    def analog_mvm(self) -> ModuleType:
        from .analog_mvm import naive

        return naive

    @cached_property
    def pulsed_update(self) -> ModuleType:
        from .pulsed_update import naive

        return naive

    @cached_property
    def crosspoints(self) -> ModuleType:
        from .arrays.draws import naive

        return naive

    @cached_property
    def rows(self) -> ModuleType:
        from .inference.draws import naive

        return naive

    @cached_property
    def cells(self) -> ModuleType:
        from .cells.numbers import host

        return host

    @cached_property
    def transfers(self) -> ModuleType:
        from .cells.transfer.sequential import naive

        return naive

    @cached_property
    def modifiers(self) -> ModuleType:
        from .inference.modifiers import naive

        return naive

    @cached_property
    def patches(self) -> ModuleType:
        from .patches import naive

        return naive


class Cpu:
    """numba."""

    name: BackendName = "cpu"
    on_card, notes_looks, late = False, True, False

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return backend_of, (self.name,)

    @cached_property
    def analog_mvm(self) -> ModuleType:
        from .analog_mvm.cpu import read

        return read

    @cached_property
    def pulsed_update(self) -> ModuleType:
        from .pulsed_update.cpu import update

        return update

    @cached_property
    def crosspoints(self) -> ModuleType:
        from .arrays.draws import cpu

        return cpu

    @cached_property
    def rows(self) -> ModuleType:
        from .inference.draws import cpu

        return cpu

    @cached_property
    def cells(self) -> ModuleType:
        from .cells.numbers import host

        return host

    @cached_property
    def transfers(self) -> ModuleType:
        from .cells.transfer.sequential import cpu

        return cpu

    @cached_property
    def modifiers(self) -> ModuleType:
        from .inference.modifiers import cpu

        return cpu

    @cached_property
    def patches(self) -> ModuleType:
        from .patches import cpu

        return cpu


class Cuda(Cpu):
    """Triton, and a processor for the rest."""

    name: BackendName = "cuda"
    on_card, notes_looks = True, False
    findings: Any = None  # where kernels note what is wrong; None: whoever calls them is told at once
    updates: Any = None  # that wait for each other; None: each is made at once
    place = 0  # what the kernels of a layer call it among the findings

    def reporting(self, updates: Any, layer: str) -> Cuda:
        """The backend of a layer whose kernels note what is wrong and whose updates are made with others."""
        own = Cuda()
        own.updates, own.findings, own.place = updates, updates.findings, updates.findings.place(layer)
        own.late = True
        return own

    def new_updates(self) -> Any:
        """What the layers of a process have in common, for ``reporting``."""
        from .machine.cuda.findings import Findings
        from .pulsed_update.cuda.update import Updates

        return Updates(Findings())

    @cached_property
    def whole_reads(self) -> ModuleType:
        """Reads that are one launch."""
        from .analog_mvm.cuda import whole

        return whole

    @cached_property
    def analog_mvm(self) -> ModuleType:
        from .analog_mvm.cuda import read

        return read

    @cached_property
    def pulsed_update(self) -> ModuleType:
        from .pulsed_update.cuda import update

        return update

    @cached_property
    def cells(self) -> ModuleType:
        from .cells.numbers import cuda

        return cuda

    @cached_property
    def transfers(self) -> ModuleType:
        from .cells.transfer.sequential import cuda

        return cuda

    @cached_property
    def modifiers(self) -> ModuleType:
        from .inference.modifiers import cuda

        return cuda

    @cached_property
    def patches(self) -> ModuleType:
        from .patches import cuda

        return cuda


NAIVE, CPU, CUDA = Naive(), Cpu(), Cuda()
BACKENDS: dict[str, Backend] = {each.name: each for each in (CPU, CUDA, NAIVE)}


def backend_of(name: str) -> Backend:
    """The backend that users call ``name``."""
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    return BACKENDS[name]
