"""DuckDB with a lake attached: extensions, secrets, the two names of a lake in it. No schema, no transaction.

One instance serves all of a process: attaching takes half a second, a cursor on it 20 ms. The lake is in it twice, as
`lake_reading`, which nothing can be written to, and as `lake` from the first write on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import duckdb

from ayne_dagster.settings.lake import S3, LakePlace
from ayne_dagster.warehouse.database import CONNECTION_CONFIG
from ayne_dagster.warehouse.store import (
    DatabaseNotWritten,
    DatabaseOutOfReach,
    MemoryExceeded,
    WarehouseError,
    WrittenMeanwhile,
    WrongDatabase,
    first_line,
)

READING, WRITING = "lake_reading", "lake"
"""The names under which a lake is attached."""
INLINED_ROWS = 100
"""A commit of no more rows to a table goes into the catalogue, to be written out by maintenance: files for a few rows
each would be 500,000 a day. More than that is slower inlined than as a file (docs/scale.md)."""
_EXTENSIONS = ("ducklake", "postgres_scanner")
_OF_S3 = "httpfs"
_RETRIES = 100
"""DuckLake's own tries of a commit that another one came before; ours take turns, an analyst's program may not."""


class Instance:
    """One DuckDB with the lake in it, for one process.

    Args:
        place: the lake.
        scratch: the folder for what does not fit into memory; made when it is needed.
    """

    def __init__(self, place: LakePlace, scratch: Path) -> None:
        self._place = place
        self._guard = threading.RLock()
        self._attached: set[str] = set()
        self.turn = threading.Lock()
        """Held by the thread of this process that commits."""
        self.is_ours = False
        """Whether the schema was looked at, and is today's."""
        self.root = duckdb.connect(":memory:", config=CONNECTION_CONFIG | {"temp_directory": str(scratch)})
        with explained(place):
            self._prepare()

    def attach_to_read(self) -> bool:
        """Attach the lake to read; whether there is one: else its catalogue is an empty database.

        Raises:
            WarehouseError: it cannot be had.
        """
        with self._guard, explained(self._place):
            try:
                self._attach(READING, "READ_ONLY")
            except duckdb.Error as error:
                if "creating a new DuckLake is explicitly disabled" in str(error):
                    return False
                raise
        return True

    def attach_to_write(self) -> None:
        """Attach the lake to write; its catalogue is made where there is none. The caller has the turn.

        Raises:
            WarehouseError: it cannot be had.
        """
        with self._guard, explained(self._place):
            self._attach(WRITING, f"DATA_INLINING_ROW_LIMIT {INLINED_ROWS}")

    def keep_to_its_files(self) -> None:
        """Name the files of the lake as those that may be read where all access to files is to be switched off."""
        self.root.execute(f"SET allowed_directories = [{_literal(self._place.data)}]")

    @contextmanager
    def cursor(self, name: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own in which the lake is what names mean, closed at the end of the block.

        Raises:
            WarehouseError: why work in it failed, where the lake is at fault.
        """
        cursor = self.root.cursor()
        try:
            with explained(self._place):
                cursor.execute(f"USE {name}")
                yield cursor
        finally:
            cursor.close()

    def close(self) -> None:
        """End it."""
        with suppress(duckdb.Error):
            self.root.close()

    def _attach(self, name: str, option: str) -> None:
        if name not in self._attached:
            self.root.execute(f"ATTACH 'ducklake:lake_place' AS {name} ({option})")
            self._attached.add(name)

    def _prepare(self) -> None:
        wanted = (*_EXTENSIONS, _OF_S3) if self._place.s3 is not None else _EXTENSIONS
        for name in wanted:
            self.root.execute(f"LOAD {_literal(str(extension_file(name)))}")
        for statement in (
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET ducklake_max_retry_count = {_RETRIES}",
        ):
            self.root.execute(statement)
        # In a secret a password is in no error, no list of databases and no statement that an error could quote.
        password = f", PASSWORD {_literal(self._place.password)}" if self._place.password else ""
        self.root.execute(f"CREATE SECRET lake_catalogue (TYPE postgres{password})")
        self.root.execute(
            f"CREATE SECRET lake_place (TYPE ducklake, METADATA_PATH {_literal(self._place.catalogue)},"
            " METADATA_PARAMETERS MAP {'TYPE': 'postgres', 'SECRET': 'lake_catalogue'},"
            f" DATA_PATH {_literal(self._place.data)})"
        )
        if self._place.s3 is not None:
            self.root.execute(_s3_secret(self._place.s3, self._place.data))


_instances: dict[tuple[int, LakePlace], Instance] = {}
_guard = threading.Lock()


def instance_of(place: LakePlace, scratch: Path) -> Instance:
    """The instance of this process for a lake, made at first use; a forked process has its own.

    Raises:
        WarehouseError: the extensions are missing, or of another version.
    """
    with _guard:
        key = (os.getpid(), place)
        if key not in _instances:
            _instances[key] = Instance(place, scratch)
        return _instances[key]


def extension_file(name: str) -> Path:
    """Where an extension of DuckDB lies that came as a package, so that no network is needed.

    Raises:
        WrongDatabase: it is not installed, or is of another version of DuckDB.
    """
    package = find_spec(f"duckdb_extension_{name}")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    if not folders:
        raise WrongDatabase(
            f"A lake needs DuckDB's extension {name}, and it is not installed: nothing was read or written. Install "
            "ayne_dagster[lake] in an environment of its own (docs/scale.md)."
        )
    file = Path(folders[0]) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.exists():
        there = ", ".join(sorted(found.name for found in file.parents[1].glob("v*"))) or "no version"
        raise WrongDatabase(
            f"DuckDB's extension {name} is of {there}, and DuckDB is v{duckdb.__version__}: one does not load in the "
            "other, and nothing was read or written. Install ayne_dagster[lake] in an environment of its own "
            "(docs/scale.md)."
        )
    return file


@contextmanager
def explained(place: LakePlace) -> Iterator[None]:
    """Turn DuckDB's errors that the lake is at fault for into ours; no error shows a secret.

    Raises:
        WarehouseError: what is at fault, in one line.
    """
    try:
        yield
    except duckdb.Error as error:
        found = _explained(error, place)
        if found is not None:
            raise found from None
        if place.redacted(str(error)) != str(error):
            raise WarehouseError(place.redacted(first_line(error))) from None
        raise


def _explained(error: duckdb.Error, place: LakePlace) -> WarehouseError | None:
    """Why work in a lake failed, where the lake is at fault; None where the work is."""
    text, said = str(error), place.redacted(first_line(error))
    if isinstance(error, _OF_THE_QUESTION):
        return None  # it may quote any words
    if isinstance(error, duckdb.OutOfMemoryException):
        return MemoryExceeded(
            f"More memory is needed for this than a connection to {place.name} may have; nothing was changed. Ask for "
            "less at a time."
        )
    if isinstance(error, duckdb.TransactionException) and "conflict" in text.lower():
        return WrittenMeanwhile(
            f"Another program wrote to {place.name} at the same moment, without waiting for its turn ({said}); nothing "
            "of this commit is in it. Let only ayne write there; the next run merges what had arrived."
        )
    if "DATA_PATH" in text:
        return WrongDatabase(
            f"The files of {place.name} are elsewhere than AYNE_LAKE_DATA says ({place.data}); nothing was read or "
            "written. Set it as it was when the lake was made."
        )
    if any(words in text for words in _OF_THE_CATALOGUE):
        return DatabaseOutOfReach(
            f"The catalogue of {place.name} cannot be had ({said}); nothing of this is in it. Start its Postgres, or "
            "check AYNE_DATABASE; what had arrived is merged by the next run."
        )
    if isinstance(error, duckdb.IOException | duckdb.HTTPException | duckdb.FatalException | duckdb.InternalException):
        return DatabaseNotWritten(
            f"The files of {place.name} in {place.data} could not be read or written ({said}); nothing of this is in "
            "them. Check the folder or bucket, its room and permissions."
        )
    return None


_OF_THE_QUESTION = (duckdb.BinderException, duckdb.ParserException, duckdb.SyntaxException, duckdb.ConversionException)
"""Errors of whoever asks, whatever the lake is like."""
_OF_THE_CATALOGUE = (
    "Unable to connect to Postgres",
    "Failed to attach DuckLake MetaData",
    "server closed the connection",
    "terminating connection",
    "could not connect",
    "connection to server",
    "the database system is",
    "Failed to execute query",
    "no connection to the server",
    "Failed to prepare COPY",
)
"""What DuckDB says of a Postgres that does not answer, or not as it should."""


def _s3_secret(s3: S3, address: str) -> str:
    """The statement that makes the keys to a bucket known to DuckDB."""
    words = ["TYPE s3", f"SCOPE {_literal(address)}"]
    if s3.key_id is not None and s3.secret is not None:
        words += [f"KEY_ID {_literal(s3.key_id)}", f"SECRET {_literal(s3.secret)}"]
    if s3.region is not None:
        words.append(f"REGION {_literal(s3.region)}")
    if s3.endpoint is not None:
        scheme, _, host = s3.endpoint.rstrip("/").partition("://")
        words += [
            f"ENDPOINT {_literal(host)}",
            "URL_STYLE 'path'",
            f"USE_SSL {'true' if scheme == 'https' else 'false'}",
        ]
    return f"CREATE SECRET lake_files ({', '.join(words)})"


def _literal(text: str) -> str:
    """A text as SQL writes it: ATTACH, LOAD and CREATE SECRET take no parameters."""
    return "'" + text.replace("'", "''") + "'"
