"""Dagster's wrappers over sources and warehouse: resources and the IO manager. Decides nothing."""
