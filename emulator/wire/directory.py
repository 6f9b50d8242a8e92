"""The private directory of a run's sockets: locked while its driver lives, else removed by who finds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "crossgrid-"

#: the file in it that the driver holds a lock on, which the system takes back whatever the driver dies of
OWNER = "owner"


class RunDirectory:
    """A directory that is this process's alone."""

    def __init__(self) -> None:
        remove_abandoned()
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        self._owner = os.open(f"{self.path}/{OWNER}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._owner, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it."""
        os.close(self._owner)
        shutil.rmtree(self.path, ignore_errors=True)


def is_abandoned(directory: str | os.PathLike[str]) -> bool:
    """Whether the driver of a run's directory is gone."""
    try:
        owner = os.open(f"{directory}/{OWNER}", os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return not os.path.isdir(directory)
    except OSError:
        return False
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(owner)
    return True


def abandoned() -> Iterator[Path]:
    """This user's directories of runs whose drivers are gone."""
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            found = path.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and (path / OWNER).exists()
            if ours and is_abandoned(path):
                yield path


def remove_abandoned() -> list[Path]:
    """Remove what runs left behind whose drivers were killed; what was removed."""
    removed = list(abandoned())
    for path in removed:
        shutil.rmtree(path, ignore_errors=True)
    return removed
