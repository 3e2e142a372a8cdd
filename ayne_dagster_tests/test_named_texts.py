"""A file that an operator names is read within bounds: no pipe or device keeps a command waiting for its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ayne_dagster import cli
from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.doctor import WRONG, examine
from ayne_dagster.runs.home import home_path
from ayne_dagster.runs.instance import open_instance
from ayne_dagster.settings import texts
from ayne_dagster.settings.texts import read_named_text
from ayne_dagster.sources.daily_files import fetch
from ayne_dagster.sources.errors import SourceUnavailable, WrongRoute
from ayne_dagster.sources.network import certificates
from ayne_dagster_tests.support.processes import Ayne

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that nobody writes to."""
    os.mkfifo(path := tmp_path / "pipe")
    return path


def test_an_env_file_that_is_a_pipe_is_refused(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe.rename(pipe.with_name(".env"))
    monkeypatch.chdir(pipe.parent)
    with pytest.raises(SettingsError, match=r"\.env cannot be read \(it is a pipe"):
        load_settings()


@pytest.mark.parametrize("place", ["pipe", "/dev/full", "/dev/zero", "."])
def test_faults_are_read_from_a_file_alone(pipe: Path, place: str) -> None:
    ended = Ayne(pipe.parent).call("standin", "--faults", place)
    assert (ended.code, ended.out) == (cli.WRONG_USAGE, "")
    assert "cannot be read: it is a" in ended.complaint


def test_authorities_and_daily_files_are_read_from_files_alone(pipe: Path, tmp_path: Path) -> None:
    for place in (str(pipe), "/dev/zero"):
        with pytest.raises(WrongRoute, match="cannot be read as certificates: it is a pipe"):
            certificates({"SSL_CERT_FILE": place})
        with pytest.raises(SourceUnavailable, match="it is a pipe"):
            fetch(place, tmp_path / "copy")


def test_dagsters_configuration_is_read_from_a_file_alone(pipe: Path, tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "ayne.duckdb")
    home = home_path(settings)
    home.mkdir()
    pipe.rename(home / "dagster.yaml")
    with pytest.raises(SettingsError, match=r"dagster\.yaml cannot be read"):
        open_instance(settings)
    (line,) = [line for line in examine(settings) if line.name == "Dagster home"]
    assert line.state == WRONG


def test_a_text_that_nobody_wrote_by_hand_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "LONGEST_TEXT", 10)
    (tmp_path / "long").write_text("x" * 11)
    (tmp_path / "fits").write_text("x" * 10)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_named_text(tmp_path / "long")
    assert read_named_text(tmp_path / "fits") == "x" * 10
