"""What people are told of each table, view and column, wherever they meet it: comments in the database, `ayne schema`,
Dagster's UI, exported files, docs/data-dictionary.md. The words themselves are in `schema` and `views`; no connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.schema import ALL_TABLES
from ayne_dagster.warehouse.tables import NEVER, Column, Table, TableMacro, View
from ayne_dagster.warehouse.views import MOVIES, VIEWS

Relation = Table | View
"""What can be asked by its name alone."""
Described = Relation | TableMacro

RELATIONS: dict[str, Relation] = {MOVIES.name: MOVIES, **{view.name: view for view in VIEWS}, **ALL_TABLES}
"""All of them by name: views first, of which `movies` is the one that most questions want."""
ASKED: dict[str, Described] = {MOVIES.name: MOVIES, **{macro.name: macro for macro in MACROS}, **RELATIONS}
"""All that can be asked, also with a parameter."""


def unit(column: Column) -> str:
    """What its values are in; empty where they are names, codes or numbers of things."""
    return column.unit or ("UTC" if column.type == "TIMESTAMP" else "")


def null_meaning(relation: Described, column: Column) -> str:
    """What NULL means in a column; `NEVER` where there is none."""
    tells_apart = isinstance(relation, Table | TableMacro) or relation.unique
    if tells_apart and column.name in relation.key:
        return NEVER
    return column.null or relation.null


def column_text(relation: Described, column: Column) -> str:
    """A column in a line: its meaning, its unit, and what NULL means."""
    meaning = f"{column.description} ({column.unit})" if column.unit else column.description
    null = null_meaning(relation, column)
    return f"{meaning}. {'Never NULL' if null == NEVER else f'NULL: {null}'}."


def column_texts(relation: Described) -> dict[str, str]:
    """The texts of all columns, by name, in order."""
    return {column.name: column_text(relation, column) for column in relation.columns}


def made_of(view: View | TableMacro) -> list[str]:
    """The tables and views that a view's query names."""
    return [name for name in RELATIONS if name != view.name and _names(view.select, name)]


def _names(sql: str, relation: str) -> bool:
    return bool(re.search(rf"\b(?:FROM|JOIN)\s+(?:main\.)?{re.escape(relation)}\b", sql))


def comments(relations: Iterable[Described] = ASKED.values()) -> str:
    """The statements that write the texts into a database."""
    return ";\n".join(statement for relation in relations for statement in _comments_of(relation))


def comments_of_lake() -> str:
    """The same as far as a lake takes them: it knows none of a macro, nor of a view's columns."""
    views = [view for view in ASKED.values() if isinstance(view, View)]
    statements = [next(_comments_of(view)) for view in views]
    return ";\n".join([*statements, comments(table for table in ASKED.values() if isinstance(table, Table))])


def _comments_of(relation: Described) -> Iterator[str]:
    if isinstance(relation, TableMacro):  # its columns can have none
        yield f"COMMENT ON MACRO TABLE {relation.name} IS {literal(relation.description)}"
        return
    kind = "TABLE" if isinstance(relation, Table) else "VIEW"
    yield f"COMMENT ON {kind} {relation.name} IS {literal(relation.description)}"
    for name, text in column_texts(relation).items():
        yield f"COMMENT ON COLUMN {relation.name}.{name} IS {literal(text)}"


def literal(text: str) -> str:
    """A text as SQL has it, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
