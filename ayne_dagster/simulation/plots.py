"""Plots of a report: freshness over time, and what each budget buys. Needs matplotlib (the extra `plots`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ayne_dagster.errors import OneLineError
from ayne_dagster.refresh.strategy import SOURCES
from ayne_dagster.simulation.policies import POLICIES

FORMATS = (".png", ".svg", ".pdf")
_COLOURS: Mapping[str, str] = {
    "round_robin": "#9e9e9e",
    "age_table": "#c2571a",
    "age_table_unfrozen": "#e0a030",
    "age_table_feed": "#7b5ea7",
    "value_of_refresh": "#2b83ba",
    "value_of_refresh_feed": "#1a7f4b",
    "value_all_alike": "#d0619b",
    "attainable": "#000000",
    "attainable_mean": "#666666",
}


class PlotsUnavailable(OneLineError):
    """Matplotlib is not installed; the text says how to install it."""


def require_matplotlib() -> None:
    """Say at once, before anything is simulated, that plots cannot be made.

    Raises:
        PlotsUnavailable: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise PlotsUnavailable(
            "Plots need matplotlib, which is not installed: pip install 'ayne_dagster[plots]', or leave --plot out."
        ) from None


def draw(report: Mapping[str, Any], file: Path) -> None:
    """Draw a report as JSON into a file: a row a source, freshness over time and by budget.

    Raises:
        PlotsUnavailable: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    sources = report["sources"]
    figure = Figure(figsize=(11, 4.2 * len(sources)), layout="constrained", facecolor="white")
    axes = figure.subplots(len(sources), 2, squeeze=False)
    for (over_time, by_budget), (source, told) in zip(axes, sources.items(), strict=True):
        _draw_over_time(over_time, source, told)
        _draw_by_budget(by_budget, source, told)
    shown = {label: line for row in axes for line, label in zip(*row[0].get_legend_handles_labels(), strict=True)}
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=9, frameon=False, handlelength=2.5
    )
    figure.savefig(file, dpi=100)


def _draw_over_time(axes: Any, source: str, told: Mapping[str, Any]) -> None:
    """Weighted freshness week by week, at the budget nearest to that of the age table."""
    budget = min(told["budgets"], key=lambda multiple: abs(float(multiple) - 1))
    for name, parts in told["budgets"][budget]["policies"].items():
        weeks = [7 * week + 3.5 for week in range(len(parts["curve"]))]
        axes.plot(weeks, parts["curve"], **_style(name))
    requests = told["budgets"][budget]["requests_a_day"]
    _finish(axes, f"{SOURCES[source].title}: {budget}× the table's budget, {requests:,.0f} requests a day", "day")


def _draw_by_budget(axes: Any, source: str, told: Mapping[str, Any]) -> None:
    """Weighted freshness over all days, against the requests that were sent."""
    points: dict[str, list[tuple[float, float]]] = {}
    for budget in told["budgets"].values():
        for name, parts in budget["policies"].items():
            points.setdefault(name, []).append((parts["all"]["requests"], parts["all"]["weighted"]))
    for name in (name for name in POLICIES if name in points):
        requests, weighted = zip(*sorted(points[name]), strict=True)
        axes.plot(requests, weighted, marker="o", markersize=4, **_style(name))
    axes.set_xscale("log")
    ticks = sorted({round(budget["requests_a_day"]) for budget in told["budgets"].values()})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    _finish(axes, f"{SOURCES[source].title}: what a budget buys", "requests sent a day (logarithmic)")


def _style(policy: str) -> dict[str, Any]:
    dashed = "--" if policy.startswith("attainable") else "-"
    return {"label": POLICIES[policy].title, "color": _COLOURS[policy], "linestyle": dashed, "linewidth": 1.6}


def _finish(axes: Any, title: str, x: str) -> None:
    axes.set_title(title, fontsize=10.5, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel("freshness, weighted by popularity", fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(top=1)
