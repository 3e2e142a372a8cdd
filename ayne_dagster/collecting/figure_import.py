"""A file of figures, from the file into the warehouse: read, matched with movies, stored in one transaction, told.

The warehouse is opened twice, for as long as reading titles and writing figures takes; a file is parsed and matched
while it is free for others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from ayne_dagster.config import FigureChoice
from ayne_dagster.sources.figure_files.reading import FigureFile, read_figures
from ayne_dagster.warehouse.best_figures import put_precedence
from ayne_dagster.warehouse.figure_files import (
    FileFigure,
    FileRow,
    ImportedFile,
    disagreements,
    settled,
    store,
    titles_of,
    versions_replaced,
    waiting_rows,
)
from ayne_dagster.warehouse.matching.claims import settle_claims
from ayne_dagster.warehouse.matching.rules import Known, Match, NoMatch, Rule, Sought, match_rows, read_known
from ayne_dagster.warehouse.store import Store

MOST_TOLD = 100
"""Rows of each kind in a report; `unmatched_rows` has all."""
WORST = 10
"""Disagreements in a report."""


@dataclass
class ImportReport:
    """What an import did, or would do."""

    file: str
    digest: str
    layout: str
    as_of: date | None
    dry_run: bool
    rows: int
    refused: list[dict[str, Any]]
    without_figures: int
    repeated: int
    remarks: list[str]
    matched: dict[str, int] = field(default_factory=dict)
    """Rows by the rule by which their movie was found."""
    ambiguous: list[dict[str, Any]] = field(default_factory=list)
    unmatched: list[dict[str, Any]] = field(default_factory=list)
    ambiguous_rows: int = 0
    unmatched_rows: int = 0
    refused_cells: int = 0
    matched_later: int = 0
    """Rows of earlier files whose movie is known by now."""
    movies: dict[str, int] = field(default_factory=dict)
    """Movies by what became of their figures: inserted, updated, unchanged."""
    replaces: list[str] = field(default_factory=list)
    """Other versions of the file, by name and when they were imported, whose figures this one replaces."""
    figures: int = 0
    """Figures of the rows whose movie was found."""
    suspect: int = 0
    """Of these, those that are doubtful by the file alone."""
    compared: int = 0
    """Pairs of a figure of the file and one of another source, of the same thing."""
    disagreeing: int = 0
    """Of these, pairs that differ by more than a fifth of the larger."""
    disagreements: list[dict[str, Any]] = field(default_factory=list)


def import_figures(
    database: Store,
    path: Path,
    now: datetime,
    *,
    mapping: Path | None = None,
    as_of: date | None = None,
    choice: FigureChoice | None = None,
    dry_run: bool = False,
) -> ImportReport:
    """Import a file of figures, or tell what importing it would do.

    Args:
        database: the warehouse.
        path: the file, or the folder of an OpusData extract.
        now: the instant (aware UTC).
        mapping: what says which column is what, where the layout is not a known one.
        as_of: the day for which the file's figures hold; a column of the file that says it has the last word.
        choice: whose figures are shown first from now on; as it is where it is left out.
        dry_run: nothing is changed.

    Raises:
        FigureFileError: the file or the mapping cannot be used.
        WarehouseError: the database cannot be.
    """
    database.require_file()
    read = read_figures(path, mapping)
    file = ImportedFile(read.digest, read.path.name, read.layout, as_of, read.read, len(read.refused))
    rows = _file_rows(read, as_of, now)
    with database.connect(read_only=True) as connection:
        rows += waiting_rows(connection, besides=read.digest)
        sought = [Sought(place, r.title, r.year, r.imdb_id, r.tmdb_id, r.other_titles) for place, r in enumerate(rows)]
        known = read_known(connection, sought)
    found = _found(known, sought, rows)
    with database.connect(read_only=True) if dry_run else database.transaction() as connection:
        found = settled(connection, file, found)
        report = _report(read, file, found, dry_run)
        _tell_more(connection, report, file, found)
        if not dry_run:
            if choice is not None:
                put_precedence(connection, choice)
            kinds = store(connection, file, found, now, run_id=f"import {read.digest} {now:%Y-%m-%dT%H:%M:%SZ}")
            report.movies = dict(sorted(kinds.items()))
    return report


def _file_rows(read: FigureFile, as_of: date | None, now: datetime) -> list[FileRow]:
    """The rows of a file as the warehouse takes them. No figure holds for a day to come."""
    last = now.astimezone(UTC).date()
    return [
        FileRow(
            read.digest,
            row.number,
            row.title,
            row.year,
            row.imdb_id,
            row.tmdb_id,
            row.as_of if row.as_of is not None and row.as_of <= last else as_of,
            tuple(FileFigure(f.measure, f.scope, f.currency, f.amount, f.derived, f.suspect) for f in row.figures),
            row.other_titles,
        )
        for row in read.rows
    ]


def _found(known: Known, sought: list[Sought], rows: list[FileRow]) -> dict[FileRow, Match | NoMatch]:
    """What is found for each row, the rows of a file looked at together."""
    matched = match_rows(known, sought)
    found: dict[FileRow, Match | NoMatch] = {}
    for digest in dict.fromkeys(row.digest for row in rows):
        of_file = {row.number: (place, row) for place, row in enumerate(rows) if row.digest == digest}
        claimed = settle_claims(
            {number: matched[place] for number, (place, _) in of_file.items()},
            {number: row.stated for number, (_, row) in of_file.items()},
        )
        found |= {row: claimed[number] for number, (_, row) in of_file.items()}
    return found


def _report(
    read: FigureFile, file: ImportedFile, found: Mapping[FileRow, Match | NoMatch], dry_run: bool
) -> ImportReport:
    """What can be told without the warehouse."""
    own = {row: match for row, match in found.items() if row.digest == file.digest}
    rules = Counter(match.rule for match in own.values() if isinstance(match, Match))
    figures = [figure for row, match in own.items() if isinstance(match, Match) for figure in row.figures]
    return ImportReport(
        str(read.path),
        read.digest,
        read.layout,
        file.as_of,
        dry_run,
        read.read,
        [{"row": r.row, "title": r.title, "reason": r.reason} for r in read.refused[:MOST_TOLD]],
        read.without_figures,
        read.repeated,
        read.remarks,
        matched={rule.code: rules[rule] for rule in Rule if rules[rule]},
        ambiguous_rows=sum(isinstance(no, NoMatch) and no.ambiguous for no in own.values()),
        unmatched_rows=sum(isinstance(no, NoMatch) and not no.ambiguous for no in own.values()),
        refused_cells=len(read.refused),
        matched_later=sum(isinstance(match, Match) for row, match in found.items() if row not in own),
        figures=len(figures),
        suspect=sum(figure.suspect is not None for figure in figures),
    )


def _tell_more(
    connection: duckdb.DuckDBPyConnection,
    report: ImportReport,
    file: ImportedFile,
    found: Mapping[FileRow, Match | NoMatch],
) -> None:
    """Put into a report what the warehouse has to tell: titles of candidates, and figures that disagree."""
    none = [(row, no) for row, no in found.items() if isinstance(no, NoMatch) and row.digest == file.digest]
    ambiguous = [(row, no) for row, no in none if no.ambiguous][:MOST_TOLD]
    unmatched = [(row, no) for row, no in none if not no.ambiguous][:MOST_TOLD]
    titles = titles_of(connection, {i for _, no in (*ambiguous, *unmatched) for i in no.candidates})
    report.ambiguous = [_told(row, no, titles) for row, no in ambiguous]
    report.unmatched = [_told(row, no, titles) for row, no in unmatched]
    report.replaces = [f"{name} of {at:%Y-%m-%d %H:%M} UTC" for name, at in versions_replaced(connection, file)]
    report.compared, report.disagreeing, report.disagreements = disagreements(connection, file, found, WORST)


def _told(row: FileRow, no: NoMatch, titles: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    candidates: Iterable[dict[str, Any]] = (titles[i] for i in no.candidates if i in titles)
    return {
        "row": row.number,
        "title": row.title,
        "year": row.year,
        "reason": no.reason,
        "candidates": list(candidates),
    }
