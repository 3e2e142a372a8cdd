"""Which movies stand for all where an estimate is enough: every so many-th, the same each time. Knows no figures."""

from __future__ import annotations

SAMPLED = 50_000
"""Movies that an estimate looks at, about: a share of them is right to a fifth of a hundredth, and of a million movies
all would take a second of the processor for each source."""


def one_in(movies: int, sampled: int = SAMPLED) -> int:
    """Every how-many-th of so many movies is looked at; 1 means all of them."""
    return max(1, round(movies / sampled))


def is_sampled(each: int) -> str:
    """The condition that a movie is one of every so many."""
    return "TRUE" if each == 1 else f"hash(tmdb_id) % {each} = 0"
