"""DuckDB: schema, merge, refresh state, statistics. Imports no Dagster."""
