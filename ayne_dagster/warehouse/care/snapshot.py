"""Publishing a consistent copy of the database while runs go on: whole under its name, or not at all.

Copying the file itself is no backup: without its write-ahead log, what was committed last is missing from the copy, or
the copy is empty. A snapshot has no log, is readable by DuckDB 1.5 and 2, and nobody writes to it: readers may keep it
open.

To restore one: stop everything that uses the database; put the snapshot in its place and remove the `.wal` file that
belonged to what was there (`rm -f ayne.duckdb.wal; cp snapshot.duckdb ayne.duckdb`), which would be replayed into it;
run `ayne check`; collect. What was fetched after the snapshot was taken is due again, and only that is asked for. The
request ledger stays as it is: it counts what was sent, whatever became of the answers.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ayne_dagster.errors import WrongUsage, is_of_the_place
from ayne_dagster.settings.locks import alone_in
from ayne_dagster.warehouse.care.moving import copy_store
from ayne_dagster.warehouse.database import Database, log_of
from ayne_dagster.warehouse.store import Store, WarehouseError

_MAGIC = slice(8, 12)
"""Where a DuckDB file says DUCK."""
_NOT_WRITTEN = "The snapshot could not be written ({reason}); the database is untouched. Is there room on the disk?"


class SnapshotError(WarehouseError):
    """The snapshot cannot be written; what was at its place is still there."""


class WrongTarget(WrongUsage, SnapshotError):
    """What was named is no place for a snapshot."""


def publish_snapshot(database: Store, target: Path) -> int:
    """Copy the database, as of one instant, to a file.

    Two steps: file and log are copied as they are, which takes a fraction of a second for each 100 MB and is all that a
    run ever waits for; then the snapshot is written from that copy, with nobody waiting, and every block of it is read.
    Writing it from the database itself kept a run waiting for half a minute at 1,000,000 movies. A snapshot that is
    there already is replaced in one step, and who reads it goes on reading the former one.

    Args:
        database: what to copy; waited for while a process commits to it.
        target: the file; its folder is made when it does not exist.

    Returns:
        Its size in bytes.

    Raises:
        SnapshotError: the target is no place for it, or cannot be written.
        DatabaseBusy: another process held the database, and still did after the wait.
        DatabaseUnusable: there is no database, or it is none of ours.
    """
    database.require_file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_replaceable(target, database.path)
        with alone_in(target.parent):  # so that what a killed one left half-written can be removed
            raw, partial = (target.with_name(f".{target.name}.{stage}") for stage in ("raw", "partial"))
            try:
                _remove(raw, partial)
                if isinstance(database, Database):
                    _take(database, raw)
                    _write(raw, partial)
                else:
                    _write_from_lake(database, partial)
                partial.replace(target)
                _sync(target.parent)
            finally:
                _remove(raw, partial)
        return target.stat().st_size
    except OSError as error:
        kind = WrongTarget if is_of_the_place(error) else SnapshotError
        raise kind(f"{target} cannot be written ({error.strerror or error}): choose another file.") from None


def _take(database: Database, raw: Path) -> None:
    """Copy file and log as they are, while no process can write: a commit's worth of waiting for a run."""
    with database.connect(read_only=True):
        copy_as_it_is(database.path, raw)


def copy_as_it_is(database: Path, target: Path) -> None:
    """Copy a database's file and log; the caller has it open to read, so that no process writes.

    Raises:
        SnapshotError: the copy cannot be written.
    """
    for path in (database, log_of(database)):
        if path.exists():
            _copy_bytes(path, target if path == database else log_of(target))


def _copy_bytes(source: Path, target: Path) -> None:
    if reason := copied_by_another_process(source, target):
        raise SnapshotError(_NOT_WRITTEN.format(reason=reason))


def copied_by_another_process(source: Path, target: Path) -> str:
    """Copy a file; returns why that could not be, or "".

    Another process does it: closing a descriptor of the database in this one would drop its lock.
    """
    # The program is a fixed one, found as every program is; both paths are arguments, whatever they look like.
    done = subprocess.run(["cp", "--", source, target], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return (done.stderr.strip().rsplit(": ", 1)[-1] or f"cp ended with {done.returncode}") if done.returncode else ""


def _write(raw: Path, partial: Path) -> None:
    """Make the snapshot of the copied files: what the log holds is taken in, and every block is read and checked."""
    quoted = str(partial).replace("'", "''")  # ATTACH takes no parameter
    try:
        with Database(raw).connect() as connection:
            name = connection.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
            connection.execute(f"ATTACH 'duckdb:{quoted}' AS ayne_snapshot")
            connection.execute(f'COPY FROM DATABASE "{name}" TO ayne_snapshot')
            connection.execute("DETACH ayne_snapshot")
    except (duckdb.Error, WarehouseError) as error:
        raise SnapshotError(_NOT_WRITTEN.format(reason=str(error).splitlines()[0])) from None
    _sync(partial)


def _write_from_lake(store: Store, partial: Path) -> None:
    """Make the snapshot of a lake, table by table: nobody waits for that, and it is of one moment."""
    # In a folder of its own: whoever makes a database locks the folder, which the caller has locked already.
    with TemporaryDirectory(prefix=f"{partial.name}.", dir=partial.parent) as folder:
        made = Database(Path(folder) / partial.name)
        try:
            copy_store(store, made, lambda _: None)
        except duckdb.Error as error:
            raise SnapshotError(_NOT_WRITTEN.format(reason=str(error).splitlines()[0])) from None
        made.path.replace(partial)
    _sync(partial)


def _require_replaceable(target: Path, live: Path) -> None:
    """Take nothing's place but that of a database which nobody writes to."""
    if target.is_dir():
        raise WrongTarget(f"{target} is a folder: name the file that the snapshot is to be.")
    if not target.exists():
        return
    if not target.is_file():
        raise WrongTarget(f"{target} is a device, pipe or socket: name the file that the snapshot is to be.")
    if live.exists() and target.samefile(live):
        raise WrongTarget(f"{target} is the database itself: name another file.")
    with target.open("rb") as file:
        header = file.read(_MAGIC.stop)
    if header and header[_MAGIC] != b"DUCK":
        raise WrongTarget(f"{target} exists and is no database: it is left alone. Name another file.")
    if log_of(target).exists():
        raise WrongTarget(
            f"{target} is being written to by a program, or was not closed ({log_of(target).name} is beside it): "
            "it is left alone. Name another file."
        )


def _remove(*paths: Path) -> None:
    for path in paths:
        for file in (path, log_of(path)):
            with suppress(FileNotFoundError):
                file.unlink()


def _sync(path: Path) -> None:
    """Have it on the disk, not only in the memory of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
