"""Makes docs/data-dictionary.md: what the schema says of tables, views and columns, with values of an invented world.

    python docs/make_dictionary.py              the texts of today; values as they stand in the page
    python docs/make_dictionary.py --examples   the values too: half a minute, in a scratch folder

No text about a column belongs here: they are in `ayne_dagster.warehouse.schema`.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from ayne_dagster.warehouse.dictionary import ASKED, Described, made_of, null_meaning, unit
from ayne_dagster.warehouse.tables import NEVER, Column, Table, TableMacro

PAGE = Path(__file__).parent / "data-dictionary.md"
EPOCH = date(2026, 1, 1)
MOVIES, DAYS = 120, (0, 30, 60)
LONGEST = 40
"""Characters of a value that are shown."""
UNSTABLE = {"bytes": "12859904", "run_id": "8d1f6e0a-4c07-4c55-9d0e-2f3b7c1a9e64"}
"""Columns whose values differ each time, and what is shown of them."""
_ROW = re.compile(r"^\| `(\w+)` \|(?:.*)\| (.*?) \|$")
Examples = Mapping[tuple[str, str], str]
"""By table and column: a value, as Markdown."""

HEAD = """# Data dictionary

Every table, view and column: what it is, its unit, who says it, what NULL means, and a value out of the world of
`make demo`, which is invented, where it has one. Made of the schema by `make dictionary`: edit the schema.
The same texts are comments in the database (`FROM duckdb_columns()`), in `ayne schema TABLE`, in Dagster's UI, and in
files of `ayne export`.

All instants are UTC. What is unknown is NULL, and never 0, an empty text or 'N/A'.
"""


def page(examples: Examples) -> str:
    """The whole page."""
    links = " · ".join(f"[{name}](#{_anchor(name)})" for name in ASKED)
    return "\n".join([HEAD, links, "", *(line for r in ASKED.values() for line in _section(r, examples))])


def _section(relation: Described, examples: Examples) -> Iterator[str]:
    yield f"## {relation.name}"
    yield ""
    yield relation.description
    yield ""
    yield f"Key: {_key(relation)}. {_origin(relation)}"
    yield ""
    yield "| column | type | unit | is | from | NULL | such as |"
    yield "|---|---|---|---|---|---|---|"
    for column in relation.columns:
        null = null_meaning(relation, column)
        cells = (
            f"`{column.name}`",
            column.type,
            unit(column),
            column.description,
            _source(relation, column),
            "never" if null == NEVER else null,
            examples.get((relation.name, column.name), ""),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _key(relation: Described) -> str:
    return ", ".join(f"`{name}`" for name in relation.key) or "none: rows are only added"


def _origin(relation: Described) -> str:
    if isinstance(relation, Table):
        return f"A table, filled by {relation.source}."
    tables = ", ".join(f"[{name}](#{_anchor(name)})" for name in made_of(relation))
    if isinstance(relation, TableMacro):
        return f"A table macro over {tables}: `FROM {relation.call}`."
    return f"A view of {tables}." if tables else "A view of nothing but itself."


def _source(relation: Described, column: Column) -> str:
    """Who says a column: of a table the source; of a view the tables that have it under the same name."""
    if isinstance(relation, Table):
        return relation.source
    if isinstance(relation, TableMacro):
        return "`movie_history`, and what is stored"
    return ", ".join(f"`{name}`" for name in relation.origins[column.name]) or "worked out"


def examples_in(text: str) -> Examples:
    """The values that stand in a page."""
    found: dict[tuple[str, str], str] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("## "):
            table = line.removeprefix("## ")
        elif row := _ROW.match(line):
            found[table, row[1]] = row[2]
    return found


def examples_of(connection: duckdb.DuckDBPyConnection) -> Examples:
    """A value of each column that has one: of the movie that most is known of, else of the first row by the key."""
    ((movie,),) = connection.execute(
        "SELECT tmdb_id FROM movies JOIN box_office USING (tmdb_id) WHERE overview IS NOT NULL"
        " GROUP BY tmdb_id ORDER BY count(*) DESC, tmdb_id LIMIT 1"
    ).fetchall()
    return {
        (name, column.name): shown
        for name, relation in ASKED.items()
        for column in relation.columns
        if (shown := _example(connection, relation, column, movie))
    }


def _example(connection: duckdb.DuckDBPyConnection, relation: Described, column: Column, movie: int) -> str:
    names = [c.name for c in relation.columns]
    of_movie = next((f"{name} = {movie} DESC, " for name in ("tmdb_id", "movie_id") if name in names), "")
    order = ", ".join(relation.key) or "ALL" if not of_movie else ", ".join(relation.key or names[:3])
    known = f"SELECT {column.name} FROM {_asked(relation)} WHERE {column.name} IS NOT NULL"
    rows = connection.execute(f"{known} ORDER BY {of_movie}{order} LIMIT 1").fetchall()
    return _shown(UNSTABLE.get(column.name, rows[0][0]), column) if rows else ""


def _asked(relation: Described) -> str:
    return f"{relation.name}(TIMESTAMP '{EPOCH}')" if isinstance(relation, TableMacro) else relation.name


def _shown(value: Any, column: Column) -> str:
    """A value as code; instants to the hour and broken numbers to four digits, which no day of making changes."""
    if isinstance(value, datetime):
        text = f"{value:%Y-%m-%d %H}:00:00"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = " ".join(str(value).split())
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f"`{text}`".replace("|", "\\|")


def invented() -> Examples:
    """Values of a world that is collected anew, on fixed days."""
    from dataclasses import replace

    from rich.console import Console

    from ayne_dagster.config import TMDB_PARTS
    from ayne_dagster.demo.story import collect_on
    from ayne_dagster.demo.world import World, only_these_variables, settings_for, variables

    start = datetime(EPOCH.year, EPOCH.month, EPOCH.day, 12, tzinfo=UTC) - timedelta(days=DAYS[-1])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ayne.duckdb"
        with World(MOVIES, start.date()).standin() as standin, only_these_variables(variables(standin, file)):
            settings = replace(settings_for(standin, file), sensor_min_batch=1, tmdb_append=TMDB_PARTS)
            collect_on(DAYS, start, standin, settings, MOVIES, Console(stderr=True))
        with duckdb.connect(str(file), read_only=True) as connection:
            return examples_of(connection)


def main() -> None:
    """Write the page."""
    examples = invented() if "--examples" in sys.argv[1:] else examples_in(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(examples), encoding="utf-8")


if __name__ == "__main__":
    main()
