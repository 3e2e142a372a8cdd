"""The catalogue as a whole: coverage by year, ratings against votes, budget against gross; of samples."""

from __future__ import annotations

from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.dashboard.rendering import percent
from ayne_dagster.partitions import UNKNOWN_YEAR

POINTS = 800
"""Movies that a cloud of points shows: more would hide each other."""
YEARS = 70


def catalogue(asked: Asked) -> Model:
    """The charts, and how many movies each is about."""
    return {"charts": [_coverage(asked), _ratings(asked), _money(asked)], "totals": _totals(asked)}


def _totals(asked: Asked) -> Model:
    return asked.row(
        "SELECT count(*) AS movies, count(tmdb_checked_at) AS details, count(omdb_checked_at) AS ratings,"
        " count(imdb_id) AS imdb, count(DISTINCT release_year) AS years FROM refresh_metadata"
    )


def _coverage(asked: Asked) -> Chart:
    rows = asked.rows(
        "SELECT release_year AS year, count(*) AS movies, count(tmdb_checked_at) AS details,"
        " count(omdb_checked_at) AS ratings FROM refresh_metadata GROUP BY 1 ORDER BY 1 DESC"
    )
    dated = sorted((row for row in rows if row["year"] != UNKNOWN_YEAR), key=lambda row: int(row["year"]))
    shown = dated[-YEARS:]
    table = [(row["year"], row["movies"], row["details"], row["ratings"]) for row in rows]
    total, details, ratings = (sum(row[name] for row in rows) for name in ("movies", "details", "ratings"))
    undated = next((row["movies"] for row in rows if row["year"] == UNKNOWN_YEAR), 0)
    share = (
        f"{percent(details / total)} of them with details, {percent(ratings / total)} with ratings"
        if total
        else "none yet"
    )
    earlier = f"; {len(dated) - len(shown)} earlier years are in the table" if len(dated) > len(shown) else ""
    return Chart(
        "Movies by release year",
        f"{total:,} movies, {share}; {undated:,} without a release date{earlier}.",
        "bars",
        [int(row["year"]) for row in shown],
        [
            Series("known", [row["movies"] for row in shown], "faint"),
            Series("with details", [row["details"] for row in shown], "tmdb"),
            Series("with ratings", [row["ratings"] for row in shown], "omdb"),
        ],
        ("Release year", "Movies", "With details", "With ratings"),
        table,
        x_label="release year",
    )


def _ratings(asked: Asked) -> Chart:
    """A sample of the rated movies, and in words and table the mean by number of votes."""
    points = asked.rows(
        "SELECT imdb_votes AS x, imdb_rating AS y FROM omdb_ratings WHERE imdb_votes > 0 AND imdb_rating IS NOT NULL"
        f" ORDER BY hash(tmdb_id) LIMIT {POINTS}"
    )
    groups = asked.rows(
        "SELECT floor(log10(imdb_votes))::INTEGER AS power, count(*) AS movies, avg(imdb_rating) AS mean,"
        " min(imdb_rating) AS least, max(imdb_rating) AS most FROM omdb_ratings"
        " WHERE imdb_votes > 0 AND imdb_rating IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    points.sort(key=lambda point: point["x"])
    total = sum(group["movies"] for group in groups)
    told = f"{total:,} movies have a rating and votes at OMDb."
    if len(groups) > 1:
        first, last = groups[0], groups[-1]
        told = (
            f"{told} Their mean rating goes from {first['mean']:.1f} with under {10 ** (first['power'] + 1):,} votes"
            f" to {last['mean']:.1f} with {10 ** last['power']:,} and more."
        )
    return Chart(
        "IMDb rating against votes",
        told,
        "points",
        [point["x"] for point in points],
        [Series("rating", [point["y"] for point in points], "omdb")],
        ("Votes", "Movies", "Mean rating", "Lowest", "Highest"),
        [
            (f"{10 ** g['power']:,} to {10 ** (g['power'] + 1) - 1:,}", g["movies"], round(g["mean"], 1), g["least"],
             g["most"])
            for g in groups
        ],
        log_x=True,
        x_label="votes",
        y_label="rating",
        note=_sampled(len(points), total),
    )  # fmt: skip


def _money(asked: Asked) -> Chart:
    known = "budget >= 1000 AND revenue >= 1000"
    points = asked.rows(
        f"SELECT budget AS x, revenue AS y FROM tmdb_details WHERE {known} ORDER BY hash(tmdb_id) LIMIT {POINTS}"
    )
    groups = asked.rows(
        "SELECT floor(log10(budget))::INTEGER AS power, count(*) AS movies, median(revenue)::BIGINT AS middle,"
        f" count(*) FILTER (WHERE revenue > budget) / count(*) AS earned FROM tmdb_details WHERE {known}"
        " GROUP BY 1 ORDER BY 1"
    )
    points.sort(key=lambda point: point["x"])
    total = sum(group["movies"] for group in groups)
    earned = sum(group["earned"] * group["movies"] for group in groups)
    share = f"; {percent(earned / total)} grossed more than they cost" if total else ""
    return Chart(
        "Worldwide gross against budget",
        f"{total:,} movies have a budget and a gross at TMDB{share}.",
        "points",
        [point["x"] for point in points],
        [Series("gross", [point["y"] for point in points], "tmdb")],
        ("Budget, US dollars", "Movies", "Median gross", "Grossed more than the budget"),
        [
            (f"{10 ** g['power']:,} to {10 ** (g['power'] + 1) - 1:,}", g["movies"], g["middle"],
             percent(g["earned"]))
            for g in groups
        ],
        log_x=True,
        log_y=True,
        money=True,
        x_label="budget, US dollars",
        y_label="gross, US dollars",
        note=f"As entered at TMDB, from 1,000 dollars on, not adjusted. {_sampled(len(points), total)}".strip(),
    )  # fmt: skip


def _sampled(shown: int, total: int) -> str:
    return f"A sample of {shown:,} of {total:,} is drawn; words and table are of all." if shown < total else ""
