"""Serving Dagster's UI to the operator's browser and to nobody else's page. What the UI shows is Dagster's."""
