"""Numbers of a model on disk: safetensors, one file or several with an index, as Hugging Face stores them.

Tensors are read one by one, when they are asked for. Names, types and shapes stand in the files' headers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from crossgrid.kernels.errors import ConfigError

from ..errors import StorageError
from ..tiles.stored import KINDS, Stored

INDEX, ALONE = "model.safetensors.index.json", "model.safetensors"

#: bytes that an index may have at most
INDEX_BYTES = 1 << 26


class WeightFiles:
    """Tensors by their names, in one file or in those of a directory."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Look at the headers of ``path``, a file or a directory.

        Raises:
            ConfigError: there is none, or it is no safetensors.
            StorageError: it cannot be read, or is larger than what the system maps at once.
        """
        self.path = Path(path)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Any] = {}  # of each tensor, opened
        self._paths: dict[str, Path] = {}  # of each tensor
        self._headers: dict[Path, tuple[int, dict[str, Any]]] = {}  # where tensors begin, what stands there
        try:
            if not self.path.exists():
                raise ConfigError(f"weights = {path}: there is no such file or directory")
            named = _named(self.path)
            for file, names in named.items():
                self._open(file, names)
        except OSError as error:
            raise StorageError(f"weights = {path}: it cannot be read: {error.strerror or error}") from error

    def _open(self, file: Path, names: list[str] | None) -> None:
        """Add the tensors of a file: those that an index names, or all."""
        if not file.is_file():
            raise ConfigError(f"{file}: this file is missing; the index names it: copy the whole directory")
        try:
            opened = safe_open(file, framework="pt", device="cpu")
            held = set(opened.keys())
            for name in held if names is None else names:
                if name not in held:
                    raise ConfigError(f"{file}: it has no tensor {name!r:.120}; the index says so")
                self._files[name], self._paths[name] = opened, file
                self.shapes[name] = tuple(opened.get_slice(name).get_shape())
        except (RuntimeError, MemoryError) as error:  # of the system: safetensors maps each file whole
            raise StorageError(
                f"{file}: {file.stat().st_size >> 20} MB cannot be mapped at once ({error!s:.120}): store "
                "them in shards, as save_pretrained(max_shard_size='4GB') does"
            ) from error
        except SafetensorError as error:
            raise ConfigError(
                f"{file}: this is no safetensors file, or a damaged one: {error!s:.160}; save it again with "
                "safetensors.torch.save_file(model.state_dict(), FILE)"
            ) from error

    def read(self, name: str, part: int | None = None) -> Tensor:
        """A copy of the tensor ``name``, or of one of those that it is a stack of.

        Raises:
            ConfigError: the file is not what it was.
        """
        try:
            opened = self._files[name]
            tensor: Tensor = opened.get_tensor(name) if part is None else opened.get_slice(name)[part]
            return tensor.clone()
        except SafetensorError as error:
            raise ConfigError(f"{self.path}: {name} cannot be read: {error!s:.160}") from error

    def place(self, name: str, part: int | None = None) -> Stored | None:
        """Where the numbers of a tensor stand, or of one of those that it is a stack of.

        None where they are of a type that tiles' hosts do not read.
        """
        file = self._paths[name].resolve()
        if file not in self._headers:
            with file.open("rb") as opened:
                size = int.from_bytes(opened.read(8), "little")
                self._headers[file] = 8 + size, json.loads(opened.read(size))
        start, header = self._headers[file]
        kind, (first, _) = header[name]["dtype"], header[name]["data_offsets"]
        if kind not in KINDS:
            return None
        return Stored(str(file), file.stat().st_size, start + first, kind, self.shapes[name], part)


def _named(path: Path) -> dict[Path, list[str] | None]:
    """The files, and which tensors each is to hold; None: all that are there."""
    if path.is_file():
        return _of_index(path) if path.name.endswith(".index.json") else {path: None}
    if (path / INDEX).is_file():
        return _of_index(path / INDEX)
    if (path / ALONE).is_file():
        return {path / ALONE: None}
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        raise ConfigError(
            f"weights = {path}: it holds {len(found)} safetensors files, no {ALONE} and no {INDEX}; give one "
            "file, or the directory that save_pretrained wrote"
        )
    return {found[0]: None}


def _of_index(index: Path) -> dict[Path, list[str] | None]:
    """What an index says; the files lie beside it."""
    if index.stat().st_size > INDEX_BYTES:
        raise ConfigError(f"{index}: {index.stat().st_size} bytes are no index; at most {INDEX_BYTES} are")
    try:
        table = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = [(str(name), file) for name, file in table.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{index}: this is no index of safetensors files: {error!r:.120}") from error
    named: dict[Path, list[str] | None] = {}
    for name, file in pairs:
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise ConfigError(f"{index}: {name!r:.80} is in {file!r:.80}, which is no file beside the index")
        names = named.setdefault(index.parent / file, [])
        assert names is not None
        names.append(name)
    return named
