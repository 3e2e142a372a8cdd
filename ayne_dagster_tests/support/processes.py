"""Running the `ayne` command in tests, as a process or in this one, with nothing of this machine's settings in it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import IO, Any

import dagster as dg
import duckdb
import pytest

from ayne_dagster import cli
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.forking import Forked

LONGEST_RUN = 90.0
"""Seconds after which a process counts as hanging, on a busy machine."""
_POLL_SECONDS = 0.005
_OF_AN_INTERPRETER = re.compile(r"(PYTHON\w*|LANG|LANGUAGE|LC_\w+|LD_\w+|MALLOC_\w+|TERM)$")
_FOREIGN = re.compile(r"(AYNE|TMDB|OMDB|DAGSTER)_|(FORCE_COLOR|NO_COLOR|TTY_\w+|COLUMNS|LINES)$")


@dataclass(frozen=True)
class Ended:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; anything else there is an error."""
        told = json.loads(self.out)
        assert isinstance(told, dict), self.out
        assert self.out.count("\n") == 1, self.out
        return told

    @property
    def complaint(self) -> str:
        """The one line on stderr; more, or a traceback, is an error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@dataclass(frozen=True)
class Ayne:
    """The command in a folder, with a database there and the settings that are given."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    database_name: str = "movies.duckdb"

    @property
    def database(self) -> Path:
        return self.folder / self.database_name

    @property
    def home(self) -> Path:
        """The Dagster home that belongs to the database."""
        return self.database.with_name(f"{self.database.name}.dagster_home")

    @property
    def environment(self) -> dict[str, str]:
        """All that a process gets."""
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AYNE_DATABASE": str(self.database)}
        return base | self.settings

    def asking(self, standin: StandIn, **settings: str) -> Ayne:
        """The same, with a stand-in to ask, unpaced, and more settings."""
        return Ayne(self.folder, self.settings | pointing_at(standin) | settings, self.database_name)

    def start(self, *arguments: str, into: IO[bytes] | None = None) -> subprocess.Popen[str] | Forked:
        """The command as a process that goes on; see `running` for one that is surely ended.

        Its output goes into pipes, or into a file, which never fills up. It is forked, which saves the start of an
        interpreter, unless the settings are such that an interpreter has to begin with.
        """
        if not any(_OF_AN_INTERPRETER.match(name) for name in self.settings):
            return Forked(arguments, self.environment, self.folder, into)
        return self.spawn(*arguments, into=into)

    def spawn(self, *arguments: str, into: IO[bytes] | None = None) -> subprocess.Popen[str]:
        """The command as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "ayne_dagster", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=into or subprocess.PIPE,
            stderr=into or subprocess.PIPE,
            text=True,
            # A suite that runs in the background has SIGINT ignored, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    @contextmanager
    def running(self, *arguments: str, into: IO[bytes] | None = None) -> Iterator[subprocess.Popen[str] | Forked]:
        """The command as a process, for the length of the block."""
        process = self.start(*arguments, into=into)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def run(self, *arguments: str) -> Ended:
        """The command as a process, to its end."""
        with self.running(*arguments) as process:
            return ended(process)

    def call(self, *arguments: str) -> Ended:
        """The command in this process, which saves the start of an interpreter.

        Its output is captured, but for the progress: that goes to the file descriptor of stderr itself.
        """
        out, err = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in filter(_FOREIGN.match, list(os.environ)):
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            code = cli.run(list(arguments))
        return Ended(code, out.getvalue(), err.getvalue())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the database; it is opened for this question alone."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def column(self, query: str) -> list[Any]:
        """The first column of the rows."""
        return [row[0] for row in self.rows(query)]

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The Dagster instance beside the database."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance

    def runs(self, job_name: str | None = None) -> list[dg.DagsterRun]:
        """The runs in the Dagster instance, newest first."""
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(job_name=job_name)))


def pointing_at(standin: StandIn) -> dict[str, str]:
    """The settings that make the platform ask a stand-in, as fast as it answers, and again at once when it must."""
    return {
        "TMDB_READ_TOKEN": "demo",
        "OMDB_API_KEY": "demo",
        "AYNE_TMDB_BASE_URL": standin.tmdb_url,
        "AYNE_OMDB_BASE_URL": standin.omdb_url,
        "AYNE_WIKIDATA_BASE_URL": standin.wikidata_url,
        "AYNE_TMDB_REQUESTS_PER_SECOND": "0",
        "AYNE_OMDB_REQUESTS_PER_SECOND": "0",
        "AYNE_WIKIDATA_REQUESTS_PER_SECOND": "0",
        "AYNE_TMDB_RETRY_WAIT": "0.002",
        "AYNE_OMDB_RETRY_WAIT": "0.002",
        "AYNE_WIKIDATA_RETRY_WAIT": "0.002",
    }


def lines_with_settings(standin_output: IO[str]) -> list[str]:
    """What `ayne standin` prints at its start, up to the last of the settings, without line ends."""
    lines = []
    for line in standin_output:
        lines.append(line.strip())
        if "OMDB_API_KEY=" in line:
            break
    return lines


def ended(process: subprocess.Popen[str] | Forked) -> Ended:
    """Wait for a process to end."""
    out, err = process.communicate(timeout=LONGEST_RUN)
    return Ended(process.returncode, out, err)


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str] | Forked, within: float = LONGEST_RUN
) -> None:
    """Wait for something that a running process brings about; fails at once when the process ends before."""
    deadline = time.monotonic() + within
    while not condition():
        if process.poll() is not None:
            out, err = process.communicate()
            pytest.fail(f"the process ended with {process.returncode} before its time: {out}{err}")
        if time.monotonic() > deadline:
            pytest.fail(f"nothing came of it within {within:.0f} s")
        time.sleep(_POLL_SECONDS)


def asked(standin: StandIn, endpoint: str) -> list[str]:
    """The ids that were asked for at an endpoint, in the order in which they were answered."""
    return [str(entry["id"]) for entry in standin.log() if entry["endpoint"] == endpoint]


def number_asked(standin: StandIn, endpoint: str) -> int:
    """How many requests an endpoint has answered."""
    return len(asked(standin, endpoint))


def listening_addresses(pid: int) -> set[str]:
    """The addresses on which a process and its children listen for TCP."""
    inodes = {
        link.readlink().name[8:-1]
        for child in family(pid)
        for link in Path(f"/proc/{child}/fd").glob("*")
        if link.is_symlink() and link.readlink().name.startswith("socket:[")
    }
    found = set()
    for table, kind in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                raw = bytes.fromhex(words[1].split(":")[0])
                swapped = b"".join(raw[k : k + 4][::-1] for k in range(0, len(raw), 4))
                found.add(socket.inet_ntop(kind, swapped))
    return found


def family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has just ended
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found
