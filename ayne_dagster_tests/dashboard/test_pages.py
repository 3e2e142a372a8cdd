"""The dashboard's pages as they are asked for in-process: what they show, and what they never let through."""

from __future__ import annotations

import asyncio
import html
import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from starlette.types import ASGIApp

from ayne_dagster.cli import run
from ayne_dagster.config import Settings
from ayne_dagster.dashboard import growth, health
from ayne_dagster.dashboard.app import _events, create_app, figures, written
from ayne_dagster.dashboard.rendering import STATIC
from ayne_dagster.doctor import Line
from ayne_dagster.warehouse import file_sizes
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.file_sizes import OnDisk, observe_sizes
from ayne_dagster_tests.dashboard.collections import (
    HOSTILE,
    NOW,
    PAGES,
    ask,
    collected,
    recorded_run,
    served,
    shared_by,
)
from ayne_dagster_tests.support.samples import details, listed, merge_details, merge_listed, merge_ratings, ratings

RUNNING = "run-now"
Disk = namedtuple("Disk", "total used free")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return collected(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[ASGIApp]:
    with served(settings, [Line("disk", "warning", "little free", "Free some.")]) as made:
        yield made


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_served_with_a_strict_policy_and_nothing_inline(app: ASGIApp, path: str) -> None:
    answer = ask(app, path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", answer.text)
    assert not re.search(r"(?:src|href|action)=\"(?!/|#)", answer.text), "all that is loaded is our own"


def test_the_front_page_tells_counts_freshness_and_what_the_next_requests_are_worth(app: ASGIApp) -> None:
    text = ask(app, "/").text
    assert "<dd>3</dd>" in text
    assert "Of the next" in text
    assert "second looks" in text
    assert "Requests a day over the last 90 days, in total: TMDB" in text


def test_the_queue_says_why_in_words_and_lists_what_failed(app: ASGIApp) -> None:
    text = html.unescape(ask(app, "/queue").text)
    assert "TMDB has never answered for it" in text
    assert "TMDB: 1 in a row" in text


def test_the_history_shows_what_moved_in_ratings_and_in_money(app: ASGIApp) -> None:
    text = ask(app, "/history").text
    assert "▲ 0.7" in text
    assert "$90 m" in text
    assert "$101 m" in text


def test_a_movie_shows_its_values_its_curve_and_why_it_is_asked_when(app: ASGIApp) -> None:
    text = ask(app, "/movie/550").text
    assert "not due until" in text
    assert "David Fincher" in text
    assert "IMDb rating: 8.1 at first, 8.8 now" in text
    chart = json.loads(html.unescape(re.findall(r"data-chart='([^']*)'", text)[0]))
    assert [round(v) for s in chart["series"] if s["label"] == "IMDb rating" for v in s["values"]][-3:] == [
        81.0,
        88.0,
        88.0,
    ]


def test_a_number_that_only_names_something_has_no_separators(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path / "home")
    rated = ratings(562, NOW, end_year=1990, imdb_votes=957_123)
    with Database(settings.database).connect() as connection:
        merge_listed(connection, listed(562, NOW))
        merge_details(connection, details(562, NOW, collection_id=1570))
        merge_ratings(connection, replace(rated, row={**(rated.row or {}), "year": 1988}))
    with served(settings) as made:
        told = dict(re.findall(r"<dt[^>]*>([^<]*)</dt><dd><bdi>([^<]*)</bdi>", ask(made, "/movie/562").text))
    named = {name: told[name] for name in ("year", "end year", "collection id", "imdb votes")}
    assert named == {"year": "1988", "end year": "1990", "collection id": "1570", "imdb votes": "957,123"}


def test_a_share_is_rounded_down_in_sentences_as_it_is_in_tables(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path / "home")
    with Database(settings.database).connect() as connection:
        merge_listed(connection, *(listed(number, NOW) for number in (1, 2, 3)))
        merge_details(connection, *(details(number, NOW) for number in (1, 2)))
        connection.execute(
            "INSERT INTO freshness (observed_at, source, category, movies, in_time, likely_unchanged)"
            " VALUES ($at, 'tmdb', 'archived', 3, 2, 2)",
            {"at": NOW.replace(tzinfo=None)},
        )
    with served(settings) as made:
        assert "3 movies, 66 % of them with details" in ask(made, "/catalogue").text
        assert "likely unchanged 66 %, in time 66 %" in ask(made, "/").text


def test_a_movie_that_nobody_knows_is_missing_and_says_what_to_do(app: ASGIApp) -> None:
    answer = ask(app, "/movie/999999")
    assert answer.status_code == 404
    assert "not known" in answer.text
    assert ask(app, f"/movie/{10**30}").status_code == 404


@pytest.mark.parametrize("sought", ["FIGHT", "550", "tt0137523", "ght cl"])
def test_a_movie_is_found_by_title_part_of_it_and_ids(app: ASGIApp, sought: str) -> None:
    assert 'href="/movie/550"' in ask(app, f"/search?q={sought}").text


@pytest.mark.parametrize(
    "sought", ["%25", "_", "<script>alert(1)</script>", "%00", "9" * 60, "'; DROP TABLE movies; --"]
)
def test_a_search_for_anything_is_escaped_and_finds_what_is_meant_alone(app: ASGIApp, sought: str) -> None:
    answer = ask(app, f"/search?q={sought}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert 'href="/movie/' not in answer.text


def test_health_shows_the_doctors_lines_and_verifies_the_database_in_a_copy(app: ASGIApp) -> None:
    assert "Free some." in ask(app, "/health").text
    shared = shared_by(app)
    shared.health._behind.submit(lambda: None).result()  # it has one thread: the verification has ended
    text = ask(app, "/health").text
    assert "sound" in text
    assert "3 movies, schema version" in text


def test_health_waits_a_moment_for_what_examines_the_machine_and_shows_it_when_it_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WAITED_SECONDS", 0.01)
    answers, looks = threading.Event(), Queue[int]()

    def examine() -> list[Line]:
        looks.put(1)
        answers.wait()
        return [Line("disk", "ok", "enough is free")]

    app = create_app(settings, examine)
    shared = shared_by(app)
    try:
        assert "is being looked at now" in ask(app, "/health").text
        monkeypatch.setattr(health, "HELD_UP_SECONDS", 0.0)
        assert "something does not answer" in ask(app, "/health").text
        assert looks.qsize() == 1, "nobody looks a second time meanwhile"
        assert shared.health._examination is not None
        _, outcome = shared.health._examination
        answers.set()
        outcome.result()
        assert "enough is free" in ask(app, "/health").text
    finally:
        answers.set()
        shared.close()


@pytest.mark.parametrize("exists", [True, False])
def test_the_machine_is_examined_behind_before_anybody_asks_for_health(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    looks = Queue[int]()

    def examine() -> list[Line]:
        looks.put(1)
        return [Line("disk", "ok", "enough is free")]

    app = create_app(settings if exists else Settings(database=tmp_path / "none.duckdb"), examine)
    shared = shared_by(app)
    try:
        shared.warm()
        assert shared.health._examination is not None
        shared.health._examination[1].result()
        monkeypatch.setattr(health, "WAITED_SECONDS", 0.0)
        assert "enough is free" in ask(app, "/health").text
        assert looks.qsize() == 1
    finally:
        shared.close()


def test_what_was_found_long_before_somebody_asks_is_looked_at_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(["little is free", "enough is free"])
    shared = shared_by(create_app(settings, lambda: [Line("disk", "ok", next(looks))]))
    try:
        shared.health.begin()
        assert shared.health._examination is not None
        shared.health._examination[1].result()
        monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
        monkeypatch.setattr(health, "WAITED_SECONDS", 60.0)
        assert [line.text for line in shared.health.lines()] == ["enough is free"]
    finally:
        shared.close()


def test_the_machine_is_examined_before_the_verification_takes_the_processors(settings: Settings) -> None:
    begun: list[bool] = []

    def examine() -> list[Line]:
        begun.append(shared.health._is_verifying)
        return []

    app = create_app(settings, examine)
    shared = shared_by(app)
    try:
        assert "It is being verified now" in ask(app, "/health").text
        assert begun == [False]
    finally:
        shared.close()


def test_health_draws_how_the_files_grew_and_tells_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = collected(tmp_path)
    with served(settings) as app:
        text = ask(app, "/health").text
    assert "Growth of the files, MB" in text
    assert "How fast it fills is told after a week of runs." in text
    with Database(settings.database).connect() as connection:
        for days in (20, 10, 0):
            at = NOW - timedelta(days=days)
            size = OnDisk("database", settings.database, 5_000_000 - days * 100_000)
            monkeypatch.setattr(file_sizes.shutil, "disk_usage", lambda _, n=days: Disk(10**12, 10**11 - n * 10**9, 0))
            observe_sizes(connection, at, lambda found=size: [found])
    monkeypatch.setattr(growth.shutil, "disk_usage", lambda _: Disk(10**12, 10**11, 30 * 10**9))
    with served(settings) as app:
        text = ask(app, "/health").text
    assert f"3.0 MB on {NOW - timedelta(days=20):%Y-%m-%d}, 5.0 MB on {NOW:%Y-%m-%d}." in text
    assert "30.0 GB are free on the disk. It filled by 1.0 GB a day over the last 20 days" in text
    assert f"at this pace it is full on {NOW + timedelta(days=30):%Y-%m-%d}." in text
    assert "fills up" in text


def test_hostile_titles_are_text_on_every_page(tmp_path: Path) -> None:
    with served(collected(tmp_path, HOSTILE)) as app:
        for path in PAGES:
            text = ask(app, path).text
            assert "<script>alert" not in text, path
            assert not re.search("[\x07\x1b\u202e]", text), path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\N{REPLACEMENT CHARACTER}gnp.exe" in ask(app, "/movie/550").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "films.example"}, 403),
        ({"origin": "http://films.example"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}, 403),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, 200),
        ({"origin": "http://127.0.0.1:3001"}, 200),
    ],
)
def test_only_pages_of_ours_and_people_are_answered(app: ASGIApp, headers: dict[str, str], status: int) -> None:
    assert ask(app, "/", **headers).status_code == status


def test_what_is_no_page_is_not_to_be_linked_to(app: ASGIApp) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert ask(app, "/part/now", **link).status_code == 403
    assert ask(app, "/queue", **link).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(app: ASGIApp, method: str) -> None:
    assert ask(app, "/", method).status_code == 405


@pytest.mark.parametrize("path", ["/nothing", "/movie/unknown", f"/movie/{10**30}", "/<script>alert(1)</script>"])
def test_an_address_that_is_no_page_says_so_and_leads_to_those_that_are(app: ASGIApp, path: str) -> None:
    answer = ask(app, path)
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "There is no such page" in answer.text
    assert "<script>alert" not in answer.text
    main = answer.text.partition("<main")[2]
    for there in ("/", "/queue", "/history", "/catalogue", "/health"):
        assert f'href="{there}"' in answer.text.partition("<main")[0]
        assert f'href="{there}"' in main


def test_an_address_that_is_no_page_is_told_without_a_database(tmp_path: Path) -> None:
    with served(Settings(database=tmp_path / "none.duckdb")) as made:
        assert "There is no such page" in ask(made, "/nothing").text


@pytest.mark.parametrize(
    "name", ["../rendering.py", "..%2frendering.py", "%2e%2e/app.py", "style.css%00", "nothing.js"]
)
def test_no_file_is_served_but_those_that_are_listed(app: ASGIApp, name: str) -> None:
    assert ask(app, f"/static/{name}").status_code == 404


def test_every_listed_file_is_there_with_its_type(app: ASGIApp) -> None:
    for name, kind in STATIC.items():
        answer = ask(app, f"/static/{name}")
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)


def test_without_a_database_each_page_says_how_to_begin_and_makes_none(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path / "home")
    with served(settings) as app:
        for path in ("/", "/queue", "/history", "/catalogue", "/movie/1", "/search?q=x"):
            answer = ask(app, path)
            assert answer.status_code == 200
            assert "ayne demo" in answer.text
        assert ask(app, "/health").status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_movies_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path / "home")
    with Database(settings.database).connect():
        pass
    with served(settings) as app:
        for path in ("/", "/queue", "/history", "/catalogue", "/health"):
            assert ask(app, path).status_code == 200, path
        text = ask(app, "/").text
        assert "no movie is in it yet" in text
        assert "TMDB_READ_TOKEN" in text, "there is no key"


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "films.duckdb", dagster_home=tmp_path / "home")
    settings.database.write_bytes(b"no database" * 1000)
    with served(settings) as app:
        answer = ask(app, "/")
    assert answer.status_code == 503
    assert "is not a DuckDB database" in answer.text
    assert settings.database.read_bytes() == b"no database" * 1000


def test_a_run_shows_how_far_it_is_and_is_pushed_while_it_goes_on(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    recorded_run(home, RUNNING, "STARTED", **{"ayne/reasons": "tmdb: 4 age_table; omdb: 2 age_table"})
    with served(replace(settings, dagster_home=home)) as app:
        text = ask(app, "/part/now").text
        assert "Refreshing movies" in text
        assert "of 4 asked" in text
        told = figures(shared_by(app).now())
        assert told["shares"] == {"run-now:tmdb": 0.25, "run-now:omdb": 0.5}
        pushed = asyncio.run(_first(_events(shared_by(app)), 2))
        assert pushed[0].startswith("retry:")
        assert json.loads(pushed[1].removeprefix("data: "))["texts"]["run-now:tmdb:done"] == "1"
        assert set(told["texts"]) <= set(re.findall(r'data-text="([^"]+)"', text)), "each has its place in the page"


async def _first(events: Any, number: int) -> list[str]:
    found = []
    async for text in events:
        found.append(text)
        if len(found) == number:
            break
    return found


def test_a_run_that_failed_is_told_with_its_reason_and_what_to_do(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    recorded_run(home, "run-failed", "FAILURE")
    (home / "history" / "runs").mkdir()
    event = {
        "dagster_event": {
            "event_specific_data": {"error": {"message": "outer", "cause": {"message": "DatabaseBusy: in use by <b>x"}}}
        }
    }
    with closing(sqlite3.connect(home / "history" / "runs" / "run-failed.db")) as connection, connection:
        connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, dagster_event_type, event)")
        connection.execute(
            "INSERT INTO event_logs (dagster_event_type, event) VALUES ('STEP_FAILURE', ?)", [json.dumps(event)]
        )
    with served(replace(settings, dagster_home=home)) as app:
        text = ask(app, "/health").text
    assert "in use by &lt;b&gt;x" in text
    assert "Close the program that keeps the database open" in text


def test_the_written_page_needs_no_server_and_names_no_other_place(settings: Settings) -> None:
    text = written(settings)
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']", re.sub(r"<script>.*</script>", "", text, flags=re.S))
    assert "<link" not in text
    assert "Permission is hereby granted" in text, "uPlot comes with its licence"
    assert "Requests a day" in text


def test_the_page_is_written_whole_by_the_command(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AYNE_DATABASE", str(settings.database))
    monkeypatch.chdir(tmp_path)
    assert run(["dashboard", "--write", "out/page.html"]) == 0
    assert "page.html" in capsys.readouterr().out
    assert "</html>" in (tmp_path / "out" / "page.html").read_text()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["page.html"]
    monkeypatch.setenv("AYNE_DATABASE", str(tmp_path / "none.duckdb"))
    assert run(["dashboard", "--write", "out/page.html"]) == 2
    assert "There is no database" in capsys.readouterr().err


def test_the_dashboard_loads_no_dagster() -> None:
    code = (
        "import sys, ayne_dagster.dashboard.serving, ayne_dagster.runs.budgets, ayne_dagster.runs.in_storage,"
        " ayne_dagster.demo.showing;"
        "sys.exit(any(name.partition('.')[0] == 'dagster' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
