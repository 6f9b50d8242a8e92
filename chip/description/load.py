"""Chips by name or from a YAML file; every mistake is one line that names its place and the way out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from crossgrid.kernels.errors import ConfigError, shown, unknown

from .checks import check_chip
from .kinds import BESIDE, with_kinds
from .parsing import from_mapping
from .spec import Chip
from .yaml_text import from_yaml

PRESETS = Path(__file__).parent.parent / "presets"


def presets() -> tuple[str, ...]:
    """Names of the chips that crossgrid describes."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_chip(chip: str | os.PathLike[str] | Chip) -> Chip:
    """A preset by name, a YAML file by path, or a ``Chip`` as it is."""
    if isinstance(chip, Chip):
        return chip
    if not isinstance(chip, (str, os.PathLike)):
        raise ConfigError(
            f"chip = {shown(chip)} must be a preset's name, a path or a Chip; presets: {', '.join(presets())}"
        )
    path = _path_of(chip)
    return parse_chip(_read_yaml(path), path.name)


def chip_data(chip: str | Path) -> Any:
    """What the file of a preset or a path holds: to be edited and given to ``parse_chip``."""
    return _read_yaml(_path_of(chip))


def _path_of(chip: str | os.PathLike[str]) -> Path:
    path = Path(chip)
    if str(chip) in presets():
        return PRESETS / f"{chip}.yaml"
    if not path.suffix and not path.exists():
        raise unknown("chip", str(chip), presets())
    return path


def parse_chip(data: Any, where: str) -> Chip:
    """A chip from the mapping that a YAML file holds; ``where`` is named in errors."""
    if not isinstance(data, Mapping) or all(data.get(key) is None for key in BESIDE):
        chip = from_mapping(Chip, data, where)
        check_chip(chip, where)
        return chip
    chip = from_mapping(Chip, {key: value for key, value in data.items() if key not in BESIDE}, where)
    check_chip(chip, where)
    return with_kinds(chip, data, where)


#: bytes of a chip file: a few lines can ask for billions
LARGEST = 1 << 20


def _read_yaml(path: Path) -> Any:
    """What the file holds. An odd date is a ``ValueError``, a thousand brackets a ``RecursionError``."""
    if path.is_dir():
        raise ConfigError(
            f"chip '{path}' is a folder; give a YAML file in it, or one of {', '.join(presets())}"
        )
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigError(f"more than {LARGEST} bytes are no description of a chip")
        return from_yaml(data.decode("utf-8"))
    except ConfigError as error:
        raise ConfigError(f"chip file '{path}': {error}") from None
    except FileNotFoundError:
        raise ConfigError(
            f"chip file '{path}' does not exist; give a path to a YAML file or one of {', '.join(presets())}"
        ) from None
    except OSError as error:
        raise ConfigError(f"chip file '{path}' cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError, LookupError, RecursionError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"chip file '{path}' is no readable YAML: {reason:.400}") from None
