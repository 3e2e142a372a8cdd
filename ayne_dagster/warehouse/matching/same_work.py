"""Whether TMDB and OMDb tell of one work: two descriptions of it are compared. Pure functions; no SQL, no ids.

An IMDb id that is wrong or stale leads to another film's ratings. One field that differs proves nothing: titles differ
by language, years by festival and release, runtimes by cut, lists of people by who entered them. So each field weighs
for one work or against it, what is unknown weighs nothing, and it is clearly another work only where several fields
differ, people among them, and hardly anything agrees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Any

from anyascii import anyascii

from ayne_dagster.warehouse.matching.keys import number_tokens, title_key

NEAR_YEARS, APART_YEARS, FAR_YEARS = 1, 3, 10
"""Years agree up to the first, differ from the second on, and differ greatly from the third on."""
CLOSE_RUNTIME, OTHER_RUNTIME = (5, 0.05), (20, 0.2)
"""Runtimes agree up to so many minutes, or that share of the longer one; they differ from more than both on."""
LEAST_ACTORS = 2
"""Lists of fewer actors tell nothing by having nobody in common."""
SPELT_ALIKE, SPELT_AKIN = 0.6, 0.45
"""Share of pairs of letters, 0 to 1, that two spellings of one name have in common; those that perhaps are of one."""
TITLES_AKIN, ROMANISED_AKIN = 0.65, 0.4
LEAST_FIELDS, CLEARLY, DOUBTFULLY = 3, 5, 3
"""Another work: so many fields differ at least, and outweigh what agrees by so much. Doubtful: what differs weighs so
much."""
_WIDEST = 80
"""Characters of a text in a reason."""
_WRITTEN_OUT = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_WRITTEN_OUT, 1)}
_PARTS = {"part", "chapter", "volume", "vol", "episode", "teil", "partie", "parte"}
"""What stands before the number of a sequel."""
_KINDS = {"series": (2, "a series"), "game": (2, "a game"), "episode": (1, "an episode of a series")}
"""By OMDb's type: how much it weighs against a movie, and what it is. A television film is mostly of type movie; TMDB
has a few mini-series and special episodes among its movies."""


class Match(StrEnum):
    """What two descriptions under one IMDb id are of."""

    SAME = "same"
    """One work, as far as is known."""
    DOUBTFUL = "doubtful"
    ANOTHER = "another"
    """Clearly two works."""


@dataclass(frozen=True, slots=True)
class Work:
    """A work as one source describes it; what it does not tell is None or empty."""

    titles: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    """Of all its releases that are told of."""
    runtime: int | None = None
    """Minutes."""
    directors: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    type: str | None = None
    """OMDb's: movie, series, episode or game."""
    other_titles: tuple[str, ...] = ()
    """By which it goes, too: they tell for one work where one of them is the other's title, and never against it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether they are one work, and what differs, in words."""

    match: Match
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What a field says: positive against one work, negative for it."""

    weight: int = 0
    reason: str = ""


_NOTHING = _Weighed()


def tmdb_work(row: Mapping[str, Any]) -> Work:
    """The work that a row of `tmdb_details` describes; with `alternative_titles`, where they are held."""
    return Work(
        _known(row.get("title"), row.get("original_title")),
        _years(row.get("release_date"), row.get("us_release_date")),
        row.get("runtime"),
        tuple(row.get("directors") or ()),
        tuple(row.get("actors") or ()),
        other_titles=tuple(row.get("alternative_titles") or ()),
    )


def omdb_work(row: Mapping[str, Any]) -> Work:
    """The work that a row of `omdb_ratings` describes; a series is of all years of its span."""
    first, last = row.get("year"), row.get("end_year")
    span = range(first, last + 1) if first and last and first < last < first + 100 else ()
    return Work(
        _known(row.get("title")),
        (*_known(first), *_years(row.get("released")), *span),
        row.get("runtime"),
        tuple(row.get("director") or ()),
        tuple(row.get("actors") or ()),
        row.get("type"),
    )


def compare_works(tmdb: Work, omdb: Work) -> Judgement:
    """Whether what both say is of one work.

    Args:
        tmdb: as TMDB has it.
        omdb: as OMDb has it, under the IMDb id that TMDB gives.
    """
    title, numbered = _titles(tmdb, omdb)
    year = _compared_years(tmdb.years, omdb.years)
    runtime = _runtimes(tmdb.runtime, omdb.runtime)
    directors = _people("the directors", tmdb.directors, omdb.directors, least=1, by_family=True)
    actors = _people("the actors", tmdb.actors, omdb.actors, least=LEAST_ACTORS, by_family=False)
    fields = (title, year, runtime, directors, actors, _kind(omdb.type))
    differing = [each for each in fields if each.weight > 0]
    against = sum(each.weight for each in differing)
    outweighs = against + sum(each.weight for each in fields if each.weight < 0)
    strangers = max(directors.weight, actors.weight) > 0 and min(directors.weight, actors.weight) >= 0
    nobody = min(directors.weight, actors.weight) > 0
    reasons = tuple(each.reason for each in differing)
    elsewhere = year.weight > 0 or (runtime.weight > 0 and title.weight >= 0)
    if strangers and len(differing) >= LEAST_FIELDS and (outweighs >= CLEARLY or (nobody and elsewhere)):
        return Judgement(Match.ANOTHER, reasons)
    # By whom a film is does not tell it from the next one by the same people: title and year together do.
    neighbour = title.weight > 0 and _years_apart(tmdb.years, omdb.years) > NEAR_YEARS
    if numbered or neighbour or (against >= DOUBTFULLY and outweighs > 0):
        return Judgement(Match.DOUBTFUL, reasons)
    return Judgement(Match.SAME, reasons)


def _known(*values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _years(*days: date | None) -> tuple[int, ...]:
    return tuple(day.year for day in days if day is not None)


def _titles(tmdb: Work, omdb: Work) -> tuple[_Weighed, bool]:
    """How titles weigh, and whether they differ in their number alone, as a film and its sequel."""
    ours, theirs, more = tmdb.titles, omdb.titles, tmdb.other_titles
    if not ours or not theirs:
        return _NOTHING, False
    keys, others = [_numbered(title) for title in ours], [_numbered(title) for title in theirs]
    if not {_joined(key) for key in keys}.isdisjoint(_joined(other) for other in others):
        return _Weighed(-1), False
    if not {_joined(_numbered(title)) for title in more}.isdisjoint(_joined(other) for other in others):
        return _Weighed(-1), False
    reason = f"the title: {_quoted(ours)} at TMDB, {_quoted(theirs)} at OMDb"
    pairs = [(key, other) for key in keys for other in others]
    if any(_differ_in_number(key, other) for key, other in pairs):
        return _Weighed(2, reason), True
    # A number that one title alone has may be left out by the other source, but not beside another year.
    years = {str(year) for year in (*tmdb.years, *omdb.years)}
    if _years_apart(tmdb.years, omdb.years) > NEAR_YEARS and any(_follows(*pair, years) for pair in pairs):
        return _Weighed(2, reason), True
    if any(_are_akin(key, other) for key, other in pairs):
        return _NOTHING, False
    # A title in another script may stand there in Latin letters, in one of many ways.
    if not all(key.isascii() for key in (*keys, *others)):
        return _NOTHING, False
    return _Weighed(2, reason), False


def _numbered(title: str) -> str:
    """The key of a title, with numbers that are written out as digits: "Part I" is part 1, and any other I a word."""
    words = title_key(title).split()
    return " ".join(
        "1" if word == "i" and before in _PARTS else _NUMBER_WORDS.get(word, word)
        for before, word in pairwise(("", *words))
    )


def _joined(key: str) -> str:
    return key.replace(" ", "")


def _differ_in_number(one: str, other: str) -> bool:
    """Whether two titles have other numbers, and are else one, or one up to there: each part has its own subtitle."""
    numbers, others = number_tokens(one), number_tokens(other)
    if not numbers or not others or numbers == others:
        return False
    if _without_numbers(one) == _without_numbers(other) != "":
        return True
    return numbers[0] != others[0] and _before_number(one) == _before_number(other) != []


def _follows(one: str, other: str, years: Collection[str]) -> bool:
    """Whether one of two titles is the other with a number, as a sequel's is, and perhaps a subtitle.

    The first part and a year are no sequel's number.
    """
    shorter, longer = sorted((one.split(), other.split()), key=len)
    if not shorter or longer[: len(shorter)] != shorter:
        return False
    number = next((word for word in longer[len(shorter) :] if word not in _PARTS), "")
    return number.isdigit() and number not in {"1", *years}


def _before_number(key: str) -> list[str]:
    """The words in front of the first number, without "part" and the like."""
    return [word for word in takewhile(lambda word: not word.isdigit(), key.split()) if word not in _PARTS]


def _without_numbers(key: str) -> str:
    return " ".join(word for word in key.split() if not word.isdigit())


def _are_akin(one: str, other: str) -> bool:
    """Whether two titles may be of one work: a subtitle more, half of the words, another spelling or transcription."""
    words, others = set(one.split()), set(other.split())
    if words <= others or others <= words:
        return True
    telling, telling_others = _telling(words), _telling(others)
    if 2 * len(telling & telling_others) >= max(len(telling), len(telling_others), 1):
        return True
    if one.isascii() != other.isascii():
        return _similarity(anyascii(one).lower(), anyascii(other).lower()) >= ROMANISED_AKIN
    return _similarity(one, other) >= TITLES_AKIN


def _telling(words: set[str]) -> set[str]:
    """The words that are no articles, prepositions and the like, of whatever language."""
    return {word for word in words if len(word) > 3 or word.isdigit()}


def _compared_years(ours: Sequence[int], theirs: Sequence[int]) -> _Weighed:
    if not ours or not theirs:
        return _NOTHING
    apart = _years_apart(ours, theirs)
    if apart <= NEAR_YEARS:
        return _Weighed(-1)
    if apart < APART_YEARS:
        return _NOTHING
    return _Weighed(3 if apart >= FAR_YEARS else 1, f"the year: {ours[0]} at TMDB, {theirs[0]} at OMDb")


def _years_apart(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """The years between the two that are closest; 0 where one source tells of none."""
    return min((abs(one - other) for one in ours for other in theirs), default=0)


def _runtimes(ours: int | None, theirs: int | None) -> _Weighed:
    if not ours or not theirs:
        return _NOTHING
    apart, longer = abs(ours - theirs), max(ours, theirs)
    if apart <= max(CLOSE_RUNTIME[0], CLOSE_RUNTIME[1] * longer):
        return _Weighed(-1)
    if apart <= max(OTHER_RUNTIME[0], OTHER_RUNTIME[1] * longer):
        return _NOTHING
    return _Weighed(1, f"the runtime: {ours} minutes at TMDB, {theirs} at OMDb")


def _kind(type_: str | None) -> _Weighed:
    weight, what = _KINDS.get((type_ or "").lower(), (0, ""))
    return _Weighed(weight, f"the kind: it is {what} at OMDb") if weight else _NOTHING


def _people(what: str, ours: Sequence[str], theirs: Sequence[str], *, least: int, by_family: bool) -> _Weighed:
    """How two lists of people weigh: for one work by anybody in common, against it where nobody may be.

    Args:
        what: the lists are of, in words.
        ours: names at TMDB.
        theirs: names at OMDb.
        least: lists of fewer tell nothing by having nobody in common.
        by_family: whether one family name is enough for two names to be perhaps of one person.
    """
    names, others = [_name(each) for each in ours], [_name(each) for each in theirs]
    if not {frozenset(name) for name in names}.isdisjoint(frozenset(other) for other in others):
        return _Weighed(-1)
    pairs = [(name, other) for name in names for other in others]
    if any(_is_one_person(name, other) for name, other in pairs):
        return _Weighed(-1)
    if len(names) < least or len(others) < least:
        return _NOTHING
    if any(_may_be_one_person(name, other, by_family=by_family) for name, other in pairs):
        return _NOTHING
    return _Weighed(2, f"{what}: {_listed(ours)} at TMDB, {_listed(theirs)} at OMDb")


@lru_cache(maxsize=20_000)
def _name(name: str) -> tuple[str, ...]:
    """The words of a name, without accents; "McKay" and "Mc Kay" stay two."""
    return tuple(title_key(name).split())


def _is_one_person(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether all words of the shorter name are in the longer one, in whatever order and about so spelt."""
    if "".join(one) == "".join(other):
        return True
    return min(len(one), len(other)) > 1 and _are_of_one_name(one, other, SPELT_ALIKE)


def _may_be_one_person(one: Sequence[str], other: Sequence[str], *, by_family: bool) -> bool:
    """Whether two names cannot be told apart surely: in scripts that differ, or by family or all words akin."""
    if not ("".join(one).isascii() and "".join(other).isascii()):
        return True
    if by_family or len(one) == 1 or len(other) == 1:
        # Either end of a name may be the family's.
        return max(_closest(one[-1], (other[0], other[-1])), _closest(other[-1], (one[0], one[-1]))) >= SPELT_AKIN
    return _are_of_one_name(one, other, SPELT_AKIN)


def _are_of_one_name(one: Sequence[str], other: Sequence[str], least: float) -> bool:
    """Whether each word of the shorter name, or of both where they are as long, is like one of the other."""
    if len(one) > len(other):
        one, other = other, one
    if not all(_closest(word, other) >= least for word in one):
        return False
    return len(one) < len(other) or all(_closest(word, one) >= least for word in other)


def _closest(word: str, words: Iterable[str]) -> float:
    return max(1.0 if len(word) == 1 and other.startswith(word) else _similarity(word, other) for other in words)


def _similarity(one: str, other: str) -> float:
    """The share of pairs of letters that two texts have in common, from 0 to 1 (Dice's coefficient)."""
    pairs, others = _pairs(one), _pairs(other)
    return 2 * len(pairs & others) / (len(pairs) + len(others))


@lru_cache(maxsize=20_000)
def _pairs(text: str) -> frozenset[str]:
    """Letters that stand side by side, also with the ends: of a long enough text, most survive another spelling."""
    return frozenset(one + other for one, other in pairwise(f" {text} "))


def _quoted(titles: Sequence[str]) -> str:
    return " or ".join(f'"{_cut(title)}"' for title in titles)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return _cut(", ".join(names[:3])) + more


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
