"""The Dagster home: where it is, and that commands which start together do not trip over each other."""

from __future__ import annotations

import hashlib
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from ayne_dagster.config import Settings, SettingsError
from ayne_dagster.runs import instance
from ayne_dagster.runs.instance import dagster_home
from ayne_dagster_tests.support.forking import FORKED
from ayne_dagster_tests.support.processes import LONGEST_RUN


def _open_home(database: Path, together: Barrier) -> None:
    together.wait(LONGEST_RUN)
    with instance.open_instance(Settings(database=database)) as opened:
        assert opened.get_runs_count() == 0


@pytest.mark.end_to_end
def test_commands_that_make_the_home_together_do_not_trip_over_each_other(tmp_path: Path) -> None:
    together = FORKED.Barrier(4)
    processes = [FORKED.Process(target=_open_home, args=(tmp_path / "ayne.duckdb", together)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LONGEST_RUN)
    assert [process.exitcode for process in processes] == [0] * 4


def test_the_home_lies_beside_the_database_and_has_our_configuration(tmp_path: Path) -> None:
    home = dagster_home(Settings(database=tmp_path / "movies.duckdb"))
    assert home == tmp_path / "movies.duckdb.dagster_home"
    assert "run_monitoring" in (home / "dagster.yaml").read_text()


def test_a_home_that_somebody_configured_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert (dagster_home(Settings()) / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_a_home_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="DAGSTER_HOME"):
        dagster_home(Settings(database=tmp_path / "file" / "ayne.duckdb"))


def test_a_shipped_configuration_of_a_former_version_is_renewed_and_a_person_s_own_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = dagster_home(Settings(database=tmp_path / "movies.duckdb"))
    shipped = (home / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert (dagster_home(Settings(database=tmp_path / "movies.duckdb")) / "dagster.yaml").read_text() != shipped
    former = hashlib.sha256(b"telemetry: {enabled: false}\n").hexdigest()
    monkeypatch.setattr(instance, "_FORMER", {former})
    assert (dagster_home(Settings(database=tmp_path / "movies.duckdb")) / "dagster.yaml").read_text() == shipped


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        (
            "event_log_storage: {module: no_such_package.storage, class: Storage, config: {}}",
            "names no_such_package, which is not installed here",
        ),
        (
            "local_artifact_storage:\n  module: dagster._core.storage.root\n  class: LocalArtifactStorage\n"
            "  config: {base_dir: {env: UNSET_ONE}}",
            "wants the variable UNSET_ONE, which is not set",
        ),
    ],
    ids=["a package", "a variable"],
)
def test_what_a_storage_of_a_person_s_own_lacks_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, told: str
) -> None:
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{storage}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(instance.HomeUnusable, match=told) as caught:
        instance.open_instance(Settings())
    assert "\n" not in str(caught.value)
