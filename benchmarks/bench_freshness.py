"""Both strategies at work on a stand-in while its days pass: the real sensor and assets, and freshness by its truth.

In small the same runs as a test (`ayne_dagster_tests/simulation/test_contest.py`). All get the same budget; value of
refresh reads the change feed.
"""

from __future__ import annotations

from harness import Figures, parse_arguments, scratch

from ayne_dagster.config import STRATEGIES
from proofs.contest import Conditions, contest


def main() -> None:
    """Let each strategy play, and print what it achieved."""
    arguments = parse_arguments(
        __doc__,
        movies=(1_000, 200, "size of the stand-in's catalogue"),
        days=(60, 20, "days that pass"),
        every=(3, 10, "days from one run to the next"),
        limit=(15, 5, "movies a run and source"),
        seed=(1895, 1895, "seed of the catalogue"),
    )
    sizes = (arguments.movies, arguments.days, arguments.every, arguments.limit)
    for strategy in STRATEGIES:
        conditions = Conditions(*sizes, seed=arguments.seed, feed=strategy == "value_of_refresh")
        with scratch() as folder:
            standing = contest(strategy, conditions, folder)
        figures = Figures(strategy)
        for source in standing.mean:
            figures.add(f"{source}: fresh", standing.mean[source])
            figures.add(f"{source}: fresh, weighted by popularity", standing.weighted[source])
            figures.add(f"{source}: movies asked for", standing.requests[source])
        figures.show()


if __name__ == "__main__":
    main()
