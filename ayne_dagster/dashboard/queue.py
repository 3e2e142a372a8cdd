"""What comes due when, the next movies with their reasons, and what is set aside: frozen, failing, gone, odd."""

from __future__ import annotations

from datetime import UTC, timedelta
from itertools import pairwise

from ayne_dagster.dashboard.charts import Chart, Series
from ayne_dagster.dashboard.pages import Asked, Model
from ayne_dagster.refresh.explain import Circumstances, explain
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.warehouse.questions import movie_titles
from ayne_dagster.warehouse.refresh_metadata import due_counts, due_movies, movie_states
from ayne_dagster.warehouse.rows import each_of, one_text
from ayne_dagster.warehouse.sampling import is_sampled, one_in

CALENDAR_DAYS, NEXT, LISTED = 30, 100, 50
SAMPLED = 20_000
"""Movies that the calendar looks at; of more, every so many-th stands for all."""


def queue(asked: Asked) -> Model:
    """The calendar, the next movies, and the lists of what stands aside."""
    due = due_counts(asked.connection, asked.settings.sources, asked.now, strategy=asked.strategy)
    return {
        "due": due["any_source"],
        "calendar": calendar(asked),
        "next": next_movies(asked, NEXT),
        "aside": [_frozen(asked), *_at_sources(asked), _quarantine(asked)],
        "strategy": asked.strategy.name,
    }


def calendar(asked: Asked) -> Chart:
    """How many movies become due on each of the next days, if none is asked for meanwhile."""
    movies = asked.row("SELECT count(*) AS movies FROM refresh_metadata")["movies"]
    share = one_in(movies, SAMPLED)
    midnight = asked.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = [asked.now, *(midnight + timedelta(days=n + 1, microseconds=-1) for n in range(CALENDAR_DAYS))]
    # The strategy's SQL takes the instant as a parameter; here it is a column, so that one question asks for all days.
    due = " OR ".join(asked.strategy.due_sql(source) for source in asked.settings.sources).replace("$now", "instant")
    found = asked.rows(
        f"SELECT instant, count(*) AS movies FROM (SELECT * FROM refresh_metadata WHERE {is_sampled(share)}),"
        f" ({each_of('$ends', 'TIMESTAMP')}) AS days(instant) WHERE {due} GROUP BY 1",
        ends=one_text(at.replace(tzinfo=None) for at in ends),
    )
    by_end = {row["instant"]: row["movies"] * share for row in found}
    counts = [by_end.get(at.replace(tzinfo=None), 0) for at in ends]
    fresh = [max(0, later - before) for before, later in pairwise(counts)]
    days = [midnight + timedelta(days=n) for n in range(CALENDAR_DAYS)]
    about = "About " if share > 1 else ""
    busiest = max(range(CALENDAR_DAYS), key=fresh.__getitem__)
    told = (
        f"{about}{sum(fresh):,} movies become due within {CALENDAR_DAYS} days, besides {counts[0]:,} that are due now"
    )
    told += f"; most of them, {fresh[busiest]:,}, on {days[busiest]:%d %B}." if sum(fresh) else "."
    return Chart(
        "Becoming due, by day",
        told,
        "bars",
        [int(day.timestamp()) for day in days],
        [Series("movies", fresh, "plain")],
        ("Day", "Movies"),
        [(day.date(), number) for day, number in zip(days, fresh, strict=True)],
        time=True,
        note=f"Estimated from one movie in {share:,}." if share > 1 else "",
    )


def next_movies(asked: Asked, limit: int) -> list[Model]:
    """The movies that are asked for next, in their order, with the reason for each source in a person's words."""
    sources = asked.settings.sources
    due = due_movies(asked.connection, sources, asked.now, limit, strategy=asked.strategy)
    ids = [movie.tmdb_id for movie in due]
    titles = movie_titles(asked.connection, ids)
    states = {state.tmdb_id: state for state in movie_states(asked.connection, ids)}
    told = []
    for movie in due:
        state = states[movie.tmdb_id]
        reasons = []
        for source in sources:
            decision = asked.strategy.decide(state, source, asked.now)
            if decision.due:
                known = Circumstances(has_feed=source in asked.value.feeds)
                words = explain(state, decision, asked.now, known).removeprefix("due: ")
                reasons.append((source, SOURCES[source].title, words))
        told.append(
            {
                "tmdb_id": movie.tmdb_id,
                "title": titles.get(movie.tmdb_id),
                "released": movie.release_date,
                "reasons": reasons,
            }
        )
    return told


def _aside(title: str, what: str, total: int, rows: list[Model], head: str) -> Model:
    return {"title": title, "what": what, "total": total, "rows": rows, "head": head}


def _frozen(asked: Asked) -> Model:
    frozen = asked.strategy.frozen_sql()
    rows = asked.rows(
        f"""
        WITH frozen AS MATERIALIZED (
            SELECT tmdb_id, override, unchanged_cycles, popularity FROM refresh_metadata
            WHERE {frozen} AND $now IS NOT NULL
        )
        SELECT tmdb_id, override, unchanged_cycles, (SELECT count(*) FROM frozen) AS total FROM frozen
        ORDER BY override NULLS LAST, popularity DESC NULLS LAST, tmdb_id LIMIT {LISTED}"""
    )
    total = rows[0]["total"] if rows else 0
    for row in rows:
        by_hand = "by hand" if row["override"] else f"{row['unchanged_cycles']:,} cycles without a change"
        row["told"] = by_hand
    what = "Left alone: old and unchanged three times in a row, or by a person's wish. `ayne thaw` takes one up again."
    return _aside("Frozen", what, total, _titled(asked, rows), "Why")


def _at_sources(asked: Asked) -> list[Model]:
    """Movies whose last attempts failed, and movies that are gone."""
    failing, gone = [], []
    totals = {"failing": 0, "gone": 0}
    for source in asked.settings.sources:
        title = SOURCES[source].title
        counted = asked.row(
            f"SELECT count(*) FILTER (WHERE {source}_failures > 0 AND {source}_tombstoned_at IS NULL) AS failing,"
            f" count({source}_tombstoned_at) AS gone FROM refresh_metadata"
        )
        totals = {name: totals[name] + counted[name] for name in totals}
        for row in asked.rows(
            f"SELECT tmdb_id, {source}_failures AS failures, {source}_attempted_at AS at FROM refresh_metadata"
            f" WHERE {source}_failures > 0 AND {source}_tombstoned_at IS NULL"
            f" ORDER BY {source}_failures DESC, tmdb_id LIMIT {LISTED}"
        ):
            failing.append(row | {"told": f"{title}: {row['failures']:,} in a row, last on {row['at']:%Y-%m-%d}"})
        for row in asked.rows(
            f"SELECT tmdb_id, {source}_tombstoned_at AS at FROM refresh_metadata"
            f" WHERE {source}_tombstoned_at IS NOT NULL ORDER BY {source}_tombstoned_at DESC, tmdb_id LIMIT {LISTED}"
        ):
            gone.append(row | {"told": f"{title} has held it no more since {row['at']:%Y-%m-%d}"})
    return [
        _aside(
            "Failing",
            "The last attempts failed; each waits longer than the one before, and is tried again.",
            totals["failing"],
            _titled(asked, failing[:LISTED]),
            "Attempts",
        ),
        _aside(
            "Gone",
            "Confirmed twice to be held no more; what is known of them is kept, and they are not asked for.",
            totals["gone"],
            _titled(asked, gone[:LISTED]),
            "Since when",
        ),
    ]


def _quarantine(asked: Asked) -> Model:
    total = asked.row("SELECT count(*) AS n FROM quarantine")["n"]
    rows = asked.rows(
        "SELECT tmdb_id, source, subject, quarantined_at AS at, reason FROM quarantine"
        f" ORDER BY quarantined_at DESC LIMIT {LISTED}"
    )
    for row in rows:
        row["told"] = f"{row['at']:%Y-%m-%d}, {row['subject'] or row['source']}: {row['reason']}"
    what = "Answers that could not be used, with the reason; the movies are asked for again."
    return _aside("In quarantine", what, total, _titled(asked, rows), "Reason")


def _titled(asked: Asked, rows: list[Model]) -> list[Model]:
    titles = movie_titles(asked.connection, {row["tmdb_id"] for row in rows if row["tmdb_id"] is not None})
    return [row | {"title": titles.get(row["tmdb_id"])} for row in rows]
