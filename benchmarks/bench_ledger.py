"""Measures charges and reservations of the request ledger a second, in one process and four; not the requests.

In an SQLite file, and in a Postgres of its own on 127.0.0.1 (needs what the tests need).

Run: `python benchmarks/bench_ledger.py`
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path

from harness import Figures, parse_arguments, scratch

from ayne_dagster.sources.limits.ledger import RequestLedger

PROCESSES = 4
ACCOUNT = "omdb:bench"
DAY = date(2026, 6, 1)
NO_END = 10**9
Spend = Callable[[RequestLedger], object]
Place = Path | str


def charge(ledger: RequestLedger) -> object:
    """One charge to a day's quota."""
    return ledger.charge(ACCOUNT, DAY, NO_END)


def reserve(ledger: RequestLedger) -> object:
    """One place in a pace."""
    return ledger.reserve(ACCOUNT, 1000.0, 40, time.time())


def spend(place: Place, what: Spend, times: int, start: float) -> float:
    """Use the ledger a number of times from an agreed instant on; returns when it was done."""
    ledger = RequestLedger(place)
    what(ledger)
    time.sleep(max(0.0, start - time.time()))
    for _ in range(times):
        what(ledger)
    return time.time()


def rate(place: Place, what: Spend, times: int, processes: int) -> float:
    """How often a second several processes together can use one ledger."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        start = time.time() + 1.0 + 0.5 * processes
        ended = pool.map(partial(spend, place, what, times), [start] * processes, chunksize=1)
    return times * processes / (max(ended) - start)


def measure(title: str, times: int, new_place: Callable[[], Place]) -> None:
    """Time both in ledgers of one kind, and print the figures."""
    figures = Figures(f"request ledger in {title}, {times:,} uses a process")
    for what in (charge, reserve):
        for processes in (1, PROCESSES):
            place = new_place()
            used = rate(place, what, times, processes)
            who = "1 process" if processes == 1 else f"{processes} processes together"
            figures.add(f"{what.__name__}, {who}", used, "/s")
            figures.add("  each", 1e6 / used, "µs")
            if what is charge:
                counted = RequestLedger(place).use(ACCOUNT, DAY, NO_END).used
                assert counted == (times + 1) * processes, "a charge was lost"
    figures.show()


@contextmanager
def postgres() -> Iterator[Callable[[], Place]]:
    """New databases of a server that ends with the block; it syncs each commit to disk, as servers do."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from ayne_dagster_tests.support.postgres import running_postgres

    with running_postgres() as server:
        yield server.new_database


def main() -> None:
    """Time each kind of ledger."""
    arguments = parse_arguments(__doc__, times=(2_000, 200, "uses a process"))
    with scratch() as folder:
        numbers = iter(range(100))
        measure("SQLite", arguments.times, lambda: folder / f"{next(numbers)}.sqlite")
    with postgres() as new_database:
        measure("Postgres", arguments.times, new_database)


if __name__ == "__main__":
    main()
