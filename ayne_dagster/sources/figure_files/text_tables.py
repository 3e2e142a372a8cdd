"""CSV and its relatives as tables of cells: encoding and separator found out where nobody says them.

Nothing is guessed from the meaning of cells: those are texts here.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from ayne_dagster.sources.figure_files.errors import FigureFileError
from ayne_dagster.sources.figure_files.tables import MOST_COLUMNS, MOST_ROWS, FigureTable, FileBytes

SEPARATORS = (",", ";", "\t", "|")
LONGEST_LINE = 100_000
"""Characters; a longer one is no line of a table of movies."""
MOST_BREAKS = 50
"""Line breaks within a cell; a cell with more has swallowed the lines behind a quotation mark."""
_LOOKED_AT = 50
"""Rows by which a separator is chosen."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LINE_BREAK = re.compile("\r\n|\r|\n")
_SAID = re.compile(r'"?sep=([,;|\t])"?', re.IGNORECASE)
_MARKUP = re.compile(r"\s*(?:<(?:!doctype|html|\?xml|table|!--)|[{\[]\s*[\"{\[])", re.IGNORECASE)


def text_table(file: FileBytes, *, encoding: str | None = None, separator: str | None = None) -> FigureTable:
    """A text file as a table; its first row has the names of the columns.

    Rows that are blank, or repeat the names, as files do that were put together of pages, are left out.

    Raises:
        FigureFileError: it is no text, or no table.
    """
    text = decoded(file, encoding)
    if _MARKUP.match(text):
        raise FigureFileError(f"{file.path} is no CSV or Parquet file but HTML, XML or JSON: save the table as CSV.")
    lines = _lines(file, text)
    if said := _SAID.fullmatch(lines[0].strip("\r\n ")):  # a spreadsheet's word on the separator
        lines, separator = lines[1:], separator or said[1]
    separator = separator or _separator(lines)
    rows = _rows(file, lines, separator)
    try:
        first, names = next(rows)
    except StopIteration:
        raise FigureFileError(f"{file.path} is empty.") from None
    columns = tuple(name.strip() for name in names)
    if not 2 <= len(columns) <= MOST_COLUMNS:
        raise FigureFileError(
            f"{file.path} is no table: its first line has {len(columns):,} columns by any of the separators comma, "
            "semicolon, tab and bar; there must be two at least, and their names."
        )
    return FigureTable(columns, _numbered(rows, first, columns))


def decoded(file: FileBytes, encoding: str | None = None) -> str:
    """The text of a file: by its byte order mark, else UTF-8 where it is that, else cp1252, else Latin-1.

    Raises:
        FigureFileError: it is no text, or not in the encoding that is said.
    """
    marked = next((name for mark, name in _MARKS if file.content.startswith(mark)), None)
    tried = [encoding] if encoding else [marked] if marked else [*_by_zeros(file.content), "utf-8", "cp1252", "latin-1"]
    for name in tried:
        try:
            text = file.content.decode(name)
        except UnicodeError:
            continue
        if _NO_TEXT.search(text):
            raise FigureFileError(f"{file.path} is no CSV or Parquet file: it holds bytes that are no text.")
        return text.removeprefix("\ufeff")
    raise FigureFileError(f"{file.path} is no text in the encoding {tried[0]}: name another one in a mapping.")


def _by_zeros(content: bytes) -> list[str]:
    """UTF-16 without a mark has a zero in every other byte of its Latin text."""
    start = content[:1000]
    if b"\x00" not in start:
        return []
    return ["utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"]


def _lines(file: FileBytes, text: str) -> list[str]:
    """The lines of a text, each with its end."""
    text = _LINE_BREAK.sub("\n", text)
    lines = text.split("\n")
    longest = max(map(len, lines))
    if longest > LONGEST_LINE:
        raise FigureFileError(
            f"{file.path} has a line of {longest:,} characters, and {LONGEST_LINE:,} are the most: it is no table."
        )
    return [f"{line}\n" for line in lines]


def _separator(lines: Sequence[str]) -> str:
    """The separator by which the first rows agree best, and have the most columns."""

    def fitness(separator: str) -> tuple[float, int]:
        try:
            rows = [row for row in islice(csv.reader(lines, delimiter=separator), _LOOKED_AT) if any(row)]
        except csv.Error:
            return 0.0, 0
        width = len(rows[0]) if rows else 0
        agreeing = sum(len(row) == width for row in rows) / len(rows) if rows else 0.0
        return (agreeing if width > 1 else 0.0), width

    agreed = {separator: fitness(separator) for separator in SEPARATORS}
    best = max(agreed.values())[0]
    # One that a few rows have within a title agrees a little less than it should, and still has more columns.
    return max(SEPARATORS, key=lambda s: (agreed[s][0] >= 0.8 * best, agreed[s][1]))


def _rows(file: FileBytes, lines: Sequence[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with their places among all."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        for number, row in enumerate(reader):
            if number > MOST_ROWS:
                raise FigureFileError(
                    f"{file.path} has more than {MOST_ROWS:,} rows, the most that are read; split it."
                )
            if any(cell.count("\n") > MOST_BREAKS for cell in row):
                raise FigureFileError(
                    f"{file.path} cannot be read as CSV: a quotation mark before line {reader.line_num} is not closed."
                )
            if any(cell.strip() for cell in row):
                yield number, row
    except csv.Error as error:
        raise FigureFileError(f"{file.path} cannot be read as CSV: line {reader.line_num}: {error}.") from None


def _numbered(
    rows: Iterator[tuple[int, list[str]]], first: int, columns: tuple[str, ...]
) -> Iterator[tuple[int, Sequence[object]]]:
    """The rows below the names; blank cells behind the last column are none."""
    for number, row in rows:
        if tuple(cell.strip() for cell in row) == columns:
            continue
        surplus = row[len(columns) :]
        yield number - first, row if any(cell.strip() for cell in surplus) else row[: len(columns)]
