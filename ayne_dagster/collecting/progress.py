"""How a collection goes on, for whoever wants to show or count it. Shows nothing itself.

A command watches the assets that it materializes in its own process: `with watched_by(watcher): …`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ayne_dagster.warehouse.answers import Numbers
    from ayne_dagster.warehouse.refresh_metadata import DueMovie


@dataclass
class Progress:
    """How one collection goes on; written by the collection alone."""

    source: str | None = None
    """Of the refresh rules: which one is asked, where one is."""
    total: int = 0
    done: int = 0
    deferred: list[DueMovie] = field(default_factory=list)
    """Due movies not asked for: the quota ended, or the source went down."""
    stopped_because: str | None = None
    short_by: int = 0
    """Movies that a listing promised and did not show."""
    shortages: list[str] = field(default_factory=list)
    """Where a listing came out short, and why."""
    requests: int = 0
    """Requests sent, retries included; known when the asking has ended, as the next two are."""
    refusals: int = 0
    """Answers "too many requests"."""
    slowest_share: float | None = None
    """Part of the pace that repeated refusals slowed the source to, at the slowest; None when they did not."""

    @property
    def slowed(self) -> str | None:
        """How the pace was slowed, in words."""
        if self.slowest_share is None:
            return None
        return f"slowed down to 1/{1 / self.slowest_share:.0f} of its pace after {self.refusals} refusals (HTTP 429)"


class Watcher(Protocol):
    """Somebody who follows the steps of a run."""

    def started(self, step: str, progress: Progress) -> None:
        """A step begins; `progress` changes while it goes on."""

    def finished(self, step: str, numbers: Numbers) -> None:
        """A step has ended, with these numbers (`collecting.numbers`)."""

    def note(self, text: str) -> None:
        """Something that a person should know while it happens: a wait, say."""


class _Nobody:
    def started(self, step: str, progress: Progress) -> None:
        pass

    def finished(self, step: str, numbers: Numbers) -> None:
        pass

    def note(self, text: str) -> None:
        pass


_watcher: ContextVar[Watcher] = ContextVar("watcher", default=_Nobody())  # noqa: B039 -- it has no state


def watcher() -> Watcher:
    """Who follows the present run."""
    return _watcher.get()


@contextmanager
def watched_by(somebody: Watcher) -> Iterator[None]:
    """Let somebody follow all steps that run within the block, in this thread."""
    token = _watcher.set(somebody)
    try:
        yield
    finally:
        _watcher.reset(token)
