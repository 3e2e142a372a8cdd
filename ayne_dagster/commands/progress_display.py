"""Progress on a screen: a bar on a terminal, lines elsewhere. Follows what `progress` tells; counts nothing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ayne_dagster.collecting.progress import Progress
from ayne_dagster.commands.output import one_line
from ayne_dagster.settings.wording import counted
from ayne_dagster.warehouse.answers import Numbers

REFRESH_SECONDS = 0.25
LINE_SECONDS = 10.0
WORDS = {
    "discovered_movies": "Discovering movies",
    "tmdb_details": "Fetching TMDB details",
    "omdb_ratings": "Fetching OMDb ratings",
    "box_office": "Fetching box office",
    "tmdb_changes": "Reading TMDB's changes",
    "tmdb_id_export": "Reading TMDB's export",
    "imdb_ratings": "Reading IMDb's ratings",
    "refresh_metadata": "Working out what is due",
}


class Display:
    """Shows the step that is running. One thread of its own looks at its progress now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=console) if console.is_terminal else None
        self._task: TaskID | None = None
        self._step = ""
        self._progress: Progress | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ayne-progress", daemon=True)

    def started(self, step: str, progress: Progress) -> None:
        """A step begins."""
        self._step, self._progress = WORDS.get(step, step), progress
        if self._bars is not None:
            self._task = self._bars.add_task(self._step, total=progress.total or None)

    def finished(self, step: str, numbers: Numbers) -> None:
        """A step has ended: its numbers as a line."""
        progress, self._progress = self._progress, None
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        shown = ", ".join(counted(number, name.replace("_", " ")) for name, number in numbers.not_zero().items())
        self._console.print(f"{WORDS.get(step, step)}: {shown or 'nothing to do'}", markup=False, soft_wrap=True)
        if progress is not None and progress.slowed:
            self._console.print(f"  {progress.slowed}", markup=False, soft_wrap=True)
        if progress is not None and progress.stopped_because:
            self._console.print(f"  stopped early: {one_line(progress.stopped_because)}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line of its own."""
        self._console.print(f"  {text}", markup=False, soft_wrap=True)

    def _watch(self) -> None:
        last_line = time.monotonic()
        while not self._ended.wait(REFRESH_SECONDS):
            self._update()
            progress = self._progress
            if self._bars is None and progress is not None and time.monotonic() - last_line >= LINE_SECONDS:
                last_line = time.monotonic()
                self._console.print(
                    f"{self._step}: {progress.done:,} of {progress.total:,}", markup=False, soft_wrap=True
                )

    def _update(self) -> None:
        progress = self._progress
        if self._bars is not None and progress is not None and self._task is not None:
            self._bars.update(self._task, completed=progress.done, total=progress.total or None)

    def __enter__(self) -> Display:
        if self._bars is not None:
            self._bars.start()
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._bars is not None:
            self._bars.stop()


class _Screen(TextIOWrapper):
    """A stream whose end ends nothing else: a collection whose terminal was closed has answers to commit."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def shown_on_stderr() -> Iterator[Display]:
    """A display on stderr, for the length of the block.

    It writes to a copy of the stream: while a step runs, Dagster sends the original to a log file, and from there to
    the screen in its own time.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    copy = _Screen(os.fdopen(os.dup(2), "wb"), encoding=encoding, errors="backslashreplace")
    with copy as stream, Display(Console(file=stream, emoji=False)) as display:
        yield display
