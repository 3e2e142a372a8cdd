"""Whether everything that a collection needs is usable: one line a thing, with what to do. Changes and repairs nothing.

Nothing is asked of the APIs unless that is wanted; then each is asked once, and the request is counted like any other.
No line holds a key or a password.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg
import duckdb

from ayne_dagster.automation.demonstration import DEMONSTRATION_SENSORS
from ayne_dagster.automation.due_movies import due_movies_sensor
from ayne_dagster.automation.schedules import discovery_schedule
from ayne_dagster.collecting.stores import open_store
from ayne_dagster.config import API_OF, API_TITLES, APIS, Settings, SettingsError
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, SOURCES
from ayne_dagster.resources.clients import RESOURCES
from ayne_dagster.runs.home import home_path
from ayne_dagster.runs.instance import ask_each_storage, damage_of, damaged_storage, fault_of, require_configuration
from ayne_dagster.runs.retention import Instants
from ayne_dagster.serving.instigators import TOLERATED_SECONDS, waiting_for_the_future
from ayne_dagster.settings.places import HOME, SPOOL, ambiguous_leftovers, companion
from ayne_dagster.settings.wording import counted
from ayne_dagster.sources.errors import InvalidCredentials, NotFound, QuotaExhausted, SourceError
from ayne_dagster.sources.limits.account import accounts_of
from ayne_dagster.sources.limits.ledger import LedgerError, QuotaUse, RequestLedger, open_ledger
from ayne_dagster.sources.omdb.client import AsyncOMDBClient
from ayne_dagster.sources.tmdb.client import AsyncTMDBClient
from ayne_dagster.warehouse.lease import is_in_the_way, lease_path
from ayne_dagster.warehouse.migrations import schema_version
from ayne_dagster.warehouse.outlook import misfits
from ayne_dagster.warehouse.schema import SCHEMA_VERSION
from ayne_dagster.warehouse.spool import Contents, contents, spool_folder
from ayne_dagster.warehouse.store import DatabaseBusy, WarehouseError

if TYPE_CHECKING:
    from dagster._daemon.types import DaemonStatus

OK, WARNING, WRONG = "ok", "warning", "wrong"
PYTHONS = ((3, 11), (3, 14))
DUCKDBS = ((1, 5, 2), (3,))
DAGSTERS = ((1, 13), (2,))
"""From this version on, and below that: as pyproject.toml asks for."""
LEAST_FREE = 100 * 2**20
SCARCE = 2**30
"""Bytes free on the disk below which nothing can be trusted to be written, and below which it should be looked at."""
STATE = "AYNE_STATE_FOLDER"
DATABASE_WAIT_SECONDS = 1.0
ONLINE_SECONDS = 15.0
QUIET_SECONDS = 300.0
"""A daemon that runs gives a sign every half minute; Dagster itself calls it well for half an hour after its last."""
BRING_BACK = (
    "Set the clock right, then start `ayne dev` or `ayne daemon` again; a `dagster-daemon` of your own: stop it, "
    "`ayne check --mend`, start it."
)
KNOWN_MOVIE, KNOWN_IMDB_ID = 550, "tt0137523"
"""What is asked for online: any answer about it shows that the key works."""


@dataclass(frozen=True)
class Line:
    """What is to be said about one thing."""

    name: str
    state: str
    """ok, warning or wrong."""
    text: str
    do: str = ""
    """What to do; empty where nothing is."""

    def as_json(self) -> dict[str, str]:
        """The line by name."""
        return asdict(self)


def examine(settings: Settings, *, online: bool = False) -> list[Line]:
    """Look at everything; what cannot be looked at is a line too.

    Args:
        settings: what to look at.
        online: whether to ask each API once.
    """
    parts: list[tuple[str, Callable[[], Iterable[Line]]]] = [
        ("versions", _versions),
        ("keys", lambda: _keys(settings)),
        ("addresses", lambda: _addresses(settings)),
        ("database", lambda: _database(settings)),
        ("spool", lambda: spool_lines(contents(settings.database), spool_folder(settings.database))),
        ("leases", lambda: _leases(settings.database)),
        ("former files", lambda: _former_files(settings)),
        ("disk", lambda: _disk(settings)),
        ("ledger", lambda: _ledger(settings)),
        ("limits", lambda: _limits(settings)),
        ("refresh strategy", lambda: _refresh_strategy(settings)),
        ("box office", lambda: _box_office(settings)),
        ("Dagster", lambda: _dagster(settings)),
        ("clock", lambda: _clock(settings)),
    ]
    if online:
        parts.append(("online", lambda: _online(settings)))
    lines: list[Line] = []
    for name, look in parts:
        try:
            lines += look()
        except Exception as error:  # noqa: BLE001 -- a doctor that falls ill itself helps nobody; texts may hold secrets
            lines.append(Line(name, WRONG, f"cannot be looked at ({type(error).__name__})", "Run `ayne collect`."))
    return lines


def ledger_use(settings: Settings) -> dict[str, QuotaUse]:
    """Today's use of each source's quota. A ledger that is not there yet is not made by looking.

    Raises:
        LedgerError: it cannot be read.
    """
    ledger = open_ledger(settings)
    ledger = ledger if ledger.exists else RequestLedger.in_memory()
    return {source: account.quota_use for source, account in accounts_of(settings, ledger, settings.now).items()}


def _versions() -> Iterator[Line]:
    for name, found, bounds in (
        ("Python", platform.python_version(), PYTHONS),
        ("Dagster", version("dagster"), DAGSTERS),
        ("DuckDB", duckdb.__version__, DUCKDBS),
    ):
        yield version_line(name, found, bounds)


def version_line(name: str, found: str, bounds: tuple[tuple[int, ...], tuple[int, ...]]) -> Line:
    """Whether a version lies from the first bound on and below the second."""
    numbers = tuple(int(part) for part in found.split(".")[:3] if part.isdigit())
    least, below = (".".join(map(str, bound)) for bound in bounds)
    if bounds[0] <= numbers < bounds[1]:
        return Line(name, OK, found)
    return Line(name, WRONG, f"{found} is not supported", f"Install a version from {least} on and below {below}.")


def _keys(settings: Settings) -> Iterator[Line]:
    where = "in the environment or in .env; `ayne demo` needs none"
    if settings.tmdb_read_token:
        yield Line("TMDB key", OK, "read token (TMDB_READ_TOKEN)")
    elif settings.tmdb_api_key:
        yield Line("TMDB key", OK, "v3 key (TMDB_API_KEY); a read token would stay out of addresses")
    else:
        yield Line("TMDB key", WRONG, "missing", f"Set TMDB_READ_TOKEN (themoviedb.org/settings/api) {where}.")
    if settings.omdb_api_key:
        yield Line("OMDb key", OK, "OMDB_API_KEY")
    else:
        yield Line("OMDb key", WRONG, "missing", f"Set OMDB_API_KEY (omdbapi.com/apikey.aspx) {where}.")


def _addresses(settings: Settings) -> Iterator[Line]:
    for api in map(API_OF.__getitem__, settings.sources):
        name, parts = f"{API_TITLES[api]} address", urlsplit(settings.apis[api].base_url)
        port = f":{parts.port}" if parts.port else ""
        shown = f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
        if parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1"):
            yield Line(name, OK, shown)
        else:
            yield Line(name, WARNING, f"{shown} is not encrypted: the key can be read on its way", "Use https.")


def _database(settings: Settings) -> Iterator[Line]:
    store, path = open_store(settings, wait_seconds=DATABASE_WAIT_SECONDS), settings.database
    try:
        if not store.exists:
            if _writable(path.parent):
                yield Line("database", OK, f"{store.name} is not there yet: the first `ayne collect` makes it")
            else:
                yield _not_writable("database", path.parent, "AYNE_DATABASE" if settings.lake is None else STATE)
            return
        with store.inspect() as connection:
            found = schema_version(connection)
        described = store.describe()
    except DatabaseBusy as error:
        yield Line("database", WARNING, str(error), "Nothing, while a run commits; close a program that keeps it open.")
        return
    except WarehouseError as error:
        do = "Restore a snapshot, or choose another AYNE_DATABASE." if settings.lake is None else "See docs/scale.md."
        yield Line("database", WRONG, str(error), do)
        return
    text = f"{described}, schema version {found}"
    if found is None or found > SCHEMA_VERSION:
        do = "Install the newer ayne_dagster." if found else "Choose another AYNE_DATABASE."
        yield Line("database", WRONG, f"{text}: not one of this program's (it knows version {SCHEMA_VERSION})", do)
    elif settings.lake is None and not (os.access(path, os.W_OK) and _writable(path.parent)):
        yield _not_writable("database", path, "AYNE_DATABASE")
    elif found < SCHEMA_VERSION:
        do = "Take a snapshot if you may go back; nothing else."
        yield Line("database", WARNING, f"{text}: the next command makes it version {SCHEMA_VERSION}", do)
    else:
        yield Line("database", OK, text)


def spool_lines(found: Contents, folder: Path) -> Iterator[Line]:
    """What waits in the spool, and whether anything can; nothing where all is well."""
    if found.blocked:
        yield Line(
            "spool",
            WRONG,
            f"{folder} is no folder that can be written: answers that the database cannot take would be lost",
            "Move it away, or fix its permissions.",
        )
    if found.waiting:
        yield Line(
            "spool",
            WARNING,
            f"{counted(found.waiting, 'files')} of answers {'waits' if found.waiting == 1 else 'wait'} in {folder}",
            "Nothing: the next run merges them.",
        )
    if found.newer:
        do = "Install the newer version, and collect with it."
        yield Line("spool", WARNING, f"{counted(found.newer, 'files')} of a newer version in {folder}", do)
    if found.unusable or found.strange:
        number = found.unusable + found.strange
        do = "Look at them: what they hold is asked again when it is due; remove them when they are of no use."
        yield Line("spool", WARNING, f"{counted(number, 'files')} in {folder} cannot be merged", do)


def _leases(database: Path) -> Iterator[Line]:
    """The files that keep two collections apart, where one of them could not be locked."""
    for path in (lease_path(database, source) for source in SOURCES):
        if is_in_the_way(path):
            yield Line("leases", WRONG, f"{path} is no file, as it must be: nothing is collected", "Move it away.")
        elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
            yield _not_writable("leases", path, "AYNE_DATABASE")


def _former_files(settings: Settings) -> Iterator[Line]:
    for path in ambiguous_leftovers(settings.database):
        what = companion(settings.database, SPOOL if path.suffix == f".{SPOOL}" else HOME)
        yield Line(
            "former files",
            WARNING,
            f"{path} is of version 0.2 or before, and may be of this database or of one beside it: it is not read",
            f"Move it to {what} if it is of this database.",
        )


def _disk(settings: Settings) -> Iterator[Line]:
    path = settings.database
    free = shutil.disk_usage(_nearest(path.parent)).free
    yield disk_line(free, path.stat().st_size if path.exists() else 0)


def disk_line(free: int, size: int) -> Line:
    """Whether the disk has room, by the bytes that are free and those of the database."""
    text = f"{free / 1e9:,.1f} GB free"
    if free < LEAST_FREE:
        return Line("disk", WRONG, text, "Free some: what cannot be committed is lost when the process ends.")
    if free < max(SCARCE, 2 * size):
        return Line("disk", WARNING, text, "Free some: a snapshot needs twice the room of the database.")
    return Line("disk", OK, text)


def _box_office(settings: Settings) -> Iterator[Line]:
    """Whether anybody is asked for figures of movies' money."""
    if why := settings.why_no_figures_are_asked:
        yield Line("box office", OK, f"nobody is asked for figures: {why}")
    else:
        yield Line("box office", OK, f"figures are asked of Wikidata, which is told to reach {settings.contact}")


def _ledger(settings: Settings) -> Iterator[Line]:
    try:
        used = ledger_use(settings)
    except LedgerError as error:
        yield Line("ledger", WRONG, str(error), "Until it can be used, nothing is asked.")
        return
    ledger = open_ledger(settings)
    folder = Path(ledger.name.removeprefix("sqlite:///")).parent if settings.ledger_url else settings.ledger.parent
    if not ledger.exists and not _writable(folder):
        yield _not_writable("ledger", folder, "AYNE_LEDGER_URL" if settings.ledger_url else "AYNE_DATABASE")
        return
    yield Line("ledger", OK, ledger.name if ledger.exists else f"{ledger.name} is not there yet")
    for source, use in used.items():
        yield quota_line(source, use)


def quota_line(source: str, use: QuotaUse) -> Line:
    """What is left of a source's quota."""
    name = f"{API_TITLES[API_OF[source]]} today"
    if use.left == 0:
        return Line(name, WARNING, f"{counted(use.used, 'requests')}, none left", "Wait until midnight UTC.")
    quota = f" of {use.cap:,}, {use.left:,} left" if use.cap else ", no quota"
    return Line(name, OK, f"{counted(use.used, 'requests')}{quota}")


def _limits(settings: Settings) -> Iterator[Line]:
    """A burst that the day's quota cannot hold back."""
    for name, api in settings.apis.items():
        if 0 < api.daily_quota < api.burst:
            yield Line(
                f"{API_TITLES[name]} burst",
                WARNING,
                f"{api.burst:,} requests may go out at once, more than the quota of a day ({api.daily_quota:,})",
                f"Lower AYNE_{name.upper()}_BURST: the pace does not hold before the quota is used up.",
            )


def _refresh_strategy(settings: Settings) -> Iterator[Line]:
    """Whether the age table fits the requests that there are; nothing where it does, or cannot be told."""
    if settings.refresh_strategy != AGE_TABLE_STRATEGY.name:
        return
    store = open_store(settings, wait_seconds=DATABASE_WAIT_SECONDS)
    try:
        if not store.exists:
            return
        with store.inspect() as connection:
            if schema_version(connection) == SCHEMA_VERSION:
                for wrong in misfits(connection, settings.now(), settings.spendable):
                    do = "Set AYNE_REFRESH_STRATEGY=value_of_refresh, or another AYNE_{}_DAILY_QUOTA."
                    yield Line("refresh strategy", WARNING, str(wrong), do.format(wrong.source.upper()))
    except WarehouseError:
        return  # told of the database


def _dagster(settings: Settings) -> Iterator[Line]:
    home = home_path(settings)
    if home.exists() and not home.is_dir():
        yield Line("Dagster home", WRONG, f"{home} is no folder", "Set DAGSTER_HOME to one.")
        return
    if not _writable(home):
        yield _not_writable("Dagster home", home, "DAGSTER_HOME")
        return
    if not (home / "dagster.yaml").exists():
        yield Line("Dagster home", OK, f"{home} is not there yet: the first `ayne collect` or `ayne dev` makes it")
        return
    try:
        require_configuration(home)
    except SettingsError as error:
        yield Line("Dagster home", WRONG, str(error), "Then Dagster's configuration is made anew.")
        return
    try:
        with dg.DagsterInstance.from_config(str(home.resolve())) as instance:
            ask_each_storage(instance)
            runs = instance.get_runs_count()
            automation = list(_automation(instance, settings))
        if (damaged := damaged_storage(home)) is not None:  # where no question has come by it yet
            yield Line("Dagster home", WRONG, *astuple(damage_of(damaged)))
            return
        yield Line("Dagster home", OK, f"{home}, {counted(runs, 'runs')}")
        yield from automation
    except Exception as error:  # noqa: BLE001 -- Dagster raises what its storage does; its text may hold a password
        fault = fault_of(home, error)
        yield Line("Dagster home", WRONG, fault.what, fault.do)


def _automation(instance: dg.DagsterInstance, settings: Settings) -> Iterator[Line]:
    """The daemon, and what it is to do."""
    now = Instants.of(settings).calendar  # as Dagster goes by it
    beats = [s for s in instance.get_daemon_statuses().values() if s.required and s.last_heartbeat is not None]
    running = {
        state.instigator_name
        for state in instance.all_instigator_state()
        if state.status.value in ("RUNNING", "DECLARED_IN_CODE")
    }
    yield _daemon(beats, now)
    demonstrating = [sensor.name for sensor in DEMONSTRATION_SENSORS]  # where days pass in minutes, they tick schedules
    wanted = demonstrating if settings.fast_clock else (due_movies_sensor.name, discovery_schedule.name)
    missing = [name for name in wanted if name not in running]
    if beats and missing:
        yield Line("automation", WARNING, f"not switched on: {', '.join(missing)}", "Switch on, under Automation.")
    else:
        yield Line("automation", OK, f"on: {', '.join(sorted(running)) or 'nothing'}")
    if late := waiting_for_the_future(instance, now):
        names = ", ".join(f"{ahead.name} (until {ahead.until:%Y-%m-%d})" for ahead in late)
        yield Line("ticks", WRONG, f"wait for a date that a clock which was ahead has shown: {names}", BRING_BACK)


def _daemon(beats: Sequence[DaemonStatus], now: datetime) -> Line:
    """Whether the daemon runs, by the signs of life that its parts have given."""
    signs = {s.daemon_type: s.last_heartbeat.timestamp for s in beats if s.last_heartbeat}
    if not signs:
        return Line("daemon", OK, "has never run: `ayne dev` starts it; collections by hand or by cron need none")
    ill = sorted(
        s.daemon_type for s in beats if not s.healthy or signs[s.daemon_type] > now.timestamp() + TOLERATED_SECONDS
    )
    if ill:
        return Line("daemon", WARNING, f"not running, or ill: {', '.join(ill)}", "Start it: `ayne dev`.")
    if (last := max(signs.values())) < now.timestamp() - QUIET_SECONDS:
        at = datetime.fromtimestamp(last, UTC)
        return Line("daemon", WARNING, f"not running: its last sign was at {at:%H:%M} UTC", "Start it: `ayne dev`.")
    return Line("daemon", OK, "running")


def _clock(settings: Settings) -> Iterator[Line]:
    now: datetime = settings.now()
    shown = f"{now:%Y-%m-%d %H:%M} UTC"
    if settings.fast_clock is not None:
        do = "Take AYNE_CLOCK away, unless this is a demonstration."
        yield Line("clock", WARNING, f"{shown}: runs {settings.clock.rate:,g} times as fast as the calendar", do)
    elif settings.clock_offset:
        days = settings.clock_offset.total_seconds() / 86400
        do = "Take AYNE_CLOCK_OFFSET_DAYS away, unless this is a demonstration."
        yield Line("clock", WARNING, f"{shown}: turned by {days:+g} days", do)
    else:
        yield Line("clock", OK, shown)


def _online(settings: Settings) -> Iterator[Line]:
    """Ask each API for one movie."""
    ledger = open_ledger(settings)
    for api in map(API_OF.__getitem__, settings.sources):
        if APIS[api].is_keyless or settings.key_of(api):
            yield asyncio.run(_asked(f"{API_TITLES[api]} online", partial(_question, api, settings, ledger)))


async def _question(api: str, settings: Settings, ledger: RequestLedger) -> None:
    """One request, by the key and within the limits of the settings."""
    if api == "tmdb":
        async with AsyncTMDBClient(settings=settings, ledger=ledger, now=settings.now) as tmdb:
            await tmdb.fetch_details(KNOWN_MOVIE)
    elif api == "omdb":
        async with AsyncOMDBClient(settings=settings, ledger=ledger, now=settings.now) as omdb:
            await omdb.fetch_movie(KNOWN_IMDB_ID)
    else:
        async with RESOURCES[api](settings, ledger).client(settings.clock, use_reserve=True) as client:
            await client.probe()


async def _asked(name: str, ask: Callable[[], Any]) -> Line:
    try:
        async with asyncio.timeout(ONLINE_SECONDS):
            await ask()
    except NotFound:
        pass  # it answered, to this key
    except InvalidCredentials as error:
        return Line(name, WRONG, str(error), "Get a new key, or activate it from the mail that brought it.")
    except QuotaExhausted as error:
        return Line(name, WARNING, str(error), "Wait until midnight UTC.")
    except (SourceError, LedgerError) as error:
        return Line(name, WRONG, str(error), "Look at the network and at the address.")
    except TimeoutError:
        return Line(name, WRONG, f"no usable answer within {ONLINE_SECONDS:g} s", "Look at the network.")
    return Line(name, OK, "it answers us")


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _writable(folder: Path) -> bool:
    """Whether a folder can be written, or made."""
    nearest = _nearest(folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _not_writable(name: str, path: Path, setting: str) -> Line:
    return Line(name, WRONG, f"{path} cannot be written", f"Fix its permissions, or set {setting}.")
