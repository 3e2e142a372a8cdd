"""The stand-in over real HTTP: it answers, refuses and fails as the APIs do. No data: see test_catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from ayne_dagster.standin.answers import TokenBucket
from ayne_dagster.standin.catalogue import dump
from ayne_dagster.standin.faults import Fault, FaultPlan, Script, planned_from_json
from ayne_dagster.standin.running import StandIn, StandInError
from ayne_dagster.standin.server import Clock
from ayne_dagster_tests.support.processes import lines_with_settings

EPOCH = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = {"Authorization": "Bearer demo-token"}
INVALID_PAGE = "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer."
APPEND = "external_ids,release_dates,keywords,credits"


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(600, epoch=EPOCH) as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    running.set_now(NOON)
    return running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(headers=TOKEN, timeout=10, trust_env=False) as client:
        yield client


def some_movie(standin: StandIn) -> dict[str, Any]:
    """A movie that has an IMDb id which OMDb holds, and no oddities."""
    for tmdb_id in standin.catalogue.ids(standin.now()):
        body = standin.catalogue.details(tmdb_id, standin.now())
        if body and body["imdb_id"] and standin.catalogue.oddity(tmdb_id) is None:
            return body
    raise AssertionError("no such movie")


# TMDB


def test_details_are_the_catalogues(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    answer = http.get(f"{standin.tmdb_url}/movie/{movie['id']}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == movie


def test_sub_resources_are_appended_without_their_id(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    url = f"{standin.tmdb_url}/movie/{movie['id']}"
    body = http.get(url, params={"append_to_response": APPEND}).json()
    assert set(body) == set(movie) | set(APPEND.split(","))
    alone = http.get(f"{url}/keywords").json()
    assert alone == {"id": movie["id"], **body["keywords"]}


def test_a_movie_is_found_by_its_imdb_id_too(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    assert http.get(f"{standin.tmdb_url}/movie/{movie['imdb_id']}").json() == movie


def test_an_unknown_movie_is_not_found_as_at_tmdb(standin: StandIn, http: httpx.Client) -> None:
    for name in ("999999999", "9" * 5_000, "tt0000000", "nonsense"):
        answer = http.get(f"{standin.tmdb_url}/movie/{name}")
        assert answer.status_code == 404
        assert answer.json() == {
            "success": False,
            "status_code": 34,
            "status_message": "The resource you requested could not be found.",
        }


def test_twenty_one_appended_objects_are_refused_as_tmdb_does(standin: StandIn, http: httpx.Client) -> None:
    url = f"{standin.tmdb_url}/movie/{some_movie(standin)['id']}"
    names = ["credits", *(f"other_{n}" for n in range(20))]
    answer = http.get(url, params={"append_to_response": ",".join(names)})
    assert (answer.status_code, answer.json()["status_code"]) == (400, 27)
    assert http.get(url, params={"append_to_response": ",".join(names[:20])}).status_code == 200


def test_discover_filters_by_date_year_and_votes(standin: StandIn, http: httpx.Client) -> None:
    url = f"{standin.tmdb_url}/discover/movie"
    bounds = {"primary_release_date.gte": "2015-01-01", "primary_release_date.lte": "2015-12-31"}
    found = http.get(url, params={**bounds, "vote_count.gte": 200, "sort_by": "primary_release_date.asc"}).json()
    expected = standin.catalogue.discover(
        NOON,
        start=date(2015, 1, 1),
        end=date(2015, 12, 31),
        min_votes=200,
        sort_by="primary_release_date.asc",
    )
    assert found == expected
    assert found["total_results"] > 0
    assert http.get(url, params={"primary_release_year": 2015}).json() == http.get(url, params=bounds).json()


def test_unknown_parameters_are_ignored(standin: StandIn, http: httpx.Client) -> None:
    url = f"{standin.tmdb_url}/discover/movie"
    assert http.get(url, params={"query": "Lion", "colour": "red"}).json() == http.get(url).json()


@pytest.mark.parametrize("page", ["501", "0", "-1", "x", ""])
@pytest.mark.parametrize("path", ["discover/movie", "movie/changes"])
def test_a_page_outside_1_to_500_is_refused_as_tmdb_does(
    standin: StandIn, http: httpx.Client, page: str, path: str
) -> None:
    answer = http.get(f"{standin.tmdb_url}/{path}", params={"page": page})
    assert answer.status_code == 400
    assert answer.json() == {
        "success": False,
        "status_code": 22,
        "status_message": INVALID_PAGE,
    }


def test_page_500_is_served(standin: StandIn, http: httpx.Client) -> None:
    answer = http.get(f"{standin.tmdb_url}/discover/movie", params={"page": 500})
    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_the_change_feed_pages_through_the_changed_ids(standin: StandIn, http: httpx.Client) -> None:
    standin.set_now(NOON + timedelta(days=20))
    url = f"{standin.tmdb_url}/movie/changes"
    window = {"start_date": "2026-03-05", "end_date": "2026-03-19"}
    first = http.get(url, params=window).json()
    rows = [
        row
        for page in range(1, first["total_pages"] + 1)
        for row in http.get(url, params={**window, "page": page}).json()["results"]
    ]
    assert rows
    expected = standin.catalogue.changed_ids(date(2026, 3, 5), date(2026, 3, 19), standin.now())
    assert [row["id"] for row in rows] == expected
    assert first["total_results"] == len(expected)
    assert all(row["adult"] in (False, None) for row in rows)


def test_the_change_feed_tells_of_the_last_day_by_default(standin: StandIn, http: httpx.Client) -> None:
    url = f"{standin.tmdb_url}/movie/changes"
    window = {"start_date": "2026-02-28", "end_date": "2026-03-01"}
    assert http.get(url).json() == http.get(url, params=window).json()


def test_a_change_window_of_more_than_14_days_is_refused_as_tmdb_does(standin: StandIn, http: httpx.Client) -> None:
    url = f"{standin.tmdb_url}/movie/changes"
    answer = http.get(url, params={"start_date": "2026-02-01", "end_date": "2026-02-16"})
    assert (answer.status_code, answer.json()["status_code"]) == (422, 20)
    assert http.get(url, params={"start_date": "2026-02-01", "end_date": "2026-02-15"}).status_code == 200


def test_a_date_that_is_none_is_refused(standin: StandIn, http: httpx.Client) -> None:
    for path, name in (("movie/changes", "start_date"), ("discover/movie", "primary_release_date.gte")):
        answer = http.get(f"{standin.tmdb_url}/{path}", params={name: "soon"})
        assert (answer.status_code, answer.json()["status_code"]) == (400, 23)


def test_configuration_and_latest_are_served(standin: StandIn, http: httpx.Client) -> None:
    assert "images" in http.get(f"{standin.tmdb_url}/configuration").json()
    latest = http.get(f"{standin.tmdb_url}/movie/latest").json()["id"]
    assert latest == max(standin.catalogue.ids(NOON))


@pytest.mark.parametrize("value", [None, "Bearer invalid-1", "Bearer", "Basic x"])
def test_a_missing_or_invalid_token_is_refused_as_tmdb_does(standin: StandIn, value: str | None) -> None:
    headers = {} if value is None else {"Authorization": value}
    answer = httpx.get(f"{standin.tmdb_url}/configuration", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["status_code"]) == (401, 7)


def test_an_api_key_in_the_query_is_accepted(standin: StandIn) -> None:
    url = f"{standin.tmdb_url}/configuration"
    assert httpx.get(url, params={"api_key": "demo"}, trust_env=False).status_code == 200
    assert httpx.get(url, params={"api_key": "invalid"}, trust_env=False).status_code == 401


def test_too_many_requests_a_second_get_429_with_retry_after(http: httpx.Client) -> None:
    with StandIn(10, epoch=EPOCH, tmdb_requests_per_second=0.5, tmdb_burst=3) as slow:
        answers = [http.get(f"{slow.tmdb_url}/configuration") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["status_code"] == 25
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 4


def test_a_token_bucket_refills_with_time() -> None:
    bucket = TokenBucket(2.0, 2)
    assert [bucket.take(100.0) for _ in range(3)] == [0, 0, 0.5]
    assert bucket.take(100.5) == 0
    assert bucket.take(100.5) == 0.5
    assert [bucket.take(900.0) for _ in range(3)] == [0, 0, 0.5]
    unlimited = TokenBucket(0.0, 1)
    assert [unlimited.take(0.0) for _ in range(9)] == [0] * 9


# OMDb


def test_omdb_answers_for_an_imdb_id(standin: StandIn, http: httpx.Client) -> None:
    imdb_id = some_movie(standin)["imdb_id"]
    for url in (standin.omdb_url, standin.omdb_url.rstrip("/")):
        answer = http.get(url, params={"i": imdb_id, "apikey": "demo", "plot": "short"})
        assert answer.status_code == 200
        assert answer.json() == standin.catalogue.omdb(imdb_id, NOON)


@pytest.mark.parametrize(
    ("params", "status", "error"),
    [
        ({"i": "tt0137523"}, 401, "No API key provided."),
        ({"i": "tt0137523", "apikey": "invalid"}, 401, "Invalid API key!"),
        ({"apikey": "demo"}, 200, "Incorrect IMDb ID."),
        ({"apikey": "demo", "i": "137523"}, 200, "Incorrect IMDb ID."),
        ({"apikey": "demo", "i": "tt0000001"}, 200, "Error getting data."),
        ({"apikey": "demo", "s": "anchor"}, 200, "Movie not found!"),
    ],
)
def test_omdb_refuses_in_its_own_words(standin: StandIn, params: dict[str, str], status: int, error: str) -> None:
    answer = httpx.get(standin.omdb_url, params=params, trust_env=False)
    assert answer.status_code == status
    assert answer.json() == {"Response": "False", "Error": error}


def test_omdbs_quota_ends_for_the_day_and_key_and_returns_the_next_day(http: httpx.Client) -> None:
    with StandIn(50, epoch=EPOCH, omdb_daily_quota=2) as limited:
        limited.set_now(NOON)
        ask = {"i": some_movie(limited)["imdb_id"], "apikey": "demo"}
        answers = [http.get(limited.omdb_url, params=ask) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 401]
        assert answers[2].json() == {"Response": "False", "Error": "Request limit reached!"}
        assert http.get(limited.omdb_url, params={**ask, "apikey": "another"}).status_code == 200
        limited.set_now(NOON + timedelta(days=1))
        assert http.get(limited.omdb_url, params=ask).status_code == 200


# Faults


def test_a_fault_befalls_as_many_requests_as_it_is_told_to(standin: StandIn, http: httpx.Client) -> None:
    standin.inject(Fault("status", "tmdb", status=503, times=2, retry_after=1.5))
    url = f"{standin.tmdb_url}/configuration"
    answers = [http.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].json()["status_code"] == 9
    assert answers[0].headers["retry-after"] == "1.5"


def test_a_fault_befalls_only_what_it_matches(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    standin.inject(Fault("html", "tmdb", match=str(movie["id"]), status=502), Fault("not_json", match="/latest"))
    broken = http.get(f"{standin.tmdb_url}/movie/{movie['id']}")
    assert (broken.status_code, broken.headers["content-type"]) == (502, "text/html; charset=UTF-8")
    assert http.get(f"{standin.tmdb_url}/movie/{movie['imdb_id']}").status_code == 200
    latest = http.get(f"{standin.tmdb_url}/movie/latest")
    assert latest.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        latest.json()
    standin.clear_faults()
    assert http.get(f"{standin.tmdb_url}/movie/{movie['id']}").json() == movie


def test_omdb_faults_have_omdbs_words(standin: StandIn, http: httpx.Client) -> None:
    standin.inject(Fault("status", "omdb", status=200, times=1))
    standin.inject(Fault("status", "omdb", status=200, times=1, message="Error getting data."))
    ask = {"i": some_movie(standin)["imdb_id"], "apikey": "demo"}
    errors = [http.get(standin.omdb_url, params=ask).json()["Error"] for _ in range(2)]
    assert errors == ["Something went wrong.", "Error getting data."]


@pytest.mark.parametrize("kind", ["reset", "truncated"])
def test_a_broken_connection_breaks_only_itself(standin: StandIn, http: httpx.Client, kind: Any) -> None:
    url = f"{standin.tmdb_url}/movie/{some_movie(standin)['id']}"
    standin.inject(Fault(kind, times=1))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        http.get(url)
    assert http.get(url).status_code == 200


def test_spoilt_bodies_are_spoilt_as_told(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    url = f"{standin.tmdb_url}/movie/{movie['id']}"
    standin.inject(*(Fault(kind, times=1) for kind in ("gzip_without_header", "truncated_json", "wrong_movie")))
    packed = http.get(url)
    assert "content-encoding" not in packed.headers
    assert json.loads(gzip.decompress(packed.content)) == movie
    assert dump(movie).startswith(half := http.get(url).content)
    assert 0 < len(half) < len(dump(movie))
    assert http.get(url).json()["id"] != movie["id"]
    standin.inject(Fault("wrong_movie", "omdb", times=1))
    other = http.get(standin.omdb_url, params={"i": movie["imdb_id"], "apikey": "demo"}).json()
    assert other["imdbID"] != movie["imdb_id"]


def test_sub_resources_and_rows_can_go_missing(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    standin.inject(Fault("missing_subresources", times=1), Fault("empty_page", match="discover", times=1))
    url = f"{standin.tmdb_url}/movie/{movie['id']}"
    assert http.get(url, params={"append_to_response": APPEND}).json() == movie
    assert http.get(f"{standin.tmdb_url}/discover/movie").json()["results"] == []


def test_slow_answers_arrive_whole(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    standin.inject(Fault("drip", times=1, delay_seconds=0.05), Fault("hang", times=1, delay_seconds=0.05))
    for _ in range(2):
        begun = time.monotonic()
        assert http.get(f"{standin.tmdb_url}/movie/{movie['id']}").json() == movie
        assert time.monotonic() - begun >= 0.045


def test_a_hanging_request_ends_with_its_client_and_does_not_stop_the_others(
    standin: StandIn, http: httpx.Client
) -> None:
    standin.inject(Fault("hang", match="configuration", times=1, delay_seconds=60))
    with pytest.raises(httpx.ReadTimeout):
        http.get(f"{standin.tmdb_url}/configuration", timeout=0.1)
    assert http.get(f"{standin.tmdb_url}/configuration").status_code == 200


def test_the_stand_in_stops_while_a_request_hangs() -> None:
    with StandIn(5, epoch=EPOCH) as standin:
        standin.inject(Fault("hang", delay_seconds=60))
        asking = threading.Thread(target=_ask_in_vain, args=(f"{standin.tmdb_url}/configuration",), daemon=True)
        asking.start()
        deadline = time.monotonic() + 10
        while standin.max_in_flight()["tmdb"] == 0:
            assert time.monotonic() < deadline
        begun = time.monotonic()
    assert time.monotonic() - begun < 8
    asking.join(10)
    assert not asking.is_alive()


def _ask_in_vain(url: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, headers=TOKEN, timeout=30, trust_env=False)


def test_random_faults_repeat_with_their_seed() -> None:
    def decisions(seed: int) -> list[bool]:
        plan = FaultPlan([Fault("reset", ratio=0.3)], seed=seed)
        return [plan.decide("tmdb", "/3/x", None) is not None for _ in range(400)]

    assert decisions(1) == decisions(1) != decisions(2)
    assert 80 <= sum(decisions(1)) <= 160


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "fire"},
        {"kind": "reset", "source": "imdb"},
        {"kind": "reset", "ratio": 2},
        {"kind": "status", "status": 99},
        {"kind": "reset", "colour": "red"},
        {"source": "tmdb"},
        {"kind": "hang", "delay_seconds": -1},
        {"steps": 3},
        {"steps": ["reset"]},
        {"steps": [{"kind": "reset", "times": 2}]},
        {"steps": [], "colour": "red"},
        {"steps": [], "source": "imdb"},
        "reset",
    ],
)
def test_a_fault_or_script_that_makes_no_sense_is_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        planned_from_json([fields])


@pytest.mark.parametrize("data", [None, {}, 3, "reset"])
def test_what_is_no_list_of_faults_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="list"):
        planned_from_json(data)


def test_a_script_gives_its_nth_request_its_nth_step(standin: StandIn, http: httpx.Client) -> None:
    steps = (None, Fault("html", status=502), None, Fault("status", status=429, retry_after=3))
    standin.inject(Script(steps, "tmdb", match="/configuration"), Fault("html", status=599))
    asked = [http.get(f"{standin.tmdb_url}/configuration").status_code for _ in range(5)]
    assert asked == [200, 502, 200, 429, 599]
    assert http.get(f"{standin.tmdb_url}/movie/latest").status_code == 599, "another request is none of the script's"
    assert standin.befallen() == {"html": 3, "status": 1}


def test_what_is_left_of_a_script_is_told_and_can_be_planned_again(http: httpx.Client, standin: StandIn) -> None:
    steps = (Fault("reset"), None, Fault("html", status=502))
    script = Script(steps, "any", match="/configuration")
    assert planned_from_json([script.to_json()]) == [script]
    plan = FaultPlan([script, Script(())])
    assert plan.pending() == [script.to_json()]
    assert plan.decide("tmdb", "/3/configuration", None) == steps[0]
    assert planned_from_json(plan.pending()) == [Script(steps[1:], "any", match="/configuration")]
    assert [plan.decide("tmdb", "/3/configuration", None) for _ in range(3)] == [None, steps[2], None]
    assert plan.pending() == []


def listing(standin: StandIn, http: httpx.Client, page: int) -> dict[str, Any]:
    body: dict[str, Any] = http.get(f"{standin.tmdb_url}/discover/movie", params={"page": str(page)}).json()
    return body


def test_rows_of_a_page_can_come_again_on_the_next_while_others_are_missing(
    standin: StandIn, http: httpx.Client
) -> None:
    first, second = listing(standin, http, 1), listing(standin, http, 2)
    standin.inject(Fault("repeated_rows"))
    assert listing(standin, http, 1) == first, "there is no page before the first"
    spoilt = listing(standin, http, 2)
    assert spoilt["results"] == (first["results"][-5:] + second["results"])[: len(second["results"])]
    assert (spoilt["total_results"], spoilt["total_pages"]) == (second["total_results"], second["total_pages"])


def test_totals_can_shrink_from_page_to_page(standin: StandIn, http: httpx.Client) -> None:
    right = [listing(standin, http, page) for page in (1, 2)]
    standin.inject(Fault("shrinking_total"))
    spoilt = [listing(standin, http, page) for page in (1, 2)]
    assert [page["results"] for page in spoilt] == [page["results"] for page in right]
    assert right[0]["total_results"] > spoilt[0]["total_results"] > spoilt[1]["total_results"]
    assert right[0]["total_pages"] > spoilt[0]["total_pages"] > spoilt[1]["total_pages"]


def test_bodies_can_be_rejected_missing_invalid_deep_or_huge(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    url = f"{standin.tmdb_url}/movie/{movie['id']}"
    kinds: tuple[Any, ...] = ("rejected", "empty_body", "invalid_json", "deep_json", "oversized")
    standin.inject(Script((*map(Fault, kinds), Fault("body", status=418, message='{"a": "\ud800"}'))))
    rejected, empty, invalid, deep, huge, told = (http.get(url) for _ in range(6))
    assert (rejected.status_code, rejected.json()) == (422, {"errors": ["page must be less than or equal to 500"]})
    assert (empty.status_code, empty.content) == (200, b"")
    with pytest.raises(json.JSONDecodeError):
        invalid.json()
    assert json.loads(invalid.content.replace(b"\x08", b"")) == movie
    with pytest.raises(RecursionError):
        json.loads(deep.content)
    assert len(huge.content) > 10_000_000
    assert huge.json() == movie
    assert (told.status_code, told.content) == (418, b'{"a": "\xed\xa0\x80"}')


def test_a_body_can_stop_in_the_middle(standin: StandIn, http: httpx.Client) -> None:
    url = f"{standin.tmdb_url}/movie/{some_movie(standin)['id']}"
    standin.inject(Fault("stall", times=1, delay_seconds=60), Fault("stall", times=1, delay_seconds=0.05))
    with pytest.raises(httpx.ReadTimeout):
        http.get(url, timeout=0.2)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        http.get(url)
    assert http.get(url).status_code == 200


def test_a_fault_does_not_befall_what_it_would_not_change(standin: StandIn, http: httpx.Client) -> None:
    kinds: tuple[Any, ...] = ("empty_page", "shrinking_total", "repeated_rows", "wrong_movie", "missing_subresources")
    standin.inject(*map(Fault, kinds))
    assert http.get(f"{standin.tmdb_url}/configuration").status_code == 200
    assert standin.befallen() == {}


# Clock, log, control


def test_the_clock_stands_when_set_and_runs_on_when_told() -> None:
    real = [NOON]
    clock = Clock(lambda: real[0])
    assert (clock.now(), clock.running) == (NOON, True)
    clock.set(datetime(2030, 1, 1))  # noqa: DTZ001 - without a time zone it is UTC
    real[0] += timedelta(hours=5)
    assert (clock.now(), clock.running) == (datetime(2030, 1, 1, tzinfo=UTC), False)
    clock.run()
    real[0] += timedelta(hours=1)
    assert (clock.now(), clock.running) == (datetime(2030, 1, 1, 1, tzinfo=UTC), True)


def test_the_answers_follow_the_clock(standin: StandIn, http: httpx.Client) -> None:
    later = NOON + timedelta(days=400)
    gone = sorted(set(standin.catalogue.ids(NOON)) - set(standin.catalogue.ids(later)))[0]
    assert http.get(f"{standin.tmdb_url}/movie/{gone}").status_code == 200
    standin.set_now(later)
    assert http.get(f"{standin.tmdb_url}/movie/{gone}").status_code == 404


def test_control_over_http_sets_clock_and_faults_and_tells_the_state(standin: StandIn, http: httpx.Client) -> None:
    control = standin.control_url
    assert http.post(f"{control}/clock", json={"now": "2027-01-01T00:00:00Z"}).json()["running"] is False
    assert standin.now() == datetime(2027, 1, 1, tzinfo=UTC)
    planned = http.post(f"{control}/faults", json=[{"kind": "status", "status": 500, "times": 1}]).json()
    assert planned["faults"][0]["kind"] == "status"
    assert http.get(f"{standin.tmdb_url}/configuration").status_code == 500
    assert http.delete(f"{control}/faults").json() == {"faults": []}
    state = http.get(f"{control}/state").json()
    assert state["counts"] == {"tmdb": {"500": 1}, "omdb": {}}
    assert (state["movies"], state["max_in_flight"]) == (600, {"tmdb": 1, "omdb": 0})
    assert len(http.get(f"{control}/log").json()) == 1
    http.delete(f"{control}/log")
    assert standin.log() == []
    assert http.post(f"{control}/clock", json={"running": True}).json()["running"] is True
    for path, body in (("clock", {"now": "later"}), ("faults", [{"kind": "fire"}]), ("faults", 5)):
        assert http.post(f"{control}/{path}", json=body).status_code == 400
    assert http.get(f"{control}/nothing").status_code == 404


def test_the_log_tells_keys_apart_without_giving_them_away(standin: StandIn, http: httpx.Client) -> None:
    movie = some_movie(standin)
    http.get(f"{standin.tmdb_url}/movie/{movie['id']}")
    http.get(standin.omdb_url, params={"i": movie["imdb_id"], "apikey": "secret-key"})
    http.get(standin.omdb_url, params={"i": movie["imdb_id"], "apikey": "other-key"})
    log = standin.log()
    assert [(entry["source"], entry["endpoint"], entry["id"], entry["status"]) for entry in log] == [
        ("tmdb", "details", str(movie["id"]), 200),
        ("omdb", "omdb", movie["imdb_id"], 200),
        ("omdb", "omdb", movie["imdb_id"], 200),
    ]
    assert len({entry["key_sha"] for entry in log}) == 3
    assert all(len(entry["key_sha"]) == 8 for entry in log)
    assert abs(log[0]["at"] - time.time()) < 60
    assert "secret-key" not in json.dumps(log)
    assert standin.requests() == {"tmdb": 1, "omdb": 2}


def test_the_most_requests_in_flight_are_counted() -> None:
    async def ask(url: str) -> None:
        async with httpx.AsyncClient(headers=TOKEN, trust_env=False) as client:
            await asyncio.gather(*(client.get(url) for _ in range(7)))

    with StandIn(5, epoch=EPOCH, latency_seconds=0.3) as standin:
        asyncio.run(ask(f"{standin.tmdb_url}/configuration"))
        assert standin.max_in_flight() == {"tmdb": 7, "omdb": 0}


# Running it


def test_it_listens_on_the_loopback_address_only(standin: StandIn) -> None:
    assert standin.tmdb_url.startswith("http://127.0.0.1:")
    port = int(standin.tmdb_url.split(":")[2].split("/")[0])
    with socket.socket() as probe:
        probe.settimeout(0.5)
        assert probe.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "3/configuration"), ("GET", "omdb/?i=tt0000001"), ("POST", "_standin/clock"), ("DELETE", "_standin/log")],
)
@pytest.mark.parametrize(
    "header",
    [
        {"Host": "rebound.example"},
        {"Host": "evil.localhost"},
        {"Origin": "https://stranger.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
    ids=str,
)
def test_the_standin_answers_no_page_and_no_other_name(
    standin: StandIn, http: httpx.Client, method: str, path: str, header: dict[str, str]
) -> None:
    base = standin.tmdb_url.removesuffix("/3")
    before = standin.now()
    refused = http.request(
        method, f"{base}/{path}", headers=header, json={"now": "2030-01-01"} if path[-1] == "k" else None
    )
    assert refused.status_code == 403
    assert standin.log() == []
    assert standin.now() == before
    assert http.get(f"{base.replace('127.0.0.1', 'localhost')}/3/configuration").status_code == 200


def test_a_port_in_use_is_a_clear_error(standin: StandIn) -> None:
    port = int(standin.tmdb_url.split(":")[2].split("/")[0])
    second = StandIn(5, epoch=EPOCH, port=port)
    with pytest.raises(StandInError, match=rf"^Port {port} is in use: .*$"):
        second.__enter__()


def test_a_stand_in_can_be_started_again_on_the_same_port(http: httpx.Client) -> None:
    with StandIn(5, epoch=EPOCH) as first:
        port = int(first.tmdb_url.split(":")[2].split("/")[0])
        http.get(f"{first.tmdb_url}/configuration")
    with StandIn(5, epoch=EPOCH, port=port) as second:
        assert http.get(f"{second.tmdb_url}/configuration").status_code == 200
    with pytest.raises(httpx.ConnectError):
        http.get(f"{second.tmdb_url}/configuration")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_it_tells_the_settings_and_ends_on_a_signal(number: int) -> None:
    script = "from ayne_dagster.standin.running import serve; serve(0, 20)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = lines_with_settings(process.stdout)
            exports = dict(word.split("=", 1) for line in lines[1:] for word in line.split()[1:])
            assert exports["TMDB_READ_TOKEN"] == exports["OMDB_API_KEY"] == "demo"
            url = exports["AYNE_TMDB_BASE_URL"]
            assert httpx.get(f"{url}/configuration", headers=TOKEN, trust_env=False).status_code == 200
            assert exports["AYNE_OMDB_BASE_URL"].endswith("/omdb/")
            os.kill(process.pid, number)
            assert process.wait(10) == 0
        finally:
            process.kill()
