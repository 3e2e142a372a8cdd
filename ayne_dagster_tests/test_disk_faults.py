"""What becomes of a collection whose database cannot take the answers: full disk, no permission, held, damaged."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ayne_dagster import cli
from ayne_dagster.resources.clients import DuckDBDatabase
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.spool import kept, spool_folder
from ayne_dagster_tests.support.processes import Ayne, Ended, asked, ended, number_asked, wait_until
from ayne_dagster_tests.support.samples import end, line, python
from proofs.killing import one_truth

pytestmark = pytest.mark.end_to_end

YEARS = ("--start-year", "2019", "--end-year", "2026", "--min-votes", "0")
REFRESH = ("collect", "--json", "--refresh-only", "--refresh-limit", "1000")
LATENCY = 0.02


@pytest.fixture(scope="module")
def source() -> Iterator[StandIn]:
    with StandIn(2000, oddities=0, latency_seconds=LATENCY) as standin:
        yield standin


@dataclass(frozen=True)
class Discovered:
    """A database in which movies are discovered and nothing is fetched."""

    command: Ayne
    movies: int


@pytest.fixture(scope="module")
def _discovered(source: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Discovered:
    command = Ayne(tmp_path_factory.mktemp("discovered")).asking(source)
    return Discovered(command, command.call("collect", "--json", *YEARS, "--refresh-limit", "0").json["discovered"])


@pytest.fixture
def discovered(_discovered: Discovered, source: StandIn, tmp_path: Path) -> Discovered:
    """A copy of it, and a source that was asked nothing yet."""
    shutil.copyfile(_discovered.command.database, tmp_path / "movies.duckdb")
    source.clear_log()
    return Discovered(Ayne(tmp_path).asking(source), _discovered.movies)


def started(command: Ayne, before: Callable[[], object]) -> subprocess.Popen[str]:
    """The refresh as a process, in which something is set up before it begins."""
    return subprocess.Popen(
        [sys.executable, "-m", "ayne_dagster", *REFRESH],
        env=command.environment,
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def permissions_count() -> None:
    """Make permissions count for this process: for root they do when it has given up two of its powers."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, lost with the coming exec
            if libc.prctl(24, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "cannot give up a capability")


def complaint(result: Ended) -> str:
    """The one line that says why the command failed."""
    (said,) = [line for line in result.err.splitlines() if line.startswith("ayne:")]
    assert "Traceback" not in result.err, result.err
    return said


def assert_ends_complete(discovered: Discovered, source: StandIn) -> None:
    """The next run completes the collection, and no movie was asked for twice in all."""
    rerun = discovered.command.call(*REFRESH)
    assert rerun.code == 0, rerun.err
    assert rerun.json["due_remaining"] == 0
    for endpoint in ("details", "omdb"):
        assert set(Counter(asked(source, endpoint)).values()) == {1}
    assert number_asked(source, "details") == discovered.movies
    assert len(one_truth(discovered.command, "tmdb")) == discovered.movies
    one_truth(discovered.command, "omdb")
    assert not spool_folder(discovered.command.database).exists()


def test_on_a_full_disk_what_arrives_is_kept_in_the_spool_and_merged_by_the_next_run(
    discovered: Discovered, source: StandIn
) -> None:
    # Three connections: small commits, of which a few fit in the log, whose whole would come to twice the limit.
    command = discovered.command.asking(source, AYNE_TMDB_MAX_CONCURRENT="3")
    limit = 450_000  # bytes a file: no commit can add to the database, and its log comes to that before the end
    process = started(command, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    try:
        result = ended(process)
    finally:
        process.kill()

    assert result.code == cli.FAILED, result.err
    in_spool = kept(command.database)
    assert in_spool > 0, result.err
    assert f"{in_spool} answers are kept in {spool_folder(command.database)}" in complaint(result)
    assert "could not be written" in complaint(result)
    stored = one_truth(command, "tmdb")
    assert 0 < len(stored) < discovered.movies, "commits went on until the disk was full"
    assert len(stored) + in_spool == number_asked(source, "details")
    assert json.loads(result.out)["tmdb_updated"] == len(stored)
    assert_ends_complete(discovered, source)


def test_a_file_that_became_read_only_costs_nothing(discovered: Discovered, source: StandIn) -> None:
    command = discovered.command
    process = started(command, permissions_count)
    try:
        wait_until(lambda: number_asked(source, "details") >= 60, process)
        command.database.chmod(0o444)
        result = ended(process)
    finally:
        process.kill()
    assert result.code == cli.FAILED
    assert "Permission denied" in complaint(result)
    assert f"{kept(command.database)} answers are kept in" in complaint(result)
    command.database.chmod(0o644)
    assert len(one_truth(command, "tmdb")) + kept(command.database) == number_asked(source, "details")
    assert_ends_complete(discovered, source)


def test_where_neither_file_nor_spool_can_be_written_the_number_of_lost_answers_is_told(
    discovered: Discovered, source: StandIn
) -> None:
    command = discovered.command
    process = started(command, permissions_count)
    try:
        wait_until(lambda: number_asked(source, "details") >= 60, process)
        command.folder.chmod(0o555)
        result = ended(process)
    finally:
        command.folder.chmod(0o755)
        process.kill()
    assert result.code == cli.FAILED
    lost = number_asked(source, "details") - len(one_truth(command, "tmdb"))
    assert lost > 0
    assert f"{lost} answers are lost" in complaint(result)
    assert command.call(*REFRESH).code == 0
    assert len(one_truth(command, "tmdb")) == discovered.movies


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_from_the_start_is_told_before_anything_is_asked(
    discovered: Discovered, source: StandIn, what: str
) -> None:
    command = discovered.command
    before = command.database.read_bytes()
    path = command.database if what == "file" else command.folder
    mode = path.stat().st_mode
    path.chmod(0o444 if what == "file" else 0o555)
    process = started(command, permissions_count)
    try:
        result = ended(process)
    finally:
        path.chmod(mode)
        process.kill()
    assert result.code == cli.WRONG_USAGE
    assert "cannot be written" in complaint(result)
    assert source.log() == []
    assert command.database.read_bytes() == before


HOLD_LATER = """
import duckdb, sys, time
print("ready", flush=True)
sys.stdin.readline()
while True:
    try:
        held = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:
        time.sleep(0.001)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_program_takes_meanwhile_is_named_and_everything_is_kept(
    discovered: Discovered, source: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = discovered.command
    monkeypatch.setattr(DuckDBDatabase, "file", property(lambda self: Database(Path(self.database), wait_seconds=2)))
    notebook = python(HOLD_LATER, command.database)
    assert line(notebook) == "ready"

    def take_it() -> None:
        while number_asked(source, "details") < 60:
            threading.Event().wait(0.01)
        assert notebook.stdin is not None
        notebook.stdin.write("now\n")
        notebook.stdin.flush()

    taker = threading.Thread(target=take_it)
    taker.start()
    try:
        result = command.call(*REFRESH)
        taker.join()
        assert line(notebook) == "held"
    finally:
        end(notebook)
    assert result.code == cli.FAILED
    assert f"in use by process {notebook.pid}" in result.complaint
    assert f"{kept(command.database)} answers are kept in" in result.complaint
    assert "merged by the next run" in result.complaint
    assert result.json["due_remaining"] is None
    assert kept(command.database) > 0
    assert command.call("stats", "--json").json["spooled"] == kept(command.database)
    assert len(one_truth(command, "tmdb")) + kept(command.database) == number_asked(source, "details")
    assert_ends_complete(discovered, source)


# Damage


@pytest.mark.parametrize("kept_part", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("with_log", [False, True], ids=["alone", "with a write-ahead log"])
def test_a_database_that_was_cut_off_is_told_and_left_as_it_is(
    discovered: Discovered, source: StandIn, kept_part: float, with_log: bool
) -> None:
    command = discovered.command
    log = command.database.with_suffix(".duckdb.wal")
    if with_log:
        leave_a_log(command.database)
    os.truncate(command.database, max(5000, int(command.database.stat().st_size * kept_part)))
    before = contents(command.database, log)
    for arguments in (("stats",), REFRESH, ("freeze", "1")):
        result = command.call(*arguments)
        assert result.code == cli.FAILED
        assert str(command.database) in result.complaint
        assert "damaged" in result.complaint
    assert contents(command.database, log) == before, "nothing is destroyed"
    assert source.log() == []


def test_a_database_with_garbage_in_it_is_told_and_left_as_it_is(discovered: Discovered) -> None:
    command = discovered.command
    with command.database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    before = command.database.read_bytes()
    result = command.call(*REFRESH)
    assert (result.code, "damaged" in result.complaint) == (cli.FAILED, True)
    assert command.database.read_bytes() == before


def test_a_write_ahead_log_with_garbage_in_it_is_told_and_left_as_it_is(discovered: Discovered) -> None:
    command = discovered.command
    log = command.database.with_suffix(".duckdb.wal")
    leave_a_log(command.database)
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 2)
        file.write(b"\xff" * 64)
    before = contents(command.database, log)
    result = command.call(*REFRESH)
    assert (result.code, "damaged" in result.complaint) == (cli.FAILED, True)
    assert contents(command.database, log) == before


@pytest.mark.parametrize("cut", [1, 100, 20_000])
def test_of_a_write_ahead_log_that_was_cut_off_every_whole_transaction_counts(discovered: Discovered, cut: int) -> None:
    """As a power cut leaves it: the last transaction had not been acknowledged."""
    command = discovered.command
    log = command.database.with_suffix(".duckdb.wal")
    leave_a_log(command.database)
    os.truncate(log, log.stat().st_size - cut)
    with Database(command.database).connect() as connection:
        rows = connection.execute("SELECT run_id, count(*) FROM movie_history GROUP BY ALL ORDER BY ALL").fetchall()
    assert rows
    assert len(rows) < TRANSACTIONS
    assert rows == [(str(number), ROWS) for number in range(len(rows))]


TRANSACTIONS, ROWS = 5, 500
LEAVE_A_LOG = """
import os, signal, sys
from pathlib import Path
from ayne_dagster.warehouse.database import Database
with Database(Path(sys.argv[1])).connect() as connection:
    for number in range(int(sys.argv[2])):
        connection.execute("BEGIN")
        connection.execute(
            "INSERT INTO movie_history BY NAME"
            " SELECT range AS tmdb_id, uuid()::VARCHAR AS field, ? AS run_id FROM range(?)",
            [str(number), int(sys.argv[3])],
        )
        connection.execute("COMMIT")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leave_a_log(database: Path) -> None:
    """Have a process die with committed transactions that are in the write-ahead log only."""
    assert end(python(LEAVE_A_LOG, database, TRANSACTIONS, ROWS)) == -signal.SIGKILL
    assert database.with_suffix(".duckdb.wal").stat().st_size > 50_000


def contents(*paths: Path) -> list[Any]:
    return [path.read_bytes() if path.exists() else None for path in paths]
