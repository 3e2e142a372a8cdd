"""What a person sees who uses the `ayne` command wrongly: one line that helps, exit code 2, nothing done."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import duckdb
import pytest

from ayne_dagster import cli
from ayne_dagster_tests.support.processes import Ayne

KEYS = {"TMDB_READ_TOKEN": "demo", "OMDB_API_KEY": "demo"}
NOBODY = {"AYNE_TMDB_BASE_URL": "http://127.0.0.1:1/3", "AYNE_OMDB_BASE_URL": "http://127.0.0.1:1/"}
"""Addresses where nobody answers: what is wrong should be told before anything is asked."""
ON_A_DATABASE = (("due",), ("stats",), ("explain", "1"), ("export", "out"), ("freeze", "1"))
TOO_LARGE = "9" * 23


@pytest.fixture
def command(tmp_path: Path) -> Ayne:
    return Ayne(tmp_path, KEYS | NOBODY)


def _with(command: Ayne, **settings: str) -> Ayne:
    return Ayne(command.folder, command.settings | settings, command.database_name)


def _assert_wrong_usage(command: Ayne, arguments: tuple[str, ...], *expected: str) -> None:
    before = sorted(command.folder.rglob("*"))
    result = command.call(*arguments)

    assert result.code == cli.WRONG_USAGE
    assert result.out == ""
    assert result.complaint.startswith("ayne: ")
    assert len(result.complaint) < 500
    for words in expected:
        assert words in result.complaint
    assert sorted(command.folder.rglob("*")) == before, "what is used wrongly leaves nothing behind"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("collect", "--start-year", "20x4"), ("--start-year", "20x4")),
        (("collect", "--end-year", "3000"), ("--end-year", "3000")),
        (("collect", "--start-year", "2024", "--end-year", "2020"), ("2020", "before", "2024")),
        (("collect", "--refresh-limit", "-1"), ("--refresh-limit", "-1")),
        (("collect", "--refresh-limit", "many"), ("--refresh-limit", "many")),
        (("collect", "--max-pages", "0"), ("--max-pages",)),
        (("collect", "--min-votes", "-1"), ("--min-votes",)),
        (("collect", "--refresh"), ("--refresh", "ayne collect --help")),
        (("collect", "2024"), ("2024",)),
        (("collcet",), ("collcet", "ayne --help")),
        (("due", "--limit", "-1"), ("--limit", "-1")),
        (("due", "--source", "imdb"), ("--source", "imdb", "tmdb", "omdb")),
        (("due", "--as-of", "soon"), ("--as-of", "soon", "2026-03-31")),
        (("due", "--as-of", "2026-02-30"), ("--as-of", "2026-02-30")),
        (("explain", "Alien"), ("TMDB_ID", "Alien", "such as 550", "ayne show")),
        (("explain",), ("TMDB_ID",)),
        (("explain", "1", "--as-of", "31.12.2026"), ("--as-of",)),
        (("freeze",), ("TMDB_ID",)),
        (("force", "0"), ("TMDB_ID",)),
        (("export",), ("FOLDER",)),
        (("export", "out", "--table", "films"), ("films", "ayne tables")),
        (("export", "out", "--format", "xlsx"), ("xlsx", "parquet", "csv")),
        (("demo", "--movies", "0"), ("--movies",)),
        (("demo", "--days", "-1"), ("--days",)),
        (("standin", "--port", "99999"), ("--port", "99999")),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_named_in_one_line(
    command: Ayne, arguments: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    _assert_wrong_usage(command, arguments, *expected)


@pytest.mark.parametrize(
    "arguments",
    [("explain", TOO_LARGE), ("freeze", TOO_LARGE), ("due", "--limit", TOO_LARGE)],
    ids=lambda arguments: arguments[0],
)
def test_a_number_beyond_all_ids_is_told_and_is_no_crash(command: Ayne, arguments: tuple[str, ...]) -> None:
    with command_database(command):
        pass
    result = command.call(*arguments)

    assert result.code in (cli.FAILED, cli.WRONG_USAGE)
    assert result.complaint.startswith("ayne: ")


def test_an_instant_beyond_the_calendar_is_told_and_is_no_crash(command: Ayne) -> None:
    with command_database(command):
        pass
    _assert_wrong_usage(command, ("due", "--as-of", "0001-01-01T00:00+14:00"), "--as-of")


@pytest.mark.parametrize("variable", ["TMDB_READ_TOKEN", "OMDB_API_KEY"])
def test_a_missing_key_is_named_with_the_way_out(command: Ayne, variable: str) -> None:
    _assert_wrong_usage(_with(command, **{variable: " "}), ("collect",), variable, "`ayne demo` needs no keys", ".env")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AYNE_TMDB_BURST", "abc"),
        ("AYNE_TMDB_BURST", "0"),
        ("AYNE_TMDB_MAX_CONCURRENT", "1.5"),
        ("AYNE_OMDB_REQUESTS_PER_SECOND", "-1"),
        ("AYNE_OMDB_REQUESTS_PER_SECOND", "inf"),
        ("AYNE_OMDB_DAILY_QUOTA", "lots"),
        ("AYNE_REFRESH_LIMIT", "-3"),
        ("AYNE_TMDB_BASE_URL", "api.themoviedb.org"),
        ("AYNE_TMDB_BASE_URL", "http://[x"),
        ("AYNE_OMDB_BASE_URL", "ftp://example.org"),
        ("AYNE_CLOCK_OFFSET_DAYS", "tomorrow"),
        ("AYNE_CLOCK_OFFSET_DAYS", "nan"),
        ("AYNE_CLOCK_OFFSET_DAYS", "1e12"),
        ("AYNE_CLOCK_OFFSET_DAYS", "3e6"),
    ],
)
@pytest.mark.parametrize("name_of_command", ["collect", "stats"])
def test_a_wrong_setting_is_named_in_one_line(command: Ayne, name: str, value: str, name_of_command: str) -> None:
    _assert_wrong_usage(_with(command, **{name: value}), (name_of_command,), name)


def test_a_dotenv_file_that_is_no_text_is_told_and_is_no_crash(command: Ayne) -> None:
    (command.folder / ".env").write_bytes(b"\xff\xfeA\x00=\x001\x00")
    _assert_wrong_usage(command, ("stats",), ".env")


@pytest.mark.parametrize("arguments", ON_A_DATABASE, ids=lambda arguments: arguments[0])
def test_without_a_database_a_command_says_how_to_get_one(command: Ayne, arguments: tuple[str, ...]) -> None:
    _assert_wrong_usage(command, arguments, str(command.database), "`ayne collect`")


@pytest.mark.parametrize("arguments", [*ON_A_DATABASE, ("collect",)], ids=lambda arguments: arguments[0])
def test_a_file_that_is_no_database_is_told_and_left_alone(command: Ayne, arguments: tuple[str, ...]) -> None:
    command.database.write_text("These are notes, and nobody may write over them.\n" * 500)
    before = command.database.read_bytes()
    _assert_wrong_usage(command, arguments, str(command.database), "not a DuckDB database")

    assert command.database.read_bytes() == before


@pytest.mark.parametrize("arguments", ON_A_DATABASE, ids=lambda arguments: arguments[0])
def test_the_database_of_another_program_is_told_and_left_alone(command: Ayne, arguments: tuple[str, ...]) -> None:
    with duckdb.connect(str(command.database)) as connection:
        connection.execute("CREATE TABLE notes (text VARCHAR)")
    _assert_wrong_usage(command, arguments, str(command.database))

    with duckdb.connect(str(command.database), read_only=True) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("notes",)]


@pytest.mark.parametrize("arguments", [*ON_A_DATABASE, ("collect",)], ids=lambda arguments: arguments[0])
def test_a_folder_in_the_place_of_the_database_is_told(command: Ayne, arguments: tuple[str, ...]) -> None:
    command.database.mkdir()
    _assert_wrong_usage(command, arguments, str(command.database))


@pytest.mark.parametrize("arguments", [*ON_A_DATABASE, ("collect",)], ids=lambda arguments: arguments[0])
def test_a_folder_that_cannot_be_written_is_told(command: Ayne, arguments: tuple[str, ...]) -> None:
    (command.folder / "file").write_text("no folder")
    below = Ayne(command.folder, command.settings, "file/movies.duckdb")
    _assert_wrong_usage(below, arguments, str(below.database))


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_an_export_to_where_no_folder_can_be_is_told(command: Ayne, folder: str) -> None:
    with command_database(command):
        (command.folder / "file").write_text("no folder")
    _assert_wrong_usage(command, ("export", folder), f"{folder} cannot be written (", "): choose another folder.")


def test_the_demonstration_never_replaces_a_file_that_is_named(command: Ayne) -> None:
    command.database.write_text("precious")
    _assert_wrong_usage(command, ("demo", "--database", str(command.database)), str(command.database), "exists")

    assert command.database.read_text() == "precious"


def test_a_port_in_use_is_told_by_the_standin(command: Ayne) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = command.call("standin", "--port", port)

    assert (result.code, result.out) == (cli.FAILED, "")
    assert result.complaint == f"ayne: Port {port} is in use: choose another with --port."


@pytest.mark.end_to_end
def test_the_exit_code_of_the_process_is_that_of_the_command(command: Ayne) -> None:
    result = Ayne(command.folder).run("collect")

    assert result.code == cli.WRONG_USAGE
    assert result.out == ""
    assert "TMDB_READ_TOKEN" in result.complaint


def command_database(command: Ayne) -> duckdb.DuckDBPyConnection:
    """An empty database of ours, open."""
    from ayne_dagster.warehouse.database import Database

    with Database(command.database).connect():
        pass
    return duckdb.connect(str(command.database))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_interpreter_ends_changes_no_exit_code(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        f"import atexit, os; atexit.register(os.kill, os.getpid(), {int(number)});"
        " from ayne_dagster.cli import main; main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", ["NaN", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments", [("standin", "--latency-ms"), ("simulate", "--budget"), ("simulate", "--mean-rate")]
)
def test_what_is_no_finite_number_is_no_option_s_value(tmp_path: Path, arguments: tuple[str, ...], number: str) -> None:
    result = Ayne(tmp_path).call(*arguments, number)
    assert (result.code, result.out) == (cli.WRONG_USAGE, "")
    assert arguments[1] in result.complaint


def test_every_option_that_is_a_number_is_a_finite_one() -> None:
    kinds = {type(p.type) for command in cli.ayne.commands.values() for p in command.params}
    assert not {click.types.FloatParamType, click.FloatRange} & kinds


@pytest.mark.parametrize("folder", ["a#b", "100%"])
def test_a_home_that_cannot_be_used_is_told_before_a_database_is_made(tmp_path: Path, folder: str) -> None:
    command = Ayne(tmp_path, {"TMDB_READ_TOKEN": "x", "OMDB_API_KEY": "x"}, database_name=f"{folder}/movies.duckdb")
    result = command.call("collect")
    assert result.code == cli.WRONG_USAGE
    assert "DAGSTER_HOME" in result.complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["ui", "daemon"])
@pytest.mark.parametrize("content", [None, "load_from: [", "load_from: []", "something: else", "load_from: [nonsense]"])
def test_a_workspace_that_cannot_be_read_is_told_in_a_line_and_nothing_is_started(
    tmp_path: Path, command: str, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "workspace.yaml").write_text(content)
    refused = Ayne(tmp_path).call(command, "--workspace", "workspace.yaml")
    assert refused.code == 2
    assert "is no workspace" in refused.complaint
    assert not Ayne(tmp_path).home.exists()


def test_at_its_end_a_command_has_nothing_looked_through_that_goes_with_the_process() -> None:
    code = (
        "import atexit, gc; from ayne_dagster.cli import main;"
        "atexit.register(lambda: print('frozen:', gc.get_freeze_count() > 0)); main(['--version'])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "frozen: True" in said
