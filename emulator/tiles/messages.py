"""The protocol between a layer's front-end and the hosts of its tiles: every message and every reply.

Who sends and who reads stands in a message's docstring. The front-end is ``TileGrid`` (``hosts/grid.py``);
``Process``, ``Stop`` and those of snapshots are the executor's of actors (``actors/executor.py``).
``TileWorker.handle`` (``worker.py``) reads messages, whoever sent one reads its reply. In one process they
are passed as they are; between processes ``actors/wire.py`` encodes them: an annotation is a type there.

A field of arrays is a list of them: numpy arrays, or tensors where the tiles share a process with torch.
Whoever changes a message here gives the protocol a new ``VERSION``: those of another one are refused.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, get_args

import msgspec

from ..disk.arrays import Kind, StoredArray
from ..errors import ProtocolError
from .stored import Stored

VERSION = 5

#: a whole number from 0 to 2^63 - 1: layers, blocks, records, ticks, counters
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
#: the place of a block in its line, or -1
Place = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
#: neither infinite nor NaN
Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
#: float32 arrays or tensors
Floats = Annotated[list[Any], "f4"]
#: uint8 arrays, 1 where something is so
Masks = Annotated[list[Any], "u1"]
#: arrays of the types that a tile's state has
States = Annotated[list[Any], "f4 f8 i8 i4 u4 u1"]

Answer = TypeVar("Answer")


class Message(Generic[Answer]):
    """What the hosts of tiles are told or asked; ``Message[Weights]`` is answered by ``Weights``."""

    __slots__ = ()


def _require_pairs(what: str, names: Any, arrays: Any) -> None:
    """An error where arrays do not belong to ``names`` one by one."""
    if len(names) != len(arrays):
        raise ProtocolError(f"{what} names {len(names)} arrays and holds {len(arrays)}; send one for each")


# replies


@dataclass(frozen=True, slots=True)
class Done:
    """It is done; there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a message was not obeyed; the front-end raises it again (``errors.BY_NAME``)."""

    error: str  # name of its class
    text: str


@dataclass(frozen=True, slots=True)
class Sums:
    """Partial sums of a read, for ``TileGrid`` to add.

    A line is a row of blocks (of a backward read a column). Where this host has all blocks of it, their sum
    is complete and its place is -1; else there is a part of every block, at the block's place in the line.
    """

    lines: tuple[Count, ...]  # of each part
    places: tuple[Place, ...]  # of each part
    parts: Floats
    clipped: tuple[Count, ...]  # blocks with results at the ADC's bound; those of pulsed tiles are not told
    masks: Masks  # of each of these blocks [vectors, out]: which results

    def __post_init__(self) -> None:
        if len(self.lines) == len(self.places) == len(self.parts) and len(self.clipped) == len(self.masks):
            return  # at once: this is the answer to every read
        _require_pairs("Sums", self.lines, self.parts)
        _require_pairs("Sums", self.places, self.parts)
        _require_pairs("Sums", self.clipped, self.masks)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of whole lines that an actor added of its own parts and others'; sent once all are there."""

    lines: tuple[Count, ...]
    parts: Floats  # of each line

    def __post_init__(self) -> None:
        _require_pairs("Totals", self.lines, self.parts)


@dataclass(frozen=True, slots=True)
class Weights:
    """What tiles hold, w[out, in] of each block, without the noise of reads."""

    blocks: tuple[Count, ...]
    w: Floats

    def __post_init__(self) -> None:
        _require_pairs("Weights", self.blocks, self.w)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that changes in a layer's tiles here."""

    names: tuple[tuple[Count, str], ...]  # of each array: its block, what it is
    values: States

    def __post_init__(self) -> None:
        _require_pairs("State", self.names, self.values)


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything that changes in a layer's tiles here was written to a part of a saved run."""

    names: tuple[tuple[Count, str], ...]  # of each array, in their order there: its block, what it is
    kinds: tuple[Kind, ...]
    shapes: tuple[tuple[Count, ...], ...]
    digest: bytes  # of the part; empty: this process does not see the folder
    part_bytes: Count

    def __post_init__(self) -> None:
        _require_pairs("Saved", self.names, self.kinds)
        _require_pairs("Saved", self.names, self.shapes)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Whether the parts of a saved run were seen, and with them the tiles' state taken over."""

    seen: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is in a layer's tiles here, in the middle of whatever they do."""

    names: tuple[tuple[Count, str], ...]  # as of ``State``
    values: States
    more: tuple[str, ...]  # remembered passes and counters, see ``snapshot.py``
    held: States

    def __post_init__(self) -> None:
        _require_pairs("Snapshot", self.names, self.values)
        _require_pairs("Snapshot", self.more, self.held)


@dataclass(frozen=True, slots=True)
class Counters:
    """What each block's tile has done since it was built, by the names of ``TileStats``."""

    tiles: dict[Count, dict[str, Finite]]


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest magnitude of each output's weights, over a host's blocks of that row."""

    rows: tuple[Count, ...]
    values: Floats  # of each row of blocks [out]

    def __post_init__(self) -> None:
        _require_pairs("Largest", self.rows, self.values)


@dataclass(frozen=True, slots=True)
class Usage:
    """The process of an actor."""

    pid: Count
    cpu_seconds: Finite


# messages


@dataclass(frozen=True, slots=True)
class Forward(Message[Sums]):
    """``TileGrid.forward`` and ``read_vectors`` -> ``HostedLayer.forward``: read the tiles, y = W x."""

    layer: Count
    tick: Count  # of the first vector
    record: Count | None  # number under which to remember the pass, to go backward through it
    learn: bool  # whether a pulsed update may follow, for which inputs are kept too
    modify: Count | None  # tick of a hardware-aware mini-batch, for which the weights are modified
    columns: tuple[Count, ...] | None  # of blocks whose tiles alone are read, by plain vectors; None: all
    constant: Finite  # the input of a bias's column, where the layer has one; plain vectors bring it
    gather: tuple[Count, Count] | None  # number of a read whose sums actors add; lower than the second: done
    x: Floats  # of each column: features [B, in], or images [B, channels, ...]; or these vectors [B, in]


@dataclass(frozen=True, slots=True)
class Backward(Message[Sums]):
    """``TileGrid.backward`` -> ``HostedLayer.backward``: read z = W^T a d; keep d / a for an update."""

    layer: Count
    tick: Count  # of the first vector
    record: Count  # the forward pass that this one goes back through
    number: Count | None  # under which to keep the gradients for an update
    read: bool  # whether z is wanted
    gather: tuple[Count, Count] | None  # as of ``Forward``
    d: Floats  # of each hosted row of blocks: gradients [vectors, out]
    a: Floats  # of each hosted row the factors [out] of its outputs, y = a W x; none where they have none


@dataclass(frozen=True, slots=True)
class Peers(Message[Done]):
    """``Adders.begin`` -> ``Gathering.meet``: who adds which lines of a layer, and where they listen."""

    layer: Count
    rows: tuple[tuple[Count, Count, Count], ...]  # line, actor that adds it, its blocks
    columns: tuple[tuple[Count, Count, Count], ...]
    endpoints: tuple[tuple[Count, str, bytes], ...]  # actor, address, public key of its socket


@dataclass(frozen=True, slots=True)
class Parts(Message[Totals]):
    """``Gathering.share`` -> ``Gathering.take`` of the actor that adds; its answer goes to the driver."""

    layer: Count
    gather: Count  # number of the read
    along_row: bool
    lines: tuple[Count, ...]  # of each part
    places: tuple[Count, ...]
    parts: Floats

    def __post_init__(self) -> None:
        _require_pairs("Parts", self.lines, self.parts)
        _require_pairs("Parts", self.places, self.parts)


@dataclass(frozen=True, slots=True)
class ReadParts(Message[Sums]):
    """``SharedAddition.completed`` -> ``Gathering.own``: an actor's own parts of a read; it is not done."""

    layer: Count
    gather: Count


@dataclass(frozen=True, slots=True)
class Update(Message[Done]):
    """``TileGrid.update`` -> ``HostedLayer.update``: pulse the devices for kept passes, and forget those."""

    layer: Count
    tick: Count  # of the first vector
    learning_rate: Finite
    passes: tuple[tuple[Count, Count], ...]  # (record, number of its gradients), in the order of updates


@dataclass(frozen=True, slots=True)
class Forget(Message[Done]):
    """``TileGrid.forward`` -> ``HostedLayer.forget``: nobody can ask for these passes any more."""

    layer: Count
    passes: tuple[tuple[Count, Count | None], ...]  # (record, number of its gradients; None: all of it)


@dataclass(frozen=True, slots=True)
class ReadWeights(Message[Weights]):
    """``TileGrid.weights`` and ``Emulation.tile_weights`` -> ``HostedLayer.weights``."""

    layer: Count


@dataclass(frozen=True, slots=True)
class WriteWeights(Message[Done]):
    """``TileGrid.set_weights`` -> ``HostedLayer.set_weights``: write the tiles, clipped to their bounds."""

    layer: Count
    blocks: tuple[Count, ...]
    w: Floats  # of each block [out, in]

    def __post_init__(self) -> None:
        _require_pairs("WriteWeights", self.blocks, self.w)


@dataclass(frozen=True, slots=True)
class Program(Message[Done]):
    """``TileGrid.program`` -> ``HostedLayer.program``: write targets with the noise of programming."""

    layer: Count
    blocks: tuple[Count, ...]
    targets: Floats  # of each block [out, in]
    programmed: Count  # tick of the programming

    def __post_init__(self) -> None:
        _require_pairs("Program", self.blocks, self.targets)


@dataclass(frozen=True, slots=True)
class Drift(Message[Done]):
    """``TileGrid.program`` -> ``HostedLayer.program``: hold what a programming left, some time later."""

    layer: Count
    blocks: tuple[Count, ...]
    targets: Floats  # what was programmed: of each block [out, in]
    programmed: Count  # tick of the programming
    seconds: Finite  # since then
    tick: Count  # of the drift's own noise

    def __post_init__(self) -> None:
        _require_pairs("Drift", self.blocks, self.targets)


@dataclass(frozen=True, slots=True)
class LookAtStored(Message[Largest]):
    """``StoredMatrix.look`` -> ``HostedLayer.look_at_stored``: how large a file's weights are."""

    layer: Count
    weight: Stored
    bias: Stored | None  # of a layer whose tiles hold it


@dataclass(frozen=True, slots=True)
class WriteStored(Message[Done]):
    """``StoredMatrix.post`` -> ``HostedLayer.write_stored``: write a file's weights, or program them."""

    layer: Count
    weight: Stored
    bias: Stored | None
    programmed: Count | None  # tick of the programming; None: they are written as they are
    aged: tuple[Finite, Count] | None  # seconds since then, and the tick of the drift's own noise
    scale: Floats  # a, [1] or [out]: the tiles hold W / a; none: they hold W


@dataclass(frozen=True, slots=True)
class LetPass(Message[Done]):
    """``TileGrid.let_pass`` -> ``HostedLayer.let_pass``: devices that drift are left alone for a while."""

    layer: Count
    tick: Count  # how often that was before
    time: Finite  # in units of the drift's time


@dataclass(frozen=True, slots=True)
class ReadState(Message[State]):
    """``TileGrid.state`` and ``rescue`` -> ``HostedLayer.state``: for a checkpoint, or to move."""

    layer: Count


@dataclass(frozen=True, slots=True)
class LoadState(Message[Done]):
    """``TileGrid.load_state`` -> ``HostedLayer.load_state``: go on as the tiles that gave this state."""

    layer: Count
    names: tuple[tuple[Count, str], ...]  # of each array: its block, what it is
    values: States

    def __post_init__(self) -> None:
        _require_pairs("LoadState", self.names, self.values)


@dataclass(frozen=True, slots=True)
class SaveState(Message[Saved]):
    """``Saving.begin`` -> ``TileWorker.handle``: write what ``ReadState`` would give into a folder."""

    layer: Count
    folder: str
    sign: str  # a file that is there


@dataclass(frozen=True, slots=True)
class LoadStored(Message[Loaded]):
    """``TileGrid.load_state`` -> ``TileWorker.handle``: as ``LoadState``, of arrays in a saved run."""

    layer: Count
    names: tuple[tuple[Count, str], ...]
    arrays: tuple[StoredArray, ...]
    verify: tuple[bytes, ...]  # the digests that are to be looked at

    def __post_init__(self) -> None:
        _require_pairs("LoadStored", self.names, self.arrays)


@dataclass(frozen=True, slots=True)
class ReadSnapshot(Message[Snapshot]):
    """``RayExecutor.submit`` -> ``TileWorker.handle``: so that another actor can go on from here."""

    layer: Count


@dataclass(frozen=True, slots=True)
class LoadSnapshot(Message[Done]):
    """``RayExecutor.restart`` -> ``TileWorker.handle``: go on as the tiles that gave this snapshot."""

    layer: Count
    names: tuple[tuple[Count, str], ...]
    values: States
    more: tuple[str, ...]
    held: States

    def __post_init__(self) -> None:
        _require_pairs("LoadSnapshot", self.names, self.values)
        _require_pairs("LoadSnapshot", self.more, self.held)


@dataclass(frozen=True, slots=True)
class Stats(Message[Counters]):
    """``TileGrid.stats`` -> ``HostedLayer.counters``: what the tiles of this one layer have done."""

    layer: Count


@dataclass(frozen=True, slots=True)
class Process(Message[Usage]):
    """``RayExecutor.processes`` and ``settle`` -> ``TileActor.answer``: what the process has used."""


@dataclass(frozen=True, slots=True)
class Stop(Message[Done]):
    """``RayExecutor.close`` -> ``TileActor.serve``: end; there is no answer."""


Request: TypeAlias = (
    Forward | Backward | Peers | Parts | ReadParts | Update | Forget | ReadWeights | WriteWeights | Program
    | Drift | LookAtStored | WriteStored | LetPass | ReadState | LoadState | SaveState | LoadStored
    | ReadSnapshot | LoadSnapshot | Stats | Process | Stop
)  # fmt: skip
Reply: TypeAlias = (
    Done | Failed | Sums | Totals | Weights | State | Saved | Loaded | Snapshot | Counters | Largest | Usage
)

_ANSWERS: dict[Any, type] = {
    kind: get_args(base)[0] for kind in get_args(Request) for base in kind.__orig_bases__
}

#: messages and replies by their names on the wire
REQUESTS: dict[str, type] = {kind.__name__: kind for kind in get_args(Request)}
REPLIES: dict[str, type] = {kind.__name__: kind for kind in get_args(Reply)}


def answer_to(message: Message[Any]) -> type:
    """The reply that ``message`` gets when it is obeyed."""
    return _ANSWERS[type(message)]


def fields_of(kind: type) -> list[str]:
    """The names of a message's fields, in their order."""
    return [field.name for field in dataclasses.fields(kind)]
