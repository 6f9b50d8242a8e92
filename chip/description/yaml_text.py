"""YAML as users write it: plain data, each key once, and 1e4 a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

from crossgrid.kernels.errors import ConfigError

#: keys that merging may give one mapping: a few lines can ask for billions
MOST_KEYS = 1000

#: numbers of YAML 1.2 that PyYAML, which follows 1.1, takes for text: no point, or no sign of the exponent
WITH_EXPONENT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


class _Strict(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML says so, and the first would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.tag != "tag:yaml.org,2002:merge" and key_node.value in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"key '{key_node.value}' is given twice, again in line {line}; keep one")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: Any) -> None:
        """Merge what ``<<`` names into a mapping; each level may double the last."""
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise ConfigError(
                f"a mapping has {len(node.value)} keys after merging; at most {MOST_KEYS} are read"
            )


_Strict.add_implicit_resolver("tag:yaml.org,2002:float", WITH_EXPONENT, list("-+.0123456789"))


def from_yaml(text: str) -> Any:
    """What a text holds.

    Raises:
        ConfigError: a key is given twice, or merging gives a mapping more keys than anybody writes.
        yaml.YAMLError: it is no YAML; an odd date is a ``ValueError``, a thousand brackets a
            ``RecursionError``.
    """
    return yaml.load(text, Loader=_Strict)
