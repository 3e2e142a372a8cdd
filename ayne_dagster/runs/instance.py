"""Which Dagster instance runs are recorded in: `$DAGSTER_HOME`, else a folder beside the database, named after it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import dagster as dg

from ayne_dagster.config import Settings, SettingsError
from ayne_dagster.errors import OneLineError
from ayne_dagster.runs.home import home_path
from ayne_dagster.settings.locks import alone_in, lock_now, open_to_lock, sharing
from ayne_dagster.settings.texts import require_file

_FORMER = {"4b45d5fa57d8ab75deb9bb6a515d36132c4998664e034bc28f77e13d9999133b"}
"""SHA-256 of each `dagster.yaml` that was shipped before: 0.1.0 and 0.2.0."""


_STORAGE = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_NO_ROOM = ("disk is full", "disk I/O", *(os.strerror(number) for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)))

_DRIVERS = {"psycopg2", "psycopg", "pymysql", "dagster_postgres", "dagster_mysql"}
"""The packages whose errors tell of a server."""
_OTHER_TABLES = {"UndefinedColumn", "UndefinedTable"}
"""Of these, those that tell of tables which are not as the Dagster here wants them."""
_UNSET = re.compile(r'environment variable "(\w+)"')


class HomeUnusable(OneLineError):
    """Dagster cannot keep its runs in its home."""


ONE_PLANNED_EVENT = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"
"""Dagster's switch for one event that names all partitions which a run plans for an asset, instead of one a partition.
A run that fails then marks no partition as failed, which ours need not: what it had fetched is kept."""


def dagster_home(settings: Settings) -> Path:
    """The Dagster home of a database, made ready with our `dagster.yaml` when it has none.

    Raises:
        SettingsError: the folder cannot be written.
    """
    home = home_path(settings)
    try:
        home.mkdir(parents=True, exist_ok=True)
        require_configuration(home)
        if _is_to_be_made(home / "dagster.yaml"):
            # Whole before it is in its place: half a file, as a kill leaves it, would be taken for what was meant.
            new = home / f"dagster.yaml.{os.getpid()}"
            with as_file(files("ayne_dagster") / "dagster.yaml") as shipped:
                shutil.copyfile(shipped, new)
            new.replace(home / "dagster.yaml")
    except OSError as error:
        why = "is no folder" if home.exists() and not home.is_dir() else f"cannot be written ({error.strerror})"
        raise SettingsError(f"The Dagster home {home} {why}: set DAGSTER_HOME or AYNE_DATABASE.") from None
    return home.resolve()


def require_configuration(home: Path) -> None:
    """Look at a home's configuration before Dagster, or we, read it to its end.

    Raises:
        SettingsError: it is no file.
    """
    try:
        require_file(home / "dagster.yaml")
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"{home / 'dagster.yaml'} cannot be read: {error.strerror}. Move it away.") from None


def _is_to_be_made(file: Path) -> bool:
    """Whether a home has no configuration yet, or that of a former version; a person's own is kept."""
    if not file.exists():
        return True
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() in _FORMER


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance, for use in `with`, its storage made by one process at a time.

    Two commands that start together on a new home would both find no tables and both create them; one of them failed.
    """
    home = dagster_home(settings)
    os.environ.setdefault(ONE_PLANNED_EVENT, "true")  # also for the daemon and servers that this process starts
    try:
        with alone_in(home):
            instance = dg.DagsterInstance.from_config(str(home))
            ask_each_storage(instance)
            return instance
    except Exception as error:  # noqa: BLE001 -- Dagster raises what its storage does
        fault = fault_of(home, error)
        raise HomeUnusable(f"{fault.what}: no run was started, and the movies are untouched. {fault.do}") from None


def in_use_path(home: Path) -> Path:
    """The file of a home that is locked by whoever serves it."""
    return home / "in_use"


@contextmanager
def served(home: Path) -> Iterator[None]:
    """Let others know, for the length of the block, that a home is served: that it must not be taken away."""
    with sharing(in_use_path(home)):
        yield


class DaemonRuns(OneLineError):
    """Another process runs the daemon of a home."""


@contextmanager
def only_daemon(home: Path) -> Iterator[None]:
    """Be the one who runs the daemon of a home, for the length of the block; two would say of each other for ever.

    Raises:
        DaemonRuns: another `ayne dev` or `ayne daemon` does, on this machine.
    """
    descriptor = open_to_lock(home / "daemon")
    try:
        if not lock_now(descriptor):
            raise DaemonRuns(
                f"Another `ayne dev` or `ayne daemon` runs for {home}: nothing was started. `ayne ui --port N` shows"
                " the same on another port, without a second daemon."
            )
        yield
    finally:
        os.close(descriptor)


def ask_each_storage(instance: dg.DagsterInstance) -> None:
    """Put a question to the storage of runs, of events and of schedules; what is wrong with one, it raises."""
    instance.get_runs_count()
    instance.get_asset_keys(limit=1)
    instance.all_instigator_state()


@dataclass(frozen=True)
class HomeFault:
    """What is wrong with a home, without showing what stands in it: a password, maybe."""

    what: str
    do: str


def fault_of(home: Path, error: BaseException) -> HomeFault:
    """What an error that Dagster raised for a home means, as far as it can be told."""
    if (fault := _fault_of_another_storage(home, error)) is not None:
        return fault
    reasons = list(_reasons(error))
    if any(word in reason for reason in reasons for word in _NO_ROOM):
        return HomeFault(
            f"The Dagster home {home} cannot be written: the disk is full or broken, or files may not grow so large "
            "(ulimit -f)",
            "Free disk space, or lift the limit.",
        )
    if (damaged := damaged_storage(home)) is not None:
        return damage_of(damaged)
    for reason in reasons:
        if "no such" in reason or "no column" in reason:
            return HomeFault(
                f"The storage in the Dagster home {home} is damaged ({reason})",
                "Move its folders history and schedules away; Dagster makes new ones, without the former runs.",
            )
        if "locked" in reason:
            return HomeFault(f"The storage in the Dagster home {home} is held by another program", "End it.")
        if "readonly" in reason or "unable to open" in reason:
            return HomeFault(f"The storage in the Dagster home {home} cannot be written", "Fix its permissions.")
    return HomeFault(
        f"The Dagster home {home} cannot be used as it is set up",
        "Look at its dagster.yaml and at the storage that it names, or move it away to have it made anew.",
    )


def _fault_of_another_storage(home: Path, error: BaseException) -> HomeFault | None:
    """What is wrong with a storage that a home's own dagster.yaml names, a Postgres server say; None where nothing is
    known to be. Never the text of a driver, which may hold what it signs in with.
    """
    file = home / "dagster.yaml"
    for found in _led_to(error):
        if isinstance(found, ModuleNotFoundError):
            return HomeFault(
                f"{file} names {found.name}, which is not installed here",
                f"Install ayne_dagster[cluster], or correct {file.name}.",
            )
        if unset := _UNSET.search(str(found)):
            return HomeFault(
                f"{file} wants the variable {unset[1]}, which is not set", f"Set it, or correct {file.name}."
            )
        if type(found).__module__.partition(".")[0] in _DRIVERS:
            if type(found).__name__ in _OTHER_TABLES:
                return HomeFault(
                    f"The tables of Dagster's storage, which {file} names, are of another version of Dagster",
                    "Install the version that made them, or bring them up to date: `dagster instance migrate`.",
                )
            return HomeFault(
                f"The server of Dagster's storage, which {file} names, does not answer or refuses the sign-in",
                "Start it, or correct its address, user and password.",
            )
    return None


def damage_of(file: Path) -> HomeFault:
    """What is to be said of a file of Dagster's that is damaged."""
    return HomeFault(f"{file} is damaged", "Move it away; Dagster makes a new one, without the former runs.")


def damaged_storage(home: Path) -> Path | None:
    """The first of a home's own SQLite files that is damaged; reads each from its beginning to its end."""
    return next((file for name in _STORAGE if _is_damaged(file := home / name)), None)


def _reasons(error: BaseException | None) -> Iterator[str]:
    """What SQLite and the system say in the errors that led to one; other texts may hold an address."""
    for found in _led_to(error):
        if isinstance(found, sqlite3.Error):
            yield str(found).splitlines()[0] if str(found) else ""
        elif isinstance(found, OSError) and found.strerror:
            yield found.strerror


def _led_to(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what a driver says in it, and the errors that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(told := getattr(error, "orig", None), BaseException):
            yield told
        error = error.__cause__ or error.__context__


def _is_damaged(file: Path) -> bool:
    if not file.is_file():
        return file.exists()
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)])
    except sqlite3.DatabaseError as error:
        return not isinstance(error, sqlite3.OperationalError) or "disk I/O" in str(error) or "malformed" in str(error)
