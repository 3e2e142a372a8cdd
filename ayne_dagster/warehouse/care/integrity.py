"""Verifying a database: what is wrong in it, in a person's words. Repairs nothing but times that lie in the future.

Every rule is one query that finds the rows which break it, so that a rule can be tried by hand. What a merge, a purge
or a change of the IMDb id rightfully leaves behind breaks none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.refresh.strategy import SOURCES, Override
from ayne_dagster.warehouse.care.ahead import MENDED, mend, moments, not_mended_sql
from ayne_dagster.warehouse.doubts import count_doubts, describe_counts
from ayne_dagster.warehouse.migrations import VERSION_TABLE, existing_columns, schema_version
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.row_checks import duplicate_keys, misplaced_rows, orphans
from ayne_dagster.warehouse.rows import naive_utc
from ayne_dagster.warehouse.schema import (
    ALL_TABLES,
    ALWAYS_TOLD,
    APPENDED_PARTS,
    COMPANIES,
    CREDITS,
    HASHED_TABLES,
    MOVIE_COMPANIES,
    MOVIE_TABLES,
    PARTS_OF_MOVIES,
    PEOPLE,
    PROVIDERS,
    REFRESH_METADATA,
    SCHEMA_VERSION,
    TABLE_OF,
    TABLES,
    WATCH_PROVIDERS,
)
from ayne_dagster.warehouse.spool import SET_ASIDE, contents, spool_folder
from ayne_dagster.warehouse.store import DatabaseUnusable, Store
from ayne_dagster.warehouse.tables import Table, View
from ayne_dagster.warehouse.views import VIEWS

EXAMPLES = 5
ROWS_OF = {source: table for source, table in TABLE_OF.items() if table in HASHED_TABLES}
"""By source that has a row of each movie that it knows: the table."""
_SUCCESSES = f"outcome IN ('{Outcome.FETCHED}', '{Outcome.ABSENT}')"
_RESTORE = "Restore the last snapshot that `ayne check` finds sound."
_FETCH_AGAIN = "`ayne force` the movies, then collect: what is stored and what is noted agree again after an answer."


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    code: str
    """Which rule is broken."""
    where: str
    """Table, or file."""
    what: str
    """In a sentence, with the number of rows."""
    do: str
    count: int = 1
    examples: tuple[str, ...] = ()
    """A few of the rows, by their key."""


@dataclass
class Report:
    """What a check found."""

    path: Path
    version: int | None = None
    movies: int = 0
    findings: list[Finding] = field(default_factory=list)
    """What is wrong."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing, and not wrong."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True)
class _Rule:
    """A query that finds the rows which break a rule; its first column names them."""

    code: str
    where: str
    query: str
    what: str
    do: str


def check_database(database: Store, now: datetime) -> Report:
    """Verify a database: file, schema, keys, and that tables, refresh state and log tell the same.

    Args:
        database: what to verify; opened to read, and not migrated.
        now: the present instant (aware UTC), by the platform's clock.

    Raises:
        DatabaseBusy: another process holds it.
        DatabaseUnusable: there is no file.
    """
    report = Report(database.path)
    database.require_file()
    try:
        with database.inspect() as connection:
            if _check_schema(connection, report):
                _check_rows(connection, report, now)
    except (duckdb.Error, DatabaseUnusable) as error:
        reason = str(error).splitlines()[0]
        what = f"The file cannot be read to its end: {reason}"
        report.findings.append(Finding("unreadable", database.path.name, what, f"Keep it as it is. {_RESTORE}"))
    _note_spool(database.path, report)
    return report


def mend_database(database: Store, now: datetime) -> dict[str, int]:
    """Mend what `check_database` finds to lie in the future, in one transaction; the rest is left as it is.

    Returns:
        Rows mended, by table.

    Raises:
        WarehouseError: the database cannot be used.
    """
    database.require_file()
    with database.transaction() as connection:
        return mend(connection, now)


def _check_schema(connection: duckdb.DuckDBPyConnection, report: Report) -> bool:
    """Look at version, tables and columns; returns whether the rows can be looked at."""
    report.version = schema_version(connection)
    found = existing_columns(connection)
    if report.version is None:
        ours = found.keys() & ALL_TABLES.keys()
        what = f"It says no schema version (table {VERSION_TABLE})" + ("." if ours else ", and has no table of ours.")
        do = _RESTORE if ours else "Choose another AYNE_DATABASE."
        report.findings.append(Finding("schema_version", VERSION_TABLE, what, do))
        return bool(ours)
    if report.version > SCHEMA_VERSION:
        what = f"It has schema version {report.version}; this program knows {SCHEMA_VERSION}."
        report.findings.append(Finding("schema_version", VERSION_TABLE, what, "Install the newer ayne_dagster."))
        return False
    if report.version < SCHEMA_VERSION:
        report.notes.append(
            f"It has schema version {report.version}, and gets {SCHEMA_VERSION} when a command opens it next. "
            "Columns that are yet to come are not looked at."
        )
        return True
    report.findings += _schema_findings(found)
    report.findings += _macro_findings(connection)
    report.notes += _undeclared_keys(connection, found)
    return True


def _schema_findings(found: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Tables, views and columns that are missing or other than they should be."""
    items: tuple[Table | View, ...] = (*TABLES, *VIEWS)
    for item in items:
        columns = found.get(item.name)
        if columns is None:
            yield Finding("schema_table", item.name, f"The table or view {item.name} is missing.", _RESTORE)
            continue
        for column in item.columns:
            kind = columns.get(column.name)
            if kind is None:
                yield Finding("schema_column", item.name, f"Its column {column.name} is missing.", _RESTORE)
            elif kind != column.type:
                what = f"Its column {column.name} is {kind}, not {column.type}."
                yield Finding("schema_column", item.name, what, _RESTORE)


def _macro_findings(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Table macros that are missing."""
    rows = connection.execute(
        "SELECT function_name FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal"
    ).fetchall()
    for macro in MACROS:
        if (macro.name,) not in rows:
            yield Finding("schema_table", macro.name, f"The macro {macro.call} is missing.", _RESTORE)


def _undeclared_keys(connection: duckdb.DuckDBPyConnection, found: dict[str, dict[str, str]]) -> Iterator[str]:
    rows = connection.execute(
        "SELECT table_name FROM duckdb_constraints()"
        " WHERE constraint_type = 'PRIMARY KEY' AND database_name = current_database()"
    ).fetchall()
    declared = {row[0] for row in rows}
    if not declared and found.keys() >= {table.name for table in TABLES}:
        yield "It declares no keys, as no lake does: that nothing stands in it twice is checked here, and not enforced."
        return
    for table in TABLES:
        if table.key and table.declares_key and table.name in found and table.name not in declared:
            yield f"{table.name} declares no key: that no movie stands in it twice is checked here, and not enforced."


def _check_rows(connection: duckdb.DuckDBPyConnection, report: Report, now: datetime) -> None:
    """Look at the rows, rule by rule; a rule about columns that are not there is left out."""
    bound = {"now": naive_utc(now)}
    incomplete = bool(report.findings) or report.version != SCHEMA_VERSION
    for rule in _rules():
        parameters = bound if "$now" in rule.query else {}
        try:
            rows = connection.execute(
                f"SELECT count(*) OVER (), * FROM ({rule.query}) LIMIT {EXAMPLES}", parameters
            ).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException):
            if not incomplete:
                raise
            continue
        if rows:
            number = int(rows[0][0])
            what = rule.what.format(n=f"{number:,}")
            examples = tuple(str(row[1]) for row in rows)
            report.findings.append(Finding(rule.code, rule.where, what, rule.do, number, examples))
    if not incomplete:
        report.notes += _set_back_notes(connection)
        report.notes += _doubt_notes(connection)
    report.movies = _read_everything(connection)


def _read_everything(connection: duckdb.DuckDBPyConnection) -> int:
    """Read every block of every table, so that one that is damaged is met now; returns the number of movies."""
    movies = 0
    for name in sorted(existing_columns(connection).keys() & ALL_TABLES.keys()):
        rows = connection.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {name} AS t").fetchall()
        movies = int(rows[0][0]) if name == REFRESH_METADATA.name else movies
    return movies


def _note_spool(path: Path, report: Report) -> None:
    """Batches that could not be committed wait in files beside the database (`spool`)."""
    folder, found = spool_folder(path).name, contents(path)
    if found.blocked:
        report.notes.append(
            f"{folder} is no folder that can be written: answers that the database cannot take would be lost. "
            "Move it away."
        )
    if found.waiting:
        report.notes.append(
            f"{found.waiting:,} file(s) of answers wait in {folder}: the next collection takes them in."
        )
    if found.newer:
        report.notes.append(
            f"{found.newer:,} file(s) of answers in {folder} are of a newer ayne_dagster: they wait for it."
        )
    if found.unusable:
        report.notes.append(
            f"{found.unusable:,} file(s) in {folder} could not be merged, and were set aside: *{SET_ASIDE}."
        )
    if found.strange:
        report.notes.append(f"{found.strange:,} thing(s) in {folder} are no files of answers, and are left alone.")


def _rules() -> Iterator[_Rule]:
    yield from _key_rules()
    yield from _membership_rules()
    yield from _counter_rules()
    yield from _time_rules()
    for source in ROWS_OF:
        yield from _log_rules(source)
        yield from _row_rules(source)


def _key_rules() -> Iterator[_Rule]:
    for table in TABLES:
        if table.key:
            yield _Rule(
                "duplicate_key",
                table.name,
                duplicate_keys(table),
                "{n} key(s) stand in it more than once.",
                _RESTORE,
            )
            empty = " OR ".join(f"{name} IS NULL" for name in table.key)
            yield _Rule(
                "missing_key",
                table.name,
                f"SELECT rowid FROM {table.name} WHERE {empty}",
                "{n} row(s) have no key.",
                _RESTORE,
            )


def _membership_rules() -> Iterator[_Rule]:
    """Every row belongs to a known movie, and stands in its partition."""
    for table in (*MOVIE_TABLES, *PARTS_OF_MOVIES, APPENDED_PARTS):
        yield _Rule(
            "orphan",
            table.name,
            orphans(table),
            "{n} row(s) belong to no known movie: they have no refresh state.",
            _RESTORE,
        )
    for table, named in ((CREDITS, PEOPLE), (MOVIE_COMPANIES, COMPANIES), (WATCH_PROVIDERS, PROVIDERS)):
        yield _Rule(
            "unnamed",
            table.name,
            f"SELECT tmdb_id FROM {table.name} ANTI JOIN {named.name} USING ({named.key[0]})",
            f"{{n}} row(s) name what is not in {named.name}.",
            _FETCH_AGAIN,
        )
    for table in MOVIE_TABLES:
        yield _Rule(
            "misplaced",
            table.name,
            misplaced_rows(table),
            "{n} row(s) are not in the partition of their movie's release year.",
            "`ayne force` the movies, then collect.",
        )
    yield _Rule(
        "misplaced",
        "refresh_metadata",
        misplaced_rows(REFRESH_METADATA),
        "{n} movie(s) are not in the partition of their release date.",
        "`ayne force` the movies, then collect.",
    )
    yield _Rule(
        "unknown_history",
        "movie_history",
        "SELECT tmdb_id FROM movie_history ANTI JOIN refresh_metadata USING (tmdb_id)",
        "{n} change(s) are those of movies that are not known.",
        "`ayne purge` drops them, if the movies are rightly gone; else restore a snapshot.",
    )


def _counter_rules() -> Iterator[_Rule]:
    names = [f"{source}_{name}" for source in SOURCES for name in ("failures", "exposure", "changes", "signals")]
    for name in ("unchanged_cycles", *names):
        yield _Rule(
            "counter",
            "refresh_metadata",
            f"SELECT tmdb_id FROM refresh_metadata WHERE {name} < 0 OR {name} IS NULL",
            f"{{n}} movie(s) have {name} negative or unknown; it starts at 0.",
            _RESTORE,
        )
    yield _Rule(
        "counter",
        "fetch_log",
        "SELECT tmdb_id FROM fetch_log WHERE requests < 0 OR requests IS NULL",
        "{n} attempt(s) have a negative or unknown number of requests.",
        _RESTORE,
    )
    known = ", ".join(f"'{override}'" for override in Override)
    yield _Rule(
        "override",
        "refresh_metadata",
        f"SELECT tmdb_id FROM refresh_metadata WHERE override NOT IN ({known})",
        "{n} movie(s) have an override that means nothing: they cannot be planned.",
        "`ayne thaw` the movies, or restore a snapshot.",
    )


def _time_rules() -> Iterator[_Rule]:
    """No time lies ahead, and of two that follow each other none is the wrong way round."""
    for moment in moments():
        row = "tmdb_id" if "tmdb_id" in moment.table.types else (moment.table.key or moment.table.column_names)[0]
        yield _Rule(
            "future",
            moment.table.name,
            f"SELECT {row} FROM {moment.table.name} WHERE {moment.condition}",
            f"{{n}} row(s) have {moment.column} in the future.",
            "A clock was ahead (or AYNE_CLOCK_OFFSET_DAYS, in a demonstration), or is behind now: set it right, then"
            " `ayne check --mend`. Until then what was noted so is taken for unknown.",
        )
    for source in SOURCES:
        for earlier, later in (("checked_at", "attempted_at"), ("changed_at", "checked_at")):
            first, second = f"{source}_{earlier}", f"{source}_{later}"
            alone = f" OR ({first} IS NOT NULL AND {second} IS NULL)" if later == "attempted_at" else ""
            yield _Rule(
                "order",
                "refresh_metadata",
                f"SELECT tmdb_id FROM refresh_metadata WHERE ({first} > {second}{alone})"
                f" AND tmdb_id NOT IN ({_set_back_sql(source)})",
                f"{{n}} movie(s) have {first} after {second}.",
                _FETCH_AGAIN,
            )


def _last_sql(source: str) -> str:
    """The log's last attempt and last success at a source, by movie."""
    return (
        f"(SELECT tmdb_id, max(fetched_at) AS asked, max(fetched_at) FILTER (WHERE {_SUCCESSES}) AS answered"
        f" FROM fetch_log WHERE source = '{source}' AND {not_mended_sql()} GROUP BY tmdb_id)"
    )


def _set_back_sql(source: str) -> str:
    """The movies that a clock which was behind noted something of: the log has that attempt, and later ones.

    What was noted last is the state, though the log says that others were later. They are due for it, and nothing is
    lost: the next answer is the last by all accounts.
    """
    noted = f"FROM fetch_log AS f WHERE f.source = '{source}' AND f.tmdb_id = m.tmdb_id"
    attempted, checked = f"{source}_attempted_at", f"{source}_checked_at"
    return (
        f"SELECT m.tmdb_id FROM refresh_metadata AS m JOIN {_last_sql(source)} AS last USING (tmdb_id)"
        f" WHERE ({attempted} < last.asked AND EXISTS (SELECT 1 {noted} AND f.fetched_at = m.{attempted}))"
        f" OR ({checked} < last.answered AND EXISTS (SELECT 1 {noted} AND f.fetched_at = m.{checked} AND {_SUCCESSES}))"
    )


def _set_back_notes(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for source in SOURCES:
        number = connection.execute(f"SELECT count(*) FROM ({_set_back_sql(source)})").fetchall()[0][0]
        if number:
            yield (
                f"{number:,} movie(s) were asked for at {SOURCES[source].title} by a clock that was behind: they are"
                " due, and a collection puts them right."
            )


def _doubt_notes(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """What sources contradict each other in: no fault of the database."""
    counts = count_doubts(connection)
    if told := describe_counts(counts):
        yield told
    if counts.not_judged:
        yield (
            f"{counts.not_judged:,} answer(s) of OMDb were not compared with TMDB's details yet: the next collections"
            " do it."
        )


def _log_rules(source: str) -> Iterator[_Rule]:
    """The refresh state says of a source what the log's last entries say."""
    last = _last_sql(source)
    for column, logged, event in (("checked_at", "answered", "successful check"), ("attempted_at", "asked", "attempt")):
        name = f"{source}_{column}"
        yield _Rule(
            "log",
            "refresh_metadata",
            f"SELECT tmdb_id FROM refresh_metadata LEFT JOIN {last} AS log USING (tmdb_id)"
            f" WHERE {name} IS NOT NULL AND {name} IS DISTINCT FROM log.{logged}"
            f" AND tmdb_id NOT IN ({_set_back_sql(source)})",
            f"{{n}} movie(s) have {name} other than the last {event} at {SOURCES[source].title} in fetch_log.",
            _FETCH_AGAIN,
        )


def _row_rules(source: str) -> Iterator[_Rule]:
    """What the refresh state says was fetched is stored, and what is stored has a refresh state."""
    table, title = ROWS_OF[source].name, SOURCES[source].title
    checked = f"{source}_checked_at"
    fetched = f"source = '{source}' AND outcome = '{Outcome.FETCHED}'"
    yield _Rule(
        "missing_row",
        table,
        f"SELECT tmdb_id FROM refresh_metadata AS m ANTI JOIN {table} USING (tmdb_id) WHERE {checked} IS NOT NULL"
        f" AND EXISTS (SELECT 1 FROM fetch_log AS f"
        f" WHERE f.tmdb_id = m.tmdb_id AND fetched_at = {checked} AND {fetched})",
        f"{{n}} movie(s) were fetched from {title}, by refresh state and log, and have no row.",
        _FETCH_AGAIN,
    )
    # Another IMDb id makes a check void and leaves the row of the former one, until OMDb is asked again.
    another = " AND tmdb_id NOT IN (SELECT tmdb_id FROM movie_history WHERE field = 'imdb_id')"
    same_movie = f" AND t.imdb_id = m.imdb_id{another}" if SOURCES[source].needs_imdb_id else ""
    # So does an answer without all of its parts, which is kept and is no check, and one at a time that was mended, or
    # that nobody knows, as of the older collection.
    no_check = (
        f"(SELECT tmdb_id FROM fetch_log WHERE source = '{source}'"
        f" AND (outcome = '{Outcome.INCOMPLETE}' OR starts_with(reason, '{MENDED}')))"
    )
    always = ALWAYS_TOLD.get(table)
    whole = f" AND (t.{always} IS NOT NULL OR m.{table}_hash IS NULL)" if always else ""
    yield _Rule(
        "missing_check",
        table,
        f"SELECT tmdb_id FROM {table} AS t JOIN refresh_metadata AS m USING (tmdb_id)"
        f" WHERE m.{checked} IS NULL{same_movie} AND tmdb_id NOT IN {no_check}"
        f" AND tmdb_id NOT IN ({_set_back_sql(source)}){whole}",
        f"{{n}} row(s) are stored of which the refresh state says that {title} never answered.",
        "Collect: the movies are due, and asked for again.",
    )


def describe(finding: Finding) -> dict[str, Any]:
    """A finding as JSON has it."""
    return {
        "code": finding.code,
        "where": finding.where,
        "what": finding.what,
        "do": finding.do,
        "count": finding.count,
        "examples": list(finding.examples),
    }
