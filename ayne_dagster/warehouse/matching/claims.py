"""Rows of one file that were found to be of one movie: which of them may be, when they do not say the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from decimal import Decimal

from ayne_dagster.warehouse.matching.rules import Match, NoMatch

Stated = Mapping[Hashable, Decimal]
"""A row's figures: by what they are of (measure, scope, currency, day), the amount."""


def settle_claims(found: Mapping[int, Match | NoMatch], stated: Mapping[int, Stated]) -> dict[int, Match | NoMatch]:
    """The matches that hold when the rows of a file are looked at together.

    A row found by a surer rule keeps its movie, and the others are of another one that is not known. Rows found by the
    same rule may complete each other; where they contradict each other, none is believed.

    Args:
        found: what was found, by row.
        stated: the figures of each row.
    """
    settled = dict(found)
    by_movie: dict[int, list[tuple[int, Match]]] = {}
    for number, match in sorted(found.items()):
        if isinstance(match, Match):
            by_movie.setdefault(match.tmdb_id, []).append((number, match))
    for tmdb_id, rows in by_movie.items():
        surest = min(match.rule for _, match in rows)
        sure = [number for number, match in rows if match.rule == surest]
        for number, match in rows:
            if match.rule != surest:
                reason = f"the movie of this title is that of row {sure[0]}, found more surely"
                settled[number] = NoMatch(False, reason, (tmdb_id,))
        if _contradict([stated[number] for number in sure]):
            reason = f"rows {', '.join(map(str, sure[:5]))} are all of this movie, and state different figures"
            settled |= {number: NoMatch(True, reason, (tmdb_id,)) for number in sure}
    return settled


def _contradict(rows: list[Stated]) -> bool:
    seen: dict[Hashable, Decimal] = {}
    return any(seen.setdefault(what, amount) != amount for row in rows for what, amount in row.items())
