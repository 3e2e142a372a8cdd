"""Tests of `ayne_dagster.serving`."""
