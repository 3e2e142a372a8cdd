"""The generated catalogue: same in, same out; listings, changes, bodies agree. No HTTP: see test_server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.standin.bodies import SUB_RESOURCES
from ayne_dagster.standin.catalogue import Catalogue
from ayne_dagster.standin.population import OMDB_ODDITIES, TMDB_ODDITIES
from ayne_dagster_tests.support.thoroughness import examples

EPOCH = date(2026, 3, 1)
ALL = frozenset(SUB_RESOURCES)
DRIFTING = ("popularity", "vote_average", "vote_count", "imdbVotes", "videos", "watch/providers")
"""What moves with the days, and is no change of the movie."""
LISTING_KEYS = {
    *(
        "adult",
        "backdrop_path",
        "genre_ids",
        "id",
        "original_language",
        "original_title",
        "overview",
        "popularity",
    ),
    *("poster_path", "release_date", "title", "video", "vote_average", "vote_count"),
}
DETAILS_KEYS = (LISTING_KEYS - {"genre_ids"}) | {
    *(
        "belongs_to_collection",
        "budget",
        "genres",
        "homepage",
        "imdb_id",
        "origin_country",
        "production_companies",
    ),
    *("production_countries", "revenue", "runtime", "spoken_languages", "status", "tagline"),
}


def at(day: int, hour: int = 12) -> datetime:
    return datetime(EPOCH.year, EPOCH.month, EPOCH.day, hour, tzinfo=UTC) + timedelta(days=day)


def on(day: int) -> date:
    return EPOCH + timedelta(days=day)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(3_000, epoch=EPOCH)


@pytest.fixture(scope="module")
def odd() -> Catalogue:
    return Catalogue(2_000, epoch=EPOCH, oddities=1.0)


def everything(catalogue: Catalogue, day: int) -> list[Any]:
    out: list[Any] = [catalogue.discover(at(day), start=None, end=None)]
    for tmdb_id in catalogue.ids(at(day)):
        out.append(catalogue.details(tmdb_id, at(day), ALL))
        imdb_id = catalogue.imdb_id_of(tmdb_id)
        out.append(None if imdb_id is None else catalogue.omdb(imdb_id, at(day)))
    return out


def listed(catalogue: Catalogue, now: datetime, **filters: Any) -> list[dict[str, Any]]:
    first = catalogue.discover(now, page=1, **filters)
    pages = [catalogue.discover(now, page=n, **filters) for n in range(1, first["total_pages"] + 1)]
    rows = [row for page in pages for row in page["results"]]
    assert len(rows) == first["total_results"]
    return rows


def content(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if body is None else {key: value for key, value in body.items() if key not in DRIFTING}


# The same arguments give the same data


@settings(max_examples=examples(15), deadline=None)
@given(size=st.integers(1, 80), seed=st.integers(0, 2**40), day=st.integers(-40, 900))
def test_the_same_seed_gives_the_same_data(size: int, seed: int, day: int) -> None:
    one, other = (Catalogue(size, epoch=EPOCH, seed=seed) for _ in range(2))
    assert everything(one, day) == everything(other, day)


def test_another_process_sees_the_same_data(catalogue: Catalogue) -> None:
    script = (
        "import json; from datetime import *; from ayne_dagster.standin.catalogue import Catalogue\n"
        f"c = Catalogue(3000, epoch=date{EPOCH.timetuple()[:3]})\n"
        f"print(json.dumps(c.discover(datetime.fromisoformat('{at(50).isoformat()}'), start=None, end=None)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(run.stdout) == catalogue.discover(at(50), start=None, end=None)


def test_another_seed_gives_other_data() -> None:
    one, other = Catalogue(50, epoch=EPOCH, seed=1), Catalogue(50, epoch=EPOCH, seed=2)
    assert everything(one, 0) != everything(other, 0)


def test_another_epoch_shifts_the_release_dates_and_the_lives() -> None:
    one, later = Catalogue(300, epoch=EPOCH), Catalogue(300, epoch=EPOCH + timedelta(days=1000))
    assert list(one.ids(at(400))) == list(later.ids(at(1400)))
    for tmdb_id in one.ids(at(400)):
        before, after = one.details(tmdb_id, at(400)), later.details(tmdb_id, at(1400))
        assert before is not None
        assert after is not None
        if before["release_date"]:
            shifted = date.fromisoformat(before["release_date"]) + timedelta(days=1000)
            assert after["release_date"] == shifted.isoformat()
        assert after["title"] == before["title"]


@pytest.mark.parametrize("size", [0, 1_000_001])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size must be"):
        Catalogue(size, epoch=EPOCH)


def test_a_catalogue_of_one_movie_works() -> None:
    one = Catalogue(1, epoch=EPOCH)
    assert one.discover(at(0), start=None, end=None)["total_results"] == 1
    assert one.changed_ids(on(0), on(10), at(10)) in ([], list(one.ids(at(10))))


# Listings


@settings(max_examples=examples(40), deadline=None)
@given(
    day=st.integers(-10, 500),
    start=st.integers(-39_000, 800),
    length=st.integers(0, 20_000),
    min_votes=st.sampled_from([0, 1, 200, 5_000]),
    sort_by=st.sampled_from(
        ["popularity.desc", "primary_release_date.asc", "primary_release_date.desc", "vote_count.desc"]
    ),
)
def test_the_pages_of_a_listing_partition_its_total_in_order(
    catalogue: Catalogue, day: int, start: int, length: int, min_votes: int, sort_by: str
) -> None:
    bounds = {"start": on(start), "end": on(start + length)}
    rows = listed(catalogue, at(day), min_votes=min_votes, sort_by=sort_by, **bounds)
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert all(row["vote_count"] >= min_votes for row in rows)
    assert all(bounds["start"].isoformat() <= row["release_date"] <= bounds["end"].isoformat() for row in rows)
    field, direction = sort_by.removeprefix("primary_").split(".")
    values = [row[field] for row in rows]
    assert values == sorted(values, reverse=direction == "desc")


@settings(max_examples=examples(20), deadline=None)
@given(day=st.integers(-10, 500), cuts=st.lists(st.integers(-39_000, 1_200), max_size=5))
def test_date_slices_list_every_dated_movie_exactly_once(catalogue: Catalogue, day: int, cuts: list[int]) -> None:
    edges = [-40_000, *sorted(cuts), 1_500]
    found: list[int] = []
    for low, high in pairwise(edges):
        found += [row["id"] for row in listed(catalogue, at(day), start=on(low + 1), end=on(high))]
    everywhere = listed(catalogue, at(day), start=None, end=None)
    assert sorted(found) == sorted(row["id"] for row in everywhere if row["release_date"])
    assert sorted(row["id"] for row in everywhere) == list(catalogue.ids(at(day)))


def test_an_empty_listing_has_one_page_as_tmdbs_has(catalogue: Catalogue) -> None:
    found = catalogue.discover(at(0), start=on(5_000), end=on(5_001))
    assert found == {"page": 1, "results": [], "total_pages": 1, "total_results": 0}


def test_an_unknown_order_means_popularity(catalogue: Catalogue) -> None:
    usual = catalogue.discover(at(0), start=None, end=None)
    assert catalogue.discover(at(0), start=None, end=None, sort_by="nonsense") == usual


def test_a_row_says_what_the_details_say(catalogue: Catalogue) -> None:
    for row in listed(catalogue, at(100), start=on(-3_000), end=on(700))[:300]:
        details = catalogue.details(row["id"], at(100))
        assert details is not None
        assert {k: v for k, v in row.items() if k != "genre_ids"}.items() <= details.items()
        assert row["genre_ids"] == [genre["id"] for genre in details["genres"]]
        assert set(row) >= LISTING_KEYS


# Changes


@settings(max_examples=examples(25), deadline=None)
@given(start=st.integers(-30, 900), length=st.integers(0, 14), ahead=st.integers(-3, 60))
def test_changed_ids_are_those_whose_version_differs(catalogue: Catalogue, start: int, length: int, ahead: int) -> None:
    now = start + length + ahead
    changed = catalogue.changed_ids(on(start), on(start + length), at(now))
    last = min(start + length, now)
    known = {*catalogue.ids(at(0)), *catalogue.ids(at(800))}
    expected = [
        n for n in sorted(known) if catalogue.version(n, "tmdb", at(last)) > catalogue.version(n, "tmdb", at(start - 1))
    ]
    assert changed == (expected if last >= start else [])


@settings(max_examples=examples(12), deadline=None)
@given(day=st.integers(-30, 700), later=st.integers(1, 60))
def test_bodies_differ_exactly_when_their_versions_differ(catalogue: Catalogue, day: int, later: int) -> None:
    one, two = at(day), at(day + later)
    for tmdb_id in list(catalogue.ids(two))[-700:]:
        before, after = (content(catalogue.details(tmdb_id, now, ALL)) for now in (one, two))
        changed = catalogue.version(tmdb_id, "tmdb", one) != catalogue.version(tmdb_id, "tmdb", two)
        assert (before != after) == changed
        imdb_id = catalogue.imdb_id_of(tmdb_id)
        if imdb_id is not None and before is not None:
            ratings = (content(catalogue.omdb(imdb_id, now)) for now in (one, two))
            changed = catalogue.version(tmdb_id, "omdb", one) != catalogue.version(tmdb_id, "omdb", two)
            assert (next(ratings) != next(ratings)) == changed


def test_odd_movies_change_visibly_too(odd: Catalogue) -> None:
    for tmdb_id in odd.ids(at(300)):
        versions = [odd.version(tmdb_id, "tmdb", at(day)) for day in (0, 300)]
        bodies = [content(odd.details(tmdb_id, at(day), ALL)) for day in (0, 300)]
        assert (versions[0] != versions[1]) == (bodies[0] != bodies[1])
        imdb_id = odd.imdb_id_of(tmdb_id)
        if imdb_id is not None and odd.details(tmdb_id, at(0)) is not None:
            versions = [odd.version(tmdb_id, "omdb", at(day)) for day in (0, 300)]
            bodies = [content(odd.omdb(imdb_id, at(day))) for day in (0, 300)]
            assert (versions[0] != versions[1]) == (bodies[0] != bodies[1])


def test_votes_and_popularity_drift_daily_without_being_changes(catalogue: Catalogue) -> None:
    settled = listed(catalogue, at(100), start=on(-20_000), end=on(-2_000), min_votes=200)[:50]
    for row in settled:
        today, tomorrow = (catalogue.details(row["id"], at(day)) for day in (100, 101))
        assert today is not None
        assert tomorrow is not None
        assert (today["popularity"], today["vote_count"]) != (tomorrow["popularity"], tomorrow["vote_count"])


def test_nothing_changes_within_a_day(catalogue: Catalogue) -> None:
    for tmdb_id in list(catalogue.ids(at(9)))[-100:]:
        assert catalogue.details(tmdb_id, at(9, 0), ALL) == catalogue.details(tmdb_id, at(9, 23), ALL)


# Lives


def test_new_movies_appear_and_count_as_changed(catalogue: Catalogue) -> None:
    before, after = set(catalogue.ids(at(0))), set(catalogue.ids(at(731)))
    assert len(after - before) == 60
    for tmdb_id in after - before:
        assert catalogue.details(tmdb_id, at(0)) is None
        assert catalogue.version(tmdb_id, "tmdb", at(0)) == 0
        assert catalogue.version(tmdb_id, "tmdb", at(731)) >= 1


def test_some_movies_disappear_from_details_and_listings() -> None:
    small = Catalogue(300, epoch=EPOCH)
    gone = set(small.ids(at(0))) - set(small.ids(at(400)))
    assert gone
    for tmdb_id in gone:
        day = small.deleted_on(tmdb_id)
        assert day is not None
        eve, noon = (datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - timedelta(days=k) for k in (1, 0))
        assert small.details(tmdb_id, eve) is not None
        assert small.details(tmdb_id, noon) is None
        assert tmdb_id not in {row["id"] for row in listed(small, noon, start=None, end=None)}


def test_some_release_dates_move_and_some_to_another_year(catalogue: Catalogue) -> None:
    before, after = (
        {row["id"]: row["release_date"] for row in listed(catalogue, at(day), start=None, end=None)} for day in (0, 400)
    )
    moved = [n for n in before.keys() & after.keys() if before[n] != after[n]]
    assert 5 <= len(moved) <= 20
    assert any(before[n][:4] != after[n][:4] for n in moved)


def test_some_movies_get_their_imdb_id_late(catalogue: Catalogue) -> None:
    late = 0
    for tmdb_id in catalogue.ids(at(0)):
        before, after = (catalogue.details(tmdb_id, at(day)) for day in (0, 400))
        if before and after and not before["imdb_id"] and after["imdb_id"]:
            late += 1
            assert catalogue.details_by_imdb_id(after["imdb_id"], at(0)) is None
            assert catalogue.details_by_imdb_id(after["imdb_id"], at(400)) == after
    assert late >= 5


# Shares


def test_the_shares_are_those_of_a_plausible_catalogue(catalogue: Catalogue) -> None:
    rows = listed(catalogue, at(0), start=None, end=None)
    dates = [row["release_date"] for row in rows]
    released = [row for row in rows if "" < row["release_date"] <= EPOCH.isoformat()]
    assert 0.002 <= dates.count("") / len(rows) <= 0.01
    assert 0.02 <= sum(day > EPOCH.isoformat() for day in dates) / len(rows) <= 0.06
    assert 0.5 <= sum(row["vote_count"] >= 200 for row in released) / len(released) <= 0.7
    assert all(row["vote_count"] <= 5 for row in rows if row["release_date"] > EPOCH.isoformat())
    assert sum(row["release_date"] >= "2001" for row in released) / len(released) > 0.6
    assert "1915" < min(filter(None, dates)) < "1940"
    ids = [catalogue.imdb_id_of(row["id"]) for row in rows]
    assert 0.02 <= ids.count(None) / len(ids) <= 0.06
    known = [n for n in ids if n]
    assert len(set(known)) == len(known)
    assert all(re.fullmatch(r"tt\d{7,8}", n) for n in known)
    assert {len(n) for n in known} == {9, 10}


def test_two_thirds_of_the_archived_movies_stay_the_same_for_400_days(catalogue: Catalogue) -> None:
    archived = [row["id"] for row in listed(catalogue, at(0), start=on(-40_000), end=on(-366))]
    quiet = sum(
        all(catalogue.version(n, source, at(0)) == catalogue.version(n, source, at(400)) for source in ("tmdb", "omdb"))
        for n in archived
    )
    assert quiet / len(archived) >= 2 / 3


def test_recent_movies_change_far_more_often_than_old_ones(catalogue: Catalogue) -> None:
    def changes_a_day(first: int, last: int) -> float:
        ids = [row["id"] for row in listed(catalogue, at(0), start=on(first), end=on(last))]
        later, now = (sum(catalogue.version(n, "tmdb", at(day)) for n in ids) for day in (60, 0))
        return (later - now) / len(ids) / 60

    assert changes_a_day(-60, 0) > 20 * changes_a_day(-40_000, -1_095)


# Bodies


def test_details_have_tmdbs_keys_and_types(catalogue: Catalogue) -> None:
    for tmdb_id in list(catalogue.ids(at(0)))[:300]:
        body = catalogue.details(tmdb_id, at(0), ALL)
        assert body is not None
        if catalogue.oddity(tmdb_id) is not None:
            continue
        assert set(body) == DETAILS_KEYS | ALL
        assert all("id" not in body[name] for name in ALL)
        assert all(isinstance(body[key], int) for key in ("budget", "revenue", "runtime", "vote_count", "id"))
        assert body["imdb_id"] == body["external_ids"]["imdb_id"]
        assert body["credits"]["cast"][0]["order"] == 0
        assert {"Director"} <= {member["job"] for member in body["credits"]["crew"]}
        for country in body["release_dates"]["results"]:
            assert all(entry["release_date"].endswith("T00:00:00.000Z") for entry in country["release_dates"])


def test_omdb_values_are_strings_and_its_ratings_agree(catalogue: Catalogue) -> None:
    with_gross = 0
    for tmdb_id in catalogue.ids(at(0)):
        imdb_id = catalogue.imdb_id_of(tmdb_id)
        body = catalogue.omdb(imdb_id, at(0)) if imdb_id else None
        if body is None:
            continue
        assert body["imdbID"] == imdb_id
        assert body["Response"] == "True"
        assert all(isinstance(value, str) for key, value in body.items() if key != "Ratings")
        values = {rating["Source"]: rating["Value"] for rating in body["Ratings"]}
        assert values.get("Internet Movie Database", "N/A/10") == f"{body['imdbRating']}/10"
        assert all(int(v.split("%")[0]) <= 100 for s, v in values.items() if s == "Rotten Tomatoes")
        with_gross += body.get("BoxOffice", "N/A") != "N/A"
    assert 0.1 <= with_gross / 3_000 <= 0.6


def test_every_oddity_occurs_where_all_movies_are_odd(odd: Catalogue) -> None:
    seen = {odd.oddity(tmdb_id) for tmdb_id in odd.ids(at(0))}
    assert seen - {None} == {*TMDB_ODDITIES, *OMDB_ODDITIES}


def test_a_catalogue_without_oddities_has_none() -> None:
    plain = Catalogue(500, epoch=EPOCH, oddities=0.0)
    for tmdb_id in plain.ids(at(0)):
        body = plain.details(tmdb_id, at(0))
        assert body is not None
        assert set(body) == DETAILS_KEYS
        assert body["overview"]
        imdb_id = plain.imdb_id_of(tmdb_id)
        if imdb_id is not None:
            json.loads(plain.omdb_text(imdb_id, at(0)) or b"")


def test_invalid_json_of_omdb_is_recovered_by_lenient_parsing(odd: Catalogue) -> None:
    broken = 0
    for tmdb_id in odd.ids(at(0)):
        imdb_id = odd.imdb_id_of(tmdb_id)
        text = odd.omdb_text(imdb_id, at(0)) if imdb_id else None
        if text is None:
            continue
        try:
            json.loads(text)
        except ValueError:
            broken += 1
            repaired = re.sub(r'\\(?!["\\/bfnrtu])', r"\\\\", text.decode())
            assert json.loads(repaired, strict=False)["imdbID"] == imdb_id
    assert broken > 50


def test_a_few_imdb_ids_are_wrong_and_omdb_describes_another_film_under_them(catalogue: Catalogue) -> None:
    wrong = [tmdb_id for tmdb_id in catalogue.ids(at(0)) if catalogue.is_mistaken(tmdb_id)]
    assert 5 <= len(wrong) <= 20
    for tmdb_id in wrong:
        details = catalogue.details(tmdb_id, at(0), ALL) or {}
        body = catalogue.omdb(details["imdb_id"], at(0)) or {}
        assert body["imdbID"] == details["imdb_id"]
        assert body["Title"] != details["title"]
    assert catalogue.oddity(wrong[0]) is None
    plain = Catalogue(3_000, epoch=EPOCH, oddities=0.0)
    assert not any(map(plain.is_mistaken, plain.ids(at(0))))


def test_an_unknown_id_is_nowhere(catalogue: Catalogue) -> None:
    assert catalogue.details(10**12, at(0)) is None
    assert catalogue.version(10**12, "tmdb", at(0)) == 0
    for imdb_id in ("tt9999999", "tt", "nm0000001", "tt٣٤٥٦٧٨٩", ""):
        assert catalogue.omdb(imdb_id, at(0)) is None
