"""Exported tables as Parquet: a file, or a folder with one for each release year. What is written is in `selection`.

A file carries what its table is: `description`, and `columns` (JSON: a text by name), in the metadata of its footer.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ayne_dagster.warehouse.care.export_files import WrongExport, copy_query, whole
from ayne_dagster.warehouse.care.selection import MOVIES_AT_ONCE, Selection
from ayne_dagster.warehouse.dictionary import RELATIONS, column_texts, literal

PARTITION = "release_year"
_COMPRESSION = "zstd"
BYTES_WAITING = 32 * 2**20
"""Bytes of rows, of all years, that are held in memory. A file keeps what describes each group and column until it is
closed: of a million movies that was more than the rows, in groups of 300."""
_MOST_PARTS = 6
"""Parts of a year that wait by themselves: of a few rows each, an array takes more than what is in it."""


def told_of(name: str) -> dict[str, str]:
    """What a file says of its table and columns."""
    relation = RELATIONS[name]
    return {"description": relation.description, "columns": json.dumps(column_texts(relation), ensure_ascii=False)}


def write_parquet(connection: duckdb.DuckDBPyConnection, selection: Selection, stem: Path) -> dict[Path, int]:
    """Write a Parquet file; returns it with its number of rows."""
    target = stem.with_name(f"{stem.name}.parquet")
    with whole(target) as partial:
        rows = _write(connection, selection, partial)
    return {target: rows}


def write_parquet_by_year(connection: duckdb.DuckDBPyConnection, selection: Selection, stem: Path) -> dict[Path, int]:
    """Write a folder with a folder for each release year, as Hive names them; returns it with its number of rows.

    The folder takes the place of the former one as a whole, so that no year of that one is left among the new. What
    has no release year is one file.

    Raises:
        WrongExport: there is a folder of that name with something else in it.
    """
    if PARTITION not in {column.name for column in RELATIONS[selection.name].columns}:
        return write_parquet(connection, selection, stem)
    _take_back(stem)
    _require_replaceable(stem)
    partial = _beside(stem, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        rows = _write_years(connection, selection, partial)
        _exchange(partial, stem)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {stem: rows}


def _write(connection: duckdb.DuckDBPyConnection, selection: Selection, target: Path) -> int:
    told = told_of(selection.name)
    parts = selection.in_parts(connection)
    if len(parts) == 1:
        metadata = ", ".join(f"{key}: {literal(text)}" for key, text in told.items())
        options = f"FORMAT parquet, COMPRESSION {_COMPRESSION}, KV_METADATA {{{metadata}}}"
        return copy_query(connection, parts[0].sql(), parts[0].bound, target, options)
    rows = 0
    schema = connection.execute(Selection(selection.name).where("FALSE").sql()).to_arrow_table().schema
    with pq.ParquetWriter(target, schema.with_metadata(told), compression=_COMPRESSION) as file:
        for batch in _batches(connection, parts):  # a table of the same takes 50 MB more
            file.write_batch(batch.replace_schema_metadata(told))
            rows += batch.num_rows
    return rows


def _write_years(connection: duckdb.DuckDBPyConnection, selection: Selection, folder: Path) -> int:
    """Write a file a release year, in one pass: asking for one year after the other reads the whole tables each time.

    Rows wait until there are many of a year, or of all: a group of a few rows is larger packed than unpacked.
    """
    told, rows = told_of(selection.name), 0
    with ExitStack() as closing:
        files: dict[str, pq.ParquetWriter] = {}
        waiting: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
        sizes: defaultdict[str, int] = defaultdict(int)

        def write(year: str) -> None:
            table = pa.Table.from_batches(waiting.pop(year)).replace_schema_metadata(told)
            if year not in files:
                place = folder / f"{PARTITION}={year}"
                place.mkdir()
                file = pq.ParquetWriter(place / "data.parquet", table.schema, compression=_COMPRESSION)
                files[year] = closing.enter_context(file)
            files[year].write_table(table)

        for batch in _batches(connection, selection.in_parts(connection)):
            rows += batch.num_rows
            for year, movies in _by_year(batch):
                waiting[year].append(movies)
                if len(waiting[year]) > _MOST_PARTS:
                    waiting[year] = pa.Table.from_batches(waiting[year]).combine_chunks().to_batches()
                sizes[year] += movies.nbytes
            while sum(sizes.values()) > BYTES_WAITING:
                largest = max(sizes, key=sizes.__getitem__)
                del sizes[largest]
                write(largest)
        for year in list(waiting):
            write(year)
    return rows


def _batches(connection: duckdb.DuckDBPyConnection, parts: Sequence[Selection]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield from connection.execute(part.sql(), dict(part.bound) or None).to_arrow_reader(MOVIES_AT_ONCE)


def _by_year(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Its rows by release year, without the year, which is in the name of the folder."""
    years = batch.column(PARTITION)
    content = batch.drop_columns([PARTITION])
    for year in years.unique():
        yield year.as_py(), content.filter(pc.equal(years, year))


def _beside(folder: Path, stage: str) -> Path:
    return folder.with_name(f".{folder.name}.{stage}")


def _take_back(folder: Path) -> None:
    """Put a former folder back that an export which was killed had put aside."""
    former = _beside(folder, "former")
    if former.exists() and not folder.exists():
        former.rename(folder)


def _require_replaceable(folder: Path) -> None:
    """Take nothing's place but that of a folder of years."""
    if not (folder.exists() or folder.is_symlink()):
        return
    is_ours = folder.is_dir() and not folder.is_symlink() and all(_is_of_a_year(entry) for entry in folder.iterdir())
    if not is_ours:
        raise WrongExport(f"{folder} holds something else than release years: it is left alone. Choose another folder.")


def _is_of_a_year(entry: Path) -> bool:
    return (
        entry.name.startswith(f"{PARTITION}=")
        and entry.is_dir()
        and all(file.suffix == ".parquet" for file in entry.iterdir())
    )


def _exchange(made: Path, folder: Path) -> None:
    """Put a folder in the place of another; between two names there is a moment without any."""
    former = _beside(folder, "former")
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists():
        folder.rename(former)
    try:
        made.rename(folder)
    except OSError:
        _take_back(folder)
        raise
    shutil.rmtree(former, ignore_errors=True)
