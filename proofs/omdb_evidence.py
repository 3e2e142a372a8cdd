"""What it would be worth to ask OMDb by all that is known of a movie, where IMDb's file is read.

    python -m proofs.omdb_evidence

The rules differ in what counts as a change at OMDb, and in which evidence they read between two checks. All of it is
learned from outcomes, as the platform learns. What is compared is how fresh that is which IMDb's file does not tell
(`docs/freshness.md`, "Tried, and not kept"). The world is in `omdb_fields`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt

from ayne_dagster.refresh.feeds import Feed
from ayne_dagster.refresh.learning import (
    AGE_GROUPS,
    HIGHEST_BUCKET,
    LOWEST_BUCKET,
    NEW_RELEASE_BOOST,
    NEW_RELEASE_DAYS,
    POPULARITY_SHARE,
    buckets,
    corrections,
)
from ayne_dagster.refresh.quality import Evidence, judge
from ayne_dagster.refresh.value import LONGEST_UNCHECKED, RESERVE_DAYS, RESERVE_WITHOUT_CEILING, SMALL_RESERVE
from ayne_dagster.refresh.worth import HARMONIC_SHARE, Worth
from ayne_dagster.simulation.bounds import without_feed
from ayne_dagster.simulation.run import Copy, table_spends
from ayne_dagster.simulation.world import Numbers, Reals, World
from ayne_dagster.warehouse.feeds.imdb import GROWTH, LEAST_NEW_VOTES, NOTICEABLE_GROWTH
from proofs.omdb_fields import COUPLINGS, GROUPS, REST, AsOneSource, OmdbWorld

SOURCE = "omdb"
BUDGETS, SEEDS = (1.0,), (21, 22, 23, 24)
JUDGED_DAYS, PRIOR = 180, 10.0
RECENT_DAYS = 14
"""Evidence of so many days tells of a movie's attention today."""
CELLS = 12
_LONG_DAYS, _FASTER, _MORE_POPULAR, _FEW_VOTES = 120, 1.7, 1.5, 5
"""Over how long is usual; how many times the usual growth, and popularity, tell of attention; how few votes do not."""
_KNOTS = np.linspace(0, 4, 800) ** 2
_BUCKETS = [bucket for bucket in buckets() if bucket.source == SOURCE]
_OCTAVES = HIGHEST_BUCKET - LOWEST_BUCKET + 1
_AGE_ENDS = [group.up_to_days for group in AGE_GROUPS if group.up_to_days is not None]


@dataclass(frozen=True)
class Rule:
    """Which changes count, and what is read of other sources."""

    name: str
    reads: str = "nothing"
    """nothing; jumps: of votes and rating in IMDb's file, as a feed; several: these and TMDB's signals, each as a feed;
    posterior: how often what has changed after days of each kind of evidence; rates, attention: what is true."""
    counts_told: bool = True
    """Whether a rating that IMDb's file has told counts as a change at OMDb."""
    judges_by_rest: bool = False
    """Whether a feed is judged by what the file does not tell alone."""

    @property
    def knows(self) -> bool:
        """Whether it knows true rates: a yardstick."""
        return self.reads in ("rates", "attention")

    @property
    def has_feed(self) -> bool:
        """Whether it reads the file's jumps as the platform reads a change feed."""
        return self.reads == "jumps"


RULES = (
    Rule("nothing read"),
    Rule("jumps as a feed", "jumps"),
    Rule("jumps, judged by the rest", "jumps", judges_by_rest=True),
    Rule("told changes not counted", counts_told=False),
    Rule("several feeds", "several"),
    Rule("posterior", "posterior"),
    Rule("rates known", "rates"),
    Rule("attention known", "attention"),
)
"""The last two are yardsticks: true rates as they are on average, and as attention makes them."""


class Asking:
    """Value of refresh at OMDb, by one of the rules.

    Args:
        world: the modelled world.
        rule: what it goes by.
        budget: as a multiple of what the age table asks for.
    """

    def __init__(self, world: OmdbWorld, rule: Rule, budget: float) -> None:
        self._world, self._rule = world, rule
        self._budget = budget * table_spends(world.base, SOURCE)
        copy, size = Copy(world.base, SOURCE), world.size
        draw = np.random.default_rng([world.seed, 12])
        self._checked: Numbers = copy.checked.copy()
        self._asked_once = world.known(0).copy()
        since = np.where(world.known(0), -copy.checked, 0)
        self._stored = np.zeros((len(GROUPS), size), np.int64)
        self._true = draw.poisson(world.rates_by_group(0, knows_attention=False) * since)
        self._exposure, self._changes, self._expected = np.zeros(size), np.zeros(size), np.zeros(size)
        self._bucket_rates = np.array([bucket.first_rate for bucket in _BUCKETS])
        self._feed = Feed()
        self._shares = np.array([0.5, 0.3, 0.1])
        """What days, jumps and signals of TMDB are worth, where several feeds are read."""
        self._hazards = np.ones(CELLS)
        self._of_evidence = np.zeros((CELLS, size))
        """Since the last check: days by kind of evidence (posterior), or signals (the first two rows)."""
        self._votes_at, self._rating_at = world.votes[0].copy(), np.zeros(size, np.int64)
        self._log: list[tuple[int, Reals]] = []
        self._popularity = world.heard_popularity[0]

    def freshness(self) -> Reals:
        """Shares of the movies, by popularity, over all days: whole, the rest, and each group."""
        shares: Reals = np.mean([self._step(day) for day in range(self._world.days)], axis=0)
        return shares

    def _step(self, day: int) -> Reals:
        if day % 7 == 0:
            self._popularity = self._world.heard_popularity[day]
            if day and not self._rule.knows:
                self._learn_all(day)
        bucket = self._bucket(day)
        rate = self._rates(day, bucket)
        if day:
            self._hear(day, rate)
        x = self._expect(day, rate)
        limit = int((day + 1) * self._budget) - int(day * self._budget)
        asked = self._choose(day, rate, x, limit)
        self._ask(asked, day, rate, x, self._bucket_rates[bucket])
        self._true += self._world.changes[day]
        return self._measure(day)

    # What is known of rates

    def _bucket(self, day: int) -> Numbers:
        age = np.searchsorted(_AGE_ENDS, day - self._world.base.released)
        median = np.median(self._popularity[self._world.known(day)])
        octave = np.clip(np.round(np.log2(self._popularity / median)), LOWEST_BUCKET, HIGHEST_BUCKET)
        place: Numbers = age * _OCTAVES + (octave - LOWEST_BUCKET).astype(np.int64)
        return place

    def _rates(self, day: int, bucket: Numbers) -> Reals:
        if self._rule.knows:
            return AsOneSource(self._world, self._rule.reads == "attention").rates(day)
        rates: Reals = self._bucket_rates[bucket] * (1 + self._changes) / (1 + self._exposure)
        return rates

    # What other sources tell

    def _hear(self, day: int, rate: Reals) -> None:
        match self._rule.reads:
            case "jumps" | "several":
                self._of_evidence[0] += self._jumped(day)
                self._of_evidence[1] += self._world.tmdb_signals[day]
            case "posterior":
                self._of_evidence[self._cell(day), np.arange(self._world.size)] += 1
            case "rates" | "attention":
                self._expected += AsOneSource(self._world, self._rule.reads == "attention").rates(day - 1)

    def _jumped(self, day: int) -> Reals:
        """By the shipped rule; what has jumped is compared with what it jumped to from then on."""
        votes, rating = self._world.votes[day], self._true[0]
        grown = votes - self._votes_at >= LEAST_NEW_VOTES
        moved = (votes >= (1 + NOTICEABLE_GROWTH) * self._votes_at) & (rating != self._rating_at)
        jumped = self._asked_once & grown & ((votes >= (1 + GROWTH) * self._votes_at) | moved)
        self._votes_at[jumped], self._rating_at[jumped] = votes[jumped], rating[jumped]
        return jumped.astype(np.float64)

    def _cell(self, day: int) -> Numbers:
        """Kind of evidence of a day: growth of votes lately against its own over long, TMDB's signals, popularity."""
        first = max(0, day - RECENT_DAYS)
        lately = np.log(self._world.votes[day] / np.maximum(self._world.votes[first], 1)) / max(1, day - first)
        long_ago = max(0, day - _LONG_DAYS)
        usually = np.log(self._world.votes[day] / np.maximum(self._world.votes[long_ago], 1)) / max(1, day - long_ago)
        new_votes = self._world.votes[day] - self._world.votes[first]
        times = lately / np.maximum(usually, 1e-9)
        growth = np.where(new_votes < _FEW_VOTES, 0, 1 + (times > _FASTER)).astype(np.int64)
        told = np.sum(self._world.tmdb_signals[first : day + 1], axis=0) > 0
        heard = self._world.heard_popularity
        usual = np.mean(heard[long_ago : day + 1 : 10], axis=0)
        popular = np.mean(heard[max(0, day - 2) : day + 1], axis=0) > _MORE_POPULAR * usual
        cell: Numbers = growth * 4 + told * 2 + popular
        return cell

    def _expect(self, day: int, rate: Reals) -> Reals:
        days = np.maximum(day - self._checked, 0).astype(np.float64)
        match self._rule.reads:
            case "nothing":
                return rate * days
            case "jumps":
                return rate * (1 - self._feed.recall) * days + self._of_evidence[0] * self._feed.weight_of_signal
            case "several":
                several: Reals = self._shares @ np.array([rate * days, *self._of_evidence[:2]])
                return several
            case "posterior":
                # The days before the file was first read are like any.
                before = np.maximum(0, days - self._of_evidence.sum(axis=0))
                by_evidence: Reals = rate * (before + self._hazards @ self._of_evidence)
                return by_evidence
        return self._expected

    # Asking

    def _choose(self, day: int, rate: Reals, x: Reals, limit: int) -> Numbers:
        known = self._world.known(day)
        now = rate
        if self._rule.reads == "posterior" and day:
            now = rate * self._hazards[self._cell(day)]
        value = self._weights(day, known) * self._worth(x) / now
        value = np.where(self._asked_once, value, np.inf)
        value = np.where(known, value, -1.0)
        share = RESERVE_WITHOUT_CEILING
        if known.sum() / (LONGEST_UNCHECKED.days - RESERVE_DAYS) > share * self._budget:
            share = SMALL_RESERVE
        if not self._rule.knows:
            self._reserve(day, value, int(limit * share + (day * 0.618) % 1))
        first = np.argsort(-value, kind="stable")[:limit]
        chosen: Numbers = first[known[first]]
        return chosen

    def _weights(self, day: int, known: npt.NDArray[np.bool_]) -> Reals:
        if self._rule.knows:
            return self._world.popularity(day)
        mean = float(self._popularity[known].mean())
        is_new = day - self._world.base.released <= NEW_RELEASE_DAYS
        weight = POPULARITY_SHARE * self._popularity / mean + (1 - POPULARITY_SHARE)
        return weight * np.where(is_new, NEW_RELEASE_BOOST, 1.0)

    def _worth(self, x: Reals) -> Reals:
        if self._rule.has_feed:
            return np.interp(x, _KNOTS, _worths(self._feed.recall, self._feed.precision))
        plain: Reals = -np.expm1(-x) - x * np.exp(-x)
        return plain if self._rule.knows else plain + HARMONIC_SHARE * (x - np.log1p(x))

    def _reserve(self, day: int, value: Reals, places: int) -> None:
        """Make room for what was not checked for longest."""
        ids = np.arange(1, self._world.size + 1)
        long_ago = self._asked_once & (
            day - self._checked >= LONGEST_UNCHECKED.days - RESERVE_DAYS + ids % RESERVE_DAYS
        )
        oldest = np.flatnonzero(long_ago)
        oldest = oldest[np.argsort(self._checked[oldest], kind="stable")[:places]]
        value[oldest] = 1e12

    def _ask(self, movies: Numbers, day: int, rate: Reals, x: Reals, bucket_rate: Reals) -> None:
        differs = self._stored[:, movies] != self._true[:, movies]
        again = self._asked_once[movies]
        if again.any() and not self._rule.knows:
            self._learn(movies[again], differs[:, again], day, rate, x, bucket_rate)
        self._stored[:, movies] = self._true[:, movies]
        self._checked[movies], self._expected[movies], self._asked_once[movies] = day, 0.0, True
        self._of_evidence[:, movies] = 0.0
        self._votes_at[movies], self._rating_at[movies] = self._world.votes[day][movies], self._true[0][movies]

    def _learn(
        self, movies: Numbers, differs: npt.NDArray[np.bool_], day: int, rate: Reals, x: Reals, bucket_rate: Reals
    ) -> None:
        """As `refresh.learning.learn`, and into the log by which evidence is judged."""
        rest = differs[REST].any(axis=0)
        changed = differs.any(axis=0) if self._rule.counts_told else rest
        days, evidence = (day - self._checked[movies]).astype(np.float64), self._of_evidence[:, movies]
        untold = total = rate[movies] * days
        if self._rule.has_feed and not self._rule.judges_by_rest:
            untold, total = untold * (1 - self._feed.recall), x[movies]
            self._changes[movies] += evidence[0] * self._feed.precision
        self._exposure[movies] += bucket_rate[movies] * days
        self._changes[movies] += np.where(changed, untold / np.maximum(-np.expm1(-total), 1e-12), 0.0)
        judged = changed if self._rule.has_feed and not self._rule.judges_by_rest else rest
        self._log.append((day, np.array([judged, rate[movies], days, *evidence])))

    # Learning from all outcomes

    def _learn_all(self, day: int) -> None:
        self._recalibrate(day)
        if not self._log:
            return
        rows = np.concatenate([rows for at, rows in self._log if at > day - JUDGED_DAYS], axis=1)
        changed, rate, days, *evidence = rows
        match self._rule.reads:
            case "jumps":
                self._feed = Feed(*judge(_alike(changed, rate * days, evidence[0], days)))
            case "several":
                first = np.array([0.5, 0.3, 0.1])
                self._shares = fitted(np.array([rate * days, evidence[0], evidence[1]]), changed, first)
                self._shares[0] = max(0.02, self._shares[0])
            case "posterior":
                self._hazards = fitted(rate * np.array(evidence), changed, np.ones(CELLS))

    def _recalibrate(self, day: int) -> None:
        """As the platform: buckets by what their movies found, and exposures along with them."""
        bucket, size = self._bucket(day), len(_BUCKETS)
        exposures = np.bincount(bucket, self._exposure, size)
        changes = np.bincount(bucket, self._changes, size)
        keys = [(b.category, b.popularity_bucket) for b in _BUCKETS]
        by = corrections({key: (exposures[n], changes[n]) for n, key in enumerate(keys)})
        factors = np.array([by[key] for key in keys])
        self._bucket_rates *= factors
        self._exposure *= factors[bucket]

    def _measure(self, day: int) -> Reals:
        known = self._world.known(day)
        weight = self._world.popularity(day)[known]
        fresh = (self._stored == self._true)[:, known] & self._asked_once[known]
        rows = np.array([fresh.all(axis=0), fresh[REST].all(axis=0), *fresh])
        shares: Reals = (rows * weight).sum(axis=1) / weight.sum()
        return shares


@lru_cache(maxsize=4)
def _worths(recall: float, precision: float) -> Reals:
    """The platform's worth under a feed, at `_KNOTS`."""
    worth = Worth.under(Feed(recall, precision))
    return np.array([worth.of(knot) for knot in _KNOTS])


def fitted(parts: Reals, changed: Reals, first: Reals) -> Reals:
    """What each part of what was expected is worth, such that 1 − e^−sum tells best what was found.

    Args:
        parts: a row a part (days by rate, signals …), a column a check.
        changed: of each check, 1 if something had changed.
        first: the worth that is believed at first, as strongly as by `PRIOR` expected changes.
    """
    share = first.copy()
    weight = PRIOR / np.maximum(first, 1e-9)
    for _ in range(60):
        expected = np.maximum(share @ parts, 1e-12)
        found = share * (parts @ (changed / -np.expm1(-expected)))
        share = (first * weight + found) / (weight + parts.sum(axis=1))
    return share


def _alike(changed: Reals, expected: Reals, signals: Reals, days: Reals) -> list[Evidence]:
    """Checks by signals and by what was expected of them, as the fetch log is read."""
    counts = (signals > 0) | (days >= 7)
    kinds = np.minimum(signals, 8) * 1000 + np.round(2 * np.log2(np.maximum(expected, 1e-9)))
    found = []
    for kind in np.unique(kinds[counts]):
        rows = counts & (kinds == kind)
        told = int(min(signals[rows][0], 8))
        found.append(Evidence(told, int(rows.sum()), int(changed[rows].sum()), float(expected[rows].sum()), 0.0))
    return found


def bound(world: OmdbWorld, budget: float) -> float:
    """What no rule surpasses by weight, of what is not in the file, even if it knows all attention."""
    seen = cast("World", AsOneSource(world, knows_attention=True))
    requests = budget * table_spends(world.base, SOURCE) * world.days
    return without_feed(seen, Copy(world.base, SOURCE), requests).weighted


def figures(world: OmdbWorld, rule: Rule, budget: float) -> Reals:
    """What a rule achieves: shares by popularity over all days, of whole answers, of the rest, and of each group."""
    return Asking(world, rule, budget).freshness()


def compare(name: str, movies: int, days: int, seeds: Sequence[int], budgets: Sequence[float]) -> None:
    """Print what each rule achieves in a world."""
    worlds = [OmdbWorld(movies, days, seed, COUPLINGS[name]) for seed in seeds]
    for budget in budgets:
        print(f"\n{f'{name}, {budget:g}×':26} " + " ".join(f"{part:>8}" for part in ("whole", "rest", *GROUPS)))
        for rule in RULES:
            shares = np.mean([figures(world, rule, budget) for world in worlds], axis=0)
            print(f"{rule.name:26} " + " ".join(f"{share:8.4f}" for share in shares), flush=True)
        most = np.mean([bound(world, budget) for world in worlds])
        print(f"{'no rule surpasses':26} {'':8} {most:8.4f}", flush=True)


def main() -> int:
    """Compare the rules in the worlds that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--world", action="append", choices=COUPLINGS)
    parser.add_argument("--movies", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--budget", type=float, action="append")
    told = parser.parse_args()
    for name in told.world or COUPLINGS:
        compare(name, told.movies, told.days, told.seed or SEEDS, told.budget or BUDGETS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
