"""DuckDB: schema, merge, refresh state, statistics, export. Imports no Dagster."""
