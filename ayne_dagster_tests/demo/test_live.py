"""The demonstration that goes on: what goes wrong in it and when; and the whole of it, to its end by Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from ayne_dagster.demo.faults import TROUBLES, WEEK, Plan
from ayne_dagster.demo.live import _tell_how_to_watch
from ayne_dagster.demo.world import DEFAULT_DATABASE
from ayne_dagster.runs.retention import CLOCK_TAG
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.browser.chromium import CHROMIUM
from ayne_dagster_tests.serving.test_browser import browse
from ayne_dagster_tests.support.processes import Ayne, ended, family, wait_until
from ayne_dagster_tests.support.serving import free_port, gone, raw

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def test_what_goes_wrong_in_a_week_comes_one_after_another() -> None:
    instants = [instant for trouble in TROUBLES for instant in (trouble.begins, trouble.ends)]
    assert all(before < after for before, after in pairwise([timedelta(0), *instants, WEEK]))


def test_the_plan_has_each_trouble_begin_and_end_in_time_week_after_week_and_tells_it() -> None:
    with StandIn(5) as standin:
        plan = Plan(BEGIN, standin)
        told, at_work = [], []
        for hour in range(24 * 14):
            told += list(plan.carry_out(BEGIN + timedelta(hours=hour)))
            at_work.append(bool(standin.pending_faults()))
    week = [text for trouble in TROUBLES for text in (trouble.at_the_beginning, trouble.at_the_end)]
    assert told == [*week, *week]
    assert sum(at_work) == 2 * sum((trouble.ends - trouble.begins) / timedelta(hours=1) for trouble in TROUBLES)
    assert list(plan.carry_out(BEGIN + timedelta(days=400))) == [], "a jump over a trouble leaves none of it"


def test_the_settings_that_it_leaves_for_commands_beside_are_a_shell_s_whatever_a_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Jane's films"
    folder.mkdir()
    monkeypatch.setenv("AYNE_DATABASE", database := str(folder / "live.duckdb"))
    _tell_how_to_watch(Path(database), None, 3000, 60, "ayne", Console(file=io.StringIO()))
    sourced = ["sh", "-c", '. "$1"; printf %s "$AYNE_DATABASE"', "sh", f"{database}.env"]
    assert subprocess.run(sourced, capture_output=True, text=True, check=True, env={}).stdout == database


@pytest.mark.parametrize(
    "arguments",
    [("--live", "--days", "3"), ("--day-seconds", "5"), ("--port", "3001"), ("--live", "--day-seconds", "0")],
)
def test_an_option_that_would_mean_nothing_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = Ayne(tmp_path).call("demo", *arguments)
    assert refused.code == 2
    assert refused.complaint
    assert not (tmp_path / DEFAULT_DATABASE).exists()


def test_a_port_that_is_taken_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with StandIn(5) as taken:
        port = taken.tmdb_url.split(":")[2].split("/")[0]
        refused = Ayne(tmp_path).call("demo", "--live", "--port", port)
        assert (refused.code, refused.complaint) == (1, f"ayne: Port {port} is in use: choose another with --port.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_the_live_demonstration_collects_by_itself_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    database, port = tmp_path / "live.duckdb", free_port()
    told = tmp_path / "told"
    command = Ayne(tmp_path, database_name=database.name)
    arguments = ("--movies", "60", "--day-seconds", "15", "--port", str(port), "--database", str(database))
    with told.open("wb") as output, command.running("demo", "--live", *arguments, into=output) as process:
        wait_until(lambda: "discover_movies done" in told.read_text(), process, within=300)
        if CHROMIUM is not None:
            timeline = browse(f"http://127.0.0.1:{port}/", tmp_path)
            assert "discover_movies" in timeline
            assert "No runs or scheduled ticks" not in timeline
        page = raw(port, f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        everything = family(process.pid)
        os.kill(process.pid, signal.SIGINT)
        assert ended(process).code == 0
        assert gone(everything), "as its last line says"
    lines = told.read_text().splitlines()
    assert page[0] == 200
    assert lines[-1] == "The demonstration has ended; nothing of it is left running."
    assert not any("Traceback" in line or "DEBUG" in line for line in lines), "a terminal for people"
    assert len(everything) > 3
    assert all(CLOCK_TAG in run.tags for run in command.runs())
    assert any("dagster/sensor_name" in run.tags for run in command.runs("discover_movies"))
    environment = (tmp_path / "live.duckdb.env").read_text()
    assert "AYNE_CLOCK=" in environment
