"""`ayne stats`, `ayne budget`: how much is collected, and what is left of the budgets. Counting is done elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ayne_dagster.commands.files import reading
from ayne_dagster.commands.options import json_option
from ayne_dagster.commands.output import print_result, table
from ayne_dagster.config import API_OF, API_TITLES, Settings, load_settings
from ayne_dagster.refresh.strategy import AGE_TABLE_STRATEGY, SOURCES
from ayne_dagster.settings.wording import named

if TYPE_CHECKING:
    from ayne_dagster.runs.budgets import SourceBudget


@click.command()
@json_option
def stats(as_json: bool) -> None:
    """Tell how much is collected, how fresh it probably is, and how much of the quotas is left."""
    from ayne_dagster.warehouse.field_freshness import field_freshness
    from ayne_dagster.warehouse.spool import kept
    from ayne_dagster.warehouse.statistics import collection_stats, landmarks
    from ayne_dagster.warehouse.strategies import load_strategy, value_of_refresh

    settings = load_settings()
    now = settings.now()
    with reading(settings) as connection:
        fresh = field_freshness(connection, settings.sources, now, value_of_refresh(connection))
        counts = collection_stats(connection, now, load_strategy(connection, settings.strategy))
        dates = landmarks(connection, now)
    quotas = {source: _quota(budget) for source, budget in granted(settings, now).items()}
    told = {name: instant.isoformat() if instant else None for name, instant in dates.items()}
    result = {**counts, **told, "fresh": fresh, "spooled": kept(settings.database), "quota": quotas}
    print_result(result, as_json, _describe_stats)


@click.command()
@json_option
def budget(as_json: bool) -> None:
    """Tell how today's requests are planned, what is spent, and how long the due movies take."""
    from ayne_dagster.refresh.budget import hours_left
    from ayne_dagster.warehouse.outlook import misfits
    from ayne_dagster.warehouse.refresh_metadata import due_counts
    from ayne_dagster.warehouse.strategies import load_strategy

    settings = load_settings()
    now = settings.now()
    with reading(settings) as connection:
        strategy = load_strategy(connection, settings.strategy)
        due = due_counts(connection, settings.sources, now, strategy=strategy)
        wrong = misfits(connection, now, settings.spendable) if strategy is AGE_TABLE_STRATEGY else []
    plans = {source: _plan(budget, due[source], settings) for source, budget in granted(settings, now).items()}
    result = {"as_of": now.isoformat(), "hours_left": round(hours_left(now), 2), "sources": plans}
    result["strategy"] = [str(outlook) for outlook in wrong]
    print_result(result, as_json, _describe_budget)


def granted(settings: Settings, now: datetime) -> dict[str, SourceBudget]:
    """What each source grants; loaded when it is asked for."""
    from ayne_dagster.runs import budgets

    return budgets.granted(settings, now)


def _quota(budget: SourceBudget) -> dict[str, Any]:
    use = budget.use
    return {"used": use.used, "of": use.cap or None, "left": use.left, "reserve": _reserve(budget)}


def _plan(budget: SourceBudget, due: int, settings: Settings) -> dict[str, Any]:
    """The plan of a source; what only a daily quota gives a meaning is None without one."""
    plan, now = budget.plan, budget.now
    later = plan.next_release(now) if plan else None
    days = plan.days_for(due) if plan else None
    return {
        "quota": budget.use.cap or None,
        "reserve": _reserve(budget),
        "used": budget.use.used,
        "left": budget.use.left,
        "released": plan.released(now) if plan else None,
        "next_release": later.isoformat() if later else None,
        "askable_now": budget.limit(settings.refresh_limit),
        "hindrance": budget.hindrance,
        "due": due,
        "backlog_days": None if days is None else round(days, 1),
    }


def _reserve(budget: SourceBudget) -> int:
    return budget.plan.reserve if budget.plan else 0


def _describe_stats(counts: dict[str, Any]) -> Any:
    names = {
        "total_movies": named(counts["total_movies"], "movies"),
        "with_tmdb": "with TMDB details",
        "with_omdb": "with OMDb ratings",
        "with_box_office": "with box office figures besides",
        "fully_refreshed": "fully refreshed",
        "frozen": "frozen",
        "recent": "recent (up to 60 days, or not yet released)",
        "established": "established (61 to 180 days)",
        "mature": "mature (181 to 365 days)",
        "archived": "archived (over 365 days)",
        "quarantined": f"{named(counts['quarantined'], 'bodies')} in quarantine",
    }
    lines = [f"{counts[key]:>10,}  {text}" for key, text in names.items()]
    dates = {"last_run": "last run ended", "last_change": "last change noted", "newest_release": "newest release"}
    lines += [f"{'':10}  {text} {_when(counts[key])}" for key, text in dates.items()]
    for source, shares in counts["fresh"].items():
        told = ", ".join(f"{kind.replace('_', ' ')} {share:.0%}".replace("%", " %") for kind, share in shares.items())
        lines.append(f"{'':10}  probably as at {SOURCES[source].title}: {told}")
    if counts["spooled"]:
        lines.append(f"{counts['spooled']:>10,}  answers in the spool, merged by the next collection")
    for source, quota in counts["quota"].items():
        title = API_TITLES[API_OF[source]]
        kept = f", {quota['reserve']:,} of them kept for people" if quota["reserve"] else ""
        if quota["left"] is not None:
            of = f"of {quota['of']:,} " if quota["of"] else ""
            lines.append(f"{quota['left']:>10,}  {of}{title} requests left today ({quota['used']:,} used{kept})")
        elif quota["used"]:
            lines.append(f"{quota['used']:>10,}  {title} requests today, of any number")
    return "\n".join(lines)


def _when(told: str | None) -> str:
    """A day, or an instant to the minute, as people read it."""
    if told is None:
        return "none yet"
    return told if len(told) == len("2026-03-31") else f"{told[:16].replace('T', ' ')} UTC"


def _describe_budget(result: dict[str, Any]) -> Any:
    rows = table("Source", "Quota", "Reserve", "Used", "Left", "Released", "Askable now", "Due", "Backlog")
    for source, plan in result["sources"].items():
        numbers = (plan[key] for key in ("quota", "reserve", "used", "left", "released", "askable_now", "due"))
        shown = ["–" if number is None else f"{number:,}" for number in numbers]
        days = plan["backlog_days"]
        backlog = "–" if days is None else f"{days:,g} {named(days, 'days')}"
        rows.add_row(SOURCES[source].title, *shown, backlog)
    hindrances = [plan["hindrance"] + "." for plan in result["sources"].values() if plan["hindrance"]]
    wrong = [f"{each}." for each in result["strategy"]]
    rows.caption = "\n".join([f"{result['hours_left']:g} hours of the UTC day are left.", *hindrances, *wrong])
    return rows
