"""Partial sums added near the tiles: one actor of a line of blocks adds them all and hands on one result.

Every actor replies to a read as ever, at once and in order; of lines that it shares with others it leaves out
its parts, keeps them, and gives them to the actor that adds this line. That one adds in block order, whatever
came first, and sends the driver the total. An actor stays a function of what the driver told it: nothing of
its state depends on what others give it. So whatever is lost on the way, the driver asks all actors for
their own parts and adds them itself: the same bits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ProtocolError
from ..hosts.executor import Addition, Hosting
from ..hosts.sums import add_in_order
from ..tiles.layer_spec import LayerSpec
from ..tiles.messages import Backward, Forward, Parts, Peers, ReadParts, Sums, Totals
from ..tiles.values import as_array
from ..wire.addresses import Endpoint, Flow
from ..wire.letters import Letter, send

if TYPE_CHECKING:
    from .executor import RayExecutor

#: bytes of parts that the driver is spared in a read, from which on it pays that they go another way
SPARED_BYTES = 1 << 18

#: seconds that the driver waits for a total once all actors have read; then it asks for the parts
PATIENCE_SECONDS = 2.0

#: seconds that it listens before it looks whether an actor was replaced
LISTEN_SECONDS = 0.05

#: of a line of blocks that several actors hold: its number, the actor that adds it, how many blocks it has
Line = tuple[int, int, int]

#: what one actor sends another waits in its memory: reads in flight limit it
PEERS = Flow(high_water=0, buffer_bytes=1 << 20)


def shared_lines(
    spec: LayerSpec, hosting: Hosting, along_row: bool, reaches: Callable[[int, int], bool]
) -> tuple[Line, ...]:
    """The rows or columns of blocks that several actors hold, and who adds each: they take turns.

    ``reaches(a, b)`` tells whether actor ``b`` can send to ``a``. A line of which nobody can be reached by
    all is left to the driver.
    """
    holders: dict[int, list[int]] = {}
    for host in sorted(hosting):
        for block in hosting[host]:
            tile = spec.tiles[block]
            holders.setdefault(tile.row if along_row else tile.column, []).append(host)
    lines = []
    for line, hosts in sorted(holders.items()):
        each = sorted({*hosts})
        able = [host for host in each if all(reaches(host, other) for other in each)]
        if len(each) > 1 and able:
            lines.append((line, able[line % len(able)], len(hosts)))
    return tuple(lines)


@dataclass(slots=True)
class _Layer:
    """What the driver knows of a layer whose tiles are at several actors."""

    spec: LayerSpec
    hosting: Hosting
    known: bool = False  # whether all actors were told of each other as they are now
    rows: tuple[Line, ...] = ()
    columns: tuple[Line, ...] = ()

    def spared(self, lines: Sequence[Line], along_row: bool) -> int:
        """Bytes a vector that the driver need not receive."""
        widths = {(t.row if along_row else t.column): t.shape[0 if along_row else 1] for t in self.spec.tiles}
        return sum(4 * widths[line] * (blocks - 1) for line, _, blocks in lines)


class Adders:
    """The driver's side: which actors add what, and which reads are under way."""

    def __init__(self, executor: RayExecutor, specs: Sequence[LayerSpec]) -> None:
        self.executor = executor
        self.layers = {
            layer: _Layer(spec, hosting)
            for layer, (spec, hosting) in enumerate(zip(specs, executor.hostings, strict=True))
            if len(hosting) > 1
        }
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._next = 1

    @property
    def settled(self) -> int:
        """All reads with lower numbers are done."""
        with self._lock:
            return min(self._open, default=self._next)

    @property
    def begun(self) -> int:
        """All reads with this number and higher ones have not begun."""
        return self._next

    def begin(self, layer: int, vectors: int, along_row: bool) -> Addition:
        """A read of a layer's tiles begins: who adds what comes of it; of no ``vectors`` comes nothing."""
        found = self.layers.get(layer)
        if found is None:
            return Addition()
        if not found.known:
            self._introduce(layer, found)
        lines = found.rows if along_row else found.columns
        if not vectors or vectors * found.spared(lines, along_row) < SPARED_BYTES:
            return Addition()
        with self._lock:
            number, self._next = self._next, self._next + 1
            settled = min(self._open, default=number)
            self._open.add(number)
        return SharedAddition(self.executor, layer, [*found.hosting], lines, number, settled)

    def end(self, number: int) -> None:
        """A read is done, or given up."""
        with self._lock:
            self._open.discard(number)

    def forget(self, layer: int) -> None:
        """An actor of a layer was replaced: the others are to know where its successor listens."""
        if layer in self.layers:
            self.layers[layer].known = False

    def _introduce(self, layer: int, found: _Layer) -> None:
        """Tell all actors of a layer who adds what, and where those listen."""
        host = self.executor.host
        found.known = True  # before they are asked: one that is replaced meanwhile changes it

        def reaches(to: int, other: int) -> bool:
            at = host(to).address
            return bool(at.endpoint.public_key) or host(other).address.node == at.node

        found.rows = shared_lines(found.spec, found.hosting, True, reaches)
        found.columns = shared_lines(found.spec, found.hosting, False, reaches)
        adders = sorted({adder for _, adder, _ in (*found.rows, *found.columns)})
        endpoints = [host(adder).address.endpoint for adder in adders]
        where = tuple((a, e.address, e.public_key) for a, e in zip(adders, endpoints, strict=True))
        if adders:
            for number in found.hosting:
                self.executor.submit(number, Peers(layer, found.rows, found.columns, where), wanted=False)


@dataclass(slots=True)
class SharedAddition(Addition):
    """A read some of whose lines actors add."""

    executor: RayExecutor
    layer: int
    hosts: list[int]
    lines: tuple[Line, ...]
    number: int
    settled: int
    _epochs: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.gather = (self.number, self.settled)
        self._epochs = self._present()
        self.executor.mail.expect(self.number)

    def _present(self) -> list[int]:
        return [self.executor.host(number).epoch for number in self.hosts]

    def __exit__(self, *_: object) -> None:
        self.executor.adders.end(self.number)
        self.executor.mail.expect_no_more(self.number, {adder for _, adder, _ in self.lines})

    def completed(self, replies: Sequence[Sums]) -> list[Sums]:
        """All sums of the read: those of the replies, and of the lines that actors added."""
        shared = {line for line, _, _ in self.lines}
        own = [_without(reply, shared) for reply in replies]
        totals, deadline = [], time.monotonic() + PATIENCE_SECONDS
        for adder in sorted({adder for _, adder, _ in self.lines}):
            total = self._total(adder, deadline)
            if total is None:
                return [*own, *self._parts()]
            totals.append(Sums(total.lines, (-1,) * len(total.lines), total.parts, (), []))
        return [*own, *totals]

    def _total(self, adder: int, deadline: float) -> Totals | None:
        """What an actor added; None where that may not come."""
        while (total := self.executor.mail.take_total(adder, self.number, LISTEN_SECONDS)) is None:
            if self._present() != self._epochs or time.monotonic() > deadline:
                return None
        return total

    def _parts(self) -> list[Sums]:
        """The parts of all actors, as they read them."""
        asked = [self.executor.submit(host, ReadParts(self.layer, self.number)) for host in self.hosts]
        return [ticket.result() for ticket in asked]


def _without(sums: Sums, lines: set[int]) -> Sums:
    """``sums`` without single parts of ``lines``."""
    stay = [
        k for k, (line, place) in enumerate(zip(sums.lines, sums.places, strict=True))
        if place < 0 or line not in lines
    ]  # fmt: skip
    return _picked(sums, stay, sums.clipped, sums.masks)


def _picked(sums: Sums, picked: Sequence[int], clipped: tuple[int, ...] = (), masks: Any = ()) -> Sums:
    lines, places = (tuple(values[k] for k in picked) for values in (sums.lines, sums.places))
    return Sums(lines, places, [sums.parts[k] for k in picked], clipped, [*masks])


class Gathering:
    """An actor's side: what it adds, what it gives to whom, and what it keeps until a read is done."""

    def __init__(self, number: int, reply: Callable[[Totals, int], None]) -> None:
        """Of the actor ``number``; ``reply(totals, read)`` sends the driver what was added."""
        self.number, self.reply = number, reply
        self.settled = 0
        self.kept: dict[int, Sums] = {}  # its own parts by the number of the read
        self._lines: dict[tuple[int, bool], dict[int, tuple[int, int]]] = {}
        self._sockets: dict[int, tuple[Endpoint, Any]] = {}
        self._came: dict[int, dict[int, dict[int, Any]]] = {}  # read -> line -> place -> part
        self._added: set[int] = set()  # reads

    def meet(self, message: Peers) -> None:
        """Know who adds which lines of a layer, and where they listen."""
        for along_row, lines in ((True, message.rows), (False, message.columns)):
            self._lines[message.layer, along_row] = {line: (adder, blocks) for line, adder, blocks in lines}
        for number, address, key in message.endpoints:
            endpoint, (old, socket) = Endpoint(address, key), self._sockets.get(number, (None, None))
            if number == self.number or old == endpoint:
                continue
            if socket is not None:
                socket.close(linger=0)
            self._sockets[number] = endpoint, endpoint.connected(PEERS)

    def share(self, message: Forward | Backward, sums: Sums) -> Sums:
        """Give the parts of shared lines to those that add them; what is left of ``sums`` for the driver."""
        assert message.gather is not None
        number, settled = message.gather
        self._settle(settled)
        along_row = isinstance(message, Forward)
        lines = self._lines.get((message.layer, along_row), {})
        parts = [k for k, place in enumerate(sums.places) if place >= 0]
        self.kept[number] = _picked(sums, parts)
        for adder in sorted({lines[sums.lines[k]][0] for k in parts if sums.lines[k] in lines}):
            given = _picked(sums, [k for k in parts if lines.get(sums.lines[k], (None,))[0] == adder])
            content = Parts(message.layer, number, along_row, given.lines, given.places, given.parts)
            if adder == self.number:
                self.take(content)
            else:
                send(self._sockets[adder][1], Letter(content, 0, False, self.number))
        return _without(sums, {*lines})

    def take(self, message: Parts) -> None:
        """Add what others read, once all is here."""
        number = message.gather
        if number < self.settled or number in self._added:
            return  # of an actor that was told again what its predecessor was told
        came = self._came.setdefault(number, {})
        for line, place, part in zip(message.lines, message.places, message.parts, strict=True):
            came.setdefault(line, {})[place] = as_array(part)
        lines = self._lines.get((message.layer, message.along_row), {})
        own = {line: blocks for line, (adder, blocks) in lines.items() if adder == self.number}
        if any(len(came.get(line, ())) < blocks for line, blocks in own.items()):
            return
        del self._came[number]
        self._added.add(number)
        self.reply(Totals((*own,), [add_in_order(came[line]) for line in own]), number)

    def own(self, message: ReadParts) -> Sums:
        """The parts of a read that is not done.

        Raises:
            ProtocolError: there was none, or it is done.
        """
        if message.gather not in self.kept:
            raise ProtocolError(f"ReadParts: read {message.gather} is not kept here; run it again")
        return self.kept[message.gather]

    def _settle(self, settled: int) -> None:
        """Forget reads that are done."""
        self.settled = max(self.settled, settled)
        for kept in (self.kept, self._came):
            for number in [n for n in kept if n < self.settled]:
                del kept[number]  # type: ignore[attr-defined]
        self._added = {n for n in self._added if n >= self.settled}

    def close(self) -> None:
        """Speak to nobody any more."""
        for _, socket in self._sockets.values():
            socket.close(linger=0)
