"""From OMDb's answer to a row of `omdb_ratings`, without `updated_at`.

Decides what a field means; how to read a value is in `values.py`. Unknown ("N/A", a missing key) is None, and
None must not replace a known value: BoxOffice was N/A for every movie from about September to December 2020
(https://github.com/omdbapi/OMDb-API/issues/203).
"""

from __future__ import annotations

import re

from ayne_dagster.sources.omdb.models import OMDbMovie
from ayne_dagster.sources.values import (
    bounded,
    comma_separated,
    end_year,
    minutes,
    money,
    omdb_date,
    omdb_text,
    out_of_ten,
    percent,
    positive_int,
    score,
    year,
)

LONG = ("plot", "writer", "awards")
ADDRESSES = ("poster", "website")
"""Columns by how long they may be: see `bounded`."""

IMDB = "internet movie database"
METACRITIC = "metacritic"
ROTTEN_TOMATOES = "rotten tomatoes"

_IMDB_NUMBER = re.compile(r"tt0*([0-9]{1,10})")


def ratings_row(movie: OMDbMovie, tmdb_id: int, release_year: str) -> dict[str, object]:
    """The row of `omdb_ratings` for one movie.

    Args:
        movie: OMDb's answer.
        tmdb_id: TMDB's number of the movie whose IMDb id was asked.
        release_year: the movie's partition, from TMDB's release date: OMDb's year can differ.
    """
    ratings = {(rating.source or "").lower(): rating.value for rating in movie.ratings or ()}
    metascore = score(movie.metascore)
    row: dict[str, object] = {
        "tmdb_id": tmdb_id,
        "release_year": release_year,
        "imdb_id": _imdb_id(movie.imdb_id),
        "title": omdb_text(movie.title),
        "year": year(movie.year),
        "end_year": end_year(movie.year),
        "type": omdb_text(movie.type),
        "rated": omdb_text(movie.rated),
        "released": omdb_date(movie.released),
        "runtime": minutes(movie.runtime),
        "genre": comma_separated(movie.genre),
        "director": comma_separated(movie.director),
        "writer": omdb_text(movie.writer),
        "actors": comma_separated(movie.actors),
        "plot": omdb_text(movie.plot),
        "language": comma_separated(movie.language),
        "country": comma_separated(movie.country),
        "awards": omdb_text(movie.awards),
        "poster": omdb_text(movie.poster),
        # IMDb's lowest rating is 1: 0 is no rating. A Metascore or Tomatometer of 0 is one.
        "imdb_rating": out_of_ten(movie.imdb_rating) or out_of_ten(ratings.get(IMDB)) or None,
        "imdb_votes": positive_int(movie.imdb_votes),
        "metascore": score(ratings.get(METACRITIC)) if metascore is None else metascore,
        "rotten_tomatoes_rating": percent(ratings.get(ROTTEN_TOMATOES)),
        "box_office": money(movie.box_office),
        "dvd": omdb_date(movie.dvd),
        "production": omdb_text(movie.production),
        "website": omdb_text(movie.website),
    }
    return bounded(row, long=LONG, addresses=ADDRESSES)


def is_same_imdb_id(asked: str, answered: str | None) -> bool:
    """Whether both name the same title: tt137523 and tt0137523 do.

    OMDb answers with another zero-padding, and for merged titles with another id
    (https://github.com/omdbapi/OMDb-API/issues/235).
    """
    number = _imdb_number(asked)
    return number is not None and number == _imdb_number(answered)


def _imdb_id(answered: str | None) -> str | None:
    """The id in its usual form, whatever zero-padding OMDb gave it: rows are joined by it."""
    number = _imdb_number(answered)
    return number and f"tt{number:0>7}"


def _imdb_number(value: str | None) -> str | None:
    match = _IMDB_NUMBER.fullmatch((value or "").strip().lower())
    return match[1] if match else None
