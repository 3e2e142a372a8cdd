"""Quotas, their reserve, budgets and slowing as the commands show and keep them, over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.settings.places import LEDGER, companion
from ayne_dagster.standin.faults import Fault
from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster_tests.conftest import START
from ayne_dagster_tests.support.processes import Ayne

MOVIES = 20
QUOTA, RESERVE = 12, 4


@pytest.fixture
def command(tmp_path: Path, standin: StandIn) -> Ayne:
    """Twenty movies due for OMDb, at noon, with 12 requests a day of which 4 are kept for people."""
    now = datetime.now(UTC)
    noon = now.replace(hour=12, minute=0, second=0) + timedelta(days=1)
    command = Ayne(tmp_path).asking(
        standin,
        AYNE_OMDB_DAILY_QUOTA=str(QUOTA),
        AYNE_OMDB_QUOTA_RESERVE=str(RESERVE),
        AYNE_CLOCK_OFFSET_DAYS=str((noon - now) / timedelta(days=1)),
    )
    known = ((i, standin.catalogue.imdb_id_of(i)) for i in standin.catalogue.ids(START))
    rows = islice(({"tmdb_id": i, "imdb_id": imdb, "release_date": noon.date()} for i, imdb in known if imdb), MOVIES)
    answers = [Answer(row["tmdb_id"], Outcome.FETCHED, noon, row) for row in rows]
    with Database(command.database).transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "earlier")
    return command


REFRESH = ("collect", "--refresh-only", "--json")


@pytest.mark.end_to_end
def test_collections_leave_the_reserve_until_a_person_asks_for_it(command: Ayne, standin: StandIn) -> None:
    first, again = command.call(*REFRESH).json, command.call(*REFRESH).json
    assert (first["requests"]["omdb"], first["deferred"]) == (QUOTA - RESERVE, MOVIES - (QUOTA - RESERVE))
    assert again["requests"]["omdb"] == 0
    assert command.call("stats", "--json").json["quota"]["omdb"] == {
        "used": QUOTA - RESERVE, "of": QUOTA, "left": RESERVE, "reserve": RESERVE,
    }  # fmt: skip
    text = command.call("stats").out
    assert "4  of 12 OMDb requests left today (8 used, 4 of them kept for people)" in text
    assert command.call(*REFRESH, "--use-reserve").json["requests"]["omdb"] == RESERVE
    assert standin.requests()["omdb"] == QUOTA


@pytest.mark.end_to_end
def test_stats_counts_tmdbs_requests_though_they_have_no_quota(command: Ayne, standin: StandIn) -> None:
    command.call("collect", "--json", "--start-year", "2024", "--end-year", "2024", "--refresh-limit", "0")
    used = standin.requests()["tmdb"]
    assert used > 0
    quota = command.call("stats", "--json").json["quota"]["tmdb"]
    assert quota == {"used": used, "of": None, "left": None, "reserve": 0}


@pytest.mark.end_to_end
def test_omdbs_own_end_of_the_quota_holds_for_later_runs_though_ours_is_switched_off(
    command: Ayne, standin: StandIn
) -> None:
    command = Ayne(command.folder, command.settings | {"AYNE_OMDB_DAILY_QUOTA": "0"}, command.database_name)
    standin.inject(Fault("status", "omdb", status=401, message="Request limit reached!"))
    first = command.call(*REFRESH).json
    assert 1 <= first["requests"]["omdb"] <= 5
    assert command.call(*REFRESH).json["requests"]["omdb"] == 0
    assert command.call("stats", "--json").json["quota"]["omdb"]["left"] == 0
    assert "0  OMDb requests left today" in command.call("stats").out


@pytest.mark.end_to_end
def test_a_collection_that_was_slowed_down_says_so(command: Ayne, standin: StandIn) -> None:
    command = Ayne(command.folder, command.settings | {"AYNE_OMDB_DAILY_QUOTA": "0"}, command.database_name)
    standin.inject(Fault("status", "omdb", times=8, status=429, retry_after=1.1))
    told = command.run("collect", "--refresh-only")
    assert "Slowed down   OMDb to 1/2 of its pace, after 8 refusals (HTTP 429)" in told.out
    assert "slowed down to 1/2 of its pace after 8 refusals (HTTP 429)" in told.err
    with command.instance() as instance:
        records = instance.fetch_materializations(dg.AssetKey(["omdb_ratings"]), limit=1000).records
    events = [record.asset_materialization for record in records if record.run_id]  # not what no run made: empty years
    assert events
    told_by_year = [event.metadata for event in events if event is not None]
    assert {(year["refusals"].value, year["slowest_share"].value) for year in told_by_year} == {(8, 0.5)}


@pytest.mark.end_to_end
def test_the_end_of_tmdbs_quota_ends_a_discovery_well_and_quarantines_no_page(command: Ayne, standin: StandIn) -> None:
    settings = command.settings | {"AYNE_TMDB_DAILY_QUOTA": "5", "AYNE_TMDB_QUOTA_RESERVE": "2"}
    command = Ayne(command.folder, settings, command.database_name)
    told = command.call("collect", "--json", "--min-votes", "0")
    assert told.code == 0
    assert standin.requests()["tmdb"] == told.json["requests"]["tmdb"] == 3
    assert told.json["discovered"] > 0
    assert command.rows("SELECT * FROM quarantine") == []
    assert command.call("collect", "--json", "--min-votes", "0", "--use-reserve").json["requests"]["tmdb"] == 2


@pytest.mark.end_to_end
def test_a_long_pause_that_tmdb_asks_for_ends_a_discovery_at_once(command: Ayne, standin: StandIn) -> None:
    standin.inject(Fault("status", "tmdb", status=429, retry_after=1800.0, match="/discover/"))
    command = Ayne(command.folder, command.settings | {"AYNE_TMDB_MAX_CONCURRENT": "1"}, command.database_name)
    told = command.run("collect", "--json", "--min-votes", "0")
    assert told.code == 1
    assert "tmdb asks to wait 1800 s" in told.err
    assert standin.requests()["tmdb"] == 1
    assert command.rows("SELECT * FROM quarantine") == []


# Budget


def test_budget_tells_the_plan_of_the_day_what_is_spent_and_how_long_the_backlog_takes(command: Ayne) -> None:
    told = command.call("budget", "--json").json
    assert told["hours_left"] == pytest.approx(12, abs=0.1)
    omdb, tmdb = told["sources"]["omdb"], told["sources"]["tmdb"]
    released = (QUOTA - RESERVE) * 13 // 24
    assert omdb["next_release"].endswith("T14:00:00+00:00"), "the fifth of eight requests"
    assert {name: omdb[name] for name in omdb if name != "next_release"} == {
        "quota": QUOTA, "reserve": RESERVE, "used": 0, "left": QUOTA, "released": released, "askable_now": released,
        "hindrance": None, "due": MOVIES, "backlog_days": MOVIES / (QUOTA - RESERVE),
    }  # fmt: skip
    assert tmdb == {
        "quota": None, "reserve": 0, "used": 0, "left": None, "released": None, "next_release": None,
        "askable_now": 100, "hindrance": None, "due": 0, "backlog_days": None,
    }  # fmt: skip
    assert not companion(command.database, LEDGER).exists(), "looking makes no ledger"
    text = command.call("budget").out
    assert "OMDb" in text
    assert "2.5 days" in text


@pytest.mark.end_to_end
def test_budget_says_why_nothing_more_may_be_asked_for(command: Ayne) -> None:
    command.call(*REFRESH)
    told = command.call("budget", "--json").json["sources"]["omdb"]
    assert (told["used"], told["left"], told["askable_now"]) == (QUOTA - RESERVE, RESERVE, 0)
    assert "used up (8 spent, 4 kept for people)" in told["hindrance"]
    assert "used up (8 spent, 4 kept for people)" in " ".join(command.call("budget").out.split())


@pytest.mark.parametrize("arguments", [("stats",), ("budget",)])
def test_a_ledger_that_cannot_be_used_is_told_in_one_line_without_its_password(
    command: Ayne, arguments: tuple[str, ...]
) -> None:
    url = "postgresql://me:s3cret-word@127.0.0.1:1/ayne"
    command = Ayne(command.folder, command.settings | {"AYNE_LEDGER_URL": url}, command.database_name)
    told = command.call(*arguments)
    assert told.code == 1
    assert "127.0.0.1:1/ayne cannot be used" in told.complaint
    assert "s3cret-word" not in told.complaint


@pytest.mark.end_to_end
def test_a_collection_with_a_ledger_that_cannot_be_used_asks_nothing_and_says_so(
    command: Ayne, standin: StandIn
) -> None:
    url = "postgresql://me:s3cret-word@127.0.0.1:1/ayne"
    told = Ayne(command.folder, command.settings | {"AYNE_LEDGER_URL": url}, command.database_name).run(*REFRESH)
    assert told.code == 1
    assert "127.0.0.1:1/ayne cannot be used" in told.err
    assert "s3cret-word" not in told.err + told.out
    assert "Traceback" not in told.err
    assert standin.requests() == {"tmdb": 0, "omdb": 0}


@pytest.mark.end_to_end
def test_collections_into_different_databases_share_a_quota_through_postgres(
    command: Ayne, tmp_path: Path, standin: StandIn, postgres_url: str
) -> None:
    settings = command.settings | {"AYNE_LEDGER_URL": postgres_url}
    one = Ayne(command.folder, settings, command.database_name)
    other = Ayne(tmp_path, settings, "other.duckdb")
    other.database.write_bytes(one.database.read_bytes())
    assert one.call(*REFRESH, "--refresh-limit", "5").json["requests"]["omdb"] == 5
    assert other.call(*REFRESH).json["requests"]["omdb"] == QUOTA - RESERVE - 5
    assert one.call("stats", "--json").json["quota"]["omdb"]["used"] == QUOTA - RESERVE
    assert not list(tmp_path.glob("*.ledger.sqlite"))
