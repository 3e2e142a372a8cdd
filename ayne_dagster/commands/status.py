"""`ayne stats`: how much is collected, and what is left of the budgets. Counting is in the warehouse and the ledger."""

from __future__ import annotations

from typing import Any

import click

from ayne_dagster.commands.options import json_option
from ayne_dagster.commands.output import print_result
from ayne_dagster.config import Settings, load_settings


@click.command()
@json_option
def stats(as_json: bool) -> None:
    """Tell how much is collected."""
    from ayne_dagster.warehouse.client import DuckDBClient
    from ayne_dagster.warehouse.spool import kept

    settings = load_settings()
    counts: dict[str, Any] = DuckDBClient(settings.database).get_collection_stats(settings.now())
    more = {"spooled": kept(settings.database), "quota": _quota(settings)}
    print_result(counts | more, as_json, _describe_stats)


def _quota(settings: Settings) -> dict[str, Any]:
    """OMDb's quota of today, as the ledger counts it."""
    from ayne_dagster.sources.ledger import RequestLedger, account_name

    account = account_name("omdb", settings.omdb.base_url, settings.omdb_api_key)
    cap = settings.omdb.daily_quota
    used = RequestLedger(settings.ledger).use(account, settings.now().date(), cap) if settings.ledger.exists() else None
    return {"omdb": {"used": used.used if used else 0, "of": cap or None, "left": used.left if used else cap or None}}


def _describe_stats(counts: dict[str, Any]) -> Any:
    names = {
        "total_movies": "movies",
        "with_tmdb": "with TMDB details",
        "with_omdb": "with OMDb ratings",
        "fully_refreshed": "fully refreshed",
        "frozen": "frozen",
        "recent": "recent (up to 60 days, or not yet released)",
        "established": "established (61 to 180 days)",
        "mature": "mature (181 to 365 days)",
        "archived": "archived (over 365 days)",
        "quarantined": "bodies in quarantine",
    }
    lines = [f"{counts[key]:>10,}  {text}" for key, text in names.items()]
    if counts["spooled"]:
        lines.append(f"{counts['spooled']:>10,}  answers in the spool, merged by the next collection")
    quota = counts["quota"]["omdb"]
    if quota["of"]:
        lines.append(f"{quota['left']:>10,}  of {quota['of']:,} OMDb requests left today")
    return "\n".join(lines)
