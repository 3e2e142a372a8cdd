"""docs/freshness.md says what the code does and what the committed proof measured."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from ayne_dagster.cli import ayne
from ayne_dagster.refresh.explain import Circumstances, explain
from ayne_dagster.refresh.feeds import Feed
from ayne_dagster.refresh.learning import NEW_RELEASE_BOOST, NEW_RELEASE_DAYS, POPULARITY_SHARE
from ayne_dagster.refresh.states import MovieState, SourceState
from ayne_dagster.refresh.value import (
    CUTOFF_SHARE,
    RESERVE_DAYS,
    RESERVE_SHARE,
    RESERVE_WITHOUT_CEILING,
    SHORTEST_INTERVAL,
    SMALL_RESERVE,
    ValueOfRefreshStrategy,
)
from ayne_dagster.refresh.worth import HARMONIC_SHARE
from ayne_dagster.simulation.assumptions import Assumptions
from ayne_dagster.simulation.criteria import criteria
from ayne_dagster.simulation.worlds import WORLDS
from proofs.freshness_cases import proof_cases, proof_tables

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "freshness.md").read_text()
PROOF = json.loads((DOCS / "freshness.json").read_text())


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_documented_figures_are_those_of_the_committed_proof() -> None:
    shown = re.search(r"<!-- figures -->\n(.*?)<!-- end of figures -->", PAGE, re.DOTALL)
    assert shown
    assert shown[1].strip() == proof_tables(PROOF)


def test_the_committed_proof_keeps_every_promise() -> None:
    assert [str(criterion) for criterion in criteria(PROOF) if not criterion.kept] == []


def test_the_committed_proof_is_of_the_documented_assumptions_and_of_all_its_cases() -> None:
    assert PROOF["assumptions"] == asdict(Assumptions(movies=PROOF["assumptions"]["movies"]))
    command = "--movies {movies} --days {days} --seeds {seeds}"
    size = {"movies": PROOF["assumptions"]["movies"], "days": PROOF["days"], "seeds": len(PROOF["seeds"])}
    assert command.format(**size) in PAGE, "the page says how large the proof was"
    found = {
        (policy, source, float(budget))
        for source, told in PROOF["sources"].items()
        for budget, at_budget in told["budgets"].items()
        for policy in at_budget["policies"]
    }
    assert found == {(case.policy, case.source, case.budget) for case in proof_cases(1)}


def test_the_page_names_the_constants_that_decide() -> None:
    page = words(PAGE)
    assert f"stale with less than {100 * CUTOFF_SHARE:g} %" in page
    assert f"twice within {SHORTEST_INTERVAL // timedelta(hours=1)} hours" in page
    assert f"{round(100 * POPULARITY_SHARE)} % by popularity" in page
    assert NEW_RELEASE_BOOST == 3
    assert f"three times as much up to {NEW_RELEASE_DAYS} days after release" in page
    assert f"From day {170 - RESERVE_DAYS} on, spread over {RESERVE_DAYS} days" in page
    assert f"at most {round(100 * RESERVE_SHARE)} % of a batch" in page
    assert f"they get {round(100 * SMALL_RESERVE)} %" in page
    assert RESERVE_WITHOUT_CEILING == 0.25
    assert "get at most a quarter" in page
    assert HARMONIC_SHARE == 1 / 50
    assert "a fiftieth of x − ln(1 + x)" in page


def test_the_page_names_the_default_assumptions() -> None:
    page, default = words(PAGE), Assumptions()
    assert f"mean of {default.mean_age_years:.0f} years" in page
    assert f"lognormal (spread {default.popularity_spread})" in page
    assert f"changes {default.mean_rate} times a day" in page
    assert f"(1 + age/90 days)^−{default.rate_decay}, as popularity^{default.rate_exponent}" in page
    assert f"lognormally (spread {default.rate_spread})" in page
    assert f"tells of {default.recall:.0%} of the changes".replace("%", " %") in page
    assert default.precision == 0.5
    assert "half of what it tells is nothing" in page


def test_the_explanations_on_the_page_are_what_is_printed_for_such_movies() -> None:
    now = datetime(2026, 10, 1, 12, tzinfo=UTC)

    def told(strategy: ValueOfRefreshStrategy, days: int, rate: float, found: float, expected: float) -> str:
        checked = now - timedelta(days=days)
        state = SourceState(checked_at=checked, rate=rate, changes=found, exposure=expected)
        movie = MovieState(1, date(2015, 1, 1), importance=1.0, sources={"tmdb": state})
        decision, worth = strategy.decide(movie, "tmdb", now), strategy.assess(movie, "tmdb", now)
        known = Circumstances(rank=312, due_total=1000, worth=worth, has_feed="tmdb" in strategy.feeds)
        return explain(movie, decision, now, known)

    shown = re.findall(r"^(?:due, |not due: ).*$", PAGE, re.MULTILINE)
    assert shown == [
        told(ValueOfRefreshStrategy(), 41, 0.032, found=1.4, expected=0.5),
        told(ValueOfRefreshStrategy({"tmdb": Feed(recall=0.9)}), 5, 0.0012, found=0.2, expected=19.0),
    ]


def test_every_command_on_the_page_exists_with_its_options() -> None:
    options = {name for p in ayne.commands["simulate"].params if isinstance(p, click.Option) for name in p.opts}
    shown = re.findall(r"^ayne simulate (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(shown) == 3
    assert all(set(re.findall(r"--[a-z-]+", line)) <= options for line in shown)
    assert "proof-freshness:" in (DOCS.parent / "Makefile").read_text()


def test_the_pictures_of_the_page_are_there() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert pictures == ["freshness.png"]
    assert all((DOCS / picture).stat().st_size < 300_000 for picture in pictures)


def test_the_page_names_every_world() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", PAGE[PAGE.index("## Worlds with a name") :], re.MULTILINE) == [
        (world.name, world.title) for world in WORLDS.values()
    ]
