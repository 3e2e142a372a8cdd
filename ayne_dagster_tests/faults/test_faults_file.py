"""`ayne standin --faults FILE`: what is planned befalls requests, and a file that makes no sense is told in a line."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx
import pytest

from ayne_dagster import cli
from ayne_dagster_tests.support.processes import Ayne


@pytest.mark.end_to_end
def test_the_faults_of_a_file_befall_the_standins_requests(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text(json.dumps([{"steps": [None, {"kind": "html", "status": 502}]}]))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Ayne(tmp_path)
    with (
        command.running("standin", "--port", str(port), "--movies", "5", "--faults", "faults.json") as process,
        httpx.Client(trust_env=False, headers={"Authorization": "Bearer demo"}) as http,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        answers = [http.get(f"http://127.0.0.1:{port}/3/configuration").status_code for _ in range(3)]
        state = http.get(f"http://127.0.0.1:{port}/_standin/state").json()
    assert answers == [200, 502, 200]
    assert (state["faults"], state["befallen"]) == ([], {"html": 1})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not JSON"),
        ("{}", "list of objects"),
        ('[{"kind": "fire"}]', "fire"),
        ('[{"kind": "reset", "colour": 1}]', "colour"),
        ('[{"steps": [{"kind": "reset", "times": 1}]}]', "script"),
        ('[{"kind": "reset", "ratio": "half"}]', "half"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_makes_no_sense_is_told_in_a_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "faults.json").write_text(content)
    ended = Ayne(tmp_path).call("standin", "--faults", "faults.json")
    assert (ended.code, ended.out) == (cli.WRONG_USAGE, "")
    assert "faults.json" in ended.complaint
    assert words in ended.complaint


def test_a_file_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    ended = Ayne(tmp_path).call("standin", "--faults", "nowhere.json")
    assert ended.code == cli.WRONG_USAGE
    assert "nowhere.json cannot be read" in ended.complaint
