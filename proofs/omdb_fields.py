"""A modelled OMDb whose fields change in groups, and what other sources tell of it meanwhile. Decides nothing.

For `proofs.omdb_evidence`. Movies, popularity and the rate at which each changes are those of `simulation.world`; here
a rate is parted among the groups, and rises while a movie has attention (a re-release, a prize, a stream), which also
brings votes at IMDb, changes at TMDB, and popularity. How much of it all is owed to attention is the world's coupling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.world import NOTHING, Events, Numbers, Reals, World

GROUPS = ("imdb", "critics", "money", "awards", "texts")
"""`imdb` is the rating that IMDb's file tells too; critics are Metascore and Rotten Tomatoes; texts hold credits."""
REST = slice(1, None)
"""The groups that IMDb's file does not tell."""
DELAY_DAYS = 14
"""Within so many days after a change at TMDB, OMDb's texts may follow."""
NEW_VOTES_TIMES, NEW_VOTES_DAYS = 9.0, 60.0
"""At release votes grow so many times as fast besides, which fades in so many days."""
USUAL_VOTES, MOST_VOTES = 2_000, 5_000_000
WINTER = (305, 90)
"""Days of a year from which and up to which prizes are told."""


@dataclass(frozen=True)
class Coupling:
    """Which share of the changes of each kind is owed to attention, from 0 to 1."""

    imdb: float = 0.6
    votes: float = 0.7
    critics: float = 0.4
    money: float = 0.5
    awards: float = 0.3
    texts: float = 0.3
    tmdb: float = 0.4
    popularity: float = 0.5
    texts_after_tmdb: float = 0.3
    """Share of the changes of texts that follow one at TMDB."""
    apart: float = 0.5
    """Spread of ln(rate) of each group on its own: whose rating moves often need not have texts that do."""
    attention_share: float = 0.08
    """How much of the time a movie has attention."""
    attention_days: float = 21.0
    """How long at once, on average."""
    votes_a_change: float = 0.1
    """Growth of the votes, as a share, that goes with one expected change of any kind."""


NONE = Coupling(0, 0, 0, 0, 0, 0, 0, 0, 0)
COUPLINGS: Mapping[str, Coupling] = {
    "default": Coupling(),
    "none": NONE,
    "only_imdb": replace(NONE, imdb=0.9, votes=0.9, popularity=0.5),
    "strong": Coupling(*(0.9,) * 8, 0.5),
    "tmdb": replace(Coupling(), texts=0.2, texts_after_tmdb=0.9),
    "together": replace(Coupling(), apart=0.0),
    "apart": replace(Coupling(), apart=1.2),
    "telling": Coupling(*(0.95,) * 8, 0.3, attention_share=0.03, attention_days=5, votes_a_change=0.5),
}
"""Worlds: about half of it owed to attention; nothing; IMDb's votes and rating alone; nearly all; texts that follow
TMDB's; groups that all change at their movie's pace, and each at its own; short attention that votes tell of."""


class OmdbWorld:
    """Invented movies at OMDb.

    Args:
        movies: known on the first day.
        days: how long the world lasts.
        seed: the same arguments give the same world.
        coupling: what is owed to attention.
    """

    def __init__(self, movies: int, days: int, seed: int, coupling: Coupling) -> None:
        self.base = World(Assumptions(movies=movies), days, seed)
        self.size, self.days, self.seed, self.coupling = self.base.size, days, seed, coupling
        self.known, self.known_from, self.popularity = self.base.known, self.base.known_from, self.base.popularity
        draw = np.random.default_rng([seed, 11])
        fame = self.popularity(10**6)  # without the interest in what is new
        self._earns = fame > np.quantile(fame, 0.7)
        own = draw.standard_normal((len(GROUPS), self.size)) * coupling.apart - coupling.apart**2 / 2
        self._own: Reals = np.exp(own)
        """A row a group: how many times as often as its movie it changes."""
        self._with_attention = self._draw_attention(draw)
        self._draw_history(draw, USUAL_VOTES * fame)

    def _draw_attention(self, draw: np.random.Generator) -> npt.NDArray[np.bool_]:
        """A row a day: which movies have attention. Two states, with no memory but the state itself."""
        ends, share = 1 / self.coupling.attention_days, self.coupling.attention_share
        begins = ends * share / (1 - share)
        rows = [draw.random(self.size) < share]
        for _ in range(1, self.days):
            chance = draw.random(self.size)
            rows.append(np.where(rows[-1], chance >= ends, chance < begins))
        return np.array(rows)

    def _times(self, day: int, owed: float) -> Reals:
        """By how much what is owed to attention by a share is more or less often than on average."""
        return np.where(self._with_attention[day], 1 - owed + owed / self.coupling.attention_share, 1 - owed)

    def _shares(self, day: int) -> Reals:
        """A row a group: its share of a movie's changes on a day, whatever the attention."""
        age = np.maximum(day - self.base.released, 0)
        date = day % 365
        winter = date >= WINTER[0] or date < WINTER[1]
        young = np.where(age < 730, 0.10, 0.03)
        return np.array(
            [
                np.full(self.size, 0.40),
                0.03 + 0.22 * np.exp(-age / 365),
                np.where(self._earns, 0.02 + 0.28 * np.exp(-age / 180), 0.0),
                young * (2.2 if winter else 0.15),
                np.full(self.size, 0.25),
            ]
        )

    def rates_by_group(self, day: int, *, knows_attention: bool) -> Reals:
        """A row a group: true changes a day, as they are, or as they are on average over attention."""
        rates = self._shares(day) * self._own * self.base.rates(day)
        follow = self.coupling.texts_after_tmdb
        if not knows_attention:
            return rates
        after = follow * rates[-1] / np.maximum(self.base.rates(day), 1e-12) * self._recent_at_tmdb(day) / DELAY_DAYS
        rates[-1] *= 1 - follow
        for group, name in enumerate(GROUPS):
            rates[group] *= self._times(day, getattr(self.coupling, name))
        rates[-1] += after
        return rates

    def _recent_at_tmdb(self, day: int) -> Reals:
        return np.sum(self._at_tmdb[max(0, day - DELAY_DAYS) : day], axis=0, dtype=np.float64) + (
            max(0, DELAY_DAYS - day) * self.base.rates(0)
        )

    def _draw_history(self, draw: np.random.Generator, votes: Reals) -> None:
        """All changes, the votes, what TMDB's feed tells, and popularity as heard: a row a day each."""
        self._at_tmdb: list[Numbers] = []
        self.changes: list[Numbers] = []
        """By day, a row a group: changes of each movie."""
        self.votes: list[Reals] = []
        """By day, at its beginning: IMDb's votes, as its file of the day tells them."""
        self.tmdb_signals: list[Numbers] = []
        """By day, at its beginning: signals of TMDB's feed of the day before."""
        self.heard_popularity: list[Reals] = []
        told: Numbers = np.zeros(self.size, np.int64)
        for day in range(self.days):
            known, rates = self.known(day), self.base.rates(day)
            self.votes.append(votes.copy())
            self.tmdb_signals.append(told)
            noise = np.exp(0.15 * draw.standard_normal(self.size))
            self.heard_popularity.append(self.popularity(day) * noise * self._times(day, self.coupling.popularity / 4))
            self.changes.append(draw.poisson(np.where(known, self.rates_by_group(day, knows_attention=True), 0.0)))
            at_tmdb = draw.poisson(np.where(known, rates * self._times(day, self.coupling.tmdb), 0.0))
            self._at_tmdb.append(at_tmdb)
            told = draw.binomial(at_tmdb, 0.9) + draw.poisson(np.where(known, rates * 0.9, 0.0))
            youth = 1 + NEW_VOTES_TIMES * np.exp(-np.maximum(day - self.base.released, 0) / NEW_VOTES_DAYS)
            a_change = self.coupling.votes_a_change * youth
            growth = np.minimum(a_change * rates * self._times(day, self.coupling.votes), 0.3)
            votes = np.minimum(votes + draw.poisson(votes * growth), MOST_VOTES)


@dataclass(frozen=True)
class AsOneSource:
    """The world as `simulation.bounds` wants it: one rate a movie, that of the groups which IMDb's file does not tell.

    Its bound holds for whoever asks by rates: with `knows_attention` for all evidence that is read, without for none.
    """

    world: OmdbWorld
    knows_attention: bool

    def __getattr__(self, name: str) -> object:
        return getattr(self.world, name)

    def rates(self, day: int) -> Reals:
        """Changes a day of what is not in the file."""
        rates: Reals = self.world.rates_by_group(day, knows_attention=self.knows_attention)[REST].sum(axis=0)
        return rates

    def changes(self, day: int) -> Events:
        """What of it changes on a day."""
        times = self.world.changes[day][REST].sum(axis=0)
        movies = np.flatnonzero(times)
        return Events(movies, times[movies]) if len(movies) else NOTHING
