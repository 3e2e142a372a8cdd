"""Which figure of a movie's money is shown where sources state several: the view of all figures, and the choice.

Nothing is converted, added up or averaged. What is doubtful is told beside the figure, in the view, so that it is
judged by all that is known now; what is stored is what was stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import duckdb

from ayne_dagster.config import FIGURE_PROVIDERS, FIGURES, FigureChoice
from ayne_dagster.warehouse.matching.same_work import Match
from ayne_dagster.warehouse.rows import insert_rows, naive_utc
from ayne_dagster.warehouse.schema import (
    BOX_OFFICE,
    BOX_OFFICE_PRECEDENCE,
    OMDB_RATINGS,
    REFRESH_METADATA,
    TMDB_DETAILS,
)
from ayne_dagster.warehouse.tables import NEVER, Column, View

LEAST_GROSS = 10_000
"""US dollars; what a source gives as a lower gross is mostly in millions, or of a single cinema."""
LEAST_BUDGET = 1_000
MOST_USD = 10_000_000_000
"""US dollars; no film has cost or made half as much: what is larger is in another unit or currency."""
DISAGREEMENT = 1.25
"""The largest figure over the smallest from which on sources are said to disagree."""
WORTH_COMPARING = 100_000
STILL_RUNNING_DAYS = 90
SAME_WEEK_DAYS = 7
"""Figures that are stated for days so late are compared of running movies, too: they were read together."""
SAME = 0.02
"""Two figures that differ by no more are one figure, rounded or of another week."""
APART = 1.2
"""A worldwide gross that is larger by this factor makes a figure without a place the domestic one."""

_SCOPES: Mapping[str, Sequence[str]] = {
    "worldwide_gross": ("worldwide", "unspecified"),
    "domestic_gross": ("domestic",),
    "opening_weekend": ("domestic", "unspecified"),
    "production_budget": ("unspecified", "worldwide"),
}
"""By column of `movies`: the scopes of the figures that can stand in it."""
_PLACELESS = ("worldwide_gross", "unspecified")
"""A gross without a place comes after all that have one: a quarter of them is the domestic one."""
_MOST = 10**15
"""No figure of a movie is as large: what is would not fit, either."""
_AMONG_STATED = ", ".join(
    name for name in BOX_OFFICE.column_names if name not in ("suspect", "updated_at", "matched_by", "release_year")
)


def _times(factor: float) -> str:
    """A factor for amounts: the product of two decimals can be too wide for DuckDB, which then ends the query."""
    return f"CAST({factor} AS DOUBLE)"


def _of_tmdb(column: str, measure: str, scope: str) -> str:
    """A money column of TMDB's details as figures; when they were read is the state's to tell (`_read_at`)."""
    return f"""SELECT d.tmdb_id, d.release_year, 'tmdb' AS source, '{measure}' AS measure, '{scope}' AS scope,
           'USD' AS currency, 'https://www.themoviedb.org/movie/' || d.tmdb_id AS source_ref,
           CAST(d.{column} AS DECIMAL(18,2)) AS amount, FALSE AS preferred, FALSE AS derived
    FROM tmdb_details AS d WHERE d.{column} BETWEEN 1 AND {_MOST}"""


_STATED = f"""
    SELECT {_AMONG_STATED}, release_year, suspect, matched_by FROM box_office
    UNION ALL BY NAME
    {_of_tmdb("revenue", "gross", "worldwide")}
    UNION ALL BY NAME
    {_of_tmdb("budget", "production_budget", "unspecified")}
    UNION ALL BY NAME
    SELECT o.tmdb_id, o.release_year, 'omdb' AS source, 'gross' AS measure, 'domestic' AS scope, 'USD' AS currency,
           o.imdb_id AS source_ref, CAST(o.box_office AS DECIMAL(18,2)) AS amount,
           FALSE AS preferred, FALSE AS derived,
           CASE WHEN o.match = '{Match.ANOTHER}' THEN 'the IMDb id is another work''s' END AS suspect
    FROM omdb_ratings AS o SEMI JOIN refresh_metadata USING (tmdb_id, imdb_id)
    WHERE o.box_office BETWEEN 1 AND {_MOST}"""
_KNOWN = f"""
    SELECT tmdb_id, max(amount) FILTER (scope = 'worldwide') AS worldwide,
           min(amount) FILTER (scope = 'domestic') AS least_domestic,
           max(amount) FILTER (scope = 'domestic') AS most_domestic
    FROM stated
    WHERE measure = 'gross' AND currency = 'USD' AND suspect IS NULL AND gone_at IS NULL AND amount >= {LEAST_GROSS}
    GROUP BY tmdb_id"""
_IS_DOMESTIC = (
    "s.measure = 'gross' AND s.scope = 'unspecified' AND s.currency = 'USD'"
    f" AND least(abs(s.amount - k.least_domestic), abs(s.amount - k.most_domestic)) <= {_times(SAME)} * s.amount"
    f" AND k.worldwide > {_times(APART)} * s.amount"
)
"""Whether a figure without a place is the domestic one: in two comparisons this held for two thirds of all that
differed from another source's worldwide gross by more than a fifth."""
_JUDGED = f"""
    SELECT s.tmdb_id, s.release_year, s.source, s.measure,
           CASE WHEN {_IS_DOMESTIC} THEN 'domestic' ELSE s.scope END AS scope,
           s.currency, s.source_ref, s.amount, s.as_of, s.preferred, s.derived, s.matched_by, s.observed_at, s.gone_at,
           coalesce({_IS_DOMESTIC}, FALSE) AS scope_inferred,
           CASE WHEN s.suspect IS NOT NULL THEN s.suspect
                WHEN s.currency = 'USD' AND s.amount > {MOST_USD} THEN 'more than {MOST_USD:,} US dollars'
                WHEN s.currency = 'USD' AND s.measure = 'gross' AND s.scope IN ('worldwide', 'unspecified', 'domestic')
                     AND s.amount < {LEAST_GROSS} THEN 'a gross below {LEAST_GROSS:,} US dollars'
                WHEN s.currency = 'USD' AND s.measure = 'production_budget'
                     AND s.amount < {LEAST_BUDGET} THEN 'a budget below {LEAST_BUDGET:,} US dollars'
                WHEN s.measure = 'gross' AND s.scope IN ('worldwide', 'unspecified') AND s.currency = 'USD'
                     AND NOT coalesce({_IS_DOMESTIC}, FALSE) AND s.amount < {_times(1 - SAME)} * k.least_domestic
                     THEN 'less than the domestic gross'
           END AS suspect
    FROM stated AS s LEFT JOIN known AS k USING (tmdb_id)"""
_JUDGED_FIGURES = f"""
WITH stated AS NOT MATERIALIZED ({_STATED}),
known AS NOT MATERIALIZED ({_KNOWN}),
judged AS NOT MATERIALIZED ({_JUDGED})"""
"""Begins a query of `judged`. When TMDB and OMDb were asked is left to who has the refresh state at hand (`_read_at`).

Nothing is materialized: to keep all columns of all figures costs more than to read those that are needed three times.
"""


def _read_at(figure: str) -> str:
    """When a figure's source was last asked for the movie, by its state m; NULL of sources that state it themselves."""
    cases = " ".join(f"WHEN '{source}' THEN m.{source}_checked_at" for source in ("tmdb", "omdb"))
    return f"CASE {figure}.source {cases} END"


_INFERRED = Column("scope_inferred", "BOOLEAN", "The source states no place: it equals a domestic gross", null=NEVER)
_SUSPECT = Column(
    "suspect",
    "VARCHAR",
    "Why it is doubtful, by itself or beside the others; it is not shown then",
    null="it is not doubtful",
)
_FIGURES_COLUMNS = (
    *(c for c in BOX_OFFICE.columns if c.name not in ("updated_at", "suspect")),
    _INFERRED,
    _SUSPECT,
)
_FIGURES_LINES = tuple(
    f"coalesce(f.observed_at, {_read_at('f')}) AS observed_at" if column.name == "observed_at" else f"f.{column.name}"
    for column in _FIGURES_COLUMNS
)
FROM_TABLES = (BOX_OFFICE.name, TMDB_DETAILS.name, OMDB_RATINGS.name)
BOX_OFFICE_FIGURES = View(
    "box_office_figures",
    "One row a figure of a movie's money, of every source: those that were asked, files, TMDB's budget and revenue, "
    "OMDb's box office; with what is doubtful about it.",
    f"""{_JUDGED_FIGURES}
SELECT {", ".join(_FIGURES_LINES)} FROM judged AS f LEFT JOIN refresh_metadata AS m ON m.tmdb_id = f.tmdb_id""",
    _FIGURES_COLUMNS,
    {c.name: (BOX_OFFICE.name,) for c in BOX_OFFICE.columns if c.name in {f.name for f in _FIGURES_COLUMNS}}
    | {"amount": FROM_TABLES, "observed_at": (BOX_OFFICE.name, REFRESH_METADATA.name)}
    | {"scope_inferred": (), "suspect": FROM_TABLES},
    key=BOX_OFFICE.key,
    null=BOX_OFFICE.null,
)

_TURN = (
    "((CAST(gone_at IS NOT NULL AS HUGEINT) * 1000 + place) * 2 + CAST(NOT coalesce(preferred, FALSE) AS INTEGER))"
    " * 10000000 + 1000000 - coalesce(date_diff('day', DATE '1970-01-01', as_of), 0)"
)
"""The lowest is shown: what is still stated, then by precedence, then what the source prefers, then the newest."""
_SHOWN = "{'amount': amount, 'source': source, 'as_of': coalesce(CAST(as_of AS TIMESTAMP), observed_at)}"
BEST_FIGURES_SQL = f"""{_JUDGED_FIGURES}
SELECT tmdb_id,
       {
    ", ".join(
        f"arg_min({_SHOWN}, ({_TURN}) * 1000000000000000 - CAST(amount AS BIGINT))"
        f" FILTER (p.figure = '{figure}') AS {figure}"
        for figure in FIGURES
    )
}
FROM judged AS f JOIN box_office_precedence AS p USING (source, scope)
WHERE f.currency = 'USD' AND f.suspect IS NULL
  AND f.measure = CASE WHEN p.figure IN ('worldwide_gross', 'domestic_gross') THEN 'gross' ELSE p.figure END
GROUP BY tmdb_id"""
"""One row a movie with a struct (amount, source, as_of) a figure; of two alike the larger.

as_of is NULL of TMDB's and OMDb's: `movies` has their times at hand (`FIGURE_LINES`), without a join for each figure.
"""

_NOBODY = "nobody states a figure that is not doubtful"
_MEANINGS = {
    "worldwide_gross": "Gross of all countries, nominal: the figure that is shown first of those known",
    "domestic_gross": "Gross of the US and Canada, nominal",
    "opening_weekend": "Gross of the first weekend in the US and Canada, nominal",
    "production_budget": "Budget without marketing, nominal",
}
FIGURE_COLUMNS = tuple(
    column
    for figure, meaning in _MEANINGS.items()
    for column in (
        Column(figure, "DECIMAL(18,2)", meaning, unit="US dollars", null=_NOBODY),
        Column(f"{figure}_source", "VARCHAR", f"Who states {figure}: {', '.join(FIGURE_PROVIDERS)}", null=_NOBODY),
        Column(
            f"{figure}_as_of",
            "TIMESTAMP",
            f"The day for which {figure} is stated, else when it was read (UTC)",
            null=_NOBODY,
        ),
    )
)
"""Of `movies`: each figure that is shown, with its source and date."""
FIGURE_LINES = tuple(
    line
    for figure in FIGURES
    for line in (
        f"b.{figure}.amount AS {figure}",
        f"b.{figure}.source AS {figure}_source",
        f"coalesce(b.{figure}.as_of, {_read_at(f'b.{figure}')}) AS {figure}_as_of",
    )
)
"""What the view `movies` selects for them."""


def precedence_rows(choice: FigureChoice) -> list[tuple[str, str, str, int]]:
    """The rows of `box_office_precedence` that say what is chosen."""
    rows = []
    for figure, scopes in _SCOPES.items():
        pairs = [(source, scope) for source in choice.order(figure) for scope in scopes]
        pairs.sort(key=lambda pair: (figure, pair[1]) == _PLACELESS)
        rows += [(figure, source, scope, place) for place, (source, scope) in enumerate(pairs)]
    return rows


def put_precedence(connection: duckdb.DuckDBPyConnection, choice: FigureChoice) -> bool:
    """Write which figures are shown first, where it is not written so already; returns whether it was not.

    Args:
        connection: with an open transaction.
        choice: whose figures count, in order.
    """
    wanted = precedence_rows(choice)
    found = connection.execute("SELECT figure, source, scope, place FROM box_office_precedence").fetchall()
    if sorted(found) == sorted(wanted):
        return False
    connection.execute("DELETE FROM box_office_precedence")
    names = ("figure", "source", "scope", "place")
    insert_rows(connection, BOX_OFFICE_PRECEDENCE, [dict(zip(names, row, strict=True)) for row in wanted])
    return True


@dataclass(frozen=True)
class Agreement:
    """How far sources agree that state the same figure of a movie."""

    compared: int
    """Figures of movies that more than one source states."""
    apart: int
    """Of these, figures of which the largest is more than a quarter above the smallest."""
    cases: Sequence[tuple[int, str, str, str, str, Decimal, str, Decimal]]
    """Those furthest apart: tmdb_id, title, measure, scope, who states the least, how much, who the most, how much."""

    @property
    def share_apart(self) -> float:
        """Share of those compared, from 0 to 1."""
        return self.apart / self.compared if self.compared else 0.0


def agreement(connection: duckdb.DuckDBPyConnection, now: datetime, cases: int = 10) -> Agreement:
    """How far sources agree on the same measure, scope and currency.

    Left out are what is doubtful or derived, what is small, and of movies that were released less than 90 days ago all
    but what is stated for one of the last 7 days: their figures still grow, and each source was read on another day.
    """
    rows = connection.execute(
        f"""
        WITH compared AS (
            SELECT tmdb_id, measure, scope, arg_min(source, amount) AS least_by, min(amount) AS least,
                   arg_max(source, amount) AS most_by, max(amount) AS most
            FROM box_office_figures JOIN refresh_metadata AS r USING (tmdb_id)
            WHERE suspect IS NULL AND NOT derived AND gone_at IS NULL AND scope NOT IN ('other')
              AND (r.release_date <= CAST($now AS DATE) - {STILL_RUNNING_DAYS}
                   OR as_of >= CAST($now AS DATE) - {SAME_WEEK_DAYS})
            GROUP BY tmdb_id, measure, scope, currency
            HAVING count(DISTINCT source) > 1 AND min(amount) >= {WORTH_COMPARING}
        )
        SELECT c.*, m.title, count(*) OVER () AS compared, most > {_times(DISAGREEMENT)} * least AS apart,
               count(*) FILTER (WHERE most > {_times(DISAGREEMENT)} * least) OVER () AS apart_in_all
        FROM compared AS c LEFT JOIN tmdb_details AS m USING (tmdb_id)
        ORDER BY apart DESC, most / least DESC, tmdb_id LIMIT $cases""",
        {"now": naive_utc(now), "cases": max(1, cases)},
    ).fetchall()
    if not rows:
        return Agreement(0, 0, ())
    found = [(r[0], r[7] or "", *r[1:7]) for r in rows if r[9]]
    return Agreement(rows[0][8], rows[0][10], found[:cases])
