"""The files of a saved run: parts of raw bytes named by their digests, and a manifest.

A part is written beside, synced and renamed, then the manifest, which is one file: whoever is killed at any
moment leaves the last complete run. A part that did not change is there already and is not written again;
parts that no manifest names are removed last.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from crossgrid.kernels.errors import ConfigError

from ..errors import StorageError

FILE = "run.msgpack"
FORMAT = "crossgrid run"

#: versions that are read; the last one is written
VERSIONS = (3, 4)

#: the most that a manifest's body may have
BODY_BYTES = 1 << 22

#: bytes of a digest (BLAKE2b)
DIGEST = 32

#: bytes that are read at once where they are only looked at
CHUNK = 1 << 20

#: how msgpack begins a list of four
_FOUR = msgpack.packb((None,) * 4)[:1]

_PART = re.compile(r"[0-9a-f]{64}\.raw")
_WRITING = re.compile(r"\.writing-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of raw bytes."""

    digest: bytes
    size: int

    @property
    def name(self) -> str:
        """Its file, which nothing but its content decides."""
        return f"{self.digest.hex()}.raw"


def digest_of(*pieces: Any) -> bytes:
    """BLAKE2b of bytes one after the other."""
    found = hashlib.blake2b(digest_size=DIGEST)
    for piece in pieces:
        found.update(piece)
    return found.digest()


class Folder:
    """A folder that a run is saved in, opened: a name in it cannot lead out of it."""

    def __init__(self, path: str | os.PathLike[str], create: bool = False) -> None:
        """Open the folder ``path``; with ``create`` make it first, and keep other savers out.

        Raises:
            ConfigError: there is none, or somebody else is saving there.
            StorageError: it cannot be made or opened.
        """
        self.path = Path(path)
        with self._storage("opened"):
            if create:
                self.path.mkdir(parents=True, exist_ok=True)
            try:
                self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                raise ConfigError(f"{path}: there is no such folder; give that of emulation.save") from None
        if create:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self.fd)
                raise ConfigError(
                    f"{path}: another process is saving there; wait for it, or save elsewhere"
                ) from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.fd)

    def write_part(self, pieces: Iterable[Any]) -> Part:
        """A part of these buffers' bytes; one that is there, and whole, is not written again."""
        buffers = [memoryview(piece).cast("B") for piece in pieces if memoryview(piece).nbytes]
        part = Part(digest_of(*buffers), sum(map(len, buffers)))
        with self._storage("written"):
            if not self._is_whole(part):
                self._write(part.name, buffers)
        return part

    def write_manifest(self, body: bytes, parts: Iterable[Part]) -> None:
        """Complete a run of ``parts``: from now on it is the one that is there."""
        with self._storage("written"):
            os.fsync(self.fd)
            self._write(FILE, [msgpack.packb((FORMAT, VERSIONS[-1], digest_of(body), body))])
            os.fsync(self.fd)
            kept = {FILE, *(part.name for part in parts)}
            for name in os.listdir(self.fd):
                if name not in kept and (_PART.fullmatch(name) or _WRITING.fullmatch(name)):
                    os.unlink(name, dir_fd=self.fd)

    def read_manifest(self) -> tuple[int, bytes]:
        """The manifest's version and body.

        Raises:
            ConfigError: there is none, it is damaged, or of another version.
        """
        where = self.path / FILE
        try:
            with self._opened(FILE) as file:
                size = os.fstat(file).st_size
                if size > BODY_BYTES + 1024:
                    raise ConfigError(f"{where}: {size} bytes are no manifest of a run, or a damaged one")
                data = _read(file, size)
        except FileNotFoundError:
            raise ConfigError(
                f"{self.path}: there is no {FILE}; give the directory of emulation.save"
            ) from None
        return _body(where, data)

    @contextlib.contextmanager
    def signed(self) -> Iterator[str]:
        """The name of a file that is here for a while: who finds it sees this very folder."""
        name = f".writing-{secrets.token_hex(16)}"
        with self._storage("written"):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self.fd))
        try:
            yield name
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.fd)

    def is_signed(self, name: str) -> bool:
        """Whether the file is here that ``signed`` made."""
        try:
            with self._opened(name):
                return True
        except (FileNotFoundError, ConfigError, StorageError):
            return False

    def read_part(self, part: Part, buffers: Iterable[Any]) -> None:
        """Fill ``buffers`` with the bytes of ``part``, whose sizes add up to its own.

        Raises:
            ConfigError: it is missing or damaged.
        """
        with self._part(part) as file:
            found = hashlib.blake2b(digest_size=DIGEST)
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                filled = 0
                while filled < len(view):
                    count = os.readv(file, [view[filled:]])
                    if not count:
                        raise self._damaged(part)
                    filled += count
                found.update(view)
            if found.digest() != part.digest:
                raise self._damaged(part)

    def read_piece(self, part: Part, start: int, buffer: Any) -> None:
        """Fill ``buffer`` with the bytes of ``part`` from ``start`` on; nobody looks at its digest.

        Raises:
            ConfigError: it is missing or damaged.
        """
        view = memoryview(buffer).cast("B")
        with self._part(part) as file:
            while view:
                count = os.preadv(file, [view], start)
                if not count:
                    raise self._damaged(part)
                view, start = view[count:], start + count

    def require_parts(self, parts: Iterable[Part]) -> None:
        """An error unless all are there and have the sizes that they should have."""
        for part in parts:
            with self._part(part):
                pass

    def has_part(self, part: Part) -> bool:
        """Whether a file of its name is here."""
        try:
            os.stat(part.name, dir_fd=self.fd, follow_symlinks=False)
        except OSError:
            return False
        return True

    def verify_part(self, part: Part) -> None:
        """As ``read_part``, for whoever does not want the bytes."""
        with self._part(part) as file:
            if self._digest(file) != part.digest:
                raise self._damaged(part)

    @contextlib.contextmanager
    def _part(self, part: Part) -> Iterator[int]:
        try:
            with self._opened(part.name) as file:
                if os.fstat(file).st_size != part.size:
                    raise self._damaged(part)
                yield file
        except FileNotFoundError:
            raise ConfigError(
                f"{self.path}: the part {part.name} is missing; copy the whole folder"
            ) from None

    def _damaged(self, part: Part) -> ConfigError:
        return ConfigError(
            f"{self.path / part.name}: this part is damaged: it is not as it was saved; restore another run"
        )

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """A file of this folder, none that a link leads to; not a pipe, on which one would wait."""
        with self._storage("read"):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            file = os.open(name, flags, dir_fd=self.fd)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise ConfigError(f"{self.path / name}: this is no file; restore another run")
                yield file
            finally:
                os.close(file)

    def _is_whole(self, part: Part) -> bool:
        try:
            with self._opened(part.name) as file:
                return os.fstat(file).st_size == part.size and self._digest(file) == part.digest
        except (FileNotFoundError, ConfigError, StorageError):
            return False

    @staticmethod
    def _digest(file: int) -> bytes:
        found = hashlib.blake2b(digest_size=DIGEST)
        while chunk := os.read(file, CHUNK):
            found.update(chunk)
        return found.digest()

    def _write(self, name: str, buffers: Iterable[Any]) -> None:
        """A file that is there whole or not at all."""
        partial = f".writing-{secrets.token_hex(16)}"
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self.fd)
        try:
            try:
                for buffer in buffers:
                    view = memoryview(buffer)
                    while view:
                        view = view[os.write(file, view) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(partial, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial, dir_fd=self.fd)
            raise

    @contextlib.contextmanager
    def _storage(self, done: str) -> Iterator[None]:
        """What the system says against it, as an error of the project's; a missing file is the caller's."""
        try:
            yield
        except (FileNotFoundError, ConfigError, StorageError):
            raise
        except OSError as error:
            raise StorageError(
                f"{self.path}: the run cannot be {done}: {error.strerror or error}; what was saved before "
                "is as it was; make room or give another directory"
            ) from error


def _read(file: int, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.read(file, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _body(where: Path, data: bytes) -> tuple[int, bytes]:
    """A manifest's version and what it holds, once its format, version and digest are found to be right."""
    damaged = f"{where}: this is no saved run, or a damaged one"
    limits = dict.fromkeys(("max_array_len", "max_map_len", "max_ext_len"), 0)
    unpacker = msgpack.Unpacker(max_buffer_size=BODY_BYTES + 1024, max_str_len=64, **limits)
    unpacker.feed(data[1:])
    try:
        if data[:1] != _FOUR:
            raise ConfigError(f"{damaged}, or one of another version than {VERSIONS}, which are read")
        kind, version = unpacker.unpack(), unpacker.unpack()
        if kind != FORMAT or type(version) is not int or version not in VERSIONS:
            raise ConfigError(
                f"{where}: format {kind!r:.40} of version {version!r:.40} cannot be read here, only "
                f"{FORMAT!r} of versions {' and '.join(map(str, VERSIONS))}"
            )
        digest, body = unpacker.unpack(), unpacker.unpack()
    except (msgpack.UnpackException, ValueError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{damaged}: {error!r:.120}") from error
    whole = isinstance(body, bytes) and digest_of(body) == digest and unpacker.tell() + 1 == len(data)
    if not whole:
        raise ConfigError(f"{damaged}: it is not as it was saved; restore another run")
    return version, body
