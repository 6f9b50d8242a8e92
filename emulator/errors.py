"""Errors of the front-end and of the processes behind it."""

from __future__ import annotations

from crossgrid.kernels.errors import ConfigError, CrossgridError, InputError, UnknownNameError


class BackendError(CrossgridError, RuntimeError):
    """The processes that host the tiles cannot be started or reached."""


class TileError(BackendError):
    """A tile's process died, hangs or failed; the message names tile, layer and node."""


class ProtocolError(BackendError):
    """A message between processes is malformed, foreign, or of another version of the protocol."""


class StorageError(CrossgridError, OSError):
    """A run cannot be written or read: the disk is full, the folder may only be read, the device fails."""


#: what is said to whoever asks tiles that have gone home, from another thread
ENDED = "the emulation has ended; its tiles answer no more"


class PortError(CrossgridError, OSError):
    """The port that was asked for cannot be taken."""


#: errors that a worker may raise and a driver raises again under the same name
BY_NAME: dict[str, type[CrossgridError]] = {
    error.__name__: error
    for error in (ConfigError, InputError, ProtocolError, StorageError, UnknownNameError, TileError)
}
