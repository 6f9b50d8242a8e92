"""What a run does about actors that die: how much it remembers, how often they are started again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from crossgrid.kernels.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a killed tile actor comes back: from its last snapshot, told again what it was told since.

    A stage does too; of stages a training step is one message, and its inputs are what is remembered.

    Raises:
        ConfigError: a number is out of range.
    """

    snapshot_messages: int = 256  #: to an actor, after which its state is asked for, and they are forgotten
    log_bytes: int = 256 << 20  #: of messages remembered for all actors, after which the same happens
    restarts: int = 5  #: of one actor within ``storm_s``; one more ends the run, its tiles' state saved
    storm_s: float = 60.0  #: seconds

    def __post_init__(self) -> None:
        _require_whole("snapshot_messages", self.snapshot_messages, 1)
        _require_whole("log_bytes", self.log_bytes, 1)
        _require_whole("restarts", self.restarts, 0)
        seconds: Any = self.storm_s
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
            raise ConfigError(f"Recovery.storm_s = {seconds!r} must be a number of seconds above 0")


def _require_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"Recovery.{name} = {value!r} must be a whole number of at least {least}")
