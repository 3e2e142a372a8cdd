"""What is left of a collection that is killed, interrupted, or has company: everything that had arrived, once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster import cli
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.processes import LONGEST_RUN, Ayne, Ended, asked, ended, number_asked, wait_until
from proofs.killing import (
    ALL,
    CATALOGUE,
    LATENCY,
    PAGE_ROWS,
    YEARS,
    Campaign,
    CommitsSeen,
    Moment,
    delivered,
    imdb_ids,
    no_duplicates,
    one_truth,
)

pytestmark = pytest.mark.end_to_end

FEW_YEARS = ("--start-year", "2024", "--end-year", "2026", "--min-votes", "0")
PAGES = 28
"""Of the listing of `YEARS`."""
PAGE_LATENCY = 0.5
ENOUGH = 40
"""Answers that must have arrived for a test to tell anything."""

STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture(scope="module")
def fast() -> Iterator[StandIn]:
    with StandIn(CATALOGUE, oddities=0) as standin:
        yield standin


@pytest.fixture(scope="module")
def slow() -> Iterator[StandIn]:
    """The same movies, from a source that takes its time."""
    with StandIn(CATALOGUE, oddities=0, latency_seconds=LATENCY) as standin:
        yield standin


@pytest.fixture(autouse=True)
def _fresh_logs(fast: StandIn, slow: StandIn) -> None:
    fast.clear_log()
    slow.clear_log()


@dataclass(frozen=True)
class Discovered:
    """A database in which movies are discovered and nothing is fetched."""

    command: Ayne
    movies: int

    def copied_to(self, folder: Path) -> Ayne:
        shutil.copyfile(self.command.database, folder / self.command.database_name)
        return Ayne(folder)

    @property
    def ids(self) -> set[int]:
        return set(self.command.column("SELECT tmdb_id FROM discovered_movies"))


@pytest.fixture(scope="module")
def discovered(fast: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Discovered:
    command = Ayne(tmp_path_factory.mktemp("discovered")).asking(fast)
    result = command.call("collect", "--json", *FEW_YEARS, "--refresh-limit", "0").json
    assert result["discovered"] > 3 * ENOUGH
    return Discovered(command, result["discovered"])


def _killed(process: subprocess.Popen[str]) -> float:
    """Kill a process; returns when, and comes back when it is gone."""
    at = time.time()
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return at


def _assert_ends_complete(command: Ayne, fast: StandIn, stored: dict[str, set[int]], movies: int) -> None:
    """A rerun asks only for what is missing and ends complete; another one asks nothing."""
    stored_imdb_ids = imdb_ids(command, stored["omdb"])
    rerun = command.asking(fast).call("collect", "--json", "--refresh-only", *ALL)

    assert rerun.code == 0, rerun.err
    details, ratings = asked(fast, "details"), asked(fast, "omdb")
    assert len(details) == len(set(details)) == movies - len(stored["tmdb"])
    assert not {int(movie) for movie in details} & stored["tmdb"]
    assert len(ratings) == len(set(ratings))
    assert not set(ratings) & stored_imdb_ids
    assert (rerun.json["tmdb_updated"], rerun.json["due_remaining"]) == (len(details), 0)
    assert len(one_truth(command, "tmdb")) == movies
    one_truth(command, "omdb")
    assert STARTED not in {run.status for run in command.runs()}, "the killed run is closed by the next"
    stats = command.call("stats", "--json").json
    assert stats["total_movies"] == stats["with_tmdb"] == stats["fully_refreshed"] == movies

    fast.clear_log()
    third = command.asking(fast).call("collect", "--json", "--refresh-only", *ALL)
    assert third.code == 0
    assert fast.requests() == {"tmdb": 0, "omdb": 0}


def _log_of_commits(command: Ayne) -> Path:
    """Which is there while a commit is under way."""
    return command.database.with_suffix(".duckdb.wal")


@pytest.mark.on_duckdb2
@pytest.mark.parametrize("endpoint", ["details", "omdb"])
def test_a_killed_refresh_keeps_what_had_arrived_and_the_rerun_asks_only_for_the_rest(
    tmp_path: Path, slow: StandIn, fast: StandIn, discovered: Discovered, endpoint: str
) -> None:
    command = discovered.copied_to(tmp_path)
    # Only the source that is killed has to be slow, and so slow that it goes on when there is enough to tell, though
    # a busy machine takes seconds for a commit.
    address = {} if endpoint == "details" else {"AYNE_TMDB_BASE_URL": fast.tmdb_url}
    asking = command.asking(slow, AYNE_TMDB_MAX_CONCURRENT="1", AYNE_OMDB_MAX_CONCURRENT="1", **address)

    with (
        CommitsSeen(_log_of_commits(command)) as commits,
        asking.running("collect", "--refresh-only", *ALL) as process,
    ):

        def safe(now: float) -> set[str]:
            return {str(entry["id"]) for entry in delivered(slow, endpoint, commits.safe_before(now))}

        # Where commits take so long that the end comes near before, less is known to be safe.
        nearly_all = discovered.movies * 3 // 4
        wait_until(lambda: len(safe(time.time())) >= ENOUGH or number_asked(slow, endpoint) >= nearly_all, process)
        killed_at = _killed(process)
        kept = safe(killed_at)
    fast.clear_log()

    stored = {"tmdb": one_truth(command, "tmdb"), "omdb": one_truth(command, "omdb")}
    if endpoint == "details":
        assert {int(movie) for movie in kept} <= stored["tmdb"]
        assert len(stored["tmdb"]) < discovered.movies
    else:
        assert kept <= imdb_ids(command, stored["omdb"])
        assert len(stored["tmdb"]) == discovered.movies
        assert len(stored["omdb"]) < discovered.movies
    _assert_ends_complete(command, fast, stored, discovered.movies)


def test_a_killed_discovery_keeps_the_pages_that_had_arrived_and_the_rerun_finds_the_rest(
    tmp_path: Path, fast: StandIn
) -> None:
    command = Ayne(tmp_path)
    with StandIn(CATALOGUE, oddities=0, latency_seconds=PAGE_LATENCY) as slow:
        asking = command.asking(slow, AYNE_TMDB_MAX_CONCURRENT="1")

        with (
            CommitsSeen(_log_of_commits(command)) as commits,
            asking.running("collect", *YEARS, "--refresh-limit", "0") as process,
        ):

            def safe(now: float) -> int:
                return len(delivered(slow, "discover", commits.safe_before(now), PAGE_LATENCY))

            wait_until(lambda: safe(time.time()) >= 5 or number_asked(slow, "discover") >= PAGES * 3 // 4, process)
            killed_at = _killed(process)
            pages = safe(killed_at)

    seen = "SELECT tmdb_id, first_seen_at FROM refresh_metadata"
    before: dict[int, datetime] = dict(command.rows(seen))
    assert pages * PAGE_ROWS <= len(before)
    assert set(command.column("SELECT tmdb_id FROM discovered_movies")) == set(before)
    no_duplicates(command)

    rerun = command.asking(fast).call("collect", "--json", *YEARS, "--refresh-limit", "0")
    after: dict[int, datetime] = dict(command.rows(seen))
    assert rerun.code == 0, rerun.err
    assert number_asked(fast, "discover") == PAGES
    assert rerun.json["discovered"] == len(after) - len(before) > 0, "it was killed before its end"
    assert {movie: after[movie] for movie in before} == before, "being found again is no first time"
    no_duplicates(command)
    assert [run.status for run in command.runs("discover_movies")] == [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
    ]


@pytest.mark.on_duckdb2
@pytest.mark.timeout(400)
def test_kills_in_every_part_of_a_collection_break_nothing(
    tmp_path: Path, slow: StandIn, fast: StandIn, discovered: Discovered
) -> None:
    """One in each part; a hundred at random moments are `make kills`."""
    campaign = Campaign(tmp_path, slow, fast, discovered.ids, seed=20, years=FEW_YEARS)
    tally = campaign.kill_in(2 * list(Moment), len(Moment))

    assert len(tally.kills) == len(Moment), tally.describe()
    assert tally.over == 0
    assert sum(kill.delivered for kill in tally.kills) > 0, tally.describe()


@pytest.mark.parametrize("case", ["nobody has noticed the death yet", "it ran in a container that is gone"])
def test_a_killed_run_never_makes_the_next_one_wait_for_it(
    tmp_path: Path, slow: StandIn, fast: StandIn, discovered: Discovered, case: str
) -> None:
    command = discovered.copied_to(tmp_path)
    few = ("collect", "--json", "--refresh-only", "--refresh-limit", "5")
    with command.asking(slow).running("collect", "--refresh-only", *ALL) as process:
        wait_until(lambda: number_asked(slow, "details") >= 20, process)
        process.kill()
        if case.startswith("it ran"):
            process.wait()
            rerun = _on_another_host(command.asking(fast), *few)
        else:
            with command.asking(fast).running(*few) as next_one:
                rerun = _within(next_one)

    assert rerun.code == 0, rerun.err
    assert number_asked(fast, "details") == 5
    assert STARTED not in {run.status for run in command.runs()}


def _within(process: subprocess.Popen[str], seconds: float = LONGEST_RUN) -> Ended:
    """Wait for a process that must not hang."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"the process had not ended after {seconds:.0f} s: {out}{err}")
    return Ended(process.returncode, out, err)


def _on_another_host(command: Ayne, *arguments: str) -> Ended:
    """The command as a container of another name would run it."""
    program = (
        "import platform, socket, os; platform.node = socket.gethostname = lambda: 'another-container';"
        " from ayne_dagster.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=command.environment,
        cwd=command.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return _within(process)


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, "fetching"), (signal.SIGINT, "committing"), (signal.SIGTERM, "fetching")],
    ids=["SIGINT while fetching", "SIGINT while committing", "SIGTERM while fetching"],
)
def test_an_interrupted_refresh_commits_what_has_arrived_and_says_so(
    tmp_path: Path, slow: StandIn, discovered: Discovered, number: signal.Signals, moment: str
) -> None:
    command = discovered.copied_to(tmp_path)
    asking = command.asking(slow, AYNE_TMDB_MAX_CONCURRENT="2")
    with asking.running("collect", "--json", "--refresh-only", *ALL) as process:
        wait_until(lambda: len(delivered(slow, "details", time.time() - 0.25)) > ENOUGH, process)
        if moment == "committing":
            wait_until(_log_of_commits(command).exists, process)
        interrupted_at = time.time()
        process.send_signal(number)
        result = _within(process)

    stored = one_truth(command, "tmdb")
    arrived = {int(entry["id"]) for entry in delivered(slow, "details", interrupted_at - 0.25)}
    assert len(arrived) > ENOUGH
    assert arrived <= stored, "nothing waits for company when the end has come"
    assert len(stored) < discovered.movies
    assert "Traceback" not in result.err
    assert STARTED not in {run.status for run in command.runs()}
    assert result.code == cli.INTERRUPTED, result.err
    said = [line for line in result.err.splitlines() if line.startswith("ayne:")]
    assert len(said) == 1
    assert "nterrupted" in said[0]
    assert "kept" in said[0]
    assert "dagster._core" not in result.err


def test_two_refreshes_at_once_ask_for_every_movie_once(tmp_path: Path, fast: StandIn, discovered: Discovered) -> None:
    command = discovered.copied_to(tmp_path)
    refresh = ("collect", "--json", "--refresh-only", *ALL)
    with command.asking(fast).running(*refresh) as one, command.asking(fast).running(*refresh) as other:
        results = [ended(one), ended(other)]

    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    details, ratings = Counter(asked(fast, "details")), Counter(asked(fast, "omdb"))
    assert len(details) == discovered.movies
    assert set(details.values()) == set(ratings.values()) == {1}
    assert len(one_truth(command, "tmdb")) == discovered.movies
    assert len(one_truth(command, "omdb")) == len(ratings)
    assert sum(result.json["tmdb_updated"] for result in results) == discovered.movies
    assert sum(result.json["requests"]["omdb"] for result in results) == len(ratings)
    assert {result.json["due_remaining"] for result in results} == {0}
    assert {run.status for run in command.runs("refresh_movies")} == {dg.DagsterRunStatus.SUCCESS}
