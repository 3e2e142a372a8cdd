"""What a demonstration says at its end: it is what the commands that it names show."""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from ayne_dagster.demo.story import _print_uncut, _worth_a_look, program_name
from ayne_dagster.warehouse.database import Database
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.samples import START, details, listed, merge_details, merge_listed


def test_the_movies_that_it_says_are_due_are_as_many_as_the_command_lists(tmp_path: Path) -> None:
    command = Ayne(tmp_path)
    never_asked, without_ratings = range(1, 5), range(5, 8)
    with Database(command.database).connect() as connection:
        merge_listed(connection, *(listed(number, START) for number in (*never_asked, *without_ratings)))
        merge_details(connection, *(details(number, START) for number in without_ratings))
    said = dict(_worth_a_look(command.database, START))
    listed_as_due = command.call("due", "--as-of", f"{START:%Y-%m-%dT%H:%M:%S}", "--json").json["due"]
    assert listed_as_due == len(never_asked) + len(without_ratings)
    assert said["due"].startswith(f"The {listed_as_due} movies that the last collection left")


def test_a_terminal_that_is_too_narrow_for_the_table_cuts_no_number() -> None:
    printed = io.StringIO()
    table = Table("date", "requests")
    for column in table.columns:
        column.no_wrap = True
    table.add_row("2026-11-29", "1,234,567")
    _print_uncut(table, Console(file=printed, width=12))
    for whole in ("date", "requests", "2026-11-29", "1,234,567"):
        assert whole in printed.getvalue()


def test_the_command_that_it_names_can_be_typed_where_a_folder_has_a_blank_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "my environment"
    programs.mkdir()
    (programs / "ayne").touch()
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert [Path(word).absolute() for word in shlex.split(program_name())] == [programs / "ayne"]
