"""The generated movies as columns of numbers, and the days on which each changes. No texts, JSON or dates.

Days are whole numbers counted from the catalogue's epoch, which this module never learns. What is needed to
list and search (ids, release days, votes) is stored in arrays, about 40 bytes a movie; everything else
follows from hashes.

Changes are a Poisson process whose rate depends on the movie's age and on a factor of its own. It is drawn in
the time of the accumulated rate: a movie's first change comes when its accumulated rate passes an
exponentially distributed threshold. So one comparison tells that a movie has not changed, however far the
clock moves.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Literal, NamedTuple

Source = Literal["tmdb", "omdb"]

NO_DATE = -(2**31)
"""Stands in the release column for a movie without a release date."""
FIRST_DAY = -30
"""Changes are known from here on, so that a change feed has something to say on the first day."""
MUCH_APPEAL = 300
"""Votes of a film that is well known: half of them have more."""
APPEAR_DAYS = 730
"""New movies are created on the days 1 to this one."""

_OLDEST_AGE = 38_700
_OFFSET = 1_600
_UNDATED_AGE = 4_000
_MASK = (1 << 64) - 1
_IMDB_PRIME = 12_000_017
_IMDB_STEP = 7_654_321
_IMDB_STEP_INVERSE = pow(_IMDB_STEP, -1, _IMDB_PRIME)
_IMDB_FIRST = 10_007
_OMDB_PACE = 0.7
_CALENDAR_DAYS = 32
_CALENDAR_BLOCKS = 24

TMDB_ODDITIES = (
    "overview_null",
    "overview_empty",
    "runtime_null",
    "runtime_zero",
    "genres_empty",
    "extra_keys",
    "missing_keys",
    "no_origin_country",
    "imdb_id_empty",
)
OMDB_ODDITIES = (
    "omdb_not_available",
    "omdb_huge_numbers",
    "omdb_short_box_office",
    "omdb_year_range",
    "omdb_control_characters",
    "omdb_illegal_escape",
    "omdb_missing_keys",
    "omdb_not_held",
)


class Change(NamedTuple):
    """One relevant change: the day, the field, and how many changes of that field this makes (1, 2, …)."""

    day: int
    field: str
    revision: int


def mix(*numbers: int) -> int:
    """A hash of integers, evenly spread over 0 … 2**64 - 1; the same in every process (SplitMix64)."""
    x = 0x9E3779B97F4A7C15
    for n in numbers:
        x = (x ^ n) * 0xBF58476D1CE4E5B9 & _MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK
        x ^= x >> 31
    return x


def fraction(*numbers: int) -> float:
    """The same hash as a number in (0, 1]."""
    return (mix(*numbers) + 1) / 2**64


@lru_cache(maxsize=1)
def _accumulated_rate() -> list[float]:
    """Expected number of changes of an average movie up to each age in days; index 0 is age -_OFFSET."""
    total, out = 0.0, []
    for age in range(-_OFFSET, 60_000):
        if age < 0:
            rate = 0.009 + 0.09 * math.exp(age / 90)
        else:
            rate = 0.14 * math.exp(-age / 110) + 0.008 * math.exp(-age / 420) + 0.0003
        total += rate
        out.append(total)
    return out


class Population:
    """The movies of a catalogue, numbered 0 … size - 1 in the order of their TMDB ids.

    Args:
        size: number of movies, 1 to 1,000,000.
        seed: the same size, seed and oddities give the same population.
        oddities: share (0 to 1) of movies with values as odd as real answers have them.
    """

    def __init__(self, size: int, seed: int, oddities: float) -> None:
        self.size, self.seed, self.oddities = size, seed, oddities
        rng = random.Random(mix(seed, size))
        self.tmdb_ids = array("q")
        """TMDB's number of each movie, ascending."""
        self.release = array("i")
        """Day of release as first announced, or NO_DATE."""
        self.appeal = array("f")
        """Number of votes the movie has when interest in it has ended."""
        self.fame = array("f")
        """Popularity of the movie long after its release."""
        self._pace = array("f")
        self._first_change = array("f")
        self._rate = _accumulated_rate()
        self._draw_columns(rng)
        self.created: dict[int, int] = {}
        """Day on which a movie appears, for those that appear after the epoch."""
        self.deleted: dict[int, int] = {}
        """Day from which a movie is gone, for those that ever go."""
        self.moves: dict[int, tuple[int, int]] = {}
        """Movies whose release date moves: the day of the announcement, and the new date."""
        self.late_imdb: dict[int, int] = {}
        """Day on which TMDB learns the movie's IMDb id, for those that get it late."""
        self.mistaken: dict[int, int] = {}
        """Movies whose IMDb id at TMDB is another film's: that film, by whose description OMDb answers."""
        self._draw_lives(rng)
        self._calendar: OrderedDict[int, list[list[int]]] = OrderedDict()
        self._lock = Lock()

    def _draw_columns(self, rng: random.Random) -> None:
        uniform, gauss, exponential = rng.random, rng.gauss, rng.expovariate
        number, exp = 2, math.exp
        for _ in range(self.size):
            number += 1 + int(exponential(1.6))
            self.tmdb_ids.append(number)
            self.release.append(_release_day(uniform))
            heat = gauss(0.0, 1.0)
            self.appeal.append(exp(5.80 + 1.7 * heat))
            self.fame.append(0.6 * exp(0.75 * heat + 0.45 * gauss(0.0, 1.0)))
            # Log-normal with mean 1: most movies change seldom, a few change all the time.
            pace = exp(gauss(-0.72, 1.2))
            self._pace.append(pace)
            self._first_change.append(exponential(1.0) / pace)

    def _draw_lives(self, rng: random.Random) -> None:
        """Decide which movies appear, disappear, lose their date, move it, or get their IMDb id late."""
        size = self.size
        newcomers = max(1, round(0.02 * size)) if size >= 50 else 0
        settled = size - newcomers
        days = sorted(rng.randint(1, APPEAR_DAYS) for _ in range(newcomers))
        for i, day in zip(range(settled, size), days, strict=True):
            self.created[i] = day
            # What is created is mostly still to come; every fourth is an old film that nobody had entered
            # yet.
            if rng.random() < 0.75:
                self.release[i] = min(day + rng.randint(-30, 400), 730)
        undated = set(rng.sample(range(size), round(0.005 * size)))
        for i in undated:
            self.release[i] = NO_DATE
        for k, i in enumerate(rng.sample(range(settled), round(0.003 * size))):
            self.deleted[i] = rng.randint(30, 380) if k == 0 else rng.randint(1, 700)
        moving = max(2 * int(size >= 200), round(0.005 * size))
        drawn = rng.sample(range(settled), min(settled, moving + 5))
        movers = [i for i in drawn if i not in undated and i not in self.deleted][:moving]
        for k, i in enumerate(movers):
            self.moves[i] = _move(rng, self.release[i], far=k % 2 == 0)
        for i in rng.sample(range(settled), round(0.005 * size)):
            if i not in self.deleted:
                self.late_imdb[i] = rng.randint(5, 395)
        self.first_newcomer = settled
        if self.oddities:
            self._draw_mistakes(rng)

    def _draw_mistakes(self, rng: random.Random) -> None:
        """Decide which IMDb ids are wrong: of known films that nothing else happens to, one of 300, and at least one.

        It is drawn last: all else is as it would be without.
        """
        eventful = {*self.created, *self.deleted, *self.moves, *self.late_imdb}
        quiet = [
            i
            for i, release in enumerate(self.release)
            if NO_DATE < release <= FIRST_DAY and self.appeal[i] >= MUCH_APPEAL and i not in eventful
        ]
        able = [i for i in quiet if self.imdb_id(i) is not None and self.oddity(i) is None]
        wrong = rng.sample(able, min(len(able), max(int(self.size >= 200), round(self.size / 300))))
        for i in wrong:
            other = rng.choice(quiet)
            if other != i:
                self.mistaken[i] = other

    # What holds on a day

    def index(self, tmdb_id: int) -> int | None:
        """Number of the movie with this TMDB id, whether or not it exists yet; None when there is none."""
        i = bisect_left(self.tmdb_ids, tmdb_id)
        return i if i < self.size and self.tmdb_ids[i] == tmdb_id else None

    def index_by_imdb(self, imdb_id: str) -> int | None:
        """Number of the movie with this IMDb id (as OMDb knows it); None when there is none."""
        if not (imdb_id.startswith("tt") and imdb_id[2:].isascii() and imdb_id[2:].isdigit()):
            return None
        i = (int(imdb_id[2:]) - _IMDB_FIRST) * _IMDB_STEP_INVERSE % _IMDB_PRIME
        return i if i < self.size and self.imdb_id(i) == imdb_id else None

    def imdb_id(self, i: int) -> str | None:
        """The movie's IMDb id, tt and 7 or 8 digits; None for the 4 % without one."""
        if i not in self.late_imdb and fraction(self.seed, 11, i) <= 0.04:
            return None
        return f"tt{_IMDB_FIRST + i * _IMDB_STEP % _IMDB_PRIME:07d}"

    def exists(self, i: int, day: int) -> bool:
        """Whether TMDB has the movie on that day."""
        created, deleted = self.created.get(i), self.deleted.get(i)
        return (created is None or created <= day) and (deleted is None or day < deleted)

    def release_on(self, i: int, day: int) -> int:
        """Release day as announced on `day`, or NO_DATE."""
        move = self.moves.get(i)
        return move[1] if move is not None and move[0] <= day else self.release[i]

    def status_on(self, i: int, day: int) -> str:
        """TMDB's status. An undated movie is called Released, as the real records are when they are new."""
        release = self.release_on(i, day)
        left = release - day
        if release == NO_DATE or left <= 0:
            return "Released"
        if left <= 120:
            return "Post Production"
        if left <= 400:
            return "In Production"
        return "Planned" if left <= 600 else "Rumored"

    def votes_on(self, i: int, day: int) -> int:
        """Number of TMDB votes; drifts daily once the movie is out."""
        release = self.release_on(i, day)
        age = day - release if release != NO_DATE else 400
        if age <= 0:
            return i % 3
        growth = 1 + max(day, 0) * 1e-4
        return int(self.appeal[i] * growth * age / (age + 60.0)) + (i * 7 + day * 5) % 3

    def popularity_on(self, i: int, day: int) -> float:
        """TMDB's popularity; drifts daily."""
        release = self.release_on(i, day)
        age = abs(day - release) if release != NO_DATE else 4_000
        return round(self.fame[i] * (0.85 + (i * 11 + day * 7) % 31 * 0.01) * (1.0 + 500.0 / (60 + age)), 4)

    def oddity(self, i: int) -> str | None:
        """Name of what is odd about the movie (of TMDB_ODDITIES or OMDB_ODDITIES), or None.

        Oddities that would hide a change are given only to movies for which they cannot.
        """
        if fraction(self.seed, 12, i) > self.oddities:
            return None
        names = TMDB_ODDITIES + OMDB_ODDITIES
        name = names[mix(self.seed, 13, i) % len(names)]
        settled = self.release[i] <= FIRST_DAY and i not in self.moves
        has_imdb = self.imdb_id(i) is not None
        if name == "imdb_id_empty":
            return None if has_imdb else name
        if name.startswith("runtime") or name in ("omdb_not_available", "omdb_missing_keys"):
            return name if settled else None
        return name if has_imdb or name in TMDB_ODDITIES else None

    # What changes when

    def changes(self, i: int, source: Source, day: int) -> list[Change]:
        """The relevant changes of the movie up to and including `day`, in order; at most one a day and field.

        The creation of a movie is its first change at TMDB. Nothing changes after the deletion. At OMDb a
        movie that it does not hold never changes.
        """
        last = min(day, self.deleted.get(i, day + 1) - 1)
        if source == "omdb" and (self.imdb_id(i) is None or self.oddity(i) == "omdb_not_held"):
            return []
        dated = [(when, self._field(i, source, k, when)) for when, k in self._random_days(i, source, last)]
        fixed = self._tmdb_milestones(i, last) if source == "tmdb" else self._omdb_milestones(i, last)
        if fixed:
            dated = sorted([*dated, *fixed])
        counts: dict[str, int] = {}
        out = []
        for when, field in dated:
            counts[field] = counts.get(field, 0) + 1
            out.append(Change(when, field, counts[field]))
        return out

    def changed_in(self, first: int, last: int) -> list[int]:
        """Numbers of the movies with a change at TMDB on the days first … last, ascending."""
        found: set[int] = set()
        for day in range(first, last + 1):
            block, k = divmod(day, _CALENDAR_DAYS)
            found.update(self._calendar_block(block)[k])
        return sorted(found)

    def _anchor(self, i: int) -> int:
        """Day that counts as age 0 in the accumulated rate."""
        release = self.release[i]
        return release if release != NO_DATE else -_UNDATED_AGE

    def _start(self, i: int) -> int:
        return max(FIRST_DAY, self.created.get(i, FIRST_DAY))

    def _random_days(self, i: int, source: Source, last: int) -> list[tuple[int, int]]:
        """Days of the changes that come by chance, each with the number of its draw."""
        rate, start = self._rate, self._start(i)
        if last <= start:
            return []
        shift = _OFFSET - self._anchor(i)
        final = min(last + shift, len(rate) - 1)
        before = rate[start + shift]
        limit = rate[final] - before
        tmdb = source == "tmdb"
        pace = self._pace[i] if tmdb else self._pace[i] * _OMDB_PACE
        need = self._first_change[i] if tmdb else -math.log(fraction(self.seed, 21, i, 0)) / pace
        out, k, previous = [], 1, start
        while need <= limit:
            day = bisect_left(rate, before + need, start + shift, final + 1) - shift
            # Changes of the same day arrive as one, so that a version is a day's state.
            if day > previous:
                out.append((day, k))
                previous = day
            need -= math.log(fraction(self.seed, 20 if tmdb else 21, i, k)) / pace
            k += 1
        return out

    def _field(self, i: int, source: Source, k: int, day: int) -> str:
        release = self.release_on(i, day)
        out = release == NO_DATE or release <= day
        fields = _FIELDS[source, out]
        return fields[mix(self.seed, 30 if source == "tmdb" else 31, i, k) % len(fields)]

    def _tmdb_milestones(self, i: int, last: int) -> list[tuple[int, str]]:
        out: list[tuple[int, str]] = []
        created, late, move = self.created.get(i), self.late_imdb.get(i), self.moves.get(i)
        if created is not None and created <= last:
            out.append((created, "created"))
        if late is not None and late <= last:
            out.append((late, "imdb_id"))
        if move is not None and move[0] <= last:
            out.append((move[0], "release_date"))
        start = self._start(i)
        if self.release[i] <= start and move is None:
            return out
        candidates = {self.release[i] - left for left in (600, 400, 120, 0)}
        if move is not None:
            candidates |= {move[1] - left for left in (600, 400, 120, 0)} | {move[0]}
        for day in candidates:
            if start < day <= last and self.status_on(i, day) != self.status_on(i, day - 1):
                out.append((day, "status"))
        return out

    def _omdb_milestones(self, i: int, last: int) -> list[tuple[int, str]]:
        start, move = self._start(i), self.moves.get(i)
        if self.release[i] <= start and move is None:
            return []
        days = {self.release[i]} if move is None or self.release[i] < move[0] else set()
        if move is not None:
            days |= {move[0], move[1]} if move[1] > move[0] else {move[0]}
        return [(day, "released") for day in days if start < day <= last]

    def _calendar_block(self, block: int) -> list[list[int]]:
        with self._lock:
            found = self._calendar.get(block)
            if found is None:
                found = self._calendar[block] = self._build_block(block)
                while len(self._calendar) > _CALENDAR_BLOCKS:
                    self._calendar.popitem(last=False)
            return found

    def _build_block(self, block: int) -> list[list[int]]:
        first = block * _CALENDAR_DAYS
        last = first + _CALENDAR_DAYS - 1
        days: list[list[int]] = [[] for _ in range(_CALENDAR_DAYS)]
        for i in self._candidates(first, last):
            final = min(last, self.deleted.get(i, last + 1) - 1)
            changed = {day for day, _ in self._random_days(i, "tmdb", final)}
            changed.update(day for day, _ in self._tmdb_milestones(i, final))
            for day in changed:
                if day >= first:
                    days[day - first].append(i)
        return days

    def _candidates(self, first: int, last: int) -> list[int]:
        """Movies that may change within the days: a quick scan, which lets through too many."""
        if last <= FIRST_DAY:
            return []
        rate, threshold, before = self._rate, self._first_change, FIRST_DAY
        top = len(rate) - 1
        special = self.moves.keys() | self.late_imdb.keys() | self.created.keys()
        found = set(special)
        for i, release in enumerate(self.release):
            if release > before:
                found.add(i)
                continue
            shift = _OFFSET - (release if release != NO_DATE else -_UNDATED_AGE)
            if rate[min(last + shift, top)] - rate[before + shift] >= threshold[i]:
                found.add(i)
        return sorted(found)


_FIELDS: dict[tuple[Source, bool], tuple[str, ...]] = {
    ("tmdb", True): (
        *("overview", "overview", "tagline", "keywords", "keywords", "revenue", "revenue", "revenue"),
        *("budget", "budget", "runtime", "homepage", "poster_path"),
    ),
    ("tmdb", False): (
        "overview",
        "overview",
        "tagline",
        "keywords",
        "budget",
        "runtime",
        "homepage",
        "poster_path",
    ),
    ("omdb", True): (
        "imdb_rating",
        "imdb_rating",
        "metascore",
        "rotten",
        "box_office",
        "box_office",
        "awards",
        "plot",
    ),
    ("omdb", False): ("plot", "awards"),
}


def _release_day(uniform: Callable[[], float]) -> int:
    """A release day: 3 % still to come, 23 % more than 25 years ago, the earliest 106 years ago."""
    kind, u = uniform(), uniform()
    if kind < 0.03:
        return 1 + int(729 * u**1.8)
    if kind < 0.77:
        return -int(9_130 * u**1.25)
    return -9_130 - int((_OLDEST_AGE - 9_130) * u**1.6)


def _move(rng: random.Random, release: int, *, far: bool) -> tuple[int, int]:
    """The day on which a release date moves, and the new date: in another year when it moves far."""
    day = rng.randint(5, 395)
    step = 366 if far else rng.randint(7, 60)
    # What is out stays out: its date is corrected to an earlier one. What is to come is put off.
    return day, (release - step if release <= day else release + step)
