"""What is taken over into a lake is what would be in a file: the older collection, and files of figures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ayne_dagster.collecting.figure_import import import_figures
from ayne_dagster.config import FigureChoice
from ayne_dagster.legacy.taking_over import rehearse, take_over
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.schema import TABLES
from ayne_dagster.warehouse.store import Store
from ayne_dagster_tests.support.lake import Lake
from ayne_dagster_tests.support.legacy import legacy_database

pytestmark = [pytest.mark.on_lake, pytest.mark.timeout(300)]

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOVIES = 150
"""So many that they go into files, not into the catalogue."""


def test_the_older_collection_is_taken_over_into_a_lake_as_into_a_file(lake: Lake, tmp_path: Path) -> None:
    older, file = legacy_database(tmp_path, MOVIES, NOW, era="D4"), Database(tmp_path / "ayne.duckdb")
    rehearsed = rehearse(older, lake.store, NOW)
    reports = [take_over(older, store, NOW, print) for store in (file, lake.store)]
    assert rehearsed.taken == reports[1].taken == reports[0].taken
    assert contents(lake.store) == contents(file)
    assert check_database(lake.store, NOW).findings == []

    before = contents(lake.store)
    assert sum(take_over(older, lake.store, NOW, print).taken.values()) == 0
    assert contents(lake.store) == before


def test_a_file_of_figures_states_in_a_lake_what_it_states_in_a_file(lake: Lake, tmp_path: Path) -> None:
    older, file = legacy_database(tmp_path, MOVIES, NOW, era="D4"), Database(tmp_path / "ayne.duckdb")
    for store in (file, lake.store):
        take_over(older, store, NOW, print)
    with file.connect(read_only=True) as connection:
        known = connection.execute("SELECT imdb_id, title FROM movies WHERE imdb_id IS NOT NULL").fetchall()
    figures = tmp_path / "figures.csv"
    lines = [f'{imdb_id},"{title}",{1_000_000 + number},{2_000_000 + number}' for number, (imdb_id, title) in
             enumerate(known)]  # fmt: skip
    figures.write_text(
        "\n".join(["imdb_id,title,budget,worldwide_gross", *lines, 'tt9999999,"Nobody\'s",5000000,6000000'])
    )
    for _ in range(2):
        reports = [import_figures(store, figures, NOW, choice=FigureChoice()) for store in (file, lake.store)]
        assert reports[0].matched == reports[1].matched
        assert contents(lake.store) == contents(file)
    assert len(contents(file)["box_office_unmatched"]) == 1
    assert check_database(lake.store, NOW).findings == []


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, but for the name of the run that wrote it."""
    told = {table.name: ", ".join(name for name in table.column_names if name != "run_id") for table in TABLES}
    with store.connect(read_only=True) as connection:
        return {
            name: sorted(connection.execute(f"SELECT {columns} FROM {name}").fetchall(), key=repr)
            for name, columns in told.items()
        }
