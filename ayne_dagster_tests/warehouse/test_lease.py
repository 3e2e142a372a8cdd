"""One collection a source at a time: other processes wait, and a crash frees the lease."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ayne_dagster.warehouse.lease import lease
from ayne_dagster_tests.support.samples import end, line, python

TAKE = """
import os, sys
from pathlib import Path
from ayne_dagster.warehouse.lease import lease

def note():
    with Path(sys.argv[1]).with_name("journal").open("a") as journal:
        print(os.getpid(), file=journal)

with lease(Path(sys.argv[1]), sys.argv[2], lambda text: print("waits:", text, flush=True)):
    note()
    print("has it", flush=True)
    sys.stdin.read()
    note()
    print("goes", flush=True)
"""

Take = Callable[[Path, str], "subprocess.Popen[str]"]


@pytest.fixture
def take() -> Iterator[Take]:
    """Starts processes that take a lease and hold it until their input closes."""
    started: list[subprocess.Popen[str]] = []

    def start(database: Path, source: str) -> subprocess.Popen[str]:
        started.append(python(TAKE, database, source))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def never(text: str) -> None:
    raise AssertionError(f"must not wait: {text}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ayne.duckdb"


def test_a_second_process_waits_until_the_first_ends(path: Path, take: Take) -> None:
    first = take(path, "tmdb")
    assert line(first) == "has it"
    second = take(path, "tmdb")
    assert line(second) == f"waits: process {first.pid} is collecting from tmdb; waiting for it to end."
    assert first.communicate(timeout=60)[0] == "goes\n"
    assert line(second) == "has it"


def test_a_second_process_waits_until_the_first_is_killed(path: Path, take: Take) -> None:
    first = take(path, "omdb")
    assert line(first) == "has it"
    second = take(path, "omdb")
    assert line(second).startswith(f"waits: process {first.pid} ")
    os.kill(first.pid, signal.SIGKILL)
    assert line(second) == "has it"
    assert first.wait(60) == -signal.SIGKILL


def test_those_that_wait_come_in_one_after_the_other(path: Path, take: Take) -> None:
    first = take(path, "tmdb")
    assert line(first) == "has it"
    others = [take(path, "tmdb") for _ in range(3)]
    assert all(line(process).startswith("waits:") for process in others)
    everyone = [first, *others]
    for process in everyone:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in everyone] == [0] * 4
    journal = path.with_name("journal").read_text().split()
    assert journal[0::2] == journal[1::2]  # nobody came in before the one before was out
    assert {*journal} == {str(process.pid) for process in everyone}


def test_other_sources_and_other_databases_do_not_wait(path: Path, take: Take) -> None:
    assert line(take(path, "tmdb")) == "has it"
    with lease(path, "omdb", never), lease(path.with_name("other.duckdb"), "tmdb", never):
        pass


def test_a_lease_is_free_after_use_and_after_a_failure(path: Path) -> None:
    with lease(path, "tmdb", never):
        pass
    with pytest.raises(KeyboardInterrupt), lease(path, "tmdb", never):
        raise KeyboardInterrupt
    with lease(path, "tmdb", never):
        pass


def test_a_lease_left_by_a_killed_process_is_free(path: Path, take: Take) -> None:
    gone = take(path, "tmdb")
    assert line(gone) == "has it"
    gone.kill()
    gone.wait(60)
    with lease(path, "tmdb", never):
        assert f"process {os.getpid()}" in "".join(p.read_text() for p in path.parent.glob("*tmdb*lease"))


def test_a_holder_with_a_shorter_number_leaves_no_digits_of_the_one_before(path: Path) -> None:
    with lease(path, "tmdb", never):
        (file,) = path.parent.glob("*.lease")
    file.write_text("process 123456789012345678901234567890")
    with lease(path, "tmdb", never):
        assert file.read_text() == f"process {os.getpid()}"


def test_who_waits_is_told_even_when_the_holder_left_no_name(path: Path, take: Take) -> None:
    first = take(path, "tmdb")
    assert line(first) == "has it"
    (file,) = path.parent.glob("*.lease")
    os.truncate(file, 0)
    told: list[str] = []

    def on_wait(text: str) -> None:
        told.append(text)
        end(first)

    with lease(path, "tmdb", on_wait):
        assert told == ["another process is collecting from tmdb; waiting for it to end."]
