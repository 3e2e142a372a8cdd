"""What Wikidata would state of the invented movies: items, their ids, statements of money. No query language, no HTTP.

An item follows from the movie's number, so that nothing is stored but a column of item numbers. The shares are those
that were measured on real statements where such figures are known (a fifth of the movies with a box office, a sixth of
it domestic), and guesses that make rare things occur elsewhere.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

from ayne_dagster.standin.bodies import BodyWriter
from ayne_dagster.standin.population import NO_DATE, Population, fraction, mix

USD, AUD, GBP, EUR, JPY, NO_UNIT, UNKNOWN_UNIT = "Q4917", "Q259502", "Q25224", "Q4916", "Q8146", "Q199", "Q999999999"
WORLDWIDE, UNITED_STATES, AUSTRALIA, UNITED_KINGDOM = "Q13780930", "Q30", "Q408", "Q145"
NORMAL, PREFERRED, DEPRECATED = "NormalRank", "PreferredRank", "DeprecatedRank"
GROSS, COST, BUDGET = "P2142", "P2130", "P2769"
UNKNOWN = "unknown"
"""An amount that somebody has stated to be unknown."""

_FIRST_OWN, _FIRST_SECOND = 200_000_000, 300_000_000
"""Item numbers of movies whose item TMDB does not name (rightly), and of second items of the same film."""
_GROWING_DAYS = 120
_KINDS = (
    (0.17, "domestic"),
    (0.27, "pair"),
    (0.37, "several weeks"),
    (0.40, "preferred"),
    (0.42, "deprecated"),
    (0.49, "foreign"),
    (0.50, "no unit"),
    (0.505, "unknown value"),
    (0.515, "with decimals"),
    (0.52, "in millions"),
    (0.53, "two places"),
    (0.54, "part"),
    (1.0, "plain"),
)
"""Up to which share of the movies with a box office its statements are of which kind."""
_FOREIGN = (
    (AUD, AUSTRALIA, 40), (AUD, AUSTRALIA, 40), (GBP, UNITED_KINGDOM, 20), (AUD, AUSTRALIA, 40), (EUR, "Q183", 20),
    (JPY, "Q17", 1), (UNKNOWN_UNIT, "Q38", 20),
)  # fmt: skip
"""Currency, country, and which part of the worldwide figure it is."""
_WRITTEN: dict[str, Callable[[int], str]] = {
    "unknown value": lambda amount: UNKNOWN,
    "with decimals": lambda amount: f"{amount}.73",
    "in millions": lambda amount: f"{amount / 1_000_000:.3f}",
}
_WELL_KNOWN = {24871: 2_900_000_000, 44578: 2_200_000_000}
"""Items outside the catalogue that whoever asks whether Wikidata works at all may ask for; amounts are invented."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement."""

    ref: str
    """Its local name."""
    property: str
    amount: str
    """Digits, or UNKNOWN."""
    unit: str = USD
    rank: str = NORMAL
    places: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An item that exists."""

    number: int
    imdb_ids: tuple[str, ...] = ()
    tmdb_id: int | None = None
    claims: tuple[Claim, ...] = field(default=())


class ItemWriter:
    """Writes the items of a population's movies.

    Args:
        population: the movies.
        bodies: what TMDB and OMDb say of them, near which most statements are.
    """

    def __init__(self, population: Population, bodies: BodyWriter) -> None:
        self._movies, self._bodies = population, bodies
        self._item = lru_cache(maxsize=4_096)(self._made)

        @lru_cache(maxsize=1)
        def numbered() -> tuple[array[int], array[int]]:
            order = sorted(range(population.size), key=bodies.item_number)
            return array("q", map(bodies.item_number, order)), array("i", order)

        self._numbered = numbered

    def by_number(self, number: int, day: int) -> Item | None:
        """The item with a number; None where there is none, or where it has been merged into another."""
        if number in _WELL_KNOWN:
            claim = Claim(f"q{number}-KNOWN-0000", GROSS, str(_WELL_KNOWN[number]), places=(WORLDWIDE,))
            return Item(number, claims=(claim,))
        if number >= _FIRST_SECOND:
            found = self._second(number - _FIRST_SECOND, day)
        elif number >= _FIRST_OWN:
            found = self._item(number - _FIRST_OWN, day)
        else:
            numbers, movies = self._numbered()
            place = bisect_left(numbers, number)
            found = None
            while found is None and place < len(numbers) and numbers[place] == number:
                found = self._item(movies[place], day)
                place += 1
        return found if found is not None and found.number == number else None

    def by_imdb_id(self, imdb_id: str, day: int) -> Iterator[Item]:
        """The items that have an IMDb id."""
        i = self._movies.index_by_imdb(imdb_id)
        for item in (self._item(i, day), self._second(i, day)) if i is not None else ():
            if item is not None and imdb_id in item.imdb_ids:
                yield item

    def by_tmdb_id(self, tmdb_id: int, day: int) -> Iterator[Item]:
        """The items that have a TMDB id."""
        i = self._movies.index(tmdb_id)
        item = self._item(i, day) if i is not None else None
        if item is not None and item.tmdb_id == tmdb_id:
            yield item

    def _made(self, i: int, day: int) -> Item | None:
        """The item of a movie; None for those that have none, or not yet."""
        movies = self._movies
        if not 0 <= i < movies.size or movies.created.get(i, day) > day:
            return None
        chance = fraction(movies.seed, 60, i)
        named = self._bodies.names_item(i)
        if chance > (0.98 if named else 0.45):
            return None
        merged = named and chance < 0.02
        number = self._bodies.item_number(i) if named and not merged else _FIRST_OWN + i
        return Item(number, self._imdb_ids(i), self._tmdb_id(i), tuple(self._claims(i, number, day)))

    def _second(self, i: int, day: int) -> Item | None:
        """A second item that somebody has made of the same film."""
        first = self._item(i, day)
        if first is None or fraction(self._movies.seed, 61, i) > 0.01:
            return None
        claims = tuple(self._claims(i, _FIRST_SECOND + i, day)[:1])
        return Item(_FIRST_SECOND + i, first.imdb_ids, None, claims if i % 2 else ())

    def _imdb_ids(self, i: int) -> tuple[str, ...]:
        imdb_id = self._movies.imdb_id(i)
        if imdb_id is None or fraction(self._movies.seed, 62, i) > 0.95:
            return ()
        # A hundredth has a second one, of a version that is no movie of the catalogue.
        return (imdb_id, f"tt{99_000_000 + i}") if fraction(self._movies.seed, 63, i) < 0.01 else (imdb_id,)

    def _tmdb_id(self, i: int) -> int | None:
        return self._movies.tmdb_ids[i] if fraction(self._movies.seed, 64, i) < 0.7 else None

    # Statements

    def _claims(self, i: int, number: int, day: int) -> list[Claim]:
        claims: list[Claim] = []
        if fraction(self._movies.seed, 65, i) < 0.5 and (worldwide := self.worldwide(i, day)):
            claims += self._gross(i, number, worldwide, self.domestic(i, day), day)
        budget = self._bodies.facts(i).budget
        if budget and fraction(self._movies.seed, 66, i) < 0.47:
            chance = fraction(self._movies.seed, 67, i)
            written = str(budget)
            if chance > 0.99:
                written = f"{budget / 1_000_000:g}"  # the millions were left out
            ref = _ref(number, 20)
            claims.append(Claim(ref, BUDGET if chance < 0.02 else COST, written, EUR if 0.05 < chance < 0.08 else USD))
        return claims

    def worldwide(self, i: int, day: int) -> int:
        """What a movie has grossed in all the world: TMDB's figure, in steps of a week while it is in cinemas."""
        return self._so_far(i, int(self._bodies.details(i, day, frozenset())["revenue"]), day)

    def domestic(self, i: int, day: int) -> int:
        """What it has grossed in the United States and Canada: OMDb's figure, where it has one."""
        if self._movies.imdb_id(i) is not None:
            written = self._bodies.omdb(i, day).get("BoxOffice", "N/A")
            if re.fullmatch(r"\$[0-9,]+", written):
                return self._so_far(i, int(written[1:].replace(",", "")), day)
        return int(self.worldwide(i, day) * self._bodies.facts(i).domestic_share)

    def _so_far(self, i: int, total: int, day: int) -> int:
        """What of a total somebody has entered by now: a step a week, in the first months."""
        release = self._movies.release_on(i, day)
        age = _GROWING_DAYS if release == NO_DATE else max(0, day - release)
        return total * (min(age, _GROWING_DAYS) // 7 + 1) // (_GROWING_DAYS // 7 + 1)

    def _gross(self, i: int, number: int, worldwide: int, domestic: int, day: int) -> Iterator[Claim]:
        """The statements of a movie that has some: of which kind they are is drawn for each movie."""
        drawn, style = fraction(self._movies.seed, 68, i), fraction(self._movies.seed, 69, i)
        kind = next(name for share, name in _KINDS if drawn <= share)
        ref, second, time = _ref(number, 1), _ref(number, 2), self._time(i, day)
        places = (WORLDWIDE,) if style < 0.25 else ()
        plain = Claim(ref, GROSS, str(worldwide), places=places, time=time)
        if kind == "domestic":  # half of them without the place
            yield replace(plain, amount=str(domestic), places=(UNITED_STATES,) if style < 0.5 else ())
        elif kind == "pair":
            yield replace(plain, places=(WORLDWIDE,))
            yield Claim(second, GROSS, str(domestic), places=(UNITED_STATES,))
        elif kind == "several weeks":
            for k in range(2 + i % 3):
                yield Claim(_ref(number, 3 + k), GROSS, str(worldwide * (9 - k) // 9), time=None if k else time)
        elif kind == "preferred":
            yield replace(plain, rank=PREFERRED)
            yield Claim(second, GROSS, str(worldwide * 3 // 4))
        elif kind == "deprecated":
            yield Claim(second, GROSS, str(worldwide * 10), rank=DEPRECATED)
            yield plain
        elif kind == "foreign":
            unit, country, share = _FOREIGN[i % len(_FOREIGN)]
            yield replace(plain, amount=str(worldwide // share), unit=unit, places=(country,) if style < 0.6 else ())
        elif kind == "two places":
            yield replace(plain, amount=str(worldwide // 2), places=(UNITED_STATES, "Q16"))
        elif kind == "part":
            yield replace(plain, amount=str(worldwide // 3), parts=("Q1261214",))
        elif kind == "no unit":
            yield replace(plain, unit=NO_UNIT)
        elif kind in _WRITTEN:
            yield replace(plain, amount=_WRITTEN[kind](worldwide))
        else:
            yield plain

    def _time(self, i: int, day: int) -> str | None:
        """The day for which a twentieth of the figures is stated; some of them know only the year."""
        if fraction(self._movies.seed, 70, i) > 0.05:
            return None
        when = date.fromisoformat(self._bodies.iso(day - day % 7))
        return f"{when.year}-01-01T00:00:00Z" if i % 4 == 0 else f"{when.isoformat()}T00:00:00Z"


def _ref(number: int, k: int) -> str:
    """The local name of an item's kth statement; its Q is written small now and then, as it is there."""
    digits = f"{mix(number, k, 71):016X}{mix(number, k, 72):016X}"
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return f"{'q' if number % 5 == 0 else 'Q'}{number}-{'-'.join(parts)}"
