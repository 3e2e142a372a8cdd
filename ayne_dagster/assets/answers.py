"""The assets that hold sources' answers, in lineage order: what a refresh fetches. Each is in a module of its own."""

import dagster as dg

from ayne_dagster.assets.box_office import box_office
from ayne_dagster.assets.details import tmdb_details
from ayne_dagster.assets.ratings import omdb_ratings

ANSWER_ASSETS: list[dg.AssetsDefinition] = [tmdb_details, omdb_ratings, box_office]
