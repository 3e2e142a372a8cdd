"""What names a lake is read as libpq reads it, shows no secret, and is refused in a line where it cannot be right."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest

from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.warehouse.lake_instance import extension_file
from ayne_dagster.warehouse.migrations import _KEY
from ayne_dagster.warehouse.schema import TABLES
from ayne_dagster.warehouse.store import WrongDatabase

SECRET = "p w'd\\x"
LEDGER = "postgresql://ayne:other@db/ledger"
WORDS = "ducklake:postgres:host=db port=5433 dbname='a b' user=ayne password='p w\\'d\\\\x'"


def settings(database: str = WORDS, data: str = "files", ledger: str = LEDGER, **more: str) -> Settings:
    return load_settings({"AYNE_DATABASE": database, "AYNE_LAKE_DATA": data, "AYNE_LEDGER_URL": ledger, **more})


def test_the_words_of_a_catalogue_are_read_as_libpq_reads_them() -> None:
    lake = settings().lake
    assert lake is not None
    assert dict(lake.words) == {"host": "db", "port": "5433", "dbname": "a b", "user": "ayne"}
    assert lake.password == SECRET
    waits = "connect_timeout=10 dbname='a b' host=db keepalives_idle=30 port=5433 tcp_user_timeout=30000 user=ayne"
    assert lake.catalogue == waits
    assert lake.data == f"{Path('files').absolute()}/"


def test_no_secret_shows_in_what_people_see() -> None:
    made = settings(data="s3://bucket/path", AYNE_LAKE_KEY_ID="id", AYNE_LAKE_SECRET="key-to-the-bucket")
    assert made.lake is not None
    shown = repr(made) + made.database_name + made.lake.name + made.lake.catalogue
    assert SECRET not in shown
    assert "key-to-the-bucket" not in shown
    told = made.lake.redacted(f"cannot connect with password='p w\\'d\\\\x' or {SECRET}, key-to-the-bucket")
    assert told == "cannot connect with password=… or …, …"


def test_what_is_this_machines_lies_in_the_state_folder_and_is_named_after_the_lake(tmp_path: Path) -> None:
    one = settings(AYNE_STATE_FOLDER=str(tmp_path))
    same = settings(WORDS.replace("user=ayne", "user=reader"), AYNE_STATE_FOLDER=str(tmp_path))
    another = settings(WORDS.replace("host=db", "host=elsewhere"), AYNE_STATE_FOLDER=str(tmp_path))
    assert one.database.parent == tmp_path
    assert one.database == same.database != another.database


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ledger": ""}, "AYNE_LEDGER_URL names no Postgres"),
        ({"ledger": "sqlite:///ledger.sqlite"}, "AYNE_LEDGER_URL names no Postgres"),
        ({"data": ""}, "AYNE_LAKE_DATA does not say where its files are"),
        ({"data": "https://bucket/path"}, "neither a folder nor an s3:// address"),
        ({"data": "s3://bucket/path"}, "there is no key to it"),
        ({"data": "s3://bucket/path", "AYNE_LAKE_KEY_ID": "id"}, "go together"),
        ({"data": "s3://id:key@bucket/path"}, "no address of a bucket"),
        ({"database": "ducklake:metadata.sqlite"}, "not with ducklake:postgres:"),
        ({"database": "ducklake:postgres:host=db"}, "dbname among them"),
        ({"database": "ducklake:postgres:postgresql://ayne:secret@db/x"}, "cannot be read as a lake"),
        ({"database": "ducklake:postgres:dbname=x sslpassword=secret"}, "holds sslpassword"),
        ({"database": "movies.duckdb"}, "AYNE_DATABASE names none"),
    ],
)
def test_what_cannot_be_right_is_refused_in_a_line(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        settings(**wrong)
    assert "secret" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert error.value.exit_code == 2


def test_extensions_that_are_missing_or_of_another_version_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(WrongDatabase, match=r"nowhere, and it is not installed.*ayne_dagster\[lake\]"):
        extension_file("nowhere")
    (tmp_path / "duckdb_extension_odd" / "extensions" / "v1.0.0").mkdir(parents=True)
    (tmp_path / "duckdb_extension_odd" / "__init__.py").touch()
    with pytest.raises(WrongDatabase, match=rf"is of v1\.0\.0, and DuckDB is v{duckdb.__version__}"):
        extension_file("odd")


def test_a_table_without_its_key_has_the_same_columns() -> None:
    for table in TABLES:
        with duckdb.connect() as with_key, duckdb.connect() as without:
            with_key.execute(table.ddl())
            without.execute(_KEY.sub("", table.ddl()))
            query = "SELECT column_name, data_type FROM duckdb_columns() WHERE NOT internal"
            assert with_key.execute(query).fetchall() == without.execute(query).fetchall(), table.name
            assert without.execute("SELECT constraint_type FROM duckdb_constraints()").fetchall() == []
