"""Measures charges and reservations of the request ledger a second, in one process and four; not the requests.

Run: `python benchmarks/bench_ledger.py`
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from harness import Figures, parse_arguments, scratch

from ayne_dagster.sources.ledger import RequestLedger

PROCESSES = 4
ACCOUNT = "omdb:bench"
DAY = date(2026, 6, 1)
NO_END = 10**9
Spend = Callable[[RequestLedger], object]


def charge(ledger: RequestLedger) -> object:
    """One charge to a day's quota."""
    return ledger.charge(ACCOUNT, DAY, NO_END)


def reserve(ledger: RequestLedger) -> object:
    """One place in a pace."""
    return ledger.reserve(ACCOUNT, 1000.0, 40, time.time())


def spend(path: Path, what: Spend, times: int, start: float) -> float:
    """Use the ledger a number of times from an agreed instant on; returns when it was done."""
    ledger = RequestLedger(path)
    what(ledger)
    time.sleep(max(0.0, start - time.time()))
    for _ in range(times):
        what(ledger)
    return time.time()


def rate(path: Path, what: Spend, times: int, processes: int) -> float:
    """How often a second several processes together can use one ledger."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        start = time.time() + 1.0 + 0.5 * processes
        ended = pool.map(partial(spend, path, what, times), [start] * processes, chunksize=1)
    return times * processes / (max(ended) - start)


def main() -> None:
    """Time both, and print the figures."""
    arguments = parse_arguments(__doc__, times=(2_000, 200, "uses a process"))
    figures = Figures(f"request ledger, {arguments.times:,} uses a process")
    with scratch() as folder:
        for what in (charge, reserve):
            for processes in (1, PROCESSES):
                used = rate(folder / f"{what.__name__}{processes}.sqlite", what, arguments.times, processes)
                who = "1 process" if processes == 1 else f"{processes} processes together"
                figures.add(f"{what.__name__}, {who}", used, "/s")
                figures.add("  each", 1e6 / used, "µs")
        used_up = RequestLedger(folder / f"charge{PROCESSES}.sqlite").use(ACCOUNT, DAY, NO_END).used
        assert used_up == (arguments.times + 1) * PROCESSES, "a charge was lost"
    figures.show()


if __name__ == "__main__":
    main()
