"""Feeds that are switched off, as Dagster shows them: described as such, and not as what should have been read.

What a feed does when it is asked all the same is in its own module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from ayne_dagster.assets.runless import record_runless
from ayne_dagster.config import Settings
from ayne_dagster.warehouse.schema import IMDB_RATINGS, TMDB_ID_EXPORT


def switched_off(settings: Settings) -> dict[str, str]:
    """By name of an asset that reads nothing: the setting that would switch it on."""
    off = {}
    if settings.tmdb_export is None:
        off[TMDB_ID_EXPORT.name] = "AYNE_TMDB_EXPORT_URL"
    if settings.imdb_ratings_url is None:
        off[IMDB_RATINGS.name] = "AYNE_IMDB_RATINGS_URL"
    return off


def described_as_off(assets: Sequence[dg.AssetsDefinition], off: Mapping[str, str]) -> list[dg.AssetsDefinition]:
    """The assets, with descriptions that begin with what switches an asset on where it is off."""

    def told(spec: dg.AssetSpec) -> dg.AssetSpec:
        variable = off.get(spec.key.path[-1])
        return spec.replace_attributes(description=f"{_why(variable)} {spec.description}") if variable else spec

    return [asset.map_asset_specs(told) for asset in assets]


def tell_of_switched_off(instance: dg.DagsterInstance, off: Mapping[str, str]) -> int:
    """Record, once, that what is off and was never read holds nothing: to Dagster it would be missing for ever.

    Returns:
        How many assets were told of.
    """
    keys = {dg.AssetKey(name): variable for name, variable in off.items()}
    known = {key for key in keys if instance.get_latest_materialization_event(key) is not None}
    told = [
        dg.AssetMaterialization(key, f"{_why(variable)} Its table is empty.", {"rows": 0})
        for key, variable in keys.items()
        if key not in known
    ]
    record_runless(instance, told)
    return len(told)


def _why(variable: str) -> str:
    return f"Switched off: {variable} is not set, and nothing is read."
