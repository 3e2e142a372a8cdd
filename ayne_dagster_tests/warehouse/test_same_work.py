"""Whether two descriptions are of one work: what differs legitimately, and what does not."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.warehouse.matching.same_work import Match, Work, compare_works, omdb_work, tmdb_work
from ayne_dagster_tests.support.thoroughness import examples

FILM = Work(
    ("The Lantern Keeper", "Le Gardien de la lanterne"),
    (1987,),
    112,
    ("Étienne Marchand",),
    ("Odile Ferrand", "Bruno Kessler", "Ana Lucía Prado", "Tom Whitcombe"),
)
OTHER = Work(("Salt Roads",), (2004,), 84, ("Grete Halvorsen",), ("Milo Okafor", "Sun Yiling", "Petra Novak"), "movie")
AT_OMDB = replace(FILM, titles=("The Lantern Keeper",), type="movie")


def match(one: Work, other: Work) -> Match:
    return compare_works(one, other).match


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"titles": ("Lantern Keeper, The",)},
        {"titles": ("LE GARDIEN DE LA LANTERNE",)},
        {"titles": ("The Lantern Keeper: A Tale of the Sea",)},
        {"titles": ("Der Laternenwärter",)},
        {"years": (1985,)},
        {"years": (1995,)},
        {"runtime": 74},
        {"directors": ("Etienne Marchand", "Paul Roux")},
        {"directors": ("Marchand Étienne",)},
        {"directors": ("Somebody Else",)},
        {"actors": ("Other People", "Nobody Here", "Third Person")},
        {"type": "episode"},
        {"titles": (), "years": (), "runtime": None, "directors": (), "actors": ()},
    ],
)
def test_one_field_that_differs_is_no_other_work(changes: dict[str, Any]) -> None:
    assert match(FILM, replace(AT_OMDB, **changes)) is Match.SAME


@pytest.mark.parametrize("field", ["titles", "years", "runtime", "directors", "actors", "type"])
def test_no_single_field_makes_another_work(field: str) -> None:
    assert match(FILM, replace(AT_OMDB, **{field: getattr(OTHER, field)})) is not Match.ANOTHER
    nothing_else = replace(Work(), **{field: getattr(OTHER, field)})
    assert match(FILM, nothing_else) is not Match.ANOTHER


def test_what_is_unknown_is_no_evidence() -> None:
    assert compare_works(Work(), OTHER) == compare_works(Work(), Work())
    assert match(FILM, Work()) is Match.SAME
    assert match(replace(FILM, directors=(), actors=()), OTHER) is Match.DOUBTFUL, "people are what tells for sure"


def test_two_fields_however_far_apart_are_doubtful() -> None:
    ours, theirs = Work(years=(1925,), directors=FILM.directors), Work(years=(2024,), directors=OTHER.directors)
    assert match(ours, theirs) is Match.DOUBTFUL
    assert match(replace(ours, runtime=200), replace(theirs, runtime=70)) is Match.ANOTHER


def test_another_film_is_another_work_with_every_reason_in_words() -> None:
    judgement = compare_works(FILM, OTHER)
    assert judgement.match is Match.ANOTHER
    assert judgement.reasons == (
        'the title: "The Lantern Keeper" or "Le Gardien de la lanterne" at TMDB, "Salt Roads" at OMDb',
        "the year: 1987 at TMDB, 2004 at OMDb",
        "the runtime: 112 minutes at TMDB, 84 at OMDb",
        "the directors: Étienne Marchand at TMDB, Grete Halvorsen at OMDb",
        "the actors: Odile Ferrand, Bruno Kessler, Ana Lucía Prado and 1 more at TMDB, Milo Okafor, Sun Yiling, Petra"
        " Novak at OMDb",
    )


def test_a_remake_of_the_same_name_is_another_work() -> None:
    assert match(FILM, replace(OTHER, titles=FILM.titles)) is Match.ANOTHER
    assert match(FILM, replace(OTHER, titles=FILM.titles, runtime=FILM.runtime)) is Match.ANOTHER


def test_a_film_of_the_same_name_and_year_is_doubtful() -> None:
    assert match(FILM, replace(OTHER, titles=FILM.titles, years=FILM.years)) is Match.DOUBTFUL


def test_anybody_in_common_makes_it_no_other_work() -> None:
    for shared in ({"directors": FILM.directors}, {"actors": (*OTHER.actors, "Bruno Kessler")}):
        assert match(FILM, replace(OTHER, **shared)) is Match.DOUBTFUL


def test_a_sequel_by_the_same_people_is_doubtful() -> None:
    assert match(replace(FILM, titles=("Harbour Nights II",)), replace(AT_OMDB, titles=("Harbour Nights 3",))) is (
        Match.DOUBTFUL
    )
    assert match(replace(FILM, titles=("Harbour Nights II",)), replace(AT_OMDB, titles=("Harbour Nights Two",))) is (
        Match.SAME
    )


@pytest.mark.parametrize(
    ("title", "years", "expected"),
    [
        ("Salt Roads", (1989,), Match.DOUBTFUL),
        ("Salt Roads", (1988,), Match.SAME),
        ("Salt Roads", (1975, 1987), Match.SAME),
        ("Salt Roads", (), Match.SAME),
        ("The Lantern", (1989,), Match.SAME),
    ],
)
def test_another_film_by_the_same_people_is_told_by_title_and_year_together(
    title: str, years: tuple[int, ...], expected: Match
) -> None:
    assert match(FILM, replace(AT_OMDB, titles=(title,), years=years)) is expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Harbour Nights II: Ebb", "Harbour Nights 3: The Flood"),
        ("Harbour Nights, Volume 1", "Harbour Nights: Vol. 2"),
        ("Harbour Nights - Part I", "Harbour Nights - Part II"),
        ("Harbour Nights: Chapter One: Ebb", "Harbour Nights: Chapter Two: The Flood"),
    ],
)
def test_two_parts_are_told_by_their_numbers_whatever_their_subtitles(ours: str, theirs: str) -> None:
    assert match(replace(FILM, titles=(ours,)), replace(AT_OMDB, titles=(theirs,))) is Match.DOUBTFUL


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Harbour Nights II: Ebb", "Harbour Nights Two: The Flood"),
        ("Harbour Nights, Volume I", "Harbour Nights: Vol. 1"),
        ("9 Harbours", "12 Nights"),
    ],
)
def test_one_number_or_nothing_before_it_tells_no_two_parts(ours: str, theirs: str) -> None:
    assert match(replace(FILM, titles=(ours,)), replace(AT_OMDB, titles=(theirs,))) is Match.SAME


@pytest.mark.parametrize(
    "title",
    [
        "Harbour Nights II",
        "Harbour Nights: Part Two",
        "Harbour Nights 2049",
        "Harbour Nights 2: The Flood",
        "Harbour Nights, Part III - The Flood",
    ],
)
def test_a_number_that_one_title_alone_has_is_a_sequels_where_the_year_is_another(title: str) -> None:
    film = replace(FILM, titles=("Harbour Nights",))
    sequel = replace(AT_OMDB, titles=(title,), years=(FILM.years[0] + 3,))
    assert match(film, sequel) is Match.DOUBTFUL
    assert match(replace(film, titles=(title,)), replace(sequel, titles=("Harbour Nights",))) is Match.DOUBTFUL
    assert match(film, replace(sequel, years=film.years)) is Match.SAME, "left out by one source"
    assert match(film, replace(sequel, years=())) is Match.SAME


@pytest.mark.parametrize(
    "title",
    [
        "Harbour Nights: Part One",
        "Harbour Nights - Part I: Ebb",
        "Harbour Nights 1990",
        "Harbour Nights 1990: Ebb",
        "Harbour Nights: Dusk",
    ],
)
def test_the_first_part_a_year_and_a_subtitle_are_no_sequels_number(title: str) -> None:
    told = replace(AT_OMDB, titles=(title,), years=(1990,))
    assert FILM.years == (1987,)
    assert match(replace(FILM, titles=("Harbour Nights",)), told) is Match.SAME


def test_a_series_under_a_films_id_is_found_and_a_mini_series_is_not_condemned() -> None:
    series = Work(("The Lantern Keeper",), tuple(range(2014, 2020)), 50, (), OTHER.actors, "series")
    assert match(FILM, series) is Match.ANOTHER
    assert match(FILM, replace(AT_OMDB, type="series", runtime=None, directors=())) is Match.SAME


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Wong Kar-wai", "Kar Wai Wong"),
        ("Aleksandr Kaydanovskiy", "Alexander Kaidanovsky"),
        ("Abbas Kiarostami", "Abbās Kiyārostami"),
        ("J. J. Abrams", "Jeffrey Jacob Abrams"),
        ("宮崎駿", "Hayao Miyazaki"),
        ("Jóhann Jóhannsson", "Johann Johannsson"),
    ],
)
def test_a_person_who_is_spelt_otherwise_is_no_other_one(ours: str, theirs: str) -> None:
    nobody = replace(OTHER, directors=(theirs,), actors=())
    assert match(replace(FILM, directors=(ours,), actors=()), nobody) is not Match.ANOTHER


def test_a_title_in_another_script_tells_nothing_by_differing() -> None:
    ours = replace(FILM, titles=("The Gate", "羅生門"))
    theirs = replace(OTHER, titles=("Rashomon",), directors=FILM.directors, actors=())
    assert not any("title" in reason for reason in compare_works(ours, theirs).reasons)


def test_rows_of_both_sources_are_understood() -> None:
    row = {
        "title": "A",
        "original_title": None,
        "release_date": date(1999, 12, 30),
        "us_release_date": date(2001, 1, 5),
        "runtime": None,
        "directors": ["D"],
        "actors": None,
    }
    assert tmdb_work(row) == Work(("A",), (1999, 2001), None, ("D",), ())
    answer = {"title": "A", "year": 2010, "end_year": 2012, "released": date(2011, 1, 1), "type": "series"}
    assert omdb_work(answer) == Work(("A",), (2010, 2011, 2010, 2011, 2012), None, (), (), "series")


def test_a_year_far_off_makes_no_endless_span() -> None:
    assert omdb_work({"year": 1, "end_year": 9_999}).years == (1,)


# Invented films: the same one, told otherwise, and others

SYLLABLES = ("ba", "cor", "dun", "el", "far", "gri", "hol", "ist", "jun", "kav", "lo", "mir", "nes", "or", "pel", "rus")
SOUNDS = (*SYLLABLES, "sto", "tar", "ul", "ven", "wyn", "xan", "yor", "zim", "ash", "bri", "cha", "dre", "fen", "gul")
FOREIGN = ("ää", "ção", "ñi", "ször", "łyk", "ğu", "ře", "gio", "aux", "ski")


def word(luck: random.Random, *, foreign: bool = False) -> str:
    parts = FOREIGN if foreign else SOUNDS
    return "".join(luck.choice(parts) for _ in range(luck.randint(2, 3))).capitalize()


def names(luck: random.Random, number: int) -> tuple[str, ...]:
    return tuple(f"{word(luck)} {word(luck)}" for _ in range(number))


def film(luck: random.Random) -> Work:
    titles = (" ".join(word(luck) for _ in range(luck.randint(1, 4))), f"{word(luck, foreign=True)} {word(luck)}")
    people = names(luck, luck.choice((1, 1, 1, 2))), names(luck, luck.randint(0, 15))
    return Work(titles, (luck.randint(1900, 2030),), luck.randint(60, 200), *people)


def misspelt(luck: random.Random, name: str) -> str:
    """A name as somebody else writes it: order, accents, a letter doubled or left out."""
    words = name.split()
    if luck.random() < 0.3:
        words.reverse()
    if luck.random() < 0.3:
        place = luck.randrange(1, len(words[0]))
        words[0] = words[0][:place] + luck.choice(("", words[0][place] * 2)) + words[0][place + 1 :]
    return " ".join(words).replace("a", luck.choice(("a", "á", "å")))


def retold(luck: random.Random, work: Work) -> Work:
    """The same film as another source has it, by whatever differs legitimately: at most three things at once."""
    told = replace(work, titles=work.titles[:1], actors=work.actors[:4], type="movie")
    ways = [
        lambda w: replace(w, titles=(f"{word(luck, foreign=True)} {word(luck)} {word(luck)}",)),
        lambda w: replace(w, titles=(f"{w.titles[0]}: {word(luck)}",)),
        lambda w: replace(w, years=(w.years[0] + luck.randint(-3, 3),)),
        lambda w: replace(w, runtime=int(w.runtime * luck.uniform(0.6, 1.4))),
        lambda w: replace(w, directors=tuple(misspelt(luck, name) for name in w.directors)),
        lambda w: replace(w, directors=w.directors[:1] + names(luck, 1)),
        lambda w: replace(w, actors=tuple(luck.sample(work.actors, min(3, len(work.actors))))),
        lambda w: replace(w, actors=names(luck, 3)),
        lambda w: replace(w, directors=()),
    ]
    for way in luck.sample(ways, luck.randint(0, 3)):
        told = way(told)
    return told


@settings(max_examples=examples(400), deadline=None)
@given(st.integers(0, 2**32))
def test_a_film_told_otherwise_is_never_another_work(seed: int) -> None:
    luck = random.Random(seed)
    work = film(luck)
    assert match(work, retold(luck, work)) is not Match.ANOTHER


def test_most_other_films_are_found_also_remakes() -> None:
    luck = random.Random(1895)
    pairs = [(film(luck), film(luck)) for _ in range(400)]
    strangers = [match(one, replace(other, titles=other.titles[:1], type="movie")) for one, other in pairs]
    assert strangers.count(Match.ANOTHER) > 0.8 * len(pairs)
    assert strangers.count(Match.SAME) < 0.01 * len(pairs)
    remakes = [match(one, replace(other, titles=one.titles[:1], actors=names(luck, 4))) for one, other in pairs]
    assert remakes.count(Match.ANOTHER) > 0.6 * len(pairs)


def test_the_same_descriptions_the_other_way_round_differ_as_much() -> None:
    luck = random.Random(7)
    for _ in range(200):
        one, other = film(luck), film(luck)
        assert match(one, other) is match(other, one)
