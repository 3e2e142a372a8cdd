"""What commands tell to programs: one JSON object on stdout wherever the output is data; and that they are at work."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ayne_dagster.cli import ayne
from ayne_dagster.commands import working as module
from ayne_dagster.commands.working import working
from ayne_dagster_tests.support.processes import Ayne

NO_DATA = {
    "ayne completion": "it prints a script, for a shell to read",
    "ayne daemon": "it goes on until it is interrupted, and tells nothing on stdout",
    "ayne dev": "the same",
    "ayne standin": "the same",
    "ayne ui": "the same",
}
"""Commands whose output is no data, and why."""


def commands(command: click.Command = ayne, name: str = "ayne") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what one types."""
    parts = getattr(command, "commands", {})
    if not parts:
        yield name, command
    for part, subcommand in parts.items():
        yield from commands(subcommand, f"{name} {part}")


def test_every_command_whose_output_is_data_prints_json() -> None:
    without = {name for name, command in commands() if not any("--json" in option.opts for option in command.params)}
    assert without == NO_DATA.keys()


@pytest.mark.whole_runs
def test_the_demonstration_tells_as_json_what_it_did_and_what_is_worth_a_look(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    file = tmp_path / "shown.duckdb"
    ended = command.call("demo", "--movies", "40", "--days", "2", "--database", str(file), "--json")
    assert ended.code == 0, ended.err
    told = ended.json
    assert told.keys() == {"database", "catalogue", "rounds", "stats", "next", "seconds"}
    assert (told["database"], told["catalogue"]) == (str(file), 40)
    assert [each["day"] for each in told["rounds"]] == [0, 2]
    assert told["rounds"][0]["discovered"] == told["rounds"][0]["tmdb_updated"] > 0
    assert told["stats"]["total_movies"] == sum(each["discovered"] for each in told["rounds"])
    shown = Ayne(tmp_path, database_name=file.name)
    for worth in told["next"]:
        if worth["command"] != "dev":
            assert shown.call(*worth["command"].split()).code == 0


@pytest.mark.whole_runs
def test_the_written_dashboard_is_told_as_json_and_json_is_refused_where_nothing_is_written(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    assert command.call("query", "SELECT 1").code == 2
    made = command.call("demo", "--movies", "30", "--days", "0", "--database", str(command.database))
    assert made.code == 0
    told = command.call("dashboard", "--write", "page.html", "--json").json
    assert told == {"file": "page.html", "bytes": (tmp_path / "page.html").stat().st_size}
    for words in ("dashboard --json", "demo --live --json"):
        refused = command.call(*words.split())
        assert (refused.code, "--json" in refused.complaint) == (2, True)


def test_work_of_some_time_is_told_on_stderr_and_work_of_none_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with working("Copying"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    told = threading.Event()
    monkeypatch.setattr(click, "echo", lambda text, **_: (lines.append(text), told.set()))
    lines: list[str] = []
    with working("Copying"):
        assert told.wait(60)
    assert re.fullmatch(r"Copying: \d+ s so far", lines[0])
    assert not [thread for thread in threading.enumerate() if thread.name == "ayne-working"]


def test_what_fails_while_at_work_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), working("Counting"):
        raise ZeroDivisionError
    assert not [thread for thread in threading.enumerate() if thread.name == "ayne-working"]
