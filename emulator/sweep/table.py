"""A sweep's rows in a file, which is the sweep's whole state: CSV or Parquet, written and read as one.

The file is replaced at once, never half: whoever is killed leaves the rows of the last replacement.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossgrid.kernels.errors import ConfigError

from .figures import ALL_FIGURES, Row, figures
from .study import Study


def columns(study: Study) -> list[str]:
    """The columns of a study's rows."""
    return ["point", *study.parameters, *figures(study.schedule)]


def write_rows(path: Path, study: Study, rows: Mapping[int, Row]) -> None:
    """Replace the file by these rows, in the order of their points."""
    ordered = [rows[number] for number in sorted(rows)]
    data = _parquet(study, ordered) if path.suffix == ".parquet" else _csv(study, ordered)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_rows(path: Path, study: Study) -> dict[int, Row]:
    """The rows of the file by point, none where there is no file.

    Raises:
        ConfigError: it holds something else, or the rows of another study.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"rows '{path}': '{path.suffix}' is no format of rows; give a name in .csv or .parquet"
        )
    if path.suffix == ".parquet":
        _require_pyarrow()
    if not path.exists():
        if not path.parent.is_dir():
            raise ConfigError(f"rows '{path}': no folder '{path.parent}'; make it, or give another name")
        return {}
    try:
        found = _from_parquet(path) if path.suffix == ".parquet" else _from_csv(path)
        rows = {int(row["point"]): row for row in found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"rows '{path}' cannot be read ({error!s:.200}); give another file") from None
    for row in rows.values():
        if row.get("study") != study.identity or list(row) != columns(study):
            raise ConfigError(
                f"rows '{path}' are of another study ({row.get('study')}, this is {study.identity}): the "
                "study, its model, data or chip changed; give another file, or remove this one"
            )
    return rows


def _csv(study: Study, rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(study), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _from_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _value(key, text) for key, text in row.items()} for row in csv.DictReader(file)]


def _value(column: str, text: str) -> Any:
    kind = int if column == "point" else ALL_FIGURES.get(column, str)
    if kind is str:
        return text
    return kind(text) if text else None


def _require_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            "rows in .parquet need the package pyarrow, which is not installed: pip install "
            "'crossgrid[sweep]', or give a name in .csv"
        )


def _parquet(study: Study, rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {float: pa.float64(), int: pa.int64(), str: pa.string()}
    schema = pa.schema(
        [
            (name, pa.int64() if name == "point" else kinds[ALL_FIGURES.get(name, str)])
            for name in columns(study)
        ]
    )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink)
    return sink.getvalue()


def _from_parquet(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found: list[Row] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    return found
