"""A file of figures as rows: what each row is about and states. Knows no movie and no table of ours.

What is doubtful about a figure by the file alone is told with it; what is of no use is refused with the reason, and the
rest of its row is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from statistics import median

from ayne_dagster.sources import values
from ayne_dagster.sources.figure_files import cells, opusdata, titles
from ayne_dagster.sources.figure_files.errors import FigureFileError
from ayne_dagster.sources.figure_files.layouts import (
    DOMESTIC,
    INTERNATIONAL,
    WORLDWIDE,
    FigureColumn,
    Layout,
    doubled,
    overlooked,
    places,
    recognised,
    told_names,
    unrecognised,
    with_year_of_name,
)
from ayne_dagster.sources.figure_files.mapping import read_mapping
from ayne_dagster.sources.figure_files.tables import FigureTable, open_table, read_bytes

MOST_REFUSED = 0.5
"""Share of the rows, or of the cells of a column: where more are of no use, the file is not what it was taken for."""
FEW = 10
"""So few say nothing of a file."""
_SMALL, _USUAL = Decimal(100_000), Decimal(1_000_000)
_DOLLARS = {"AUD", "CAD", "NZD", "HKD", "SGD", "TWD", "MXN", "ARS", "CLP", "COP"}
_LEAST_GROSS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as a row states it."""

    measure: str
    scope: str
    currency: str
    amount: Decimal
    derived: bool = False
    """Worked out from other figures of the row."""
    suspect: str | None = None
    """Why it is doubtful, by the file alone."""


@dataclass(frozen=True, slots=True)
class FigureRow:
    """What a row is about, and its figures. Its number counts the rows below the names of the columns, from 1."""

    number: int
    title: str | None
    year: int | None
    imdb_id: str | None
    tmdb_id: int | None
    as_of: date | None
    figures: tuple[Figure, ...]
    other_titles: tuple[str, ...] = ()
    """What the title may be as well, where it names two."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row, or a cell of it, that is of no use."""

    row: int
    reason: str
    title: str | None = None


@dataclass
class FigureFile:
    """What a file states."""

    path: Path
    digest: str
    layout: str
    read: int = 0
    """Rows that are not blank."""
    rows: list[FigureRow] = field(default_factory=list)
    """Those with a figure."""
    refused: list[Refusal] = field(default_factory=list)
    without_figures: int = 0
    """Rows whose figures are all unknown."""
    repeated: int = 0
    """Rows that say what an earlier one says, word for word."""
    remarks: list[str] = field(default_factory=list)
    """What a person should look at, in sentences."""


def read_figures(path: Path, mapping: Path | None = None) -> FigureFile:
    """What a file states.

    Args:
        path: a CSV or Parquet file, or the folder of an OpusData extract.
        mapping: what says which column is what; without it the file has to have a layout that is known.

    Raises:
        FigureFileError: it cannot be used; one line, and nothing of it is taken.
    """
    path = opusdata.summary_in(path)
    said = read_mapping(mapping) if mapping is not None else None
    file = read_bytes(path)
    table = open_table(file, encoding=said.encoding, separator=said.separator) if said is not None else open_table(file)
    layout = said or recognised(table.columns)
    if layout is None:
        raise opusdata.misnamed(table.columns, path) or unrecognised(table.columns, str(path))
    layout = with_year_of_name(layout, path.name)
    reader = _Reader(layout, table, str(path), opusdata.identifiers(path) if "opus_id" in layout.roles else {})
    found = FigureFile(path, file.digest, layout.name)
    reader.read_into(found)
    if twice := doubled(layout, table.columns):
        found.remarks.append(
            f"There more than once, and read where it comes first: {told_names(twice)}. Leave the others out, or give"
            " them a name of their own."
        )
    if unread := overlooked(layout, table.columns):
        found.remarks.append(f"Not read: {told_names(unread)}. A mapping can say what they are.")
    return found


class _Reader:
    """Reads the rows of one table by one layout."""

    def __init__(self, layout: Layout, table: FigureTable, where: str, imdb_ids: Mapping[str, str]) -> None:
        place: Callable[[str], int] = places(layout, table.columns, where)
        self._layout, self._table, self._where, self._imdb_ids = layout, table, where, imdb_ids
        self._figures = [(place(figure.column), figure) for figure in layout.figures]
        self._roles = {role: [place(column) for column in columns] for role, columns in layout.roles.items()}
        self._stated: Counter[str] = Counter()
        self._unusable: dict[str, list[str]] = {}
        self._unknown_currencies: Counter[str] = Counter()

    def read_into(self, found: FigureFile) -> None:
        """Read all rows."""
        rows: list[FigureRow] = []
        for number, row in self._table.rows:
            found.read += 1
            if len(row) != len(self._table.columns):
                found.refused.append(Refusal(number, f"has {len(row)} cells for {len(self._table.columns)} columns"))
            elif (read := self._row(number, row, found.refused)) is not None:
                rows.append(read)
        self._require_usable(found, len(rows))
        found.without_figures = sum(not row.figures for row in rows)
        rows = self._told_doubts([row for row in rows if row.figures], found.remarks)
        for named, number in self._unknown_currencies.items():
            found.remarks.append(
                f"{number:,} figures are in a currency that is not known ({named!r}): they are kept, and never shown."
                " Write its code of three letters."
            )
        distinct = {replace(row, number=0): row for row in reversed(rows)}
        found.rows = sorted(distinct.values(), key=lambda row: row.number)
        found.repeated = len(rows) - len(found.rows)
        if self._layout.adds_up:
            found.rows = [_added_up(row) for row in found.rows]

    def _row(self, number: int, row: Sequence[object], refused: list[Refusal]) -> FigureRow | None:
        title = next((t for c in self._cells("title", row) if (t := titles.title(c))), None)
        year = next((y for c in self._cells("year", row) if (y := cells.year(c))), None)
        if title is not None:
            shorter, behind = titles.year_behind(title)
            if behind is not None and year in (None, behind):
                title, year = shorter, behind
        imdb_id = next((i for c in self._cells("imdb_id", row) if (i := cells.imdb_id(c))), None)
        for opus_id in self._cells("opus_id", row):
            imdb_id = self._imdb_ids.get(str(opus_id).strip(), imdb_id)
        tmdb_id = next((n for c in self._cells("tmdb_id", row) if (n := cells.tmdb_id(c))), None)
        if title is None and imdb_id is None and tmdb_id is None:
            refused.append(Refusal(number, "has neither title nor id"))
            return None
        return FigureRow(
            number,
            title,
            year or self._layout.year,
            imdb_id,
            tmdb_id,
            next((d for c in self._cells("as_of", row) if (d := cells.day(c))), None),
            self._stated_figures(number, row, title, refused),
            titles.other_titles(title) if title is not None else (),
        )

    def _cells(self, role: str, row: Sequence[object]) -> list[object]:
        return [row[place] for place in self._roles.get(role, ())]

    def _stated_figures(
        self, number: int, row: Sequence[object], title: str | None, refused: list[Refusal]
    ) -> tuple[Figure, ...]:
        of_row = next((c for c in self._cells("currency", row) if not cells.is_unknown(c)), None)
        figures: dict[tuple[str, str, str], Figure] = {}
        for place, column in self._figures:
            try:
                money = cells.money(row[place], decimal_mark=self._layout.decimal_mark)
                if money is not None and not money.in_words and column.unit != 1:
                    money = cells.money(money.amount * column.unit) or money
            except cells.UnusableCell as error:
                shown = values.quoted(str(row[place]), 40)
                self._unusable.setdefault(column.column, []).append(shown)
                refused.append(Refusal(number, f"{values.quoted(column.column, 40)}: {shown!r} {error}", title))
                continue
            if money is None:
                continue
            self._stated[column.column] += 1
            currency = _currency(column, money.currency, of_row)
            if currency == cells.UNKNOWN_CURRENCY:
                self._unknown_currencies[values.quoted(str(of_row), 20)] += 1
            figure = Figure(column.measure, column.scope, currency, money.amount)
            figures.setdefault((column.measure, column.scope, currency), figure)
        return tuple(figures.values())

    def _require_usable(self, found: FigureFile, usable: int) -> None:
        """Refuse a file that is not what it was taken for."""
        if not found.read:
            raise FigureFileError(f"{self._where} has no row below the names of its columns.")
        if found.read - usable > max(FEW, MOST_REFUSED * found.read) or not usable:
            first = found.refused[0]
            raise FigureFileError(
                f"{found.read - usable:,} of the {found.read:,} rows of {self._where} cannot be used (row {first.row} "
                f"{first.reason}): it is cut off or has another layout; nothing was changed."
            )
        for column, unusable in self._unusable.items():
            if len(unusable) > max(FEW, MOST_REFUSED * (len(unusable) + self._stated[column])):
                raise FigureFileError(
                    f"The column {column!r} of {self._where} holds no money in {len(unusable):,} rows (the first: "
                    f"{unusable[0]!r}); nothing was changed. Say in a mapping which columns hold which figures."
                )
        if not self._stated.total():
            columns = ", ".join(repr(figure.column) for _, figure in self._figures)
            raise FigureFileError(f"{self._where} states no figure in its columns of figures ({columns}).")

    def _told_doubts(self, rows: list[FigureRow], remarks: list[str]) -> list[FigureRow]:
        """Rows with what is doubtful of their figures beside the others of the same kind."""
        amounts: dict[tuple[str, str, str], list[Decimal]] = {}
        for row in rows:
            for figure in row.figures:
                amounts.setdefault((figure.measure, figure.scope, figure.currency), []).append(figure.amount)
        usual = {kind: median(found) for kind, found in amounts.items()}
        for (measure, scope, currency), amount in usual.items():
            few = len(amounts[measure, scope, currency]) < FEW
            if measure == "gross" and currency == "USD" and amount < _LEAST_GROSS and not few:
                remarks.append(
                    f"Half of the {scope} grosses are below {_LEAST_GROSS:,} US dollars: if they are in thousands or "
                    "millions, say so in a mapping (`unit`). As they are, none of them is shown."
                )
        return [
            replace(
                row,
                figures=tuple(
                    _doubted(figure, usual[figure.measure, figure.scope, figure.currency]) for figure in row.figures
                ),
            )
            for row in rows
        ]


def _currency(column: FigureColumn, of_cell: str | None, of_row: object) -> str:
    """The currency of a figure: the cell's own, else the row's, else the column's. A dollar sign may be any dollar."""
    default = column.currency
    if of_row is not None:
        of_row = cells.currency_code(of_row)
        default = default if of_row == "USD" and default in _DOLLARS else of_row
    if of_cell is None or (of_cell == "USD" and default in _DOLLARS) or (of_cell == "JPY" and default == "CNY"):
        return default
    return of_cell


def _doubted(figure: Figure, usual: Decimal) -> Figure:
    """A figure far below the others of its kind: a published file has "1,131.60" and "1,163.0" for 1.1 billion."""
    least = _SMALL if figure.amount % 1 else _LEAST_GROSS if figure.measure == "gross" else Decimal(0)
    if figure.amount < least and usual >= _USUAL:
        return replace(figure, suspect="perhaps in millions: far below the others of its column")
    return figure


def _added_up(row: FigureRow) -> FigureRow:
    """A row with the worldwide gross that follows from the two parts, where both are known and neither is doubtful."""
    gross = {
        figure.scope: figure
        for figure in row.figures
        if figure.measure == "gross" and figure.suspect is None and figure.amount >= _LEAST_GROSS
    }
    domestic, international = gross.get(DOMESTIC), gross.get(INTERNATIONAL)
    if domestic is None or international is None or WORLDWIDE in gross or domestic.currency != international.currency:
        return row
    amount = domestic.amount + international.amount
    return replace(row, figures=(*row.figures, Figure("gross", WORLDWIDE, domestic.currency, amount, derived=True)))
