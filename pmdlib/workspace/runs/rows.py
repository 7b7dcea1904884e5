"""Rows on their way: what a function returned, as a Parquet file, and in the frame at the end."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet, types

from pmdlib.errors import PmdError
from pmdlib.workspace.runs.grid import RESERVED, Point

Table: TypeAlias = Any  # a pyarrow.Table, of which mypy knows nothing

NULLABLE = {"int64": pd.Int64Dtype(), "bool": pd.BooleanDtype()}
"""Types that keep a gap, so that a failed row does not turn the whole column into floats."""


def encode(result: Any, point: Point, seed: int) -> bytes:
    """Write the rows that a function returned as a Parquet file.

    Parameters
    ----------
    result : mapping, sequence of mappings, or DataFrame
        One row, or several; values are None, bool, int, float or str.
    point, seed
        What it was called with; kept in the file's metadata, for people.

    Raises
    ------
    PmdError, or an error of pyarrow
        If these are no rows.
    """
    table, count = _table(result)
    for name in table.column_names:
        if name in RESERVED or name in point:
            raise PmdError(f"it returned a column {name!r}, which the results have already")
    columns = {name: _plain(name, table[name]) for name in table.column_names}
    return _write(columns | {"error": pa.nulls(count, pa.string())}, point, seed)


def encode_error(text: str, point: Point, seed: int) -> bytes:
    """Write the record of a failure as a Parquet file: one row, with nothing but the error."""
    return _write({"error": pa.array([text], pa.string())}, point, seed)


def decode(content: bytes) -> Table | None:
    """Read such a file; None if it is damaged, as after a power cut."""
    try:
        table = parquet.ParquetFile(io.BytesIO(content)).read(use_threads=False)
    except (pa.ArrowException, OSError):
        return None
    return table if "error" in table.column_names else None


def failed(table: Table) -> bool:
    """Say whether a table is the record of a failure."""
    return bool(table["error"].null_count < table.num_rows)


def gather(runs: Sequence[tuple[Point, int]], tables: Sequence[Table]) -> pd.DataFrame:
    """Join the rows of all runs, in the order of the runs.

    Parameters
    ----------
    runs : sequence of (point, seed)
    tables : sequence of pyarrow.Table
        The rows of each.

    Returns
    -------
    DataFrame
        The parameters, seed, the columns of the function, error.

    Raises
    ------
    PmdError
        If a column is, say, text in one run and a number in another.
    """
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise PmdError(f"the rows do not fit into one table: {error}") from None
    columns = {name: joined[name] for name in joined.column_names if name != "error"}
    for name, column in columns.items():
        if types.is_null(column.type):
            columns[name] = column.cast(pa.float64())
    rows = pa.table(columns | {"error": joined["error"]}).to_pandas(
        types_mapper=lambda kind: NULLABLE.get(str(kind))
    )
    of_run = np.repeat(np.arange(len(runs)), [table.num_rows for table in tables])
    known = {name: _column([point[name] for point, _ in runs]) for name in runs[0][0]}
    known["seed"] = _column([seed for _, seed in runs])
    frame = pd.DataFrame(known).iloc[of_run].reset_index(drop=True)
    return frame.join(rows)


def _table(result: Any) -> tuple[Table, int]:
    """Return what a function returned as a table, and its number of rows."""
    if isinstance(result, pd.DataFrame):
        names = list(result.columns)
        rows: Any = None
    else:
        rows = [result] if isinstance(result, Mapping) else result
        if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
            raise PmdError(
                f"it returned {type(result).__name__}, must be a mapping, a list of mappings or a "
                "DataFrame"
            )
        names = list(dict.fromkeys(name for row in rows for name in row))
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise PmdError(f"it returned the columns {names}, must be distinct texts")
    if rows is None:
        return pa.Table.from_pandas(result, preserve_index=False, nthreads=1), len(result)
    cells = {name: pa.array([_scalar(row.get(name)) for row in rows]) for name in names}
    return pa.table(cells), len(rows)


def _scalar(value: Any) -> Any:
    """Return a NumPy scalar, or an array of no dimension, as plain Python."""
    single = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if single else value


def _plain(name: str, column: Any) -> Any:
    """Return a column as one of bool, int64, float64, text, or nothing but gaps."""
    kind = column.type
    if types.is_dictionary(kind):
        return _plain(name, column.cast(kind.value_type))
    if types.is_boolean(kind) or types.is_null(kind):
        return column
    for known, target in (
        (types.is_integer, "int64"),
        (types.is_floating, "float64"),
        (types.is_string, pa.string()),
        (types.is_large_string, pa.string()),
    ):
        if known(kind):
            return column.cast(target)
    raise PmdError(f"it returned {kind} in the column {name!r}, must be bool, int, float or str")


def _write(columns: dict[str, Any], point: Point, seed: int) -> bytes:
    """Write columns to Parquet; without dictionaries, every float keeps its bits."""
    parameters = {name: repr(point[name]) for name in sorted(point)}
    origin = json.dumps({"parameters": parameters, "seed": seed})
    table = pa.table(columns).replace_schema_metadata({"pmdlib": origin})
    stream = io.BytesIO()
    parquet.write_table(table, stream, use_dictionary=False)
    return stream.getvalue()


def _column(values: list[Any]) -> pd.Series:
    """Make the column of a parameter: of the one type of its values, or of objects as they are."""
    kinds = {type(value) for value in values}
    numbers = kinds == {int, float}
    single = len(kinds) == 1 and kinds <= {bool, int, float, str}
    return pd.Series(values, dtype=float if numbers else kinds.pop() if single else object)
