"""From TMDB's details to what they say of people, credits, companies, series and releases: rows as columns, by table.

One bad part never costs the movie, nor the other parts: what has no id, or names nothing, is left out. Values are read
as everywhere (`values`), and bounded in number and length. How they are stored is in `warehouse.entities`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ayne_dagster.sources.tmdb.models import CastMember, Credited, CrewMember, MovieDetails
from ayne_dagster.sources.values import INTEGER_MAX, LONGEST_ADDRESS, LONGEST_NAME, count, cut, iso_date, text

Columns = dict[str, list[Any]]
"""Rows of a table, column by column, all of one length: a tenth of what as many dictionaries take."""
Entities = Mapping[str, Columns]
"""By table; one that is not named is not known: the answer lacked that part, or had nothing in it."""

MOST_CREDITS = 5_000
"""Credits of a movie; the longest real casts and crews together have about 4,000."""
MOST_RELEASES = 2_000
MOST_COMPANIES = 500
MOST_TEXT = 1_000_000
"""Characters of a table's rows of one movie, all of them together; real ones have less than 300,000."""
GENDERS = (1, 2, 3)
_CODE = 10
"""Characters of a country's or language's code, as long as any can be."""
_SMALL = 2**15 - 1
_WHOLE = slice(None)

_CREDITS = ("credit_id", "person_id", "kind", "department", "job", "character", "billing_order")
_PEOPLE = ("person_id", "name", "gender", "known_for_department", "profile_path")
_COMPANIES = ("company_id", "name", "origin_country", "logo_path")
_MOVIE_COMPANIES = ("company_id", "place")
_COLLECTIONS = ("collection_id", "name", "poster_path", "backdrop_path")
_RELEASES = ("country", "type", "release_date", "certification", "note", "language")


def entities_of(movie: MovieDetails) -> Entities:
    """What an answer says of each table, without the movie's id. Rows are in the answer's order, none twice."""
    tables = {
        "credits": columns_of(_CREDITS, _credit_rows(movie), MOST_CREDITS, key=0),
        "people": columns_of(_PEOPLE, _people_rows(movie), MOST_CREDITS, key=0),
        "companies": columns_of(_COMPANIES, _company_rows(movie), MOST_COMPANIES, key=0),
        "movie_companies": columns_of(_MOVIE_COMPANIES, _place_rows(movie), MOST_COMPANIES, key=0),
        "collections": columns_of(_COLLECTIONS, _collection_rows(movie), 1, key=0),
        "releases": columns_of(_RELEASES, _release_rows(movie), MOST_RELEASES),
    }
    return {name: columns for name, columns in tables.items() if columns}


def no_entities(movie: MovieDetails) -> Entities | None:
    """What is known of them where they are not collected."""
    return None


Reader = Callable[[MovieDetails], Entities | None]
"""Reads an answer: `entities_of` or `no_entities`."""


def columns_of(names: Sequence[str], rows: Iterable[tuple[Any, ...]], most: int, key: int | slice = _WHOLE) -> Columns:
    """Rows as columns: the first of each key, as far as number and length allow. Without a key, each row once."""
    kept: dict[Any, tuple[Any, ...]] = {}
    room = MOST_TEXT
    for row in rows:
        identity = row[key]
        if identity in kept:
            continue
        room -= sum([len(value) for value in row if type(value) is str])
        if room < 0 or len(kept) >= most:
            break
        kept[identity] = row
    return {name: list(values) for name, values in zip(names, zip(*kept.values(), strict=True), strict=False)}


def _people(movie: MovieDetails) -> Iterator[CastMember | CrewMember]:
    """All of the cast and crew who can be told from others: a credit without a person's id is nobody's."""
    credits = movie.credits
    if credits is not None:
        yield from (member for member in credits.cast or () if member.id is not None)
        yield from (member for member in credits.crew or () if member.id is not None)


def _credit_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    for person in _people(movie):
        if isinstance(person, CastMember):
            order = count(person.order, INTEGER_MAX)
            credit_id = short_text(person.credit_id) or f"cast-{person.id}-{order}"
            yield credit_id, person.id, "cast", None, None, short_text(person.character), order
        else:
            job = short_text(person.job)
            credit_id = short_text(person.credit_id) or cut(f"crew-{person.id}-{job}", LONGEST_NAME)
            yield credit_id, person.id, "crew", short_text(person.department), job, None, None


def _people_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    for person in _people(movie):
        yield (
            person.id,
            short_text(person.name),
            _gender(person),
            short_text(person.known_for_department),
            path(person.profile_path),
        )


def _gender(person: Credited) -> int | None:
    return person.gender if person.gender in GENDERS else None


def _company_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    for company in movie.production_companies or ():
        if company.id is not None:
            yield company.id, short_text(company.name), code(company.origin_country), path(company.logo_path)


def _place_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    known = dict.fromkeys(company.id for company in movie.production_companies or () if company.id is not None)
    return ((company_id, place) for place, company_id in enumerate(known))


def _collection_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    collection = movie.belongs_to_collection
    if collection is not None and collection.id is not None and collection.id > 0:
        yield collection.id, short_text(collection.name), path(collection.poster_path), path(collection.backdrop_path)


def _release_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    for country in (movie.release_dates and movie.release_dates.results) or ():
        where = code(country.iso_3166_1)
        if where is None:
            continue
        for release in country.release_dates or ():
            kind, day = count(release.type, _SMALL) or None, iso_date(release.release_date)
            if kind is not None or day is not None:
                certification, note = short_text(release.certification), short_text(release.note)
                yield where, kind, day, certification, note, code(release.iso_639_1)


def short_text(value: str | None) -> str | None:
    """A clean text of ordinary length."""
    if value is None:
        return None
    found = text(value)
    return None if found is None else cut(found, LONGEST_NAME)


def code(value: str | None) -> str | None:
    """The code of a country or language; None for what is too long to be one."""
    found = text(value)
    return found if found is not None and len(found) <= _CODE else None


def path(value: str | None) -> str | None:
    """A path or address; None for one that is too long to lead anywhere."""
    found = text(value)
    return found if found is not None and len(found) <= LONGEST_ADDRESS else None
