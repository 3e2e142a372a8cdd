"""The world of a demonstration: its database, what says that it is one, and the stand-in that serves it.

Beside its database a demonstration leaves a note of the catalogue that it was collected from. By that a stand-in serves
the same movies again, and by that a database is known to be a demonstration's: no other is ever replaced.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ayne_dagster.config import ApiSettings, Settings, SettingsError
from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.locks import is_held, lock_now
from ayne_dagster.settings.places import DEMONSTRATION, HOME, LEDGER, PAGE, SPOOL, WORLD, companion, former
from ayne_dagster.settings.sources import SOURCES
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.lease import lease_path

DEFAULT_DATABASE = Path("data") / DEMONSTRATION
CONTACT, KEY = "demo@example.org", "demo"
"""Any word opens the stand-in."""
_LEASES = tuple(SOURCES)
_OF_SQLITE = ("", "-wal", "-shm", "-journal")


class InUse(OneLineError):
    """The database of a demonstration is in use."""


@dataclass(frozen=True)
class World:
    """The catalogue that a demonstration collects from."""

    movies: int
    epoch: date
    """The day that it is laid out around."""

    def standin(self, latency_seconds: float = 0.0) -> StandIn:
        """A stand-in that serves it."""
        return StandIn(self.movies, epoch=self.epoch, latency_seconds=latency_seconds)


def read_world(database: Path) -> World | None:
    """The world of a demonstration's database; None where it is no demonstration's.

    Raises:
        SettingsError: the note of it cannot be read.
    """
    note = companion(database, WORLD)
    try:
        told = json.loads(note.read_text())
        return World(int(told["movies"]), date.fromisoformat(told["epoch"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        raise SettingsError(f"{note}, which says what {database.name} was collected from, cannot be read.") from None


def variables(standin: StandIn, database: Path) -> dict[str, str]:
    """The settings of a demonstration as variables of the environment, for the processes that it starts."""
    return {
        "AYNE_DATABASE": str(database),
        "AYNE_TMDB_BASE_URL": standin.tmdb_url,
        "AYNE_OMDB_BASE_URL": standin.omdb_url,
        "AYNE_WIKIDATA_BASE_URL": standin.wikidata_url,
        "AYNE_NUMBERS_BASE_URL": standin.numbers_url,
        "AYNE_TMDB_REQUESTS_PER_SECOND": "0",
        "AYNE_OMDB_REQUESTS_PER_SECOND": "0",
        "AYNE_WIKIDATA_REQUESTS_PER_SECOND": "0",
        "AYNE_CONTACT": CONTACT,
        "TMDB_READ_TOKEN": KEY,
        "OMDB_API_KEY": KEY,
    }


def settings_for(standin: StandIn, database: Path, omdb_quota: int = 1000) -> Settings:
    """The same for this process. The stand-in needs no pace; OMDb's quota holds as it does for a free key."""
    return Settings(
        database=database,
        tmdb=ApiSettings(standin.tmdb_url, 0, 40, 10),
        omdb=ApiSettings(standin.omdb_url, 0, 40, 5, daily_quota=omdb_quota),
        wikidata=ApiSettings(standin.wikidata_url, 0, 1, 1),
        contact=CONTACT,
        tmdb_read_token=KEY,
        omdb_api_key=KEY,
    )


@contextmanager
def only_these_variables(given: dict[str, str]) -> Iterator[None]:
    """Within the block no setting holds but the given ones: neither the environment's nor those of a `.env` file.

    Also for the processes that are started there. Whatever a person has set up for real sources, keys and alerts among
    it, is nothing for a demonstration.
    """
    before, folder = dict(os.environ), Path.cwd()
    try:
        for name in list(os.environ):
            if name.startswith(("AYNE_", "TMDB_", "OMDB_")) or name == "DAGSTER_HOME":
                del os.environ[name]
        os.environ.update(given)
        os.chdir(Path(given["AYNE_DATABASE"]).parent)  # where `.env` is looked for
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def new_database(database: Path, world: World, *, replace: bool) -> Iterator[None]:
    """A place for a new demonstration, for the length of it; nobody else makes one there meanwhile.

    Args:
        database: the file, resolved.
        world: what it is to be collected from.
        replace: whether a former demonstration's is replaced; what is nobody's demonstration never is.

    Raises:
        SettingsError: there is a database that is not to be replaced.
        InUse: somebody uses the former one.
    """
    note = companion(database, WORLD)
    there = [path for path in _parts(database) if path.exists()]
    if there and not note.exists():
        raise SettingsError(
            f"{there[0]} exists, and no demonstration has left it: it is not replaced. Move it away, or name another "
            "file with --database."
        )
    if database.exists() and not replace:
        raise SettingsError(f"{database} exists: the demonstration starts from a new file; name another one.")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SettingsError(
            f"{note} cannot be written ({error.strerror}): name another file with --database."
        ) from None
    try:
        if not lock_now(descriptor):
            raise InUse(f"Another demonstration goes on in {database}: wait for its end, or name a file (--database).")
        if user := next((what for what, path in _users(database) if _is_locked(path)), None):
            raise InUse(f"{database} is in use by {user}: end it first, or name another file with --database.")
        for path in there:
            _remove(path)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"movies": world.movies, "epoch": world.epoch.isoformat()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _parts(database: Path) -> list[Path]:
    """The database and whatever belongs to it, also what a later command would take over as belonging to it."""
    ledger = companion(database, LEDGER)
    parts = [database, companion(database, "wal")]
    parts += [ledger.with_name(ledger.name + ending) for ending in _OF_SQLITE]
    parts += [companion(database, what) for what in (SPOOL, HOME, PAGE)]
    return parts + ([former(database, what) for what in (LEDGER, SPOOL, HOME)] if database.suffix else [])


def _users(database: Path) -> list[tuple[str, Path]]:
    """Who may use a database, and the file that is locked by whoever does."""
    from ayne_dagster.runs.instance import in_use_path  # it loads Dagster, which who only looks at a world does without

    collections = [("a collection", lease_path(database, source)) for source in _LEASES]
    return [("`ayne dev` or another of Dagster's processes", in_use_path(companion(database, HOME))), *collections]


def _is_locked(path: Path) -> bool:
    with suppress(OSError):
        return is_held(path)
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
