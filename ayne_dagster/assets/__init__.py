"""The assets, one module a group, in lineage order. This file only keeps Dagster's notes to developers off the screen.

Backfill and freshness policies are beta or preview in Dagster; the version is pinned, and a warning at each command
tells no user anything.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
