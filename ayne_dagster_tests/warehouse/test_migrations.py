"""Databases of an older schema: brought up to date whole or not at all, with every row."""

from __future__ import annotations

import ast
import hashlib
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ayne_dagster.config import Settings
from ayne_dagster.orchestrator import DataCollectionOrchestrator, DiscoveryPlan
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse import migration_steps, migrations
from ayne_dagster.warehouse.client import DuckDBClient
from ayne_dagster.warehouse.database import CONNECTION_CONFIG, Database, DatabaseUnusable
from ayne_dagster.warehouse.migrations import STEPS, existing_columns, schema_version, steps_taken
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.refresh_metadata import movie_states, new_state_row
from ayne_dagster.warehouse.schema import ENTITY_TABLES, SCHEMA_VERSION, TABLES
from ayne_dagster.warehouse.views import VIEWS
from ayne_dagster_tests.support.samples import START, everything, opens_elsewhere, python
from ayne_dagster_tests.support.schema_v1 import DDL, ROWS, make_version_1

FINGERPRINTS = {
    2: "680c36b75554161d",
    3: "f474423e4ce53914",
    4: "7cdf520a126d3fd0",
    5: "349011514d64ebc5",
    6: "cd3da304b8df349a",
}
"""By version: a hash of the DDL of its tables and, from 5 on, of its views and macros, which only a migration replaces.

An entry is changed only while its version is unreleased.
"""

DIGESTS = {
    2: "2a78620c5be69096",
    3: "dc84436fff300005",
    4: "9084d0ac4e8f5cc4",
    5: "7339c9b7dafab148",
    6: "816f6cf28eb969aa",
}
"""By version: the digest of the step that leads there. As with fingerprints, only an unreleased one is changed."""

SINCE_VERSION_4 = (
    ("refresh_metadata", "entities_hash"),
    ("refresh_metadata", "entities_checked_at"),
    ("refresh_metadata", "discovered_movies_since"),
    ("refresh_metadata", "tmdb_details_since"),
    ("refresh_metadata", "omdb_ratings_since"),
    ("tmdb_details", "softcore"),
    ("omdb_ratings", "end_year"),
    ("omdb_ratings", "match"),
    ("omdb_ratings", "match_reasons"),
)
OLD_TABLES = ("refresh_metadata", "discovered_movies", "tmdb_details", "omdb_ratings", "fetch_log", "movie_history")


@pytest.fixture
def old(tmp_path: Path) -> Database:
    """A database of version 1, with rows."""
    make_version_1(tmp_path / "ayne.duckdb")
    return Database(tmp_path / "ayne.duckdb", wait_seconds=0.05)


def constraints(connection: duckdb.DuckDBPyConnection) -> set[tuple[Any, ...]]:
    return set(connection.execute("SELECT table_name, constraint_text FROM duckdb_constraints()").fetchall())


def content_as_v1_had_it(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """All rows, in the columns of version 1."""
    with duckdb.connect() as frozen:
        frozen.execute(DDL)
        columns = existing_columns(frozen)
    return {
        table: connection.execute(f"SELECT {', '.join(columns[table])} FROM {table} ORDER BY ALL").fetchall()
        for table in OLD_TABLES
    }


def untouched(path: Path) -> bool:
    """Whether a file is still exactly what version 1 made."""
    with duckdb.connect(str(path), read_only=True) as found, duckdb.connect() as frozen:
        frozen.execute(DDL)
        frozen.execute(ROWS)
        same_rows = content_as_v1_had_it(found) == content_as_v1_had_it(frozen)
        return same_rows and existing_columns(found) == existing_columns(frozen) and schema_version(found) == 1


def test_a_migrated_database_has_the_columns_types_and_keys_of_a_new_one(old: Database, tmp_path: Path) -> None:
    with old.connect() as migrated, Database(tmp_path / "new.duckdb").connect() as fresh:
        assert existing_columns(migrated) == existing_columns(fresh)
        assert constraints(migrated) == constraints(fresh)
        assert schema_version(migrated) == schema_version(fresh) == SCHEMA_VERSION


def test_a_migration_keeps_every_row(old: Database) -> None:
    with duckdb.connect(str(old.path), read_only=True) as connection:
        before = content_as_v1_had_it(connection)
    with old.connect() as connection:
        assert content_as_v1_had_it(connection) == before
        assert all(before.values())


def test_counters_that_a_migration_adds_are_those_of_a_new_row(old: Database) -> None:
    counters = [name for name, value in new_state_row(1, START, "1999").items() if value == 0]
    assert {f"{source}_signals" for source in SOURCES} <= set(counters)
    with old.connect() as connection:
        for name in counters:
            found = connection.execute(f"SELECT count(*), count({name}), min({name}) FROM refresh_metadata").fetchall()
            assert found == [(2, 2, 0)], name


def test_migrated_states_can_be_planned_with(old: Database) -> None:
    with old.connect() as connection:
        states = {state.tmdb_id: state for state in movie_states(connection, [550, 551])}
    assert (states[550].unchanged_cycles, states[551].at("tmdb").failures) == (2, 3)


def test_readers_of_an_older_database_get_it_migrated(old: Database) -> None:
    with old.connect(read_only=True) as connection:
        assert schema_version(connection) == SCHEMA_VERSION
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("DELETE FROM fetch_log")
    assert DuckDBClient(old.path).get_collection_stats(START)["total_movies"] == 2


def test_a_migration_happens_once_and_is_written_down(old: Database) -> None:
    for _ in range(2):
        with old.connect() as connection, old.connect():
            taken = steps_taken(connection)
    assert taken == [(version, STEPS[version].name, STEPS[version].digest) for version in sorted(STEPS)]


def test_a_database_that_was_made_new_has_seen_no_step(tmp_path: Path) -> None:
    with Database(tmp_path / "new.duckdb").connect() as connection:
        assert steps_taken(connection) == []


def test_inspecting_an_older_database_leaves_it_as_it_is(old: Database) -> None:
    with old.inspect() as connection:
        assert schema_version(connection) == 1
    assert untouched(old.path)


def test_a_step_that_fails_leaves_the_older_version_and_says_so(old: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    step = STEPS[2]
    failing = replace(step, statements=(*step.statements, "SELECT no_such_column FROM refresh_metadata"))
    monkeypatch.setitem(STEPS, 2, failing)
    with (
        pytest.raises(DatabaseUnusable, match=r"from version 1 to 2 failed.*nothing was changed") as caught,
        old.connect(),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert untouched(old.path)
    assert opens_elsewhere(old.path)


KILLED_IN_A_MIGRATION = """
import os, signal, sys
from pathlib import Path
from ayne_dagster.warehouse import migration_steps, migrations
from ayne_dagster.warehouse.database import Database

note = migrations._note_version

def killed(connection):
    if sys.argv[2] == "after":
        note(connection)
    os.kill(os.getpid(), signal.SIGKILL)

migrations._note_version = killed
with Database(Path(sys.argv[1])).connect():
    pass
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_in_the_middle_of_a_migration_leaves_the_older_version(old: Database, when: str) -> None:
    assert python(KILLED_IN_A_MIGRATION, old.path, when).wait(60) == -signal.SIGKILL
    assert untouched(old.path)
    with old.connect() as connection:
        assert schema_version(connection) == SCHEMA_VERSION


def test_a_newer_database_is_refused_and_untouched(old: Database) -> None:
    with duckdb.connect(str(old.path)) as connection:
        connection.execute("UPDATE warehouse_schema SET version = ?", [SCHEMA_VERSION + 1])
        connection.execute("ALTER TABLE refresh_metadata DROP COLUMN decided_at")
    before = old.path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(DatabaseUnusable, match="install the newer ayne_dagster"), old.connect(read_only=read_only):
            pass
    assert old.path.read_bytes() == before


def test_a_new_schema_that_cannot_be_made_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(connection: duckdb.DuckDBPyConnection) -> None:
        raise duckdb.IOException("no room")

    with duckdb.connect(str(tmp_path / "ayne.duckdb")) as connection:
        monkeypatch.setattr(migrations, "_note_version", failing)
        with pytest.raises(duckdb.IOException):
            migrations.create_schema(connection)
        assert existing_columns(connection) == {}


def test_there_is_a_step_to_every_version() -> None:
    assert sorted(STEPS) == list(range(2, SCHEMA_VERSION + 1))


def test_a_step_that_was_released_is_never_another() -> None:
    assert {version: step.digest for version, step in STEPS.items()} == DIGESTS, (
        "A step of migration_steps has changed. Databases that it has led to its version are there: leave it and add a "
        "new step. Only that of an unreleased version may change, and its digest with it."
    )


def test_steps_name_nothing_but_sql() -> None:
    """What a step does follows from its own text, and not from the schema, the settings or the views of today."""
    module = ast.parse(Path(migration_steps.__file__).read_text())
    imported = {node.module for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dataclasses", "functools"}
    assert not [node for node in ast.walk(module) if isinstance(node, ast.JoinedStr)], "no text is put together"


def test_the_schema_does_not_change_without_a_new_version() -> None:
    ddl = "\n".join(sorted(each.ddl() for each in (*TABLES, *VIEWS, *MACROS)))
    fingerprint = hashlib.sha256(ddl.encode()).hexdigest()[:16]
    assert FINGERPRINTS.get(SCHEMA_VERSION) == fingerprint, (
        f"Tables and views are not those of schema version {SCHEMA_VERSION} any more. If that version was released: "
        "raise SCHEMA_VERSION in schema.py, freeze the former step and add the new one in migrations.py, and note here "
        f"{SCHEMA_VERSION + 1}: {fingerprint!r}. Only if it was never released: note {SCHEMA_VERSION}: {fingerprint!r}."
    )
    assert set(FINGERPRINTS) == set(range(2, SCHEMA_VERSION + 1)), "an older version's fingerprint stays noted"


def test_the_step_to_version_2_leads_to_what_version_2_was(old: Database) -> None:
    with duckdb.connect(str(old.path), config=CONNECTION_CONFIG) as connection:
        for statement in STEPS[2].statements:
            connection.execute(statement)
        found = existing_columns(connection)
    since = {table.name for table in TABLES if table.name.startswith("box_office")} | {"fetch_log_daily"}
    since |= {"freshness", "file_sizes", "code_names", *(table.name for table in ENTITY_TABLES)}
    ours = {table.name: dict(table.types) for table in TABLES if table.name not in since}
    del ours["collection_status"]["with_box_office"]
    for source in SOURCES:
        del ours["refresh_metadata"][f"{source}_parts_due_at"]
    for table, name in SINCE_VERSION_4:
        del ours[table][name]
    assert ours == {name: found[name] for name in ours}


def test_a_migrated_database_has_the_columns_of_a_new_one(old: Database) -> None:
    with old.connect() as connection:
        found = existing_columns(connection)
    assert {table.name: table.types for table in TABLES} == {table.name: found[table.name] for table in TABLES}


def test_a_database_of_version_2_gets_what_came_since(tmp_path: Path) -> None:
    database = Database(tmp_path / "ayne.duckdb")
    with database.connect() as connection:
        connection.execute(
            "DROP VIEW fetches_by_day; DROP TABLE fetch_log_daily; DROP TABLE box_office_precedence;"
            " UPDATE warehouse_schema SET version = 2"
        )
        connection.execute(
            "INSERT INTO fetch_log (tmdb_id, source, fetched_at) VALUES (1, 'tmdb', TIMESTAMP '2024-01-01')"
        )
    with database.connect(read_only=True) as connection:
        assert schema_version(connection) == SCHEMA_VERSION
        assert connection.execute("SELECT attempts FROM fetches_by_day").fetchall() == [(1,)]


def test_a_collection_runs_on_a_migrated_database(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    make_version_1(settings.database)
    result = DataCollectionOrchestrator(settings=settings).collect(DiscoveryPlan(2020, 2022, 1, 0), refresh_limit=20)
    assert result.discovered > 0
    assert result.tmdb_updated > 0
    with Database(settings.database).connect() as connection:
        rows = everything(connection)
    assert len(rows["refresh_metadata"]) == result.discovered + 2
    assert rows["fetch_log"]
