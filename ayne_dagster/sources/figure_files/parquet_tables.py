"""Parquet files as tables of cells: names of columns, then batches of rows. Types of cells are judged in `cells`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ayne_dagster.sources.figure_files.errors import FigureFileError
from ayne_dagster.sources.figure_files.tables import (
    MOST_BYTES,
    MOST_COLUMNS,
    MOST_ROWS,
    FigureTable,
    FileBytes,
)

_ROWS_AT_ONCE = 10_000


def parquet_table(file: FileBytes) -> FigureTable:
    """A Parquet file as a table; columns of lists and structures have no name, so that no figure is sought in them.

    Raises:
        FigureFileError: it is damaged or too large.
    """
    try:
        opened = pq.ParquetFile(io.BytesIO(file.content))
        metadata, schema = opened.metadata, opened.schema_arrow
        unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, error) from None
    if metadata.num_rows > MOST_ROWS or unpacked > MOST_BYTES or len(schema) > MOST_COLUMNS:
        raise FigureFileError(
            f"{file.path} has {metadata.num_rows:,} rows, {len(schema):,} columns and {unpacked:,} bytes unpacked; at "
            f"most {MOST_ROWS:,}, {MOST_COLUMNS:,} and {MOST_BYTES:,} are read. Split it."
        )
    names = tuple(f.name.strip() if not pa.types.is_nested(f.type) else "" for f in schema)
    return FigureTable(names, _rows(file, opened))


def _rows(file: FileBytes, opened: pq.ParquetFile) -> Iterator[tuple[int, Sequence[object]]]:
    number = 0
    try:
        for batch in opened.iter_batches(_ROWS_AT_ONCE):
            columns = [
                [None] * batch.num_rows if pa.types.is_nested(column.type) else column.to_pylist()
                for column in batch.columns
            ]
            for row in zip(*columns, strict=True):
                number += 1
                yield number, row
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, error) from None


def _damaged(file: FileBytes, error: Exception) -> FigureFileError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return FigureFileError(f"{file.path} is a damaged Parquet file ({reason}). Copy or make it again.")
