"""Eight questions to the dataset, a query and a plot each: a marimo notebook. No logic that the platform lacks.

    make notebook                                 of the demonstration's movies, or of what AYNE_DATABASE names
    .venv/bin/marimo edit notebooks/movies.py     the same, to change it

It only reads, and holds the database for no longer than each query takes.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Movies")


@app.cell
def _():
    from pathlib import Path

    import altair as alt
    import marimo as mo

    from ayne_dagster import DuckDBClient
    from ayne_dagster.config import load_settings

    return DuckDBClient, Path, alt, load_settings, mo


@app.cell
def _(DuckDBClient, Path, load_settings, mo):
    demonstration = Path(mo.notebook_dir() or ".").parent / "data" / "demo.duckdb"
    places = [load_settings().database, demonstration]
    database = next((place for place in places if place.exists()), None)
    mo.stop(
        database is None,
        mo.md("There is no database yet: `make demo` makes one in a minute, or set `AYNE_DATABASE` to yours."),
    )
    db = DuckDBClient(database)
    mo.md(f"# Movies\n\nOut of `{database}`.")
    return (db,)


@app.cell
def _(mo):
    mo.md("## Which genres pay back?")
    return


@app.cell
def _(alt, db):
    paid_back = db.arrow("""
        SELECT genre, median(CAST(worldwide_gross / production_budget AS DOUBLE)) AS times, count(*) AS movies
        FROM (SELECT unnest(genres) AS genre, worldwide_gross, production_budget FROM movies
              WHERE worldwide_gross > 0 AND production_budget > 0)
        GROUP BY genre HAVING count(*) >= 3 ORDER BY times DESC
    """)
    genres = (
        alt.Chart(paid_back, title="Worldwide gross over budget, the median movie")
        .mark_bar()
        .encode(
            alt.X("times:Q", title="times its budget"),
            alt.Y("genre:N", sort="-x"),
            tooltip=["genre", "times", "movies"],
        )
    )
    genres
    return (genres,)


@app.cell
def _(mo):
    mo.md("## Are movies with many votes rated higher?")
    return


@app.cell
def _(alt, db):
    rated = db.arrow("""
        SELECT title, imdb_rating, imdb_votes, release_year FROM movies
        WHERE imdb_rating IS NOT NULL AND imdb_votes > 0 ORDER BY imdb_votes DESC LIMIT 3000
    """)
    ratings = (
        alt.Chart(rated, title="IMDb rating and votes")
        .mark_circle(opacity=0.5)
        .encode(
            alt.X("imdb_votes:Q", scale=alt.Scale(type="log"), title="votes"),
            alt.Y("imdb_rating:Q", scale=alt.Scale(zero=False), title="rating"),
            tooltip=["title", "release_year", "imdb_rating", "imdb_votes"],
        )
    )
    ratings
    return (ratings,)


@app.cell
def _(mo):
    mo.md("## In which months do movies come out?")
    return


@app.cell
def _(alt, db):
    released = db.arrow("""
        SELECT month(release_date) AS month, monthname(release_date) AS name, count(*) AS movies
        FROM movies WHERE release_date IS NOT NULL GROUP BY ALL ORDER BY month
    """)
    months = (
        alt.Chart(released, title="Movies by month of their first release")
        .mark_bar()
        .encode(alt.X("name:N", sort=None, title=None), alt.Y("movies:Q"), tooltip=["name", "movies"])
    )
    months
    return (months,)


@app.cell
def _(mo):
    mo.md("## Which directors do critics like best?")
    return


@app.cell
def _(alt, db):
    liked = db.arrow("""
        SELECT director, avg(metascore) AS metascore, count(*) AS movies
        FROM (SELECT unnest(directors) AS director, metascore FROM movies WHERE metascore IS NOT NULL)
        GROUP BY director HAVING count(*) >= 2 ORDER BY metascore DESC, director LIMIT 20
    """)
    directors = (
        alt.Chart(liked, title="Mean metascore, of directors with two movies or more")
        .mark_bar()
        .encode(
            alt.X("metascore:Q"),
            alt.Y("director:N", sort="-x", title=None),
            tooltip=["director", "metascore", "movies"],
        )
    )
    directors
    return (directors,)


@app.cell
def _(mo):
    mo.md("## Which series of films earned most?")
    return


@app.cell
def _(alt, db):
    earned = db.arrow("""
        SELECT collection_name AS series, CAST(sum(worldwide_gross) AS DOUBLE) / 1e6 AS millions, count(*) AS movies
        FROM movies WHERE collection_id IS NOT NULL AND worldwide_gross > 0
        GROUP BY collection_id, collection_name ORDER BY millions DESC LIMIT 20
    """)
    series = (
        alt.Chart(earned, title="Worldwide gross of all their movies")
        .mark_bar()
        .encode(
            alt.X("millions:Q", title="millions of dollars"),
            alt.Y("series:N", sort="-x", title=None),
            tooltip=["series", "millions", "movies"],
        )
    )
    series
    return (series,)


@app.cell
def _(mo):
    mo.md("## What changed this week?")
    return


@app.cell
def _(alt, db):
    news = db.arrow("""
        SELECT field, source, count(DISTINCT tmdb_id) AS movies FROM movie_history
        WHERE changed_at > (SELECT max(changed_at) FROM movie_history) - INTERVAL 7 DAY
          AND field NOT IN ('popularity', 'vote_count', 'vote_average', 'imdb_votes')
        GROUP BY ALL ORDER BY movies DESC
    """)
    changes = (
        alt.Chart(news, title="Movies of which it changed, in the last seven days that were collected")
        .mark_bar()
        .encode(alt.X("movies:Q"), alt.Y("field:N", sort="-x", title=None), alt.Color("source:N"))
    )
    changes
    return (changes,)


@app.cell
def _(mo):
    mo.md("## Which ratings moved most?")
    return


@app.cell
def _(alt, db):
    moved = db.arrow("""
        SELECT title, arg_max(new_number, changed_at) - arg_min(old_number, changed_at) AS points
        FROM movie_changes JOIN movies USING (tmdb_id)
        WHERE field = 'imdb_rating' AND old_number IS NOT NULL AND new_number IS NOT NULL
        GROUP BY tmdb_id, title ORDER BY abs(points) DESC, title LIMIT 20
    """)
    movers = (
        alt.Chart(moved, title="IMDb rating, since it was first known")
        .mark_bar()
        .encode(alt.X("points:Q"), alt.Y("title:N", sort="-x", title=None), tooltip=["title", "points"])
    )
    movers
    return (movers,)


@app.cell
def _(mo):
    mo.md("""
    ## How was a film in March?

    `movies_at` is `movies` as it was known at an instant. The film is the one whose ratings changed most often.
    """)
    return


@app.cell
def _(alt, db):
    (last,) = db.query("SELECT max(changed_at) AS at FROM movie_history")
    end_of_march = last["at"] and last["at"].replace(year=last["at"].year - (last["at"].month < 4), month=3, day=31)
    then_and_now = db.arrow(
        """
        WITH film AS (
            SELECT tmdb_id FROM movie_history WHERE source = 'omdb_ratings' AND changed_at > $at
            GROUP BY tmdb_id ORDER BY count(*) DESC, tmdb_id LIMIT 1
        ), known AS (
            SELECT 'at the end of March' AS known, title, imdb_rating, metascore, imdb_votes FROM movies_at($at)
            SEMI JOIN film USING (tmdb_id)
            UNION ALL
            SELECT 'today', title, imdb_rating, metascore, imdb_votes FROM movies SEMI JOIN film USING (tmdb_id)
        )
        UNPIVOT known ON imdb_rating, CAST(metascore AS DOUBLE) AS metascore, CAST(imdb_votes AS DOUBLE) AS imdb_votes
        INTO NAME measure VALUE number
        """,
        {"at": end_of_march},
    )
    film = (
        alt.Chart(then_and_now, title=alt.Title("Then and now", subtitle=then_and_now["title"].to_pylist()[:1]))
        .mark_bar()
        .encode(
            alt.X("number:Q", title=None),
            alt.Y("known:N", title=None),
            alt.Row("measure:N"),
            tooltip=["title", "number"],
        )
        .resolve_scale(x="independent")
    )
    film
    return (film,)


if __name__ == "__main__":
    app.run()
