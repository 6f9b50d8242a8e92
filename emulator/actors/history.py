"""What an actor was told since its last snapshot: whoever is told the same in the same order is the same.

Every random number has an address and ticks travel in the messages: an actor is a function of its messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..config.recovery import Recovery
from ..tiles.messages import (
    Forward,
    LoadSnapshot,
    LoadStored,
    Peers,
    Process,
    ReadParts,
    ReadSnapshot,
    ReadState,
    ReadWeights,
    SaveState,
    Snapshot,
    Stats,
)
from ..wire.letters import Letter, encode

#: messages that change nothing: told again only where nobody has had the answer
QUERIES = (ReadWeights, ReadState, SaveState, ReadSnapshot, ReadParts, Stats, Process)

#: the frames of a letter
Frames = list[bytes]


class Told(NamedTuple):
    """A message that an actor was sent."""

    number: int
    query: bool
    frames: Frames
    size: int  # of the frames


@dataclass(slots=True)
class History:
    """The letters to one actor, in their order, that make a new actor what that one is."""

    recovery: Recovery
    log_bytes: int  # of letters, after which a snapshot is due
    snapshot: list[Frames] = field(default_factory=list)  # letters that put the last snapshot in place
    told: deque[Told] = field(default_factory=deque)  # since then
    size: int = 0  # bytes of those
    asked: dict[int, int] = field(default_factory=dict)  # message -> layer, of a snapshot that is on its way
    asked_before: int = 0  # reads with lower numbers may have begun before it was asked for
    of_files: bool = False  # whether it was told what stands in files, which somebody may remove

    def add(self, number: int, message: Any, frames: Sequence[Any]) -> Frames:
        """Remember a message that is about to be sent; its frames, which nobody else writes to."""
        kept = [bytes(frame) for frame in frames]
        if isinstance(message, Peers):  # a successor learns who its peers are then
            return kept
        size = sum(map(len, kept))
        query = isinstance(message, QUERIES)
        self.told.append(Told(number, query, kept, size))
        self.size += size
        if query and isinstance(message, ReadSnapshot):
            self.asked[number] = message.layer
        self.of_files |= isinstance(message, LoadStored)
        return kept

    def withdraw(self, number: int) -> None:
        """A message was not sent after all."""
        if self.told and self.told[-1].number == number:
            self.size -= self.told.pop().size
            self.asked.pop(number, None)

    def due(self, message: Any) -> bool:
        """Whether to ask for a snapshot before ``message``, best between steps: then few passes are kept."""
        if self.of_files:
            return not self.asked and not isinstance(message, LoadStored)
        if len(self.told) < self.recovery.snapshot_messages and self.size < self.log_bytes:
            return False
        fill = max(len(self.told) / self.recovery.snapshot_messages, self.size / self.log_bytes)
        return not self.asked and fill >= (1.0 if isinstance(message, Forward) else 2.0)

    def take(self, replies: dict[int, Any]) -> None:
        """Go on from the snapshot that was asked for; what was told before it need not be told again."""
        if all(isinstance(reply, Snapshot) for reply in replies.values()):
            last = max(self.asked)
            letters = [
                Letter(LoadSnapshot(self.asked[n], r.names, r.values, r.more, r.held), 0, False)
                for n, r in replies.items()
            ]
            self.snapshot = [[bytes(frame) for frame in encode(letter)] for letter in letters]
            while self.told and self.told[0].number <= last:
                self.size -= self.told.popleft().size
            self.of_files = False
        self.asked.clear()

    def again(self, answered: Collection[int]) -> Iterator[Frames]:
        """The letters to tell a new actor; of queries those alone that are not ``answered``."""
        yield from self.snapshot
        for told in self.told:
            if not (told.query and told.number in answered):
                yield told.frames

    @property
    def snapshot_bytes(self) -> int:
        """What the snapshot takes."""
        return sum(len(frame) for frames in self.snapshot for frame in frames)
