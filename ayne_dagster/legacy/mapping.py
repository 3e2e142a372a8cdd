"""From a row of the older collection to a row of today's tables. Pure: rows in, rows out, what was repaired is counted.

How to read a value is in `sources.values`, as for answers of the sources themselves. Unknown is None, whether it was
0, an empty text, 'N/A' or nothing: https://developer.themoviedb.org/docs, and OMDb's own way of writing it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ayne_dagster.partitions import release_year
from ayne_dagster.refresh.states import as_utc, is_ahead
from ayne_dagster.sources.omdb.normalize import LONG as LONG_AT_OMDB
from ayne_dagster.sources.tmdb.normalize import LONG as LONG_AT_TMDB
from ayne_dagster.sources.values import (
    BIGINT_MAX,
    INTEGER_MAX,
    bounded,
    comma_separated,
    count,
    imdb_id,
    iso_date,
    minutes,
    money,
    names,
    omdb_date,
    omdb_text,
    out_of_ten,
    percent,
    popularity,
    positive_int,
    score,
    text,
    year,
)
from ayne_dagster.warehouse.iso_names import COUNTRY_CODES, LANGUAGE_CODES, key_of

Row = Mapping[str, Any]
Repairs = Counter[str]
"""How often what was wrong in a row was put right, by code."""

REPAIRS: Mapping[str, str] = {
    "zero_as_unknown": "0 where it means unknown",
    "empty_as_unknown": "an empty text, 'N/A', 'None' or 'nan' where it means unknown",
    "comma_in_name": "a company's name with a comma in it, kept whole",
    "unknown_country": "countries with a name that is not known or stands for two: left unknown",
    "unknown_language": "languages with a name that is not known or stands for two: left unknown",
    "bad_imdb_id": "an IMDb id that is none: left unknown",
    "imdb_id_from_movies": "an IMDb id that the details lack, from the movie",
    "time_unknown": "a time of fetching that is missing or lies in the future: the movie is due",
    "duplicate_key": "rows with a key that a later row has",
    "no_movie": "details without a movie: it is known by them",
}
"""By code: what was repaired."""
_ZERO_IS_UNKNOWN = ("budget", "revenue", "runtime", "box_office", "imdb_votes")
_ZEROS = (0, "0")
_NUMBERS = (int, float)
_NO_VALUES = frozenset(("", "n/a", "none", "null", "nan", "<na>", "nat", "\\n"))
"""What stands for unknown in a database or a dump, in lower case: OMDb's way of writing it, and those of the programs
that wrote the dumps."""
_LONGEST_OF_THEM = max(map(len, _NO_VALUES))
_TITLES = ("title",)
"""Films are called None, Null and NaN: of a title only OMDb's way of writing it means unknown."""
_FORM = (
    r"(?:ltd|inc|llc|l\.l\.c|llp|lp|l\.p|co|corp|corporation|gmbh|plc|s\.?a|s\.?l|s\.?r\.?l|s\.?p\.?a|a/?s|a\.?b|b\.?v|"
    r"k\.?k|pty|pvt|kg|s\.?a\.?r\.?l|limited|incorporated)\.?"
)
_SUFFIX = re.compile(rf"{_FORM}(?: (?:& )?{_FORM})*(?: ?\([^()]*\))?", re.IGNORECASE)
"""What follows a comma within a company's name: its legal form, and nothing else but a remark in brackets."""
_WHOLE = re.compile(r"[0-9]{1,19}\.0*")
_BARE_COMMA = re.compile(r",(?! )")
_MEASURES = {
    "worldwide_box_office": ("gross", "worldwide"),
    "domestic_box_office": ("gross", "domestic"),
    "international_box_office": ("gross", "international"),
    "opening_weekend_box_office": ("opening_weekend", "domestic"),
    "production_budget": ("production_budget", "unspecified"),
}
"""By column of the older collection's figures: measure and scope. An opening weekend of The Numbers is a domestic one,
and a budget has no place."""


def read_value(name: str, value: object, repairs: Repairs) -> object:
    """A value of any column as what it says: None for what stands for unknown, a whole number for "136.0".

    Args:
        name: of the column.
        value: as the database or the dump has it.
        repairs: counts what is put right.
    """
    if isinstance(value, str):
        plain = value.strip()
        if len(plain) <= _LONGEST_OF_THEM and (lower := plain.lower()) in _NO_VALUES:
            if name not in _TITLES or lower in ("", "n/a"):
                repairs["empty_as_unknown"] += 1
                return None
        elif plain[-1] in ".0" and _WHOLE.fullmatch(plain):
            value = plain.partition(".")[0]
    elif isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    if name in _ZERO_IS_UNKNOWN and value in _ZEROS:
        repairs["zero_as_unknown"] += 1
    return value


def read_row(row: Row, repairs: Repairs) -> dict[str, object]:
    """A row of the older collection with its values as what they say; see `read_value`."""
    # Most values need no look: half of all are unknown already, and what is a number says what it means.
    return {
        name: value if value is None or (type(value) in _NUMBERS and value) else read_value(name, value, repairs)
        for name, value in row.items()
    }


def details_row(row: Row, movie: Row, repairs: Repairs, *, joined_by_blank: bool) -> dict[str, object]:
    """The row of `tmdb_details`; what the older collection never asked for is not in it.

    Args:
        row: of its `tmdb_movies`, of values that were read.
        movie: the row of its `movies`, or an empty one.
        repairs: counts what is put right.
        joined_by_blank: whether the names in a text of names are joined by a comma and a blank.
    """
    released = iso_date(row["release_date"]) or iso_date(movie.get("release_date"))
    votes = count(row["vote_count"])
    found: dict[str, object] = {
        "tmdb_id": positive_int(row["tmdb_id"]),
        "release_year": release_year(released),
        "imdb_id": _imdb_id(row, movie, repairs),
        "title": text(row["title"]) or text(movie.get("title")),
        "overview": text(row["overview"]),
        "status": text(row["status"]),
        "release_date": released,
        "runtime": positive_int(row["runtime"], INTEGER_MAX),
        "budget": positive_int(row["budget"]),
        "revenue": positive_int(row["revenue"]),
        "popularity": popularity(_number(row["popularity"])),
        "vote_average": None if votes == 0 else out_of_ten(_number(row["vote_average"])) or None,
        "vote_count": votes,
        "genres": names(split_names(row["genres"], repairs, joined_by_blank=joined_by_blank)),
        "production_companies": names(
            split_names(row["production_companies"], repairs, joined_by_blank=joined_by_blank)
        ),
        "production_countries": codes(row["production_countries"], COUNTRY_CODES, "unknown_country", repairs),
        "spoken_languages": codes(row["spoken_languages"], LANGUAGE_CODES, "unknown_language", repairs),
    }
    return bounded(found, long=LONG_AT_TMDB, addresses=())


def listed_row(movie: Row) -> dict[str, object]:
    """The row of `discovered_movies` of a movie without details."""
    released = iso_date(movie["release_date"])
    found: dict[str, object] = {
        "tmdb_id": positive_int(movie["tmdb_id"]),
        "release_year": release_year(released),
        "title": text(movie["title"]),
        "release_date": released,
    }
    return bounded(found, long=(), addresses=())


def ratings_row(row: Row, tmdb_id: int, year_of_release: str) -> dict[str, object]:
    """The row of `omdb_ratings` of one movie.

    Args:
        row: of the older collection's `omdb_movies`, of values that were read.
        tmdb_id: the movie that has its IMDb id.
        year_of_release: the movie's partition.
    """
    metascore = score(row["metascore"])
    found: dict[str, object] = {
        "tmdb_id": tmdb_id,
        "release_year": year_of_release,
        "imdb_id": imdb_id(row["imdb_id"]),
        "title": omdb_text(row["title"]),
        "year": year(row["year"]),
        "rated": omdb_text(row["rated"]),
        "released": omdb_date(row["released"]),
        "runtime": minutes(row["runtime"]),
        "genre": _listed(row["genre"]),
        "director": _listed(row["director"]),
        "writer": omdb_text(row["writer"]),
        "actors": _listed(row["actors"]),
        "language": _listed(row["language"]),
        "country": _listed(row["country"]),
        "awards": omdb_text(row["awards"]),
        "imdb_rating": out_of_ten(_number(row["imdb_rating"])) or None,
        "imdb_votes": positive_int(row["imdb_votes"]),
        "metascore": score(row["meta_critic_rating"]) if metascore is None else metascore,
        "rotten_tomatoes_rating": _percent(row["rotten_tomatoes_rating"]),
        "box_office": money(row["box_office"]),
    }
    return bounded(found, long=LONG_AT_OMDB, addresses=())


def figures(row: Row) -> list[dict[str, object]]:
    """The figures of The Numbers that a row of the older collection's `numbers_movies` states, in US dollars."""
    address = text(row["source_url"])
    found = []
    for column, (measure, scope) in _MEASURES.items():
        if (amount := positive_int(row[column], BIGINT_MAX // 1000)) is not None:
            found.append(
                {
                    "measure": measure,
                    "scope": scope,
                    "currency": "USD",
                    "source_ref": address or f"legacy:{row['movie_id']}",
                    "amount": Decimal(amount),
                }
            )
    return found


def fetched_at(at: datetime | None, now: datetime, repairs: Repairs) -> datetime | None:
    """When a row was fetched, by the instant that it says; None where nobody knows: it says none, or one to come."""
    if at is None or is_ahead(at, now):
        repairs["time_unknown"] += 1
        return None
    return at


def instant(value: object) -> datetime | None:
    """An instant as aware UTC, from a timestamp, a day (its beginning) or a text; None for what is none."""
    if not isinstance(value, date | str):
        return None
    try:
        at = as_utc(value)
    except (ValueError, OverflowError):
        return None
    return at if at is not None and datetime(1970, 1, 1, tzinfo=UTC) <= at else None


def codes(value: object, by_name: Mapping[str, str], code_of_repair: str, repairs: Repairs) -> list[str] | None:
    """The codes of a text of names. Where one name has none, all are unknown: part of a list would be a wrong one."""
    named = text(value)
    if named is None:
        return None
    found = [by_name.get(key_of(name)) for name in named.split(",") if name.strip()]
    if None in found:
        repairs[code_of_repair] += 1
        return None
    return list(dict.fromkeys(code for code in found if code)) or None


def split_names(value: object, repairs: Repairs, *, joined_by_blank: bool) -> list[str]:
    """The names in a text of names that are joined by commas, as far as it tells.

    Joined by a comma alone, one with a blank behind it is part of a name: `A,Foo, Bar & Baz`. Joined by a comma and a
    blank (the dumps of era A), it separates, unless what follows is the legal form of a company: `X Films, Ltd.`.
    """
    joined = text(value)
    if joined is None:
        return []
    if ", " not in joined:
        return joined.split(",")
    if not joined_by_blank or _BARE_COMMA.search(joined):
        parts = _BARE_COMMA.split(joined)
        repairs["comma_in_name"] += sum(", " in part for part in parts)
        return parts
    parts = []
    for part in joined.split(", "):
        if parts and _SUFFIX.fullmatch(part.strip()):
            repairs["comma_in_name"] += 1
            parts[-1] += f", {part}"
        else:
            parts.append(part)
    return parts


def _listed(value: object) -> list[str] | None:
    """OMDb's list as a list of its own; the same few genres, languages and countries come thousands of times."""
    found = _comma_separated(value) if isinstance(value, str) else None
    return list(found) if found else None


@lru_cache(maxsize=4096)
def _comma_separated(value: str) -> tuple[str, ...]:
    return tuple(comma_separated(value) or ())


def _imdb_id(row: Row, movie: Row, repairs: Repairs) -> str | None:
    """TMDB's word, else what the movie has."""
    for value in (row["imdb_id"], movie.get("imdb_id")):
        if value and str(value).strip() and imdb_id(value) is None:
            repairs["bad_imdb_id"] += 1
    found = imdb_id(row["imdb_id"])
    if found is None and (found := imdb_id(movie.get("imdb_id"))):
        repairs["imdb_id_from_movies"] += 1
    return found


def _percent(value: object) -> int | None:
    """The number of "90%", "90" or 90."""
    return score(value) if (found := percent(value)) is None else found


def _number(value: object) -> object:
    """A number that a text holds; anything else as it is."""
    if isinstance(value, str):
        try:
            return float(value.strip().replace(",", "."))
        except ValueError:
            return value
    return value
