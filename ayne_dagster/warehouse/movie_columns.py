"""The columns of the view `movies` that more than one source can fill: expressions over its joined rows. No joins, no
tables.

Aliases as in `views`: m the refresh state, l the listing, d TMDB's details, o OMDb's ratings as far as they are the
movie's, x TMDB's daily ID export, ck and lk the names of countries and languages.
TMDB comes first wherever it knows something, since `movies` is of TMDB's movies; nothing is mixed within a value.
"""

from __future__ import annotations

from ayne_dagster.warehouse.best_figures import LEAST_BUDGET
from ayne_dagster.warehouse.matching.same_work import Match
from ayne_dagster.warehouse.schema import OMDB_RATINGS, TMDB_ID_EXPORT
from ayne_dagster.warehouse.tables import Column

_OMDB_COLUMNS = {
    "overview": "plot",
    "genres": "genre",
    "runtime": "runtime",
    "directors": "director",
    "actors": "actors",
    "certification": "rated",
}
"""By column of `movies`: the column of `omdb_ratings` that stands in where TMDB knows nothing."""


NAMES_JOIN = "\n".join(
    f"CROSS JOIN (SELECT map_from_entries(list((code, name))) AS names FROM main.{view}) AS {alias}"
    for view, alias in (("countries", "ck"), ("languages", "lk"))
)
"""Joins the names that codes stand for, a map in a row of its own: ck of countries, lk of languages.

A map that is written out in a query is made anew for each row by DuckDB 1.5, and a CASE of all codes takes three times
as long as this.
"""


def names_sql(codes: str, names: str) -> str:
    """A list of codes as a list of their names; a code without a name stands for itself.

    Args:
        codes: the expression of the list.
        names: alias of the names, by `NAMES_JOIN`.
    """
    return f"list_transform({codes}, lambda code: coalesce({names}.names[code], code))"


def _source_sql(of_tmdb: str, of_omdb: str) -> str:
    return f"CASE WHEN {of_tmdb} IS NOT NULL THEN 'tmdb' WHEN {of_omdb} IS NOT NULL THEN 'omdb' END"


def filled(column: str, of_tmdb: str) -> str:
    """The expression for a column of `movies`, given what TMDB says of it."""
    return f"coalesce({of_tmdb}, o.{_OMDB_COLUMNS[column]})" if column in _OMDB_COLUMNS else of_tmdb


def filled_origins(column: str) -> tuple[str, ...]:
    """The tables other than TMDB's that such a column can come from under its own name."""
    return (OMDB_RATINGS.name,) if _OMDB_COLUMNS.get(column) == column else ()


_EXPORT_IS_NEWER = (
    "x.popularity IS NOT NULL AND x.last_listed_on > coalesce(CAST(m.tmdb_checked_at AS DATE),"
    " CAST(m.last_seen_at AS DATE), DATE '1970-01-01')"
)
POPULARITY = f"CASE WHEN {_EXPORT_IS_NEWER} THEN x.popularity ELSE coalesce(d.popularity, l.popularity) END"
"""TMDB's score as last told: the export of a later day than details and listing, else theirs."""
_POPULARITY_AS_OF = (
    f"CASE WHEN {_EXPORT_IS_NEWER} THEN CAST(x.last_listed_on AS TIMESTAMP)"
    " WHEN d.popularity IS NOT NULL THEN m.tmdb_checked_at WHEN l.popularity IS NOT NULL THEN m.last_seen_at END"
)

_ADDED: tuple[tuple[Column, str, tuple[str, ...]], ...] = (
    (
        Column("popularity_as_of", "TIMESTAMP", "When TMDB last told the popularity: details, listing or daily export"),
        _POPULARITY_AS_OF,
        (),
    ),
    *(
        (
            Column(
                f"{column}_source",
                "VARCHAR",
                f"Who says {column}: tmdb, or omdb where TMDB knows nothing",
                null="nobody does",
            ),
            _source_sql("coalesce(d.overview, l.overview)" if column == "overview" else f"d.{column}", f"o.{of_omdb}"),
            (),
        )
        for column, of_omdb in _OMDB_COLUMNS.items()
    ),
    (
        Column("countries", "VARCHAR[]", "English names of the countries that it was made in"),
        f"coalesce({names_sql('d.production_countries', 'ck')}, o.country)",
        (),
    ),
    (
        Column("countries_source", "VARCHAR", "Who says countries: tmdb or omdb", null="nobody does"),
        _source_sql("d.production_countries", "o.country"),
        (),
    ),
    (
        Column("languages", "VARCHAR[]", "English names of the languages spoken in it"),
        f"coalesce({names_sql('d.spoken_languages', 'lk')}, o.language)",
        (),
    ),
    (
        Column("languages_source", "VARCHAR", "Who says languages: tmdb or omdb", null="nobody does"),
        _source_sql("d.spoken_languages", "o.language"),
        (),
    ),
    (
        Column("type", "VARCHAR", "movie, series, episode or game, as OMDb has it", null="OMDb was not asked"),
        "o.type",
        (OMDB_RATINGS.name,),
    ),
    (
        Column("end_year", "INTEGER", "Last year of a series, as OMDb has it", null="OMDb states no span"),
        "o.end_year",
        (OMDB_RATINGS.name,),
    ),
    (
        Column(
            "omdb_match",
            "VARCHAR",
            "Whether OMDb's answer is of this movie: same, doubtful, another (nothing of it is shown)",
            null="OMDb was not asked, or it cannot be told",
        ),
        "o.match",
        (),
    ),
    (
        Column(
            "budget_plausible",
            "BOOLEAN",
            f"Whether budget is at least {LEAST_BUDGET:,} dollars: less is none",
            null="none is known",
        ),
        f"d.budget >= {LEAST_BUDGET}",
        (),
    ),
    (
        Column(
            "revenue_plausible",
            "BOOLEAN",
            f"Whether revenue is at least {LEAST_BUDGET:,} dollars",
            null="none is known",
        ),
        f"d.revenue >= {LEAST_BUDGET}",
        (),
    ),
)
ADDED_COLUMNS = tuple(column for column, _, _ in _ADDED)
"""Columns of `movies` that no table has under the same name and meaning."""
ADDED_LINES = tuple(f"{sql} AS {column.name}" for column, sql, _ in _ADDED)
ADDED_ORIGINS = {column.name: origins for column, _, origins in _ADDED}
_SHOWN_OF_OMDB = ", ".join(
    f"CASE WHEN match IS DISTINCT FROM '{Match.ANOTHER}' THEN {name} END AS {name}"
    for name in OMDB_RATINGS.column_names
    if name not in ("tmdb_id", "imdb_id", "match")
)
OMDB_JOIN = (
    f"LEFT JOIN (SELECT tmdb_id, imdb_id, match, {_SHOWN_OF_OMDB} FROM {OMDB_RATINGS.name}) AS o"
    " ON o.tmdb_id = m.tmdb_id AND o.imdb_id = m.imdb_id"
)
"""Joins OMDb's answer under the movie's present IMDb id: all of it, or of another work's nothing but that it is one.

Blank, and not left out by a join of its own: what asks for no column of it pays for one join less.
"""
ITS_IMDB_ID = f"CASE WHEN o.match IS DISTINCT FROM '{Match.ANOTHER}' THEN m.imdb_id END"
"""The IMDb id, where what is known under it is of the movie, as far as is known.

As a value to be joined by: as a condition of its own beside the equalities, DuckDB compares each row with each.
"""
EXPORT_JOIN = f"LEFT JOIN {TMDB_ID_EXPORT.name} AS x ON x.tmdb_id = m.tmdb_id"
