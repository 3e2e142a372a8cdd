"""Runs the stand-in: in a thread for tests and the demo, or in the foreground for a command. No answers."""

from __future__ import annotations

import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from types import FrameType, TracebackType
from typing import Any

import uvicorn

from ayne_dagster.errors import OneLineError
from ayne_dagster.standin.answers import EXPORT_PATH, IMDB_PATH, SPARQL_PATH
from ayne_dagster.standin.catalogue import Catalogue
from ayne_dagster.standin.faults import Planned
from ayne_dagster.standin.server import StandInApp, create_app

HOST = "127.0.0.1"
"""The only address the stand-in listens on."""
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class StandInError(OneLineError):
    """The stand-in cannot be started; the text says why, in one line."""


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class StandIn:
    """TMDB, OMDb and Wikidata on this machine, with invented movies; a context manager.

    Example:
        >>> with StandIn(catalogue_size=50) as standin:
        ...     standin.tmdb_url.startswith("http://127.0.0.1:")
        True

    Args:
        catalogue_size: number of movies, 1 to 1,000,000.
        epoch: the day that the catalogue is laid out around; today (UTC) by default.
        seed: another seed is another catalogue.
        fault_seed: of the chances of faults with a ratio; that of the catalogue by default.
        oddities: share (0 to 1) of the movies with odd values.
        latency_seconds: how long each answer takes at least.
        tmdb_requests_per_second: above this rate TMDB answers 429; 0 for no limit.
        tmdb_burst: how many TMDB requests may come at once.
        omdb_daily_quota: OMDb's requests a key and day of the stand-in's clock; 0 for no limit.
        wikidata_most_keys: a query for more keys runs into Wikidata's time limit; 0 for none does.
        port: the port to listen on; 0 for any free one.

    Raises:
        ValueError: a number is out of range.
        StandInError: on entry, when the port cannot be had or the server does not start.
    """

    tmdb_url: str
    """Base address of TMDB, without a slash at its end; set on entry."""
    omdb_url: str
    """Address of OMDb, with a slash at its end; set on entry."""
    numbers_url: str
    """Address of The Numbers, without a slash at its end; set on entry."""
    wikidata_url: str
    """Address of Wikidata's SPARQL endpoint; set on entry."""
    control_url: str
    """Base address of the control requests, without a slash at its end; set on entry."""
    tmdb_export_url: str
    """Address of TMDB's daily ID export, with `{date}` for its day; set on entry."""
    imdb_ratings_url: str
    """Address of IMDb's daily ratings file; set on entry."""

    def __init__(
        self,
        catalogue_size: int = 300,
        *,
        epoch: date | None = None,
        seed: int = 1895,
        fault_seed: int | None = None,
        oddities: float = 0.02,
        latency_seconds: float = 0.0,
        tmdb_requests_per_second: float = 0.0,
        tmdb_burst: int = 40,
        omdb_daily_quota: int = 0,
        wikidata_most_keys: int = 0,
        port: int = 0,
    ) -> None:
        day = epoch or datetime.now(UTC).date()
        self.catalogue = Catalogue(catalogue_size, epoch=day, seed=seed, oddities=oddities)
        self._app: StandInApp = create_app(
            self.catalogue,
            latency_seconds=latency_seconds,
            tmdb_requests_per_second=tmdb_requests_per_second,
            tmdb_burst=tmdb_burst,
            omdb_daily_quota=omdb_daily_quota,
            wikidata_most_keys=wikidata_most_keys,
            seed=seed if fault_seed is None else fault_seed,
        )
        self._wanted_port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None

    def __enter__(self) -> StandIn:
        self._listener = listener = _listen(self._wanted_port)
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        self._server = server = _Server(config)
        self._thread = threading.Thread(target=server.run, args=([listener],), name="standin", daemon=True)
        self._thread.start()
        if not server.ready.wait(_START_SECONDS):
            self._stop()
            raise StandInError(f"the stand-in did not start within {_START_SECONDS:.0f} seconds")
        self.tmdb_url = f"http://{HOST}:{port}/3"
        self.omdb_url = f"http://{HOST}:{port}/omdb/"
        self.numbers_url = f"http://{HOST}:{port}"
        self.wikidata_url = f"http://{HOST}:{port}{SPARQL_PATH}"
        self.control_url = f"http://{HOST}:{port}/_standin"
        self.tmdb_export_url = f"http://{HOST}:{port}{EXPORT_PATH}"
        self.imdb_ratings_url = f"http://{HOST}:{port}{IMDB_PATH}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def set_now(self, now: datetime) -> None:
        """Set the stand-in's clock and stop it; an instant without a time zone is UTC."""
        self._app.clock.set(now)

    def run_clock(self) -> None:
        """Let the stand-in's clock run on, with real time, from what it shows."""
        self._app.clock.run()

    def follow(self, clock: Callable[[], datetime]) -> None:
        """Have the stand-in's clock show what another one does (aware UTC)."""
        self._app.clock.follow(clock)

    def now(self) -> datetime:
        """The instant that the stand-in's clock shows (UTC)."""
        return self._app.clock.now()

    def requests(self) -> dict[str, int]:
        """Number of requests that have ended since the log was cleared, by source ("tmdb", "omdb", "wikidata",
        "the_numbers")."""
        return {source: sum(counts.values()) for source, counts in self._app.journal.counts().items()}

    def statuses(self) -> dict[str, dict[str, int]]:
        """The same by source and HTTP status (as text; "0" is no answer)."""
        return self._app.journal.counts()

    def log(self) -> list[dict[str, Any]]:
        """What was asked, in the order in which it ended; at most the last 300,000 requests.

        Each entry has source, endpoint, id (or None), key_sha (first 8 hexadecimal digits of the key's
        SHA-256, "" without a key), at (seconds since 1970, real time, of the arrival) and status (0 for no
        answer).
        """
        return self._app.journal.entries()

    def clear_log(self) -> None:
        """Forget the log, the numbers of requests, and the most in flight."""
        self._app.journal.clear()

    def max_in_flight(self) -> dict[str, int]:
        """Most requests that were being answered at once, by source."""
        return self._app.journal.most_in_flight()

    def inject(self, *faults: Planned) -> None:
        """Plan faults and scripts, after those that are planned."""
        self._app.faults.add(faults)

    def befallen(self) -> dict[str, int]:
        """How many requests faults have befallen since they were last cleared, by kind."""
        return self._app.faults.befallen()

    def pending_faults(self) -> list[dict[str, Any]]:
        """The faults and scripts that are planned and not used up, as JSON has them."""
        return self._app.faults.pending()

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._app.faults.replace(())

    def _stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_STOP_SECONDS)
        if self._listener is not None:
            self._listener.close()
        self._server = self._thread = self._listener = None


def serve(
    port: int,
    catalogue_size: int,
    *,
    faults: Sequence[Planned] = (),
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> None:
    """Run the stand-in in the foreground until SIGINT or SIGTERM. Only for the main thread.

    Args:
        port: the port to listen on; 0 for any free one.
        catalogue_size: number of movies.
        faults: what goes wrong from the start.
        say: is called with each line for the user, the shell's settings among them; writes to stdout by
            default.
        options: further arguments of StandIn.

    Raises:
        StandInError: the port cannot be had.
        ValueError: a number is out of range.
    """
    tell = _write_line if say is None else say
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with StandIn(catalogue_size, port=port, **options) as standin:
            standin.inject(*faults)
            tell(f"# {catalogue_size} invented movies; stop with Ctrl-C")
            tell(f"export AYNE_TMDB_BASE_URL={standin.tmdb_url}")
            tell(f"export AYNE_OMDB_BASE_URL={standin.omdb_url}")
            tell(f"export AYNE_NUMBERS_BASE_URL={standin.numbers_url}")
            tell(f"export AYNE_WIKIDATA_BASE_URL={standin.wikidata_url}")
            tell("export AYNE_CONTACT=demo@example.org")
            tell(f"export AYNE_TMDB_EXPORT_URL='{standin.tmdb_export_url}'")
            tell(f"export AYNE_IMDB_RATINGS_URL={standin.imdb_ratings_url}")
            tell("export TMDB_READ_TOKEN=demo OMDB_API_KEY=demo")
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _listen(port: int) -> socket.socket:
    """A listening socket on the loopback address.

    Raises:
        StandInError: the port is in use, or must not or cannot be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(2_048)
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is in use" if in_use else f"cannot be used ({error})"
        raise StandInError(f"Port {port} {why}: choose another with --port.") from error
    return listener
