"""What the demonstration ends with: commands that show something, and how much."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ayne_dagster.demo.story import SOME, _worth_a_look
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.refresh_metadata import derive_columns
from ayne_dagster.warehouse.schema import TMDB_DETAILS
from ayne_dagster_tests.support.samples import START, details


def test_so_many_movies_are_told_as_due_as_the_command_lists_those_of_omdb_alone_among_them(tmp_path: Path) -> None:
    file, now = tmp_path / "demo.duckdb", START + timedelta(hours=1)
    with Database(file).transaction() as connection:
        answers = [details(number, imdb_id=f"tt{number:07}") for number in range(1, SOME + 1)]
        merge_answers(connection, TMDB_DETAILS, "tmdb", answers, "run")
        derive_columns(connection, now)
    assert dict(_worth_a_look(file, now))["due"].startswith(f"The {SOME} movies that the last collection left")
