"""Questions of a person in SQL, what tables there are to ask, and what became of a movie. The work itself is in
`warehouse.query` and `warehouse.questions`."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.options import TMDB_ID, FilePath, Instant, Number, json_option
from ayne_dagster.commands.output import fail, one_line, print_result, table, writing
from ayne_dagster.commands.process import command_process
from ayne_dagster.commands.working import working
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.settings.variables import did_you_mean
from ayne_dagster.settings.wording import counted

if TYPE_CHECKING:
    from ayne_dagster.warehouse.query import Answered, WayOut
    from ayne_dagster.warehouse.store import Store

MOST_SHOWN = 100
"""Rows of a table on a terminal."""
WIDEST_CELL = 60
"""Characters of a cell on a terminal."""
_database = click.option("--database", type=FilePath(), help="Ask this file, a snapshot maybe. Default: AYNE_DATABASE.")


@click.command()
@click.argument("sql", required=False)
@click.option("--file", "sql_file", type=FilePath(), help="Read the question from this file.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; lists as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: columns and rows.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--parquet", type=FilePath(), help="Write a Parquet file instead of printing.")
@click.option(
    "--limit", type=click.IntRange(0), default=MOST_SHOWN, show_default=True, help="Rows shown as a table; 0: all."
)
@click.option("--seconds", type=Number(0.01, 86_400), default=60.0, show_default=True, help="The question ends then.")
@click.option("--memory", default="512MB", show_default=True, help="What the question may take: 200MB, 2GB.")
@click.option("--copy", "of_a_copy", is_flag=True, help="Ask a copy at once: no run waits, not for a moment.")
@_database
def query(
    sql: str | None,
    sql_file: Path | None,
    as_csv: bool,
    as_json: bool,
    as_markdown: bool,
    parquet: Path | None,
    limit: int,
    seconds: float,
    memory: str,
    of_a_copy: bool,
    database: Path | None,
) -> None:
    """Answer a question in SQL: `ayne query "SELECT title, imdb_rating FROM movies LIMIT 5"`.

    It only reads. A quick question is put to the database itself, another one to a copy, so that no run waits: stderr
    says when that was made. `ayne tables` and `ayne schema TABLE` tell what there is to ask.
    """
    from ayne_dagster.warehouse.query import Limits, ask, ask_a_copy

    _require_one_way({"--csv": as_csv, "--json": as_json, "--markdown": as_markdown, "--parquet": parquet})
    question, settings = _question(sql, sql_file), load_settings()
    place = _database_of(database, settings)
    with ExitStack() as until_printed:
        with working("Asking"):
            put = ask_a_copy if of_a_copy else ask
            asked = put(place, question, Limits(seconds, _memory(memory)), datetime.now(UTC), _way_out())
            answered = until_printed.enter_context(asked)
        if answered.as_of is not None:
            click.echo(f"Asked a copy of {place.name} as of {answered.as_of:%Y-%m-%d %H:%M:%S} UTC.", err=True)
        if parquet is not None:
            _write_parquet(answered, parquet)
        elif as_csv:
            _print_csv(answered)
        elif as_json:
            columns = {field.name: str(field.type) for field in answered.schema}
            print_result({"columns": columns, "rows": list(_rows(answered))}, True, str)
        else:
            _print_table(answered, limit, markdown=as_markdown)


def _require_one_way(ways: Mapping[str, object]) -> None:
    chosen = [option for option, given in ways.items() if given]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen[:2])} are two ways of having the answer: choose one.")


def _way_out() -> WayOut | None:
    """What becomes of a question that cannot be interrupted, where this process is the command's own."""
    from ayne_dagster.warehouse.query import WayOut

    process = command_process()
    return WayOut(lambda: process.begin_anew("query", "--copy"), process.end) if process else None


def _question(sql: str | None, sql_file: Path | None) -> str:
    if (sql is None) == (sql_file is None):
        raise click.UsageError(
            'Say the question, as in `ayne query "SELECT count(*) FROM movies"`, or name its --file.'
        )
    if sql_file is None:
        return str(sql)
    try:
        return sql_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise click.UsageError(f"{sql_file} cannot be read: {reason}.") from None


def _memory(text: str) -> str:
    number = text.strip().upper().removesuffix("B").rstrip("KMGI")
    if not (number.isascii() and number.isdigit() and int(number)) or not text.strip()[-1].isalpha():
        raise click.UsageError(f"--memory must be a size such as 200MB or 2GB, and not {text!r}.")
    return text.strip()


def _database_of(named: Path | None, settings: Settings) -> Store:
    from ayne_dagster.collecting.stores import named_store

    return named_store(named, settings)


def _rows(answered: Answered) -> Iterator[dict[str, Any]]:
    for batch in answered.batches:
        yield from batch.to_pylist()


def _write_parquet(answered: Answered, file: Path) -> None:
    import pyarrow.parquet as pq

    rows, partial = 0, file.with_name(f".{file.name}.partial")
    try:
        with pq.ParquetWriter(partial, answered.schema) as writer:
            for batch in answered.batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        partial.replace(file)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror or error}.") from None
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{file}  {counted(rows, 'rows')}", err=True)


def _print_csv(answered: Answered) -> None:
    with writing():
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow([field.name for field in answered.schema])
        for row in _rows(answered):
            out.writerow([_plain(value) for value in row.values()])


def _plain(value: object) -> object:
    """A value as a field of a file: lists and structures as JSON, nothing for NULL."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


def _print_table(answered: Answered, limit: int, *, markdown: bool) -> None:
    rows = _rows(answered)
    shown = [[_cell(value) for value in row.values()] for row in (islice(rows, limit) if limit else rows)]
    left = sum(1 for _ in rows)
    names = [one_line(field.name) for field in answered.schema]
    with writing():
        if markdown:
            click.echo(_as_markdown(names, shown))
        else:
            described = table(*names)
            for row in shown:
                described.add_row(*row)
            print_result({}, False, lambda _: described)
    if left:
        click.echo(f"The first {len(shown):,} of {len(shown) + left:,} rows; --limit 0 shows all.", err=True)


def _cell(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join("NULL" if item is None else str(item) for item in value)
    text = one_line("NULL" if value is None else str(value))
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"


def _as_markdown(names: list[str], rows: list[list[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    out = io.StringIO()
    for line in lines:
        out.write(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n")
    return out.getvalue().rstrip("\n")


@click.command()
@_database
@json_option
def tables(database: Path | None, as_json: bool) -> None:
    """List the tables and views: how many rows each has, and what a row is."""
    from ayne_dagster.warehouse.dictionary import ASKED
    from ayne_dagster.warehouse.query import Limits, ask
    from ayne_dagster.warehouse.schema import ALL_TABLES

    place = _database_of(database, load_settings())
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in ALL_TABLES)
    with ask(place, counts, Limits(), datetime.now(UTC)) as answered:
        rows = dict(tuple(row.values()) for row in _rows(answered))
    found = [
        {"table": n, "rows": rows.get(n), "asked": getattr(t, "call", n), "description": t.description}
        for n, t in ASKED.items()
    ]
    print_result({"tables": found}, as_json, _describe_tables)


def _describe_tables(result: dict[str, Any]) -> Any:
    described = table("Table", "Rows", "A row is")
    described.columns[1].justify = "right"
    for found in result["tables"]:
        unstored = "view" if found["asked"] == found["table"] else "macro"
        rows = unstored if found["rows"] is None else f"{found['rows']:,}"
        described.add_row(found["asked"], rows, found["description"])
    return described


@click.command()
@click.argument("name", metavar="TABLE")
@json_option
def schema(name: str, as_json: bool) -> None:
    """Tell the columns of a table or view: type, meaning, unit, and what NULL means."""
    from ayne_dagster.warehouse.dictionary import ASKED, column_text, null_meaning, unit

    if name not in ASKED:
        from ayne_dagster.warehouse.care.export import no_such_table

        raise click.UsageError(no_such_table([name]))
    found = ASKED[name]
    columns = [
        {
            "column": c.name,
            "type": c.type,
            "description": c.description,
            "unit": unit(c),
            "null": null_meaning(found, c),
            "text": column_text(found, c),
        }
        for c in found.columns
    ]
    asked, key = getattr(found, "call", name), list(found.key)
    result = {"table": name, "asked": asked, "description": found.description, "key": key, "columns": columns}
    print_result(result, as_json, _describe_schema)


def _describe_schema(result: dict[str, Any]) -> Any:
    described = table("Column", "Type", "Meaning")
    described.title, described.title_justify = f"{result['asked']}: {result['description']}", "left"
    for column in result["columns"]:
        described.add_row(column["column"], column["type"], column["text"])
    return described


@click.command()
@click.argument("tmdb_id", type=TMDB_ID)
@click.option("--field", "fields", multiple=True, help="Only this column; may be repeated.")
@click.option("--since", type=Instant(), help="Only changes seen from this day on (UTC).")
@click.option("--limit", type=click.IntRange(1), default=MOST_SHOWN, show_default=True, help="The latest changes.")
@json_option
def history(tmdb_id: int, fields: tuple[str, ...], since: datetime | None, limit: int, as_json: bool) -> None:
    """Tell what changed of a movie: when, at which source, from what to what; the latest first.

    Of credits, companies and releases, what went stands under From and what came under To.
    """
    from ayne_dagster.commands.files import reading
    from ayne_dagster.warehouse.changes import fields_of_changes, movie_changes
    from ayne_dagster.warehouse.rows import naive_utc

    with reading(load_settings()) as connection:
        known = fields_of_changes(connection) if fields else set()
        for unknown in sorted(set(fields) - known):
            meant = did_you_mean(unknown, known)
            raise click.UsageError(f"There is no column {unknown!r} of which changes are noted.{meant}")
        found = movie_changes(connection, tmdb_id, fields, limit, since=naive_utc(since) if since else None)
    if found is None:
        fail(f"Movie {tmdb_id} is not known: `ayne collect` discovers movies.")
    print_result(found, as_json, _describe_history)


def _describe_history(result: dict[str, Any]) -> Any:
    from ayne_dagster.warehouse.changes import in_words

    title = f"{result['title'] or 'A movie without a title'} (TMDB {result['tmdb_id']})"
    if not result["changes"]:
        return f"{title}: no change was noted."
    described = table("When (UTC)", "Source", "Column", "From", "To")
    described.title, described.title_justify = title, "left"
    for change in result["changes"]:
        when = f"{change['changed_at']:%Y-%m-%d %H:%M}"
        values = (_cell(_worded(change[side], in_words)) for side in ("from", "to"))
        described.add_row(when, change["source"], change["field"], *values)
    return described


def _worded(value: Any, in_words: Callable[[object], str]) -> Any:
    """A list of credits, companies or releases, which are objects, in words; any other value as it is."""
    return [in_words(item) for item in value] if isinstance(value, list) else value
