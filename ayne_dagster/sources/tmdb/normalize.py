"""From TMDB's answers to rows of `tmdb_details` and `discovered_movies`, without `updated_at`.

Decides what a field means; how to read a value is in `values.py`. Unknown is None everywhere, whether TMDB
wrote 0, "", null, [] or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date

from ayne_dagster.partitions import release_year
from ayne_dagster.sources.tmdb.models import (
    CastMember,
    CountryReleases,
    CrewMember,
    DiscoverItem,
    MovieDetails,
    Release,
)
from ayne_dagster.sources.values import (
    INTEGER_MAX,
    bounded,
    count,
    imdb_id,
    iso_date,
    names,
    out_of_ten,
    popularity,
    positive_int,
    text,
    wikidata_id,
)

ACTORS = 15
"""Number of actors kept, in billing order."""

COUNTRY = "US"
"""Country whose certification and theatrical release are kept."""

LONG = ("overview",)
ADDRESSES = ("homepage", "poster_path", "backdrop_path")
"""Columns by how long they may be: see `bounded`."""

DIRECTOR = "Director"

WRITING = "Writing"

WRITER_JOBS = frozenset(
    {
        "Adaptation",
        "Author",
        "Book",
        "Co-Writer",
        "Comic Book",
        "Graphic Novel",
        "Novel",
        "Original Story",
        "Scenario Writer",
        "Screenplay",
        "Screenstory",
        "Short Story",
        "Story",
        "Teleplay",
        "Theatre Play",
        "Writer",
    }
)
"""Jobs of the writing department whose holders wrote the film or what it is based on.

Not "Characters", which credits a comic book's creators with every sequel, nor editors and consultants.
"""

CERTIFICATION_TYPES = (3, 2, 1, 4, 5, 6)
"""Release types by how well their certification stands for the film: theatrical first."""

THEATRICAL_TYPES = (3, 2, 1)
"""Release types that count as the first release in cinemas: theatrical, else limited, else premiere."""


def details_row(movie: MovieDetails) -> dict[str, object]:
    """The row of `tmdb_details` for one movie.

    `imdb_id` comes from the body, else from `external_ids`. A sub-resource that the answer lacks leaves None.
    `softcore` is told of few movies: that it is not said and that it is denied are one, so that no movie seems changed.
    """
    released = iso_date(movie.release_date)
    collection = movie.belongs_to_collection
    external = movie.external_ids
    cast = (movie.credits and movie.credits.cast) or []
    crew = (movie.credits and movie.credits.crew) or []
    releases = _releases((movie.release_dates and movie.release_dates.results) or [])
    row: dict[str, object] = {
        "tmdb_id": movie.id,
        "release_year": release_year(released),
        "imdb_id": imdb_id(movie.imdb_id) or imdb_id(external and external.imdb_id),
        "wikidata_id": wikidata_id(external and external.wikidata_id),
        "title": text(movie.title) or text(movie.original_title),
        "original_title": text(movie.original_title),
        "original_language": text(movie.original_language),
        "origin_country": names(movie.origin_country or ()),
        "overview": text(movie.overview),
        "tagline": text(movie.tagline),
        "homepage": text(movie.homepage),
        "status": text(movie.status),
        "release_date": released,
        "runtime": positive_int(movie.runtime, INTEGER_MAX),
        "budget": positive_int(movie.budget),
        "revenue": positive_int(movie.revenue),
        "popularity": popularity(movie.popularity),
        "vote_average": _vote_average(movie.vote_average, movie.vote_count),
        "vote_count": count(movie.vote_count),
        "collection_id": positive_int(collection and collection.id),
        "collection_name": text(collection and collection.name),
        "genres": names(genre.name for genre in movie.genres or ()),
        "production_companies": names(company.name for company in movie.production_companies or ()),
        "production_countries": names(country.iso_3166_1 for country in movie.production_countries or ()),
        "spoken_languages": names(language.iso_639_1 for language in movie.spoken_languages or ()),
        "keywords": names(k.name for k in (movie.keywords and movie.keywords.keywords) or ()),
        "directors": names(person.name for person in crew if person.job == DIRECTOR),
        "writers": names(person.name for person in crew if _is_writer(person)),
        "actors": names(person.name for person in sorted(cast, key=_billing_order)[:ACTORS]),
        "certification": _certification(releases),
        "us_release_date": _first_in_cinemas(releases),
        "poster_path": text(movie.poster_path),
        "backdrop_path": text(movie.backdrop_path),
        "adult": movie.adult,
        "video": movie.video,
        "softcore": movie.softcore or None,
    }
    return bounded(row, long=LONG, addresses=ADDRESSES)


def discovered_row(item: DiscoverItem) -> dict[str, object]:
    """The row of `discovered_movies` for one row of a discover page.

    Its overview is no longer than other texts: a listing brings rows by the ten thousand, and TMDB allows 1,000
    characters of one.
    """
    released = iso_date(item.release_date)
    genre_ids = (positive_int(genre_id, INTEGER_MAX) for genre_id in item.genre_ids or ())
    row: dict[str, object] = {
        "tmdb_id": item.id,
        "release_year": release_year(released),
        "title": text(item.title) or text(item.original_title),
        "original_title": text(item.original_title),
        "original_language": text(item.original_language),
        "release_date": released,
        "overview": text(item.overview),
        "genre_ids": list(dict.fromkeys(filter(None, genre_ids))) or None,
        "popularity": popularity(item.popularity),
        "vote_average": _vote_average(item.vote_average, item.vote_count),
        "vote_count": count(item.vote_count),
        "poster_path": text(item.poster_path),
        "backdrop_path": text(item.backdrop_path),
        "adult": item.adult,
        "video": item.video,
    }
    return bounded(row, long=(), addresses=ADDRESSES)


def _vote_average(average: float | None, votes: int | None) -> float | None:
    """The mean vote; 0 is what TMDB writes when nobody has voted, and not a vote one can cast."""
    return None if votes == 0 else out_of_ten(average) or None


def _is_writer(person: CrewMember) -> bool:
    return person.job in WRITER_JOBS and person.department in (WRITING, None)


def _billing_order(actor: CastMember) -> float:
    return math.inf if actor.order is None else actor.order


def _releases(countries: Iterable[CountryReleases]) -> list[Release]:
    """All releases in COUNTRY."""
    return [
        release for country in countries if country.iso_3166_1 == COUNTRY for release in country.release_dates or ()
    ]


def _certification(releases: list[Release]) -> str | None:
    """The first certification given, theatrical releases before others."""
    rank = {release_type: place for place, release_type in enumerate(CERTIFICATION_TYPES)}
    ordered = sorted(releases, key=lambda release: rank.get(release.type or 0, len(rank)))
    return next(filter(None, (text(release.certification) for release in ordered)), None)


def _first_in_cinemas(releases: list[Release]) -> date | None:
    """The earliest date of the first type that has one."""
    for release_type in THEATRICAL_TYPES:
        dates = [iso_date(release.release_date) for release in releases if release.type == release_type]
        if first := min(filter(None, dates), default=None):
            return first
    return None
