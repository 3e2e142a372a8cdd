"""What `deploy/` holds fits the code: settings that exist, commands that are understood, places that are kept.

No engine runs here: that an image is built and runs is not tested.
"""

from __future__ import annotations

import configparser
import fnmatch
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ayne_dagster import doctor
from ayne_dagster_tests.support.command_lines import ROOT, check_command
from ayne_dagster_tests.support.settings_names import defaults_and_names

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
KEPT = {"AYNE_DATABASE": "/data/", "DAGSTER_HOME": "/dagster_home"}
PROGRAMS = {"ayne", "dagster-daemon", "python"}


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, each with its text."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(n for n, (name, _) in enumerate(found) if name == "FROM") :]


def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return told


def known_settings() -> set[str]:
    return defaults_and_names()[1]


OF_DAGSTER = {"DAGSTER_CURRENT_IMAGE", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_PG_PASSWORD"}
"""What Dagster, its launcher for containers and its chart give names to."""


def test_every_setting_in_the_files_exists() -> None:
    files = [file for file in DEPLOY.rglob("*") if file.is_file()]
    # The storage's own, which Dagster reads because its configuration here says so.
    asked = {name for file in files for name in re.findall(r"\{env: (\w+)\}", file.read_text())}
    for file in files:
        named = set(re.findall(r"\b(?:AYNE|TMDB|OMDB|DAGSTER)_[A-Z_]+\b", file.read_text()))
        assert named <= known_settings() | asked | OF_DAGSTER, file.name


def test_every_command_of_a_service_is_understood() -> None:
    commands = [service["command"] for service in compose()["services"].values()]
    commands += [json.loads(text) for name, text in final_stage() if name == "CMD"]
    for unit in UNITS:
        commands.append(shlex.split(read_unit(unit)["Service"]["ExecStart"]))
    assert len(commands) == 7
    for program, *arguments in commands:
        assert Path(program).name == "ayne"
        check_command(arguments)


def test_what_has_to_be_kept_lies_in_volumes() -> None:
    told = compose()
    assert set(told["volumes"]) == {"data", "dagster_home"}
    for service in told["services"].values():
        mounted = {volume.split(":")[1] for volume in service["volumes"]}
        for name, place in KEPT.items():
            assert service["environment"][name].startswith(place)
            assert any(service["environment"][name].startswith(point) for point in mounted)
        assert service["env_file"] == [".env"]
        assert not {"TMDB_READ_TOKEN", "TMDB_API_KEY", "OMDB_API_KEY"} & set(service["environment"])
    image = dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(text for name, text in final_stage() if name == "ENV")))
    assert {name: image[name] for name in KEPT} == {name: service["environment"][name] for name in KEPT}


def test_nothing_is_published_beyond_this_machine() -> None:
    for name, service in compose()["services"].items():
        assert service["network_mode"] == "host", "what listens on 127.0.0.1 alone is not reached through a bridge"
        assert "ports" not in service, name
        assert "privileged" not in service
        if name != "daemon":
            check = " ".join(service["healthcheck"]["test"])
            assert re.search(rf"http://127\.0\.0\.1:{service['command'][-1]}/", check)


def test_the_image_runs_as_a_user_without_rights_and_has_nothing_to_build_with() -> None:
    stage = final_stage()
    (user,) = [text for name, text in stage if name == "USER"]
    assert user not in ("root", "0")
    last_run = max(n for n, (name, _) in enumerate(stage) if name == "RUN")
    assert last_run < [name for name, _ in stage].index("USER")
    for name, text in stage:
        assert not re.search(r"apt-get|\bpip\b|gcc|build-essential", text), (name, text)
        assert not (name == "COPY" and "--from=build" not in text), "sources stay in the first stage"
    (health,) = [text for name, text in stage if name == "HEALTHCHECK"]
    assert json.loads(health.partition("CMD ")[2])[0] in PROGRAMS
    (base,) = {text.split()[0] for name, text in instructions() if name == "FROM"}
    version = re.search(r"PYTHON=([\d.]+)", (DEPLOY / "Dockerfile").read_text())
    assert base == "python:${PYTHON}-slim"
    assert version
    assert doctor.PYTHONS[0] <= tuple(map(int, version[1].split("."))) < doctor.PYTHONS[1]


def test_the_image_gets_what_it_is_made_of_and_no_key() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"

    def is_sent(path: str) -> bool:
        sent = True
        for line in lines:
            if any(fnmatch.fnmatch(part, line.lstrip("!")) for part in (path, path.split("/")[0])):
                sent = line.startswith("!")
        return sent

    for name, text in instructions():
        if name == "COPY" and "--from" not in text:
            for source in text.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert is_sent(source), source
    for secret in (".env", "deploy/.env", "data/ayne.duckdb", ".git/config"):
        assert not is_sent(secret), secret


class Unit(configparser.ConfigParser):
    """A unit of systemd, whose names are told by case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_unit(file: Path) -> configparser.ConfigParser:
    parser = Unit(strict=True, interpolation=None)
    parser.read_string(file.read_text())
    return parser


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_a_unit_runs_as_a_user_of_its_own_writes_beside_its_database_and_stops_gently(file: Path) -> None:
    told = read_unit(file)["Service"]
    assert told["User"] == "ayne"
    database = Path(told["WorkingDirectory"]) / "data/ayne.duckdb"
    assert Path(told["ReadWritePaths"]) == database.parent
    assert int(told["TimeoutStopSec"]) >= 30
    assert told["KillMode"] == "mixed"


def test_the_page_about_servers_starts_each_unit_and_that_about_compose_names_each_service() -> None:
    server, page = ((DEPLOY.parent / "docs/how-to" / name).read_text() for name in ("server.md", "compose.md"))
    assert len(UNITS) == 3
    for unit in UNITS:
        assert f"deploy/{unit.name}" in server
        assert unit.stem in server
    for name in compose()["services"]:
        assert f"| `{name}` |" in page
    assert "has not been run on an engine" in page
