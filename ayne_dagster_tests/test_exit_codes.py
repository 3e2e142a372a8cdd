"""What exit codes say: 2 that something was typed or set wrongly, 1 that something else failed. And no traceback."""

from __future__ import annotations

import errno
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import ayne_dagster
from ayne_dagster import cli
from ayne_dagster.errors import FAILED, INTERRUPTED, WRONG_USAGE, OneLineError, WrongUsage, is_of_the_place
from ayne_dagster.warehouse.database import Database, DatabaseUnusable
from ayne_dagster.warehouse.lease import lease
from ayne_dagster_tests.support.processes import Ayne, ended

KINDS_OF_WRONG_USAGE = {
    "WrongUsage", "SettingsError", "FigureFileError", "WrongDatabase", "WrongExport", "WrongTarget", "WrongTargetStore",
    "WrongLedger", "WrongPlace", "WrongFile", "WrongQuestion",
}  # fmt: skip
NOT_FOR_PEOPLE = {
    "BrokenGzip", "CutOffGzip", "Interrupted", "MigrationFailed", "NotWhole", "StreamClosed", "TooSlow", "Unpackable",
    "UnusableCell",
}  # fmt: skip
"""Caught where they mean something; a name with an underscore is its module's own."""


def every_error() -> Iterator[type[BaseException]]:
    for module in pkgutil.walk_packages(ayne_dagster.__path__, "ayne_dagster."):
        if module.name == "ayne_dagster.__main__":
            continue
        for name, thing in vars(import_module(module.name)).items():
            is_ours = isinstance(thing, type) and thing.__module__ == module.name and not name.startswith("_")
            if is_ours and issubclass(thing, BaseException):
                yield thing


def test_every_error_says_its_exit_code() -> None:
    errors = {error.__name__: error for error in every_error()}
    assert {"DatabaseBusy", "LedgerError", "QuotaExhausted", "FileRefused", "StandInError"} <= errors.keys()
    silent = {name for name, error in errors.items() if not issubclass(error, OneLineError)}
    assert silent <= NOT_FOR_PEOPLE, "subclass OneLineError, or list what is always caught"
    codes = {name: error.exit_code for name, error in errors.items() if issubclass(error, OneLineError)}
    assert {name for name, code in codes.items() if code == WRONG_USAGE} == KINDS_OF_WRONG_USAGE
    assert {name for name, code in codes.items() if code == INTERRUPTED} == {
        "CollectionInterrupted",
        "ImportInterrupted",
    }
    assert set(codes.values()) == {FAILED, WRONG_USAGE, INTERRUPTED}


@pytest.mark.parametrize("error", [error for error in every_error() if issubclass(error, OneLineError)])
def test_a_command_ends_with_the_code_and_the_line_of_its_error(
    error: type[OneLineError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raised = error.__new__(error)
        raised.args = ("It is so.",)
        raise raised

    monkeypatch.setattr(cli.ayne, "main", fails)
    assert cli.run([]) == error.exit_code
    assert capsys.readouterr().err == "ayne: It is so.\n"


@pytest.mark.parametrize(("number", "of_the_place"), [
    (errno.ENOENT, True), (errno.EACCES, True), (errno.ENOTDIR, True), (errno.EROFS, True), (errno.ENAMETOOLONG, True),
    (errno.ENOSPC, False), (errno.EIO, False), (errno.EDQUOT, False), (errno.EMFILE, False), (errno.ESTALE, False),
])  # fmt: skip
def test_a_place_that_is_wrong_is_told_from_a_machine_that_fails(number: int, of_the_place: bool) -> None:
    assert is_of_the_place(OSError(number, os.strerror(number))) is of_the_place
    assert is_of_the_place(RuntimeError(f"IO Error: cannot write: {os.strerror(number)}")) is of_the_place


def test_a_lease_on_a_full_disk_is_no_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(DatabaseUnusable) as caught, lease(tmp_path / "m.duckdb", "tmdb", print):
        pass
    assert caught.value.exit_code == FAILED


def test_a_ledger_that_is_down_is_a_failure_and_one_that_is_written_wrongly_is_wrong_usage(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    with Database(command.database).connect():
        pass
    down = Ayne(tmp_path, {"AYNE_LEDGER_URL": "postgresql://me:word@127.0.0.1:1/ledger"}).call("stats")
    assert (down.code, "127.0.0.1" in down.complaint) == (FAILED, True)
    wrong = Ayne(tmp_path, {"AYNE_LEDGER_URL": "nonsense"}).call("stats")
    assert (wrong.code, "AYNE_LEDGER_URL" in wrong.complaint) == (WRONG_USAGE, True)


def test_a_damaged_database_is_a_failure(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    with Database(command.database).connect() as connection:
        connection.execute(
            "INSERT INTO discovered_movies (tmdb_id, title) SELECT i, repeat(i::VARCHAR, 50) FROM range(9999) t(i)"
        )
    whole = command.database.read_bytes()
    command.database.write_bytes(whole[: len(whole) // 2])
    result = command.call("freeze", "1")
    assert result.code == FAILED, result.err
    assert "damaged" in result.complaint


@pytest.mark.end_to_end
@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_that_collects_nothing(tmp_path: Path, processes: str, number: signal.Signals) -> None:
    # With one process it comes within a query, which DuckDB makes an error of its own of.
    command = Ayne(tmp_path)
    arguments = ("simulate", "--processes", processes, "--movies", "60", "--days", "90", "--seeds", "900")
    with command.running(*arguments) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "of 8100" in first
        process.send_signal(number)
        result = ended(process)
    assert result.code == INTERRUPTED
    assert "Traceback" not in result.err
    assert result.err.splitlines()[-1] == "ayne: Interrupted; everything that had arrived is kept."


# Terminals


@pytest.fixture
def foreign(tmp_path: Path) -> Ayne:
    """A database with a title that few terminals can show."""
    command = Ayne(tmp_path)
    with Database(command.database).transaction() as connection:
        connection.execute(
            "INSERT INTO discovered_movies (tmdb_id, title, release_year) VALUES (1, 'Amélie – 電影 😀', 'unknown')"
        )
        connection.execute("INSERT INTO refresh_metadata (tmdb_id, release_year) VALUES (1, 'unknown')")
    return command


def run(command: Ayne, *arguments: str, redirected: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as a shell runs it, with redirections."""
    program = f'exec "$0" -m ayne_dagster "$@" {redirected}'
    return subprocess.run(
        ["sh", "-c", program, sys.executable, *arguments],
        env=command.environment | environment,
        cwd=command.folder,
        capture_output=True,
        check=False,
    )


@pytest.mark.end_to_end
@pytest.mark.parametrize("environment", [
    {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"TERM": "dumb", "COLUMNS": "1"},
], ids=str)  # fmt: skip
def test_no_terminal_is_a_traceback(foreign: Ayne, environment: dict[str, str]) -> None:
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    for arguments in (("due",), ("explain", "1"), ("budget",)):
        result = run(foreign, *arguments, **environment)
        assert (result.returncode, result.stderr) == (0, b""), result.stderr
        assert result.stdout
    told = json.loads(run(foreign, "due", "--json", **environment).stdout.decode(encoding))
    assert told["movies"][0]["title"] == "Amélie – 電影 😀"


@pytest.mark.end_to_end
@pytest.mark.parametrize(("redirected", "code", "told"), [
    (">/dev/full", FAILED, b"ayne: The output cannot be written: No space left on device.\n"),
    (">/dev/full 2>/dev/full", FAILED, b""), (">&-", 0, b""), ("2>&-", 0, b""), ("<&- >&- 2>&-", 0, b""),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_told_as_far_as_it_can_be(
    foreign: Ayne, redirected: str, code: int, told: bytes
) -> None:
    result = run(foreign, "due", redirected=redirected)
    assert (result.returncode, result.stderr) == (code, told)


@pytest.mark.end_to_end
def test_with_closed_streams_no_file_is_opened_in_their_place(foreign: Ayne) -> None:
    program = (
        "from ayne_dagster.commands.output import make_streams_usable as m; m(); import os; os._exit(os.open('x', 65))"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "{program}" <&- >&- 2>&-', sys.executable],
        env=foreign.environment, cwd=foreign.folder, check=False,
    )  # fmt: skip
    assert done.returncode > 2


@pytest.mark.parametrize("argument", ["\udcff", "a\x00b", "a\nb", " "], ids=repr)
@pytest.mark.parametrize("arguments", [("export",), ("snapshot",), ("demo", "--database"), ("standin", "--faults")])
def test_a_path_that_no_program_can_be_told_is_wrong_usage(
    foreign: Ayne, arguments: tuple[str, ...], argument: str
) -> None:
    result = foreign.call(*arguments, argument)
    assert result.code == WRONG_USAGE
    assert result.complaint.startswith("ayne: ")


def test_an_error_of_the_system_is_one_line(foreign: Ayne, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "somewhere")

    monkeypatch.setattr("ayne_dagster.commands.status.load_settings", fails)
    result = foreign.call("stats")
    assert (result.code, result.complaint) == (FAILED, "ayne: somewhere: Too many open files; nothing more was done.")


def test_wrong_usage_is_a_kind_of_its_own() -> None:
    assert issubclass(WrongUsage, OneLineError)
    assert WrongUsage.exit_code != OneLineError.exit_code


@pytest.mark.parametrize("columns", ["1", "9", "40"])
def test_a_screen_that_is_too_narrow_for_a_table_has_long_lines_and_no_empty_columns(
    tmp_path: Path, columns: str
) -> None:
    command = Ayne(tmp_path, {"COLUMNS": columns})
    with Database(command.database).connect():
        pass
    out = command.call("budget").out
    assert all(word in out for word in ("Source", "Reserve", "OMDb", "1,000", "Backlog"))
