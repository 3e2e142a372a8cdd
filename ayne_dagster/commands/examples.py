"""Examples of each command, as `--help` and the documentation show them. Nothing is parsed or run here."""

from __future__ import annotations

from collections.abc import Mapping

import click

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "demo": ("ayne demo", "ayne demo --movies 100 --days 90", "ayne demo --live --day-seconds 20"),
    "collect": (
        "ayne collect --start-year 2020 --end-year 2024",
        "ayne collect --refresh-only --refresh-limit 500 --json",
    ),
    "changes": ("ayne changes",),
    "files": ("ayne files --json",),
    "stats": ("ayne stats", "ayne stats --json"),
    "budget": ("ayne budget",),
    "due": ("ayne due --limit 20", "ayne due --source omdb --as-of 2026-12-24 --json"),
    "explain": ("ayne explain 550", "ayne explain 550 --as-of 2027-01-01"),
    "freeze": ("ayne freeze 550 551",),
    "thaw": ("ayne thaw 550",),
    "force": ("ayne force 550 --json",),
    "box-office": ("ayne box-office import grosses.csv --dry-run", "ayne box-office unmatched"),
    "box-office import": (
        "ayne box-office import grosses.csv --dry-run",
        "ayne box-office import grosses.parquet --mapping columns.toml --as-of 2026-11-01",
    ),
    "box-office pages": ("ayne box-office pages --limit 10",),
    "box-office unmatched": ("ayne box-office unmatched --json",),
    "import-legacy": ("ayne import-legacy old/movies.duckdb --dry-run",),
    "show": ('ayne show "the third man"', "ayne show 1092"),
    "query": (
        "ayne query \"FROM movies WHERE title ILIKE '%night%' LIMIT 5\"",
        "ayne query --file best.sql --csv > best.csv",
        'ayne query "FROM movies" --parquet movies.parquet',
    ),
    "tables": ("ayne tables",),
    "schema": ("ayne schema movies",),
    "history": ("ayne history 550 --since 2026-01-01", "ayne history 550 --field imdb_rating"),
    "doubts": ("ayne doubts --limit 20",),
    "export": ("ayne export copies", "ayne export copies --format csv --table movies", "ayne export copies --since 7d"),
    "purge": ("ayne purge --dry-run", "ayne purge"),
    "snapshot": ("ayne snapshot copies/ayne.duckdb",),
    "check": ("ayne check", "ayne check --mend"),
    "tidy": ("ayne tidy",),
    "maintain": ("ayne maintain",),
    "move": (
        "ayne move data/ayne.duckdb 'ducklake:postgres:host=db.example.org dbname=ayne user=ayne'",
        "ayne move data/ayne.duckdb copies/ayne.duckdb",
    ),
    "doctor": ("ayne doctor", "ayne doctor --online"),
    "simulate": ("ayne simulate --movies 1000 --days 365", "ayne simulate --source omdb --budget 0.5 --json"),
    "standin": ("ayne standin --movies 1000", "ayne standin --faults faults.json"),
    "dev": ("ayne dev", "ayne dev --port 3100"),
    "ui": ("ayne ui --port 3000",),
    "daemon": ("ayne daemon",),
    "dashboard": ("ayne dashboard", "ayne dashboard --write page.html"),
    "completion": ("ayne completion bash > ~/.local/share/bash-completion/completions/ayne",),
}
"""By command, as one types it after `ayne`."""


def show_examples(command: click.Command, name: str) -> None:
    """Have a command, and those of a group, end their help with their examples."""
    if lines := EXAMPLES.get(name):
        command.epilog = "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {x}" for x in lines)])
    for part, subcommand in getattr(command, "commands", {}).items():
        show_examples(subcommand, f"{name} {part}")
