"""Whom the pages ask for runs, and Dagster's records where a home keeps them in files. Starts no Dagster.

Opening a Dagster instance takes seconds; what is asked here is three columns of a table. A home whose storage is
elsewhere (Postgres, say) has no such file: it is asked through Dagster, by `runs.in_storage`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from ayne_dagster.config import Settings
from ayne_dagster.runs.in_storage import RunsInStorage
from ayne_dagster.runs.recorded import MOST_UNDER_WAY, UNFINISHED, Run, instant, is_gone, reason_of
from ayne_dagster.settings.places import home_seen

_OTHER_STORAGE = re.compile(r"^(run_)?storage\s*:", re.MULTILINE)
"""What a `dagster.yaml` has where runs are not kept in the files of its home."""


class RunRecords(Protocol):
    """Runs as Dagster has recorded them.

    Each question raises `RunsUnknown` where it has no answer in time.
    """

    def under_way(self) -> list[Run]:
        """The runs that have not ended, the oldest first; none where nothing is recorded."""

    def latest(self, limit: int) -> list[Run]:
        """The latest runs, the newest first."""

    def failed(self, limit: int) -> list[tuple[Run, str | None]]:
        """The latest runs that failed, the newest first, each with its reason; None where its log does not say why."""

    def stamp(self) -> tuple[object, ...]:
        """Changes whenever what is under way does; cheap."""

    def is_recorded(self) -> bool:
        """Whether anything is recorded."""

    def close(self) -> None:
        """Let go of what was opened for asking."""


def records_of(settings: Settings, longest_seconds: float) -> RunRecords:
    """Whom to ask for the runs of a database. Asks nothing yet.

    Args:
        settings: of which database.
        longest_seconds: how long a server may take to answer a question.
    """
    home = home_seen(settings.database, settings.dagster_home)
    return RunsInFiles(home) if _are_in_files(home) else RunsInStorage(home, longest_seconds)


def _are_in_files(home: Path) -> bool:
    try:
        return not _OTHER_STORAGE.search((home / "dagster.yaml").read_text("utf-8", "replace"))
    except OSError:
        return True


class RunsInFiles:
    """The records of a home in its SQLite files.

    Args:
        home: where it is; there may be none yet.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "history" / "runs.db"

    def under_way(self) -> list[Run]:
        """The runs that have not ended, the oldest first; none where nothing is recorded here."""
        marks = ", ".join("?" * len(UNFINISHED))
        return self._runs(f"WHERE status IN ({marks}) ORDER BY id DESC LIMIT {MOST_UNDER_WAY}", UNFINISHED)[::-1]

    def latest(self, limit: int) -> list[Run]:
        """The latest runs, the newest first."""
        return self._runs("ORDER BY id DESC LIMIT ?", (limit,))

    def failed(self, limit: int) -> list[tuple[Run, str | None]]:
        """The latest runs that failed, the newest first, each with its reason."""
        found = self._runs("WHERE status = 'FAILURE' ORDER BY id DESC LIMIT ?", (limit,))
        return [(run, self._why_it_failed(run.run_id)) for run in found]

    def stamp(self) -> tuple[object, ...]:
        """Changes whenever a run begins, ends or goes on; two looks at files."""
        found: list[int] = []
        for file in (self._file, self._file.with_name("runs.db-wal")):
            with suppress(OSError):
                status = file.stat()
                found += [status.st_size, status.st_mtime_ns]
        return tuple(found)

    def is_recorded(self) -> bool:
        """Whether runs are recorded in this home."""
        return self._file.is_file()

    def close(self) -> None:
        """Nothing is kept open."""

    def _why_it_failed(self, run_id: str) -> str | None:
        """The reason of the first step that failed, as its log has it; None where it does not say."""
        file = self._home / "history" / "runs" / f"{Path(run_id).name}.db"
        query = (
            "SELECT event FROM event_logs"
            " WHERE dagster_event_type IN ('STEP_FAILURE', 'PIPELINE_FAILURE', 'RUN_FAILURE')"
            " ORDER BY CASE dagster_event_type WHEN 'STEP_FAILURE' THEN 0 ELSE 1 END, id LIMIT 3"
        )
        reasons = (reason_of(row[0]) for row in _asked(file, query, ()))
        return next((reason for reason in reasons if reason), None)

    def _runs(self, which: str, bound: tuple[Any, ...]) -> list[Run]:
        columns = "run_id, pipeline_name, status, create_timestamp, start_time, end_time"
        rows = list(_asked(self._file, f"SELECT {columns} FROM runs {which}", bound))
        tags: dict[str, dict[str, str]] = {}
        marks = ", ".join("?" * len(rows))
        ids = tuple(row[0] for row in rows)
        for run_id, key, value in _asked(
            self._file, f"SELECT run_id, key, value FROM run_tags WHERE run_id IN ({marks}) AND key LIKE 'ayne/%'", ids
        ):
            tags.setdefault(run_id, {})[key] = value or ""
        return [self._run(row, tags.get(row[0], {})) for row in rows]

    def _run(self, row: tuple[Any, ...], tags: dict[str, str]) -> Run:
        run_id, job, status, created, started, ended = row
        begun = datetime.fromisoformat(created).replace(tzinfo=UTC) if isinstance(created, str) else None
        gone = is_gone(self._home, str(run_id), str(status), tags)
        return Run(str(run_id), str(job), str(status), begun, instant(started), instant(ended), tags, gone)


def _asked(file: Path, query: str, bound: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The rows of a question; none where the file is missing, held or damaged: `ayne doctor` tells of that."""
    if not file.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=0.5)) as found:
        yield from found.execute(query, bound).fetchall()
