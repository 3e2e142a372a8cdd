"""A file as a table of cells, whatever format it has: told apart by its first bytes, bounded, refused in one line.

How text is read is in `text_tables`, Parquet in `parquet_tables`; what the cells mean, in `cells` and `layouts`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ayne_dagster.sources.figure_files.errors import FigureFileError

MOST_BYTES = 128 * 2**20
"""Of a file, and of what is packed in one; the largest extract of figures known here has 10 MB."""
MOST_ROWS = 500_000
MOST_COLUMNS = 1_000

_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet or a zip archive: save it as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of the older format: save it as CSV"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3\x00", "an SQLite database: export the table as CSV"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ", "packed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
    (b"ARROW1", "an Arrow file: save it as Parquet"),
    (b"ORC", "an ORC file: save it as Parquet"),
    (b"{\\rtf", "a text document: save the table as CSV"),
    (b"\x89PNG", "a picture"),
    (b"version https://git-lfs", "a pointer of Git LFS to it: fetch it with `git lfs pull`"),
)
_DUCKDB = (slice(8, 12), b"DUCK")
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"


@dataclass(frozen=True, slots=True)
class FigureTable:
    """A table: the names of its columns, and its rows of cells with their numbers, the first being 1.

    A row that has another number of cells than there are columns comes as it is.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Sequence[object]]]
    """To be read once; `FigureFileError` is raised on the way where the file turns out to be broken."""


@dataclass(frozen=True, slots=True)
class FileBytes:
    """What a file holds, read once, so that what is read is what was summed."""

    path: Path
    content: bytes
    """Unpacked."""
    digest: str
    """The first 16 hexadecimal digits of the SHA-256 sum of the file as it lies there."""

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file."""
        return self.content.startswith(_PARQUET)


def read_bytes(path: Path) -> FileBytes:
    """What a file holds.

    Raises:
        FigureFileError: it is no file, empty, too large, cannot be read, or has a format that is not read here.
    """
    try:
        if path.is_dir():
            raise FigureFileError(f"{path} is a folder: name a file in it.")
        if path.exists() and not path.is_file():
            raise FigureFileError(f"{path} is no file but a device, pipe or socket: save what it yields as a file.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FigureFileError(f"{path} cannot be read ({error.strerror}); nothing was changed.") from None
    digest = hashlib.sha256(content).hexdigest()[:16]
    if len(content) > MOST_BYTES:
        raise FigureFileError(f"{path} is larger than {MOST_BYTES // 2**20} MB, the most that is read; split it.")
    if content.startswith(_GZIP):
        content = _unpacked(path, content)
    if not content.strip(b"\x00 \t\r\n\xef\xbb\xbf"):
        raise FigureFileError(f"{path} is empty.")
    for magic, what in _OTHERS:
        if content.startswith(magic):
            raise FigureFileError(f"{path} is no CSV or Parquet file but {what}.")
    where, magic = _DUCKDB
    if content[where] == magic:
        raise FigureFileError(f"{path} is no CSV or Parquet file but a DuckDB database: export the table as Parquet.")
    return FileBytes(path, content, digest)


def _unpacked(path: Path, packed: bytes) -> bytes:
    """What a gzip file holds, all of its members, whole and bounded."""
    content, rest = bytearray(), packed
    while rest.strip(b"\x00"):  # what fills up a block of a tape is no member
        unpacker = zlib.decompressobj(wbits=31)
        try:
            content += unpacker.decompress(rest, MOST_BYTES + 1 - len(content))
        except zlib.error:
            raise FigureFileError(f"{path} is damaged: it begins as a gzip file and cannot be unpacked.") from None
        if len(content) > MOST_BYTES:
            raise FigureFileError(
                f"{path} unpacks to more than {MOST_BYTES // 2**20} MB, the most that is read; split it."
            )
        if not unpacker.eof:
            raise FigureFileError(f"{path} is cut off: its end is missing. Copy or download it again.")
        rest = unpacker.unused_data
    return bytes(content)


def open_table(file: FileBytes, *, encoding: str | None = None, separator: str | None = None) -> FigureTable:
    """A file as a table.

    Args:
        file: what was read.
        encoding: of a text file; found out where it is None.
        separator: of a text file; found out where it is None.

    Raises:
        FigureFileError: it is no table, or a broken one.
    """
    if file.is_parquet:
        from ayne_dagster.sources.figure_files.parquet_tables import parquet_table  # loads pyarrow

        return parquet_table(file)
    from ayne_dagster.sources.figure_files.text_tables import text_table

    return text_table(file, encoding=encoding, separator=separator)
