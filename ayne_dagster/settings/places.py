"""Where a database is, by whatever path it is named, and what lies beside it. Opens no database; imports errors alone.

One database is one database: one ledger, one lease a source, one spool, one Dagster home. So its path is resolved once,
where it comes in (`resolve_database`), and its companions are named after the whole name of the file, `movies.2024` and
`movies.2025` being two (`companion`).

Up to version 0.2 they were named after the name without its suffix. What lies there under such a name is taken over
when the database is first used (`take_over_former`): moved where it can only be this database's, else left, but for
the ledger, of which each of the databases gets a copy: a request counted twice costs a request, one forgotten a quota.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ayne_dagster.errors import OneLineError, WrongUsage
from ayne_dagster.settings.locks import alone_in, lock_now

LEDGER, SPOOL, HOME, PAGE, WORLD = "ledger.sqlite", "spool", "dagster_home", "dashboard.html", "world.json"
"""What lies beside a database; the last one beside that of a demonstration alone."""
DEMONSTRATION = "demo.duckdb"
"""What the database of a demonstration is called."""
DAEMON_SILENT_SECONDS = 300.0
"""A daemon that has not told of itself for so long does not run."""
LONGEST_NAME = 255 - 55
"""Bytes of a database's name: its companions have longer ones, and a file system takes 255."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d+$)")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([^{}]*)\})")
_MOUNTS = Path("/proc/self/mountinfo")
_DUCKDB = (slice(8, 12), b"DUCK")


class WrongPlace(WrongUsage):
    """A path names no place for a database."""


def resolve_database(path: str | os.PathLike[str]) -> Path:
    """The file that a path names: absolute, `~` and `$NAME` expanded, links followed.

    Args:
        path: of a file that is there or is to be.

    Raises:
        WrongPlace: it names no file, or leads to where there is no folder.
    """
    text = os.fspath(path)
    if not text.strip():
        raise WrongPlace("The database has no name: set AYNE_DATABASE to the path of a file.")
    text = expanded(text)
    if ":memory:" in text:
        raise WrongPlace(
            f"{_shown(text)} is no file: a collection in memory would be lost at its end. Set AYNE_DATABASE to a path."
        )
    if _ADDRESS.match(text) and not Path(text).exists():
        raise WrongPlace(f"{_shown(text)} is an address, and a database is a file: set AYNE_DATABASE to a path.")
    if any(ord(c) < 32 or ord(c) == 127 for c in text) or text != text.encode("utf-8", "replace").decode():
        raise WrongPlace(f"{_shown(text)} holds a control character or no UTF-8: set AYNE_DATABASE to another path.")
    if "?" in text:
        raise WrongPlace(f"{_shown(text)} holds a ?, behind which DuckDB reads options: choose a path without.")
    try:
        named = Path(os.path.abspath(text))  # noqa: PTH100 -- Path.absolute() leaves `..` in
    except FileNotFoundError:
        raise WrongPlace(f"{_shown(text)}: the folder that you are in was removed; go to one that is there.") from None
    target = Path(os.path.realpath(text))
    _require_followed(Path(text).absolute(), target)
    if target.is_dir() or text.endswith(("/", os.sep)):
        raise WrongPlace(f"{named} is a folder: name the file in it that the database is to be.")
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise WrongPlace(
            f"The name {target.name[:40]}… is too long: what lies beside a database is named after it. Choose one of "
            f"at most {LONGEST_NAME} bytes."
        )
    _require_one_name(target)
    return target


def absolute(path: str) -> str:
    """A path from the root, without `..`, `~` and `$NAME` expanded; links are not followed.

    Raises:
        WrongPlace: as `expanded`.
        FileNotFoundError: the working directory was removed.
    """
    return os.path.abspath(expanded(path))  # noqa: PTH100 -- Path.absolute() leaves `..` in


def expanded(text: str) -> str:
    """A path with `~` as the home that it means, and `$NAME` and `${NAME}` as what these variables hold.

    A shell does so before we see a path; systemd, Docker and cron do not, and would have a folder named `$HOME` made.

    Raises:
        WrongPlace: there is no such home, or no such variable.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name and os.environ.get(name):
            return os.environ[name]
        raise WrongPlace(
            f"{_shown(text)}: there is no variable {found[0]} to take a part of the path from; nothing was made. Set "
            "it, or write the path in full."
        )

    text = _VARIABLE.sub(value, text)
    result = os.path.expanduser(text)  # noqa: PTH111 -- Path.expanduser() raises RuntimeError for what this leaves
    if text.startswith("~") and result == text:
        raise WrongPlace(f"{_shown(text)}: there is no such home. Write the path in full, or ./ before a name with ~.")
    return result


def _require_followed(named: Path, target: Path) -> None:
    """Refuse a link into nowhere: a file made in its place, or on its way, would be on another disk than was meant."""
    for part in (named, *named.parents):
        if part.is_symlink() and not part.exists() and (part != named or not target.parent.is_dir()):
            raise WrongPlace(
                f"{part} is a link to {part.readlink()}, which is not there: is a disk not mounted? Nothing was made."
            )
    if target.is_symlink():
        raise WrongPlace(f"{named} is a link that leads to itself.")


def _require_one_name(path: Path) -> None:
    """Refuse a second name of one file, which no path can tell: by each it would have companions of its own."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return  # not there, or not to be looked at: opening it tells
    if not stat.S_ISREG(found.st_mode):
        return
    if found.st_nlink > 1:
        raise WrongPlace(
            f"{path} has {found.st_nlink} names (hard links): by each it would have a request ledger of its own, and "
            f"lose what the other's log holds. Keep one name, or copy the file (find … -samefile {path.name})."
        )
    if path in _mount_points():
        raise WrongPlace(
            f"{path} is mounted as a single file: its log and its ledger would lie on another disk than itself. Mount "
            "the folder that it lies in."
        )


def _mount_points() -> set[Path]:
    """Where something is mounted; nothing where the system does not say so."""
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return set()
    points = (line.split(" ", 5)[4] for line in lines if line.count(" ") > 5)
    return {Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)) for point in points}


def _shown(text: str) -> str:
    """A path as a message quotes it; what may be an address shows nothing behind its scheme."""
    if match := _ADDRESS.match(text):
        return f"{match[0]}…"
    return repr(text if len(text) <= 80 else text[:80] + "…")


def companion(database: Path, what: str) -> Path:
    """The file or folder beside a database that is called `what` (without a dot before it)."""
    return database.with_name(f"{database.name}.{what}")


def former(database: Path, what: str) -> Path:
    """As versions up to 0.2 called it."""
    return database.with_suffix(f".{what}")


_done: set[Path] = set()
_lock = threading.Lock()


def take_over_former(database: Path) -> None:
    """Take over what former versions put beside a database, once a process; quick where there is nothing.

    Raises:
        OSError: it cannot be moved.
        FormerInUse: a collection of a former version is under way.
    """
    with _lock:
        if database in _done or not database.suffix:
            return
        if any(former(database, what).exists() for what in (LEDGER, SPOOL)):
            with alone_in(database.parent), _no_former_collection(database):
                shared = len(_claimants(database)) > 1
                _take_ledger(database, shared=shared)
                if not shared:
                    _move(former(database, SPOOL), companion(database, SPOOL))
        _done.add(database)


def home_named(given: Path | None) -> Path | None:
    """The Dagster home that settings or, where they name none, the environment names; None where neither does."""
    named = given or os.environ.get("DAGSTER_HOME", "").strip()
    return Path(os.path.realpath(expanded(str(named)))) if named else None


def home_seen(database: Path, given: Path | None) -> Path:
    """Where the Dagster home of a database is, for whoever only looks: nothing is made or moved.

    Args:
        database: the file.
        given: what settings name.
    """
    return home_named(given) or companion(database, HOME)


def home_beside(database: Path) -> Path:
    """The Dagster home of a database that has none set: its companion, or the former one while that is in use.

    The former one is moved here, unless a daemon of a former version writes to it, or it may be another database's.

    Raises:
        OSError: it cannot be moved.
    """
    home, old = companion(database, HOME), former(database, HOME)
    if home.exists() or not database.suffix or not old.is_dir() or len(_claimants(database)) > 1:
        return home
    if _daemon_runs(old):
        return old
    with alone_in(database.parent):
        _move(old, home)
    return home


def ambiguous_leftovers(database: Path) -> list[Path]:
    """What former versions left that may be this database's or another's, and was therefore not taken over."""
    if not database.suffix or not database.parent.is_dir() or len(_claimants(database)) < 2:
        return []
    return [path for path in (former(database, SPOOL), former(database, HOME)) if path.exists()]


def _claimants(database: Path) -> list[Path]:
    """The databases in the folder that former versions gave the same companions."""
    stem = database.stem
    return [
        path
        for path in sorted(database.parent.iterdir())
        if path.stem == stem and path.suffix and path.is_file() and (path == database or _is_database(path))
    ]


def _is_database(path: Path) -> bool:
    where, magic = _DUCKDB
    try:
        with path.open("rb") as file:
            return file.read(where.stop)[where] == magic
    except OSError:
        return False


class FormerInUse(OneLineError):
    """A collection of a former version holds what is to be taken over."""


@contextmanager
def _no_former_collection(database: Path) -> Iterator[None]:
    """Hold the former leases meanwhile, and remove them."""
    descriptors = []
    try:
        leases = list(database.parent.glob(f"{glob.escape(database.stem)}.*.lease"))
        for lease in leases:
            descriptors.append(descriptor := os.open(lease, os.O_RDWR))
            if not lock_now(descriptor):
                raise FormerInUse(
                    f"A collection of a former version goes on beside {database.name} ({lease.name} is held); nothing "
                    "was asked. Wait for its end, and update what starts it."
                )
        yield
        for lease in leases:
            lease.unlink(missing_ok=True)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _take_ledger(database: Path, *, shared: bool) -> None:
    """Copy the ledger, whole or not at all; remove the former one where nobody else may want it."""
    old, new = former(database, LEDGER), companion(database, LEDGER)
    if not old.exists():
        return
    if not new.exists():
        partial = new.with_name(f"{new.name}.new")
        partial.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(old, timeout=30)) as source, closing(sqlite3.connect(partial)) as target:
                source.backup(target)
            partial.replace(new)
        except sqlite3.Error:  # no ledger: left as it is, and none is made from it
            partial.unlink(missing_ok=True)
            return
    if not shared:
        for suffix in ("-wal", "-shm", "-journal", ""):  # the file last: without it the others say nothing
            old.with_name(old.name + suffix).unlink(missing_ok=True)


def _move(old: Path, new: Path) -> None:
    """Rename a folder; where there is a new one already, put its files into that."""
    if not old.is_dir():
        return
    with suppress(OSError):
        old.rename(new)
        return
    for path in list(old.iterdir()):
        if not (new / path.name).exists():
            shutil.move(path, new / path.name)
    with suppress(OSError):
        old.rmdir()


def _daemon_runs(home: Path) -> bool:
    """Whether Dagster's daemon has lately told of itself in a home."""
    runs = home / "history" / "runs.db"
    if not runs.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{runs.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            beats = connection.execute("SELECT timestamp FROM daemon_heartbeats").fetchall()
    except sqlite3.Error:
        return True  # better left where it is
    return any(_seconds_since(beat) < DAEMON_SILENT_SECONDS for (beat,) in beats)


def _seconds_since(beat: object) -> float:
    if isinstance(beat, int | float):
        return time.time() - beat
    with suppress(ValueError, TypeError):
        text = str(beat)[:19]
        return time.time() - time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S")) + time.timezone
    return 0.0
