"""The documentation says what the code does: commands, settings, lineage, tables, queries, rules."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_args

import click
import dagster as dg
import duckdb
import pytest
import yaml

from ayne_dagster.assets.refreshing import ASK_ANYWAY
from ayne_dagster.automation.alerts import ALERT_SENSORS, ALERT_TAG
from ayne_dagster.cli import ayne, run
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.definitions import build_defs
from ayne_dagster.refresh.strategy import AGE_TABLE, SOURCES, calculate_refresh_plan
from ayne_dagster.standin.faults import Fault, Kind, Script, read_faults
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.dictionary import ASKED
from ayne_dagster.warehouse.merge import merge_answers
from ayne_dagster.warehouse.movies_at import MACROS
from ayne_dagster.warehouse.schema import ALL_TABLES, TMDB_DETAILS
from ayne_dagster.warehouse.views import VIEWS
from ayne_dagster_tests.support.samples import details
from ayne_dagster_tests.support.settings_names import defaults_and_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def of_docstrings() -> list[str]:
    """Modules with an example in a docstring."""
    files = [file for file in (ROOT / "ayne_dagster").rglob("*.py") if ">>> " in file.read_text()]
    return sorted(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)


@pytest.mark.parametrize("module", of_docstrings())
def test_examples_in_docstrings_give_what_they_say(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_the_readme_lists_every_command_with_every_option() -> None:
    listed = dict(re.findall(r"^\| `ayne ([a-z-]+(?: [a-z]+)*)(.*?)` \|", README, re.MULTILINE))
    commands = dict(ayne.commands)
    for name, group in ayne.commands.items():
        if isinstance(group, click.Group):
            del commands[name]
            commands |= {f"{name} {part}": command for part, command in group.commands.items()}
    assert set(listed) == set(commands)
    for name, command in commands.items():
        options = {p.opts[0] for p in command.params if isinstance(p, click.Option)}
        assert set(re.findall(r"--[a-z-]+", listed[name])) == options, name


def test_the_lineage_in_the_readme_is_that_of_the_assets(make_settings: Callable[..., Settings]) -> None:
    drawn = set(re.findall(r"^  (\w+) --> (\w+)$", blocks("mermaid")[0], re.MULTILINE))
    specs = build_defs(make_settings()).resolve_all_asset_specs()
    assert drawn == {(dep.asset_key.path[-1], spec.key.path[-1]) for spec in specs for dep in spec.deps}


def test_the_age_table_in_the_readme_is_the_one_that_decides() -> None:
    for band in AGE_TABLE:
        intervals = " | ".join(str(band.interval_days[source]) for source in SOURCES)
        assert re.search(rf"^\| {band.category} \| [^|]+ \| {re.escape(intervals)} \|$", README, re.MULTILINE)


def test_the_readme_lists_every_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    assert listed == {*ALL_TABLES, *(item.name for item in (*VIEWS, *MACROS) if "." not in item.name)}


def shown_questions() -> list[str]:
    """The commands that ask the dataset, as the README and the pages show them."""
    pages = [README, *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))]
    lines = [
        line
        for page in pages
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.split("\n")
    ]
    return [line for line in lines if re.match(r"ayne (show|history|query|tables|schema|purge --dry-run)\b", line)]


def test_every_question_in_the_documentation_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(tmp_path / "ayne.duckdb")
    with database.transaction() as connection:
        merge_answers(connection, TMDB_DETAILS, "tmdb", [details(550)], "run")
    monkeypatch.setenv("AYNE_DATABASE", str(database.path))
    shown = shown_questions()
    assert {line.split()[1] for line in shown} >= {"show", "history", "query", "schema", "purge"}
    for line in shown:
        assert run(shlex.split(line, comments=True)[1:]) == 0, f"{line}: {capsys.readouterr().err}"


def test_the_page_about_the_older_collection_lists_its_views_and_commands_and_settings_that_exist(
    tmp_path: Path,
) -> None:
    page = (ROOT / "docs/from-the-older-collection.md").read_text()
    listed = re.findall(r"^\| `(legacy\.\w+)` \|", page, re.MULTILINE)
    assert listed == [view.name for view in VIEWS if view.schema == "legacy"]
    named = re.findall(r"(?:ayne|`ayne) ([a-z][\w-]+)((?: --[a-z-]+)*)", page.partition("## Commands")[2])
    ours = [(name, options.split()) for name, options in named if name in ayne.commands]
    assert len(ours) > 10
    for name, options in ours:
        assert set(options) <= {p.opts[0] for p in ayne.commands[name].params if isinstance(p, click.Option)}, name
    example = (ROOT / ".env.example").read_text()
    for variable in set(re.findall(r"`(AYNE_[A-Z_]+)`", page)):
        assert f"{variable}=" in example, variable
    with Database(tmp_path / "ayne.duckdb").connect() as connection:
        for sql in re.findall(r"```sql\n(.*?)```", page, re.DOTALL):
            connection.execute(sql)
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        compile(code, "from-the-older-collection.md", "exec")


@pytest.mark.parametrize("sql", blocks("sql"), ids=lambda sql: sql.splitlines()[0][3:40])
def test_every_query_in_the_readme_runs(sql: str, tmp_path: Path) -> None:
    with Database(tmp_path / "ayne.duckdb").connect() as connection:
        assert isinstance(connection.execute(sql), duckdb.DuckDBPyConnection)


def test_every_python_example_in_the_readme_compiles_and_the_plan_is_the_one_shown() -> None:
    for code in blocks("python"):
        compile(code, "README.md", "exec")
    shown = {"needs_tmdb": True, "needs_omdb": True, "needs_numbers": True}
    assert str(shown) in README
    assert calculate_refresh_plan({"release_date": "1999-10-15", "imdb_id": "tt0137523"}) == shown


def test_every_kind_and_field_of_a_fault_is_described_and_the_example_is_a_plan() -> None:
    text = (ROOT / "docs" / "faults.md").read_text()
    described = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    names = {field.name for kind in (Fault, Script) for field in dataclasses.fields(kind)}
    assert described == {*get_args(Kind), *names}
    examples = re.findall(r"```json\n(.*?)```", text, re.DOTALL) + re.findall(r"-d '(.*?)'", text)
    assert [len(read_faults(example)) for example in examples] == [4, 1]


def test_env_example_lists_every_setting_with_its_default() -> None:
    defaults, asked = defaults_and_names()
    example = (ROOT / ".env.example").read_text()
    lines = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert set(lines) == asked | {"DAGSTER_HOME"}
    assert load_settings({name: value for name, value in lines.items() if value}) == defaults


def test_every_promise_names_tests_that_exist() -> None:
    defined = {
        name
        for file in (ROOT / "ayne_dagster_tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    told = (ROOT / "docs/reliability.md").read_text().partition("## Figures")[0]
    promises = re.findall(r"^\| (?!promise|---)(.+) \| (.+) \|$", told, re.MULTILINE)
    assert len(promises) > 20
    for promise, proof in promises:
        named = re.findall(r"`(test_\w+)`", proof)
        assert named, promise
        assert set(named) <= defined, promise


def test_every_make_target_in_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [README, *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))]
    named = {target for page in pages for target in re.findall(r"`make ([a-z][\w-]*)", page)}
    assert named
    assert named <= targets


def test_every_room_and_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    package = ROOT / "ayne_dagster"
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    plan = text.partition("## The plan")[2].partition("```\n")[2].partition("```")[0]
    planned = {word for line in plan.splitlines() for word in line[:32].split()}
    assert planned == rooms - {"__init__", "__main__"}
    named = re.findall(r"`(\w+(?:\.\w+)+)`", text.partition("## Invariants")[2].partition("## Recipes")[0])
    named += re.findall(rf" ((?:{'|'.join(planned)})\.\w+(?:\.\w+)*)", text.partition("## Invariants")[0])
    assert len(named) > 30
    for name in named:
        places = [package.joinpath(*name.split(".")[:depth]) for depth in (2, 3)]
        assert any(p.is_dir() or p.with_suffix(".py").exists() for p in places), name


def _dictionary() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dictionary", ROOT / "docs" / "make_dictionary.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_data_dictionary_is_the_one_that_the_schema_makes() -> None:
    made, page = _dictionary(), (ROOT / "docs" / "data-dictionary.md").read_text()
    assert page == made.page(made.examples_in(page)), "run `make dictionary`"


def test_examples_of_the_data_dictionary_are_of_columns_that_there_are_and_most_have_one() -> None:
    made = _dictionary()
    examples = made.examples_in((ROOT / "docs" / "data-dictionary.md").read_text())
    columns = {(name, column.name) for name, relation in ASKED.items() for column in relation.columns}
    assert set(examples) == columns
    assert len([text for text in examples.values() if text]) > len(columns) / 2
    assert all(examples["movies", name] for name in ("tmdb_id", "title", "runtime", "worldwide_gross", "imdb_rating"))


@pytest.mark.end_to_end
def test_examples_of_the_data_dictionary_are_those_of_the_invented_world() -> None:
    made, page = _dictionary(), (ROOT / "docs" / "data-dictionary.md").read_text()
    assert page == made.page(made.invented())


def test_the_operations_page_names_the_sensors_that_alert_and_they_are_on_by_themselves() -> None:
    told = (ROOT / "docs" / "operations.md").read_text().split("## What is told unasked")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE))
    assert listed == {sensor.name for sensor in ALERT_SENSORS}
    assert {sensor.default_status for sensor in ALERT_SENSORS} == {dg.DefaultSensorStatus.RUNNING}
    assert f"`{ALERT_TAG}`" in told


def test_the_operations_page_s_configuration_of_a_run_that_asks_anyway_is_one() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()
    (config,) = re.findall(r"```yaml\n(ops: .*)\n```", told)
    job = build_defs(Settings()).resolve_job_def("refresh_movies")
    assert dg.validate_run_config(job, yaml.safe_load(config))
    assert ASK_ANYWAY.format(asset="tmdb_details").split("`")[1] == config, "as a run says it"
