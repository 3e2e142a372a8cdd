"""The front page as one file that needs no server, written whole or not at all. What it shows is in `front`.

Light to import: what puts the page together is loaded when one is written.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ayne_dagster.config import Settings
from ayne_dagster.errors import OneLineError
from ayne_dagster.settings.places import PAGE, companion

LARGE = 20_000
"""Movies above which the page is a matter of seconds, and renewed at most hourly."""
RENEWED_SECONDS = 3600.0


class PageNotWritten(OneLineError):
    """The file cannot be written."""


def write_page(settings: Settings, file: Path, *, leave_out: str = "") -> int:
    """Write the front page.

    Args:
        settings: of what.
        file: where to.
        leave_out: a run that is not told of: the one that has the page written.

    Returns:
        Its size in bytes.

    Raises:
        PageNotWritten: the file cannot be written; a former one is as it was.
        WarehouseError: the database cannot be read.
    """
    from ayne_dagster.dashboard.app import written

    text = written(settings, leave_out).encode()
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(text)
        new.replace(file)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise PageNotWritten(f"{file} cannot be written ({error.strerror}): choose another file.") from None
    return len(text)


@dataclass(frozen=True)
class StatusPage:
    """The page beside a database, which runs keep up to date.

    Args:
        settings: of what.
    """

    settings: Settings

    @property
    def path(self) -> Path:
        """Where it is."""
        return companion(self.settings.database, PAGE)

    def renew(self, movies: int, run_id: str) -> Path:
        """Write it anew, unless so many movies are known that it costs seconds, and it is less than an hour old.

        Args:
            movies: how many are known.
            run_id: of the run that asks for it.

        Raises:
            OneLineError: the database cannot be read, or the file not written.
        """
        if movies <= LARGE or self._age() >= RENEWED_SECONDS:
            write_page(self.settings, self.path, leave_out=run_id)
        return self.path

    def _age(self) -> float:
        """Seconds since it was written, by the machine's clock; endless where it is not there, or of the future."""
        try:
            age = time.time() - self.path.stat().st_mtime
        except OSError:
            return float("inf")
        return age if age >= 0 else float("inf")
