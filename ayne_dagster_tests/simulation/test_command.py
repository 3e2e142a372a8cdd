"""`ayne simulate`: one JSON object, clear errors, a picture; no key, no database, no network."""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ayne_dagster.cli import run
from ayne_dagster.commands.simulation import _describe
from ayne_dagster.simulation.worlds import WORLDS

SMALL = ("simulate", "--movies", "60", "--days", "8", "--processes", "1")


def test_json_is_one_object_with_the_assumptions_and_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SMALL, "--json", "--source", "tmdb", "--source", "omdb", "--budget", "1", "--budget", "2"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["assumptions"]["movies"] == 60
    assert told["seeds"] == [1]
    assert list(told["sources"]) == ["tmdb", "omdb"]
    tmdb = told["sources"]["tmdb"]["budgets"]
    assert list(tmdb) == ["1", "2"]
    assert len(tmdb["1"]["policies"]) == 9
    assert set(tmdb["1"]["policies"]["attainable"]["all"]) == {
        "mean", "weighted", "new_releases", "requests", "wasted", "longest_unchecked",
    }  # fmt: skip
    assert "30 of 30: " in printed.err


def test_the_table_names_every_policy_and_says_what_was_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SMALL, "--policy", "age_table", "--policy", "round_robin"]) == 0
    out = capsys.readouterr().out
    assert "TMDB, 1×: at most" in out
    assert "round_robin" in out
    assert "age_table" in out
    assert "attainable" not in out
    assert "60 movies, 8 days, 1 world(s)" in out


def test_no_name_is_cut_off_on_eighty_characters() -> None:
    report = json.loads((Path(__file__).parents[2] / "docs" / "freshness.json").read_text())
    screen = Console(width=80, file=StringIO())
    screen.print(_describe(report))
    printed = screen.file.getvalue()
    assert "Year 1" in printed
    assert "value_of_refresh_feed" in printed
    assert "…" not in printed


def test_the_same_seed_prints_the_same_and_another_seed_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for seed in ("1", "1", "2"):
        assert run([*SMALL, "--policy", "age_table", "--seed", seed, "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out)["sources"])
    assert printed[0] == printed[1] != printed[2]


def test_an_assumption_is_a_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SMALL, "--policy", "round_robin", "--mean-rate", "0.5", "--delay-days", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["assumptions"]["mean_rate"] == 0.5
    assert told["assumptions"]["delay_days"] == 2
    assert told["sources"]["tmdb"]["budgets"]["1"]["policies"]["round_robin"]["all"]["mean"] < 0.3


@pytest.mark.parametrize("name", WORLDS)
def test_every_named_world_is_simulated_as_it_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--policy", "attainable", "--days", "40", "--world", name, "--json")
    if name == "large":
        arguments = (*arguments, "--days", "7")
    assert run([*SMALL, *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    world = WORLDS[name]
    assert all(told["assumptions"][assumption] == value for assumption, value in world.differs.items())
    assert list(told["sources"]["tmdb"]["budgets"]) == [f"{world.budget or 1:g}"]


def test_nothing_is_written_where_it_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run([*SMALL, "--policy", "age_table"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "best"), "There is no policy best; there are round_robin, age_table"),
        (("--recall", "1"), "recall must lie between 0 and 1"),
        (("--mean-rate", "0"), "mean_rate must be above 0"),
        (("--mean-rate", "-1"), "-1.0 is not in the range x>=0"),
        (("--source", "omdb", "--policy", "age_table_feed"), "there is nothing to do"),
        (("--plot", "figures.txt"), "its name must end in .png, .svg, .pdf"),
        (("--plot", "nowhere/figures.png"), "there is no folder nowhere"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_simulated(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SMALL, *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1


def test_a_plot_without_matplotlib_is_refused_at_once_with_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run([*SMALL, "--plot", "figures.png"]) == 1
    printed = capsys.readouterr()
    assert "pip install 'ayne_dagster[plots]'" in printed.err
    assert len(printed.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["figures.png", "figures.svg"])
def test_a_plot_is_drawn_into_the_file(name: str, tmp_path: Path) -> None:
    assert run([*SMALL, "--policy", "age_table", "--policy", "attainable", "--budget", "1", "--plot", name]) == 0
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    if name.endswith("svg"):
        assert content.count(b"<path") > 20
