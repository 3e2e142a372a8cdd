"""What a table, a column, a view and a table macro are, and their DDL. Which ones the warehouse has is in `schema`.

A column's `drifts` mark says that its value moves daily by itself (popularity, vote counters): it is stored and its
history kept, but it does not count as a change of the movie (DESIGN, "Refresh rules").

The DDL stays within what DuckLake accepts too, except for the keys, which only a native file declares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

NEVER = "never"
"""In place of what NULL means: there is none."""


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type and meaning."""

    name: str
    type: str
    description: str
    drifts: bool = False
    """Its value moves by itself, without the movie changing."""
    bulky: bool = False
    """A long text, slow to read back from a large table."""
    unit: str = ""
    """What its numbers are in, unless they count things or are codes. That instants are UTC is said of all."""
    null: str = ""
    """What NULL means in it; empty: what its table says of NULL. `NEVER` where there is none."""
    concluded: bool = False
    """No source says it: it follows from what several say. It is no content: no change, no history, no rate."""


@dataclass(frozen=True)
class Table:
    """One table: columns in order, its key (empty for append-only logs), and what a row is."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("tmdb_id",)
    history: bool = False
    """Whether drifting columns go into `movie_history` too; the others always do."""
    declares_key: bool = True
    """Whether the file enforces the key; where it does not, writing keeps it and a check counts. An index over long
    texts costs more than it guards."""
    source: str = "this platform"
    """Who says what is in it."""
    null: str = "it is not known"
    """What NULL means in the columns that do not say otherwise."""

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(c.name for c in self.columns)

    @cached_property
    def types(self) -> dict[str, str]:
        """DuckDB type of each column."""
        return {c.name: c.type for c in self.columns}

    @cached_property
    def content(self) -> tuple[str, ...]:
        """Columns that hold what the source said: all but the key, the partition, conclusions and the bookkeeping."""
        apart = (*self.key, "release_year", "updated_at")
        return tuple(c.name for c in self.columns if c.name not in apart and not c.concluded)

    @cached_property
    def drifting(self) -> tuple[str, ...]:
        """Content columns that drift."""
        return tuple(c.name for c in self.columns if c.drifts)

    @cached_property
    def significant(self) -> tuple[str, ...]:
        """Content columns whose change counts as a change of the movie."""
        return tuple(name for name in self.content if name not in self.drifting)

    @cached_property
    def bulky(self) -> tuple[str, ...]:
        """The significant columns that are slow to read back: lists and long texts."""
        slow = {c.name for c in self.columns if c.bulky or c.type.endswith("[]")}
        return tuple(name for name in self.significant if name in slow)

    @cached_property
    def slim(self) -> tuple[str, ...]:
        """The significant columns that are quick to read back."""
        return tuple(name for name in self.significant if name not in self.bulky)

    def ddl(self) -> str:
        """The CREATE TABLE statement."""
        lines = [f"{c.name} {c.type}" for c in self.columns]
        if self.key and self.declares_key:
            lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return f"CREATE TABLE IF NOT EXISTS {self.name} (\n    " + ",\n    ".join(lines) + "\n)"


TABLES_OF_SOURCES: dict[str, Table] = {}
"""By source: a table with one row a movie that is described outside of `schema`, and before that is imported."""


@dataclass(frozen=True)
class View:
    """A view: a SELECT under a name, with the meaning of each of its columns."""

    name: str
    """With the name of its schema before it, where that is not the main one."""
    description: str
    select: str
    columns: tuple[Column, ...]
    origins: dict[str, tuple[str, ...]]
    """By column: the tables that it comes from, under the same name."""
    key: tuple[str, ...] = ()
    """Columns that tell its rows apart."""
    unique: bool = False
    """Whether no two rows have the same key, whatever the tables hold."""
    null: str = "it is not known"
    """What NULL means in the columns that do not say otherwise."""

    @property
    def schema(self) -> str:
        """The schema in which it is."""
        return self.name.rpartition(".")[0] or "main"

    def ddl(self) -> str:
        """The CREATE VIEW statement; before it, that which makes its schema where it is not the main one."""
        schema = "" if self.schema == "main" else f"CREATE SCHEMA IF NOT EXISTS {self.schema}; "
        return f"{schema}CREATE OR REPLACE VIEW {self.name} AS {self.select}"


@dataclass(frozen=True)
class TableMacro:
    """A SELECT with parameters under a name, asked like a table: `FROM name(value)`."""

    name: str
    parameters: tuple[str, ...]
    description: str
    select: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """Columns that tell its rows apart."""
    null: str = "it is not known"
    """What NULL means in the columns that do not say otherwise."""

    @property
    def call(self) -> str:
        """How it is asked, with its parameters."""
        return f"{self.name}({', '.join(self.parameters)})"

    def ddl(self) -> str:
        """The CREATE MACRO statement."""
        return f"CREATE OR REPLACE MACRO {self.call} AS TABLE {self.select}"
