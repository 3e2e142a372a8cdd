"""`python -m ayne_dagster` is the `ayne` command."""

from ayne_dagster.cli import main

main()
