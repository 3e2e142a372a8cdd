"""Files of figures in the warehouse: what was imported, the figures of the rows whose movie was found, the other rows.

Which movie a row is of is decided in `matching`; how figures are merged and their changes noted, in `figures`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from ayne_dagster.warehouse.best_figures import DISAGREEMENT, WORTH_COMPARING
from ayne_dagster.warehouse.figures import IDENTITY, StatedFigures, merge_figures
from ayne_dagster.warehouse.matching.rules import Match, NoMatch
from ayne_dagster.warehouse.rows import Row, arrow_schema, id_table, insert_rows, naive_utc, registered
from ayne_dagster.warehouse.schema import BOX_OFFICE, BOX_OFFICE_FILES, BOX_OFFICE_UNMATCHED

SOURCE = "file"
_NO_MORE_KNOWN = NoMatch(False, "its movie is no more known here")
_SUPERSEDED = NoMatch(False, "a later version of its file has it too")


@dataclass(frozen=True, slots=True)
class FileFigure:
    """A figure of a row, as `box_office` has it."""

    measure: str
    scope: str
    currency: str
    amount: Decimal
    derived: bool = False
    suspect: str | None = None


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of a file, with its place, what it says of its movie, and its figures."""

    digest: str
    number: int
    title: str | None
    year: int | None
    imdb_id: str | None
    tmdb_id: int | None
    as_of: date | None
    figures: tuple[FileFigure, ...]
    other_titles: tuple[str, ...] = ()
    """What its title may be as well."""

    @property
    def reference(self) -> str:
        """As `box_office` refers to it."""
        return f"{self.digest}:{self.number}"

    @property
    def stated(self) -> dict[Hashable, Decimal]:
        """The amounts, by what they are of."""
        return {(f.measure, f.scope, f.currency, self.as_of): f.amount for f in self.figures}


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What is noted of a file."""

    digest: str
    name: str
    layout: str
    as_of: date | None
    rows: int
    refused: int


Found = Mapping[FileRow, Match | NoMatch]
"""By row: its movie, or why it has none."""


def waiting_rows(connection: duckdb.DuckDBPyConnection, besides: str) -> list[FileRow]:
    """The rows of earlier files whose movie was not found.

    Args:
        connection: to the warehouse.
        besides: the digest of a file whose rows are not wanted.
    """
    rows = connection.execute(
        "SELECT file_digest, row_number, title, year, imdb_id, stated_tmdb_id, as_of, figures,"
        " other_titles FROM box_office_unmatched"
        " WHERE file_digest <> $besides ORDER BY ALL",
        {"besides": besides},
    ).fetchall()
    return [
        FileRow(digest, number, title, year, imdb_id, tmdb_id, as_of, _figures_of(figures), tuple(others or ()))
        for digest, number, title, year, imdb_id, tmdb_id, as_of, figures, others in rows
    ]


def _figures_of(text: str) -> tuple[FileFigure, ...]:
    return tuple(FileFigure(**item | {"amount": Decimal(item["amount"])}) for item in json.loads(text))


def _as_text(figures: Iterable[FileFigure]) -> str:
    return json.dumps([{name: getattr(f, name) for name in FileFigure.__slots__} for f in figures], default=str)


def settled(connection: duckdb.DuckDBPyConnection, file: ImportedFile, found: Found) -> dict[FileRow, Match | NoMatch]:
    """What was found, as it holds beside what the warehouse has: read in the transaction that stores it.

    Movies that have gone since they were sought are no more found. A row of an earlier file gets no movie that another
    row of that file has, and goes where a later version of its file has it too.
    """
    former = _former_versions(connection, file)
    renewed = {_subject(row) for row in found if row.digest == file.digest}
    years = release_years(connection, {match.tmdb_id for match in found.values() if isinstance(match, Match)})
    taken = _taken(connection, years)
    held: dict[FileRow, Match | NoMatch] = {}
    for row, match in found.items():
        if row.digest in former and _subject(row) in renewed:
            match = _SUPERSEDED
        elif isinstance(match, Match) and match.tmdb_id not in years:
            match = _NO_MORE_KNOWN
        elif isinstance(match, Match) and row.digest != file.digest and (match.tmdb_id, row.digest) in taken:
            reason = "the movie of this title is that of another row, found more surely"
            match = NoMatch(False, reason, (match.tmdb_id,))
        held[row] = match
    return held


def _subject(row: FileRow) -> tuple[Any, ...]:
    """What a row says it is about."""
    return row.title, row.year, row.imdb_id, row.tmdb_id


def _taken(connection: duckdb.DuckDBPyConnection, ids: Iterable[int]) -> set[tuple[int, str]]:
    """Of these movies, each with the digests of the files that state figures of it."""
    with registered(connection, "incoming_ids", id_table(ids)):
        return set(
            connection.execute(
                "SELECT tmdb_id, split_part(source_ref, ':', 1) FROM box_office SEMI JOIN incoming_ids USING (tmdb_id)"
                " WHERE source = $source AND gone_at IS NULL",
                {"source": SOURCE},
            ).fetchall()
        )


def release_years(connection: duckdb.DuckDBPyConnection, ids: Collection[int]) -> dict[int, str]:
    """The partitions of these movies, as far as they are known."""
    with registered(connection, "incoming_ids", id_table(ids)):
        return dict(
            connection.execute(
                "SELECT tmdb_id, release_year FROM refresh_metadata SEMI JOIN incoming_ids USING (tmdb_id)"
            ).fetchall()
        )


def store(
    connection: duckdb.DuckDBPyConnection, file: ImportedFile, found: Found, now: datetime, run_id: str
) -> Counter[str]:
    """Store what a file states, within an open transaction; the same again changes nothing but when it was imported.

    A figure takes the place of the one of the same kind that an earlier version of the file stated, a file of the same
    name and layout. What the later version does not state stays: it may be a part.

    Args:
        connection: with an open transaction.
        file: the file.
        found: by row, of this file and of earlier ones that were tried again, its movie or why it has none; as
            `settled` has it.
        now: the instant (aware UTC).
        run_id: what the changes are noted under.

    Returns:
        Movies by what became of their figures: inserted, updated, unchanged.
    """
    matched = {row: match for row, match in found.items() if isinstance(match, Match)}
    stated = _all_stated(connection, file, matched, _former_versions(connection, file))
    years = release_years(connection, stated)
    kinds = merge_figures(
        connection,
        {i: StatedFigures(years[i], now, {SOURCE: rows}) for i, rows in stated.items() if i in years},
        run_id,
    )
    _keep_waiting(connection, file, found, now)
    _note_file(connection, file, found, now)
    return Counter(kinds.values())


def versions_replaced(connection: duckdb.DuckDBPyConnection, file: ImportedFile) -> list[tuple[str, datetime]]:
    """The versions of a file whose figures it replaces: name, and when each was imported last (naive UTC)."""
    digests = sorted(_former_versions(connection, file))
    return connection.execute(
        "SELECT DISTINCT f.name, f.imported_at FROM box_office_files AS f"
        " JOIN box_office AS b ON b.source = $source AND b.gone_at IS NULL"
        " AND starts_with(b.source_ref, f.digest || ':')"
        " WHERE list_contains($digests, f.digest) ORDER BY ALL",
        {"source": SOURCE, "digests": digests},
    ).fetchall()


def _former_versions(connection: duckdb.DuckDBPyConnection, file: ImportedFile) -> set[str]:
    """The digests of the earlier versions of a file; one of a later day is none."""
    return {
        digest
        for (digest,) in connection.execute(
            "SELECT digest FROM box_office_files WHERE name = $name AND layout = $layout AND digest <> $digest"
            " AND NOT coalesce(as_of > CAST($as_of AS DATE), FALSE)",
            {"name": file.name, "layout": file.layout, "digest": file.digest, "as_of": file.as_of},
        ).fetchall()
    }


def _all_stated(
    connection: duckdb.DuckDBPyConnection,
    file: ImportedFile,
    matched: Mapping[FileRow, Match],
    former: Collection[str],
) -> dict[int, list[Row]]:
    """By movie that is concerned: all that files state of it, this one and others."""
    stated: dict[int, list[Row]] = {}
    for row, match in matched.items():
        stated.setdefault(match.tmdb_id, []).extend(_figure_rows(row, match))
    names = ("measure", "scope", "currency", "source_ref", "amount", "as_of", "preferred", "derived", "suspect",
             "matched_by", "observed_at")  # fmt: skip
    with registered(connection, "incoming_ids", id_table(stated)):
        others = connection.execute(
            f"SELECT tmdb_id, {', '.join(names)} FROM box_office WHERE source = $source AND gone_at IS NULL AND"
            " (tmdb_id IN (SELECT tmdb_id FROM incoming_ids) OR starts_with(source_ref, $digest || ':'))",
            {"source": SOURCE, "digest": file.digest},
        ).fetchall()
    renewed = {(i, r["measure"], r["scope"], r["currency"]) for i, rows in stated.items() for r in rows
               if r["source_ref"].startswith(f"{file.digest}:")}  # fmt: skip
    measured = {(i, measure, currency) for i, measure, _, currency in renewed}
    again = {(i, *(r[name] for name in IDENTITY)): r for i, rows in stated.items() for r in rows}
    for tmdb_id, *values in others:
        figure = dict(zip(names, values, strict=True))
        rows = stated.setdefault(tmdb_id, [])
        if (same := again.get((tmdb_id, *(figure[name] for name in IDENTITY)))) is not None:
            same["observed_at"] = figure["observed_at"]  # a row of a file says nothing new when it is read again
        by = figure["source_ref"].partition(":")[0]
        kind = tmdb_id, figure["measure"], figure["scope"], figure["currency"]
        # What was worked out of two parts holds no more when one of them is another.
        outdated = figure["derived"] and (tmdb_id, figure["measure"], figure["currency"]) in measured
        replaced = by in former and (kind in renewed or outdated)
        if by != file.digest and not replaced:
            rows.append(figure)
    return stated


def _figure_rows(row: FileRow, match: Match) -> list[Row]:
    told = row.title or row.imdb_id or f"movie {row.tmdb_id}"
    return [
        {
            "measure": figure.measure,
            "scope": figure.scope,
            "currency": figure.currency,
            "source_ref": row.reference,
            "amount": figure.amount,
            "as_of": row.as_of,
            "derived": figure.derived,
            "suspect": figure.suspect,
            "matched_by": f"{match.rule.code}: {told}{f' ({row.year})' if row.year else ''}",
        }
        for figure in row.figures
    ]


def _keep_waiting(connection: duckdb.DuckDBPyConnection, file: ImportedFile, found: Found, now: datetime) -> None:
    """Keep the rows that have no movie, with when they were seen first, and drop those that have one now."""
    tried = pa.table(
        {
            "file_digest": pa.array([row.digest for row in found], pa.string()),
            "row_number": pa.array([row.number for row in found], pa.int64()),
        }
    )
    with registered(connection, "tried", tried):
        concerned = (
            "box_office_unmatched WHERE file_digest = $digest"
            " OR (file_digest, row_number) IN (SELECT file_digest, row_number FROM tried)"
        )
        of_file = {"digest": file.digest}
        rows = connection.execute(f"SELECT file_digest, row_number, seen_at FROM {concerned}", of_file).fetchall()
        connection.execute(f"DELETE FROM {concerned}", of_file)
    seen = {(digest, number): at for digest, number, at in rows}
    insert_rows(
        connection,
        BOX_OFFICE_UNMATCHED,
        [
            {
                "file_digest": row.digest,
                "row_number": row.number,
                "title": row.title,
                "other_titles": list(row.other_titles) or None,
                "year": row.year,
                "imdb_id": row.imdb_id,
                "stated_tmdb_id": row.tmdb_id,
                "why": "ambiguous" if no.ambiguous else "unmatched",
                "reason": no.reason,
                "candidates": list(no.candidates),
                "figures": _as_text(row.figures),
                "as_of": row.as_of,
                "seen_at": seen.get((row.digest, row.number), naive_utc(now)),
            }
            for row, no in found.items()
            if isinstance(no, NoMatch) and no is not _SUPERSEDED
        ],
    )


def _note_file(connection: duckdb.DuckDBPyConnection, file: ImportedFile, found: Found, now: datetime) -> None:
    own = [match for row, match in found.items() if row.digest == file.digest]
    before = connection.execute(
        "SELECT first_imported_at, name FROM box_office_files WHERE digest = ?", [file.digest]
    ).fetchall()
    connection.execute("DELETE FROM box_office_files WHERE digest = ?", [file.digest])
    noted = {
        "digest": file.digest,
        "name": before[0][1] if before else file.name,  # a copy is the same file: a later version has the first name
        "layout": file.layout,
        "as_of": file.as_of,
        "rows": file.rows,
        "matched": sum(isinstance(match, Match) for match in own),
        "ambiguous": sum(isinstance(match, NoMatch) and match.ambiguous for match in own),
        "unmatched": sum(isinstance(match, NoMatch) and not match.ambiguous for match in own),
        "refused": file.refused,
        "first_imported_at": before[0][0] if before else naive_utc(now),
        "imported_at": naive_utc(now),
    }
    insert_rows(connection, BOX_OFFICE_FILES, [noted])


def disagreements(
    connection: duckdb.DuckDBPyConnection, file: ImportedFile, found: Found, most: int
) -> tuple[int, int, list[dict[str, Any]]]:
    """How many figures of a file can be compared with another source's, how many differ by a fifth, and the worst.

    Compared are figures of one measure, scope and currency that nothing speaks against.
    """
    schema = arrow_schema(BOX_OFFICE, ("tmdb_id", "measure", "scope", "currency", "amount"))
    rows = [
        {name: getattr(figure, name) for name in ("measure", "scope", "currency", "amount")}
        | {"tmdb_id": match.tmdb_id}
        for row, match in found.items()
        if isinstance(match, Match) and row.digest == file.digest
        for figure in row.figures
        if figure.suspect is None and not figure.derived
    ]
    with registered(connection, "incoming_figures", pa.Table.from_pylist(rows, schema=schema)):
        names = ("tmdb_id", "measure", "scope", "currency", "amount", "source", "other_amount")
        rows_found = connection.execute(
            f"""
            SELECT count(*) OVER (), count(*) FILTER (WHERE apart > {DISAGREEMENT}) OVER (), apart, {", ".join(names)}
            FROM ({_COMPARED}) ORDER BY apart DESC, amount DESC, tmdb_id, measure, scope, source LIMIT {most:d}""",
            {"digest": file.digest},
        ).fetchall()
    if not rows_found:
        return 0, 0, []
    worst = [dict(zip(names, row[3:], strict=True)) for row in rows_found if row[2] > DISAGREEMENT]
    titles = titles_of(connection, {item["tmdb_id"] for item in worst})
    return rows_found[0][0], rows_found[0][1], [titles.get(item["tmdb_id"], {}) | item for item in worst]


_COMPARED = f"""
SELECT i.tmdb_id, i.measure, i.scope, i.currency, i.amount, f.source, f.amount AS other_amount,
       greatest(i.amount, f.amount) / least(i.amount, f.amount) AS apart
FROM incoming_figures AS i JOIN box_office_figures AS f USING (tmdb_id, measure, scope, currency)
WHERE f.suspect IS NULL AND f.gone_at IS NULL AND NOT f.derived
  AND NOT (f.source = '{SOURCE}' AND starts_with(f.source_ref, $digest || ':'))
  AND greatest(i.amount, f.amount) >= {WORTH_COMPARING}"""


def unmatched_rows(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The rows of files whose movie was not found, with their file and the movies that may be meant."""
    columns = ("file", "imported_at", "row", "title", "year", "imdb_id", "stated_tmdb_id", "why", "reason", "as_of",
               "candidates", "figures")  # fmt: skip
    rows = connection.execute(
        "SELECT coalesce(f.name, u.file_digest), f.imported_at, u.row_number, u.title, u.year, u.imdb_id,"
        " u.stated_tmdb_id, u.why, u.reason, u.as_of, u.candidates, u.figures"
        " FROM box_office_unmatched AS u LEFT JOIN box_office_files AS f ON f.digest = u.file_digest"
        " ORDER BY f.imported_at, u.file_digest, u.row_number"
    ).fetchall()
    told = [dict(zip(columns, row, strict=True)) for row in rows]
    titles = titles_of(connection, {i for row in told for i in row["candidates"]})
    for row in told:
        row["candidates"] = [titles[i] for i in row["candidates"] if i in titles]
        row["figures"] = json.loads(row["figures"])
    return told


def titles_of(connection: duckdb.DuckDBPyConnection, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Id, title and release year of these movies, as far as they are known."""
    with registered(connection, "incoming_ids", id_table(set(ids))):
        rows = connection.execute(
            "SELECT m.tmdb_id, coalesce(d.title, l.title), m.release_year FROM refresh_metadata AS m"
            " SEMI JOIN incoming_ids AS i ON i.tmdb_id = m.tmdb_id"
            " LEFT JOIN discovered_movies AS l ON l.tmdb_id = m.tmdb_id"
            " LEFT JOIN tmdb_details AS d ON d.tmdb_id = m.tmdb_id"
        ).fetchall()
    return {row[0]: dict(zip(("tmdb_id", "title", "year"), row, strict=True)) for row in rows}
