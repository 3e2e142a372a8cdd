"""A modelled world in which the shipped refresh strategies are measured. No API, no Dagster, no file.

What the world is assumed to be is in `assumptions`, how it changes in `world`; `collector` runs the shipped rules on
it. Nothing here decides what to refresh: that is `ayne_dagster.refresh`, which this package only calls.
"""
