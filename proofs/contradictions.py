"""Invented pairs of known truth, judged as OMDb's answers are: wrong IMDb ids found, and right ones condemned.

    python -m proofs.contradictions [--right N] [--wrong N] [--seed S]

A right pair is one film told by both sources, each with its own gaps and errors; a wrong one is a film at TMDB and
another work at OMDb, of `WRONG`'s kinds. How often what differs is assumed (`Telling`), not measured: two manners, of
well-kept and of carelessly kept films, since in the latter several fields differ at once, which is what condemns. So
the figures show how the rule behaves under errors that are stated, and no share of real ids that is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ayne_dagster.standin import words
from ayne_dagster.warehouse.matching.same_work import Judgement, Match, compare_works, omdb_work, tmdb_work

Row = dict[str, Any]

MOST_CONDEMNED, LEAST_FOUND = 0.0002, 0.80
"""Floors, a little below what was measured: share of the right pairs condemned, and of `CLEAR` ones found."""
CLEAR = ("a stranger", "a remake")
"""What is another film beyond doubt, for whoever looks at both."""
WRONG_IDS = (0.001, 0.003, 0.01, 0.03)
"""Shares of ids that are wrong, for each of which the precision is told: it hangs on them, and nobody knows them."""
_SPOKEN = [each for each in words.LANGUAGES if each.syllables]
_LATIN = [each for each in _SPOKEN if all(syllable < "ɐ" for syllable in each.syllables)]
CARELESS = 0.1
"""Share of the films that are carelessly kept at one source or the other."""


@dataclass(frozen=True, slots=True)
class Telling:
    """With which probability OMDb tells a field of the same film otherwise than TMDB, or not at all."""

    other_title: float
    """Another one altogether: of another country, of the shooting."""
    subtitle: float
    near_year: float
    """Off by one: a festival, a country."""
    far_year: float
    """Off by two to fifteen."""
    other_cut: float
    """A runtime of 0.6 to 1.5 times TMDB's."""
    misspelt: float
    """Each name."""
    other_directors: float
    other_actors: float
    other_kind: float
    """Of a type that is none of a film's."""
    unknown: float
    """Each field, at each source."""


WELL_KEPT = Telling(0.06, 0.04, 0.12, 0.02, 0.05, 0.03, 0.005, 0.02, 0.002, 0.03)
CARELESSLY = Telling(0.25, 0.10, 0.25, 0.15, 0.25, 0.15, 0.05, 0.12, 0.03, 0.25)


def person(luck: random.Random) -> str:
    """A name, in Latin script as both sources write people's: half of the family names are of a list of 60, as common
    ones are, half of them made up.
    """
    name = words.person_name(luck.randrange(10**6))
    return name if luck.random() < 0.5 else f"{name.split()[0]} {_made_up(luck, _LATIN)}"


def people(luck: random.Random, number: int) -> list[str]:
    """So many names."""
    return [person(luck) for _ in range(number)]


def _made_up(luck: random.Random, languages: Sequence[words.Language]) -> str:
    language = luck.choice(languages)
    return words.foreign_title(luck.randrange(10**6), language)


def film(luck: random.Random) -> Row:
    """A film as TMDB tells it; one in three is of another language than English."""
    title = words.title(luck.randrange(10**7))
    return {
        "title": title,
        "original_title": _made_up(luck, _SPOKEN) if luck.random() < 1 / 3 else title,
        "release_date": date(luck.randint(1920, 2025), luck.randint(1, 12), luck.randint(1, 28)),
        "runtime": luck.randint(60, 180),
        "directors": people(luck, luck.choice((1, 1, 1, 1, 2))),
        "actors": people(luck, luck.choice((0, 2, 4, 8, 15, 15, 15))),
    }


def answer(work: Row, **other: Any) -> Row:
    """A film as OMDb tells it when nothing is wrong: the leading actors alone, in its own names of the fields."""
    return {
        "title": work["title"],
        "year": work["release_date"].year,
        "type": "movie",
        "runtime": work["runtime"],
        "director": work["directors"],
        "actors": work["actors"][:4],
    } | other


def told(luck: random.Random, row: Row, telling: Telling) -> Row:
    """An answer of OMDb's with the errors of a manner."""

    def happens(share: float) -> bool:
        return luck.random() < share

    row = dict(row)
    if happens(telling.other_title):
        row["title"] = luck.choice(
            (words.title(luck.randrange(10**7)), f"{_made_up(luck, _LATIN)} {_made_up(luck, _LATIN)}")
        )
    elif happens(telling.subtitle):
        row["title"] = f"{row['title']}: {words.title(luck.randrange(10**7))}"
    if happens(telling.near_year):
        row["year"] += luck.choice((-1, 1))
    elif happens(telling.far_year):
        row["year"] += luck.choice((-1, 1)) * luck.randint(2, 15)
    if row["runtime"] and happens(telling.other_cut):
        row["runtime"] = int(row["runtime"] * luck.uniform(0.6, 1.5))
    for field, replaced in (("director", telling.other_directors), ("actors", telling.other_actors)):
        row[field] = [_misspelt(luck, name) if happens(telling.misspelt) else name for name in row[field]]
        if happens(replaced):
            row[field] = people(luck, max(1, len(row[field])))
    if happens(telling.other_kind):
        row["type"] = luck.choice(("series", "episode", "game"))
    return row


def _misspelt(luck: random.Random, name: str) -> str:
    parts = name.split()
    way = luck.randrange(4)
    if way == 0:
        parts.reverse()
    elif way == 1:
        parts = [parts[0], *parts[-1:]]
    elif way == 2:
        parts[0] = f"{parts[0][0]}."
    else:
        place = luck.randrange(1, max(2, len(parts[-1])))
        parts[-1] = parts[-1][:place] + luck.choice(("", "h", parts[-1][place - 1])) + parts[-1][place + 1 :]
    return " ".join(parts)


def with_gaps(luck: random.Random, row: Row, telling: Telling) -> Row:
    """A description without what its source does not know."""
    may_lack = row.keys() - {"title", "original_title", "type"}
    return {name: None if name in may_lack and luck.random() < telling.unknown else row[name] for name in row}


def _stranger(luck: random.Random, work: Row) -> Row:
    return answer(film(luck))


def _remake(luck: random.Random, work: Row) -> Row:
    year = work["release_date"].year + luck.choice((-1, 1)) * luck.randint(8, 50)
    return answer(film(luck) | {"actors": people(luck, 4)}, title=work["title"], year=year)


def _namesake(luck: random.Random, work: Row) -> Row:
    return answer(film(luck), title=work["title"], year=work["release_date"].year + luck.randint(-1, 1))


def _of_its_director(luck: random.Random, work: Row) -> Row:
    return answer(film(luck), director=work["directors"])


def _sequel(luck: random.Random, work: Row) -> Row:
    year = work["release_date"].year + luck.randint(2, 6)
    return answer(
        work, title=f"{work['title']} {luck.choice(('II', '2', '3'))}", year=year, runtime=luck.randint(80, 150)
    )


def _series(luck: random.Random, work: Row) -> Row:
    first = work["release_date"].year + luck.randint(-10, 20)
    span = {"year": first, "end_year": first + luck.randint(1, 8)}
    return answer(film(luck), title=work["title"], runtime=luck.choice((22, 45, 60)), type="series", **span)


def _episode(luck: random.Random, work: Row) -> Row:
    return answer(film(luck), runtime=luck.choice((22, 45, 60)), type="episode")


def _making_of(luck: random.Random, work: Row) -> Row:
    title, year = f"The Making of '{work['title']}'", work["release_date"].year + luck.randint(0, 2)
    return answer(work, title=title, year=year, runtime=luck.randint(20, 60), director=people(luck, 1))


WRONG: dict[str, Callable[[random.Random, Row], Row]] = {
    "a stranger": _stranger,
    "a remake": _remake,
    "a namesake of its year": _namesake,
    "another by its director": _of_its_director,
    "a sequel, same people": _sequel,
    "a series of its name": _series,
    "an episode": _episode,
    "a film about it, same people": _making_of,
}
"""By what the wrong id leads to: OMDb's answer."""


def judged(luck: random.Random, lead_to: Callable[[random.Random, Row], Row]) -> Judgement:
    """Of one invented pair: how it is judged from what both sources tell."""
    telling = CARELESSLY if luck.random() < CARELESS else WELL_KEPT
    work = film(luck)
    theirs = with_gaps(luck, told(luck, lead_to(luck, work), telling), telling)
    return compare_works(tmdb_work(with_gaps(luck, work, telling)), omdb_work(theirs))


def right(_: random.Random, work: Row) -> Row:
    """The film itself."""
    return answer(work)


def counted(seed: int, number: int, lead_to: Callable[[random.Random, Row], Row]) -> Counter[Match]:
    """How many of so many pairs are judged in which way."""
    luck = random.Random(seed)
    return Counter(judged(luck, lead_to).match for _ in range(number))


def precision(condemned: float, found: float, wrong: float) -> float:
    """The share of what is judged to be another work that is one.

    Args:
        condemned: share of the right pairs that is so judged.
        found: share of the wrong pairs that is.
        wrong: share of all ids that is wrong.
    """
    true = wrong * found
    return true / (true + (1 - wrong) * condemned) if true else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Print how pairs are judged; 1 where a floor is not kept."""
    parser = argparse.ArgumentParser(prog="python -m proofs.contradictions")
    parser.add_argument("--right", type=int, default=200_000, help="pairs of one film")
    parser.add_argument("--wrong", type=int, default=5_000, help="pairs of each kind of wrong id")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    same = counted(options.seed, options.right, right)
    print(f"{'pairs of':<30}" + "".join(f"{match:>10}" for match in Match))
    _print_shares("one film", same)
    by_kind = {kind: counted(options.seed, options.wrong, lead_to) for kind, lead_to in WRONG.items()}
    for kind, counts in by_kind.items():
        _print_shares(kind, counts)
    condemned = same[Match.ANOTHER] / options.right
    found = {kind: counts[Match.ANOTHER] / options.wrong for kind, counts in by_kind.items()}
    of_all, clear = sum(found.values()) / len(found), sum(found[kind] for kind in CLEAR) / len(CLEAR)
    print(f"\nright ones condemned: {same[Match.ANOTHER]} of {options.right:,}\n")
    print("wrong ids   precision, each kind as frequent   strangers and remakes alone")
    for wrong in WRONG_IDS:
        print(f"{wrong:>9.1%} {precision(condemned, of_all, wrong):>34.1%} {precision(condemned, clear, wrong):>29.1%}")
    is_kept = condemned <= MOST_CONDEMNED and clear >= LEAST_FOUND
    print(
        f"\n{'kept' if is_kept else 'NOT KEPT'}: at most {MOST_CONDEMNED:.2%} of right ids condemned ({condemned:.4%}),"
        f" {LEAST_FOUND:.0%} of strangers and remakes found ({clear:.1%})"
    )
    return 0 if is_kept else 1


def _print_shares(what: str, counts: Counter[Match]) -> None:
    print(f"{what:<30}" + "".join(f"{counts[match] / counts.total():>10.3%}" for match in Match), flush=True)


if __name__ == "__main__":
    sys.exit(main())
