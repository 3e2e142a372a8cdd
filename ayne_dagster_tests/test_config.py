"""Settings: every variable's default, reading and check, and what is said of a wrong one."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ayne_dagster.config import FigureChoice, Settings, SettingsError, StrategyChoice, load_settings
from ayne_dagster.refresh.learning import POPULARITY_SHARE
from ayne_dagster.refresh.value import CUTOFF_SHARE

KEYS = {"TMDB_READ_TOKEN": "the-read-token", "TMDB_API_KEY": "the-v3-key", "OMDB_API_KEY": "feedc0de"}

# Variable, place in the settings, default as the documentation's table has it.
TABLE: list[tuple[str, str, Any]] = [
    ("TMDB_API_KEY", "tmdb_api_key", None),
    ("TMDB_READ_TOKEN", "tmdb_read_token", None),
    ("OMDB_API_KEY", "omdb_api_key", None),
    ("AYNE_TMDB_BASE_URL", "tmdb.base_url", "https://api.themoviedb.org/3"),
    ("AYNE_OMDB_BASE_URL", "omdb.base_url", "https://www.omdbapi.com/"),
    ("AYNE_TMDB_REQUESTS_PER_SECOND", "tmdb.requests_per_second", 4.0),
    ("AYNE_TMDB_BURST", "tmdb.burst", 40),
    ("AYNE_TMDB_MAX_CONCURRENT", "tmdb.max_concurrent", 10),
    ("AYNE_OMDB_REQUESTS_PER_SECOND", "omdb.requests_per_second", 2.0),
    ("AYNE_OMDB_BURST", "omdb.burst", 40),
    ("AYNE_OMDB_MAX_CONCURRENT", "omdb.max_concurrent", 5),
    ("AYNE_OMDB_DAILY_QUOTA", "omdb.daily_quota", 1000),
    ("AYNE_WIKIDATA_BASE_URL", "wikidata.base_url", "https://query.wikidata.org/sparql"),
    ("AYNE_WIKIDATA_REQUESTS_PER_SECOND", "wikidata.requests_per_second", 1.0),
    ("AYNE_WIKIDATA_BURST", "wikidata.burst", 1),
    ("AYNE_WIKIDATA_MAX_CONCURRENT", "wikidata.max_concurrent", 1),
    ("AYNE_WIKIDATA_DAILY_QUOTA", "wikidata.daily_quota", 0),
    ("AYNE_WIKIDATA_ANSWER_DEADLINE", "wikidata.answer_deadline", 75.0),
    ("AYNE_DATABASE", "database", Path("data/ayne.duckdb")),
    ("AYNE_REFRESH_LIMIT", "refresh_limit", 100),
    ("AYNE_SENSOR_MIN_BATCH", "sensor_min_batch", 100),
    ("AYNE_SENSOR_MAX_WAIT", "sensor_max_wait", timedelta(hours=6)),
    ("AYNE_RUN_RETENTION_DAYS", "run_retention", timedelta(days=30)),
    ("AYNE_CONTACT", "contact", None),
    ("AYNE_BOX_OFFICE", "box_office", FigureChoice()),
    ("AYNE_TMDB_APPEND", "tmdb_append", ()),
]

GOOD: list[tuple[str, str, str, Any]] = [
    ("TMDB_API_KEY", "tmdb_api_key", "abc", "abc"),
    ("TMDB_READ_TOKEN", "tmdb_read_token", " abc\n", "abc"),
    ("OMDB_API_KEY", "omdb_api_key", "abc", "abc"),
    ("OMDB_API_KEY", "omdb_api_key", "  ", None),
    ("AYNE_TMDB_BASE_URL", "tmdb.base_url", "http://127.0.0.1:8000/3", "http://127.0.0.1:8000/3"),
    ("AYNE_OMDB_BASE_URL", "omdb.base_url", "http://[::1]:8000/omdb/", "http://[::1]:8000/omdb/"),
    ("AYNE_CONTACT", "contact", "me+films@mail.example.org", "me+films@mail.example.org"),
    ("AYNE_CONTACT", "contact", "mailto:me@example.org", "mailto:me@example.org"),
    ("AYNE_CONTACT", "contact", " https://example.org/~me?a=b ", "https://example.org/~me?a=b"),
    ("AYNE_TMDB_REQUESTS_PER_SECOND", "tmdb.requests_per_second", "0.5", 0.5),
    ("AYNE_TMDB_REQUESTS_PER_SECOND", "tmdb.requests_per_second", "0", 0.0),
    ("AYNE_OMDB_REQUESTS_PER_SECOND", "omdb.requests_per_second", " 20 ", 20.0),
    ("AYNE_TMDB_BURST", "tmdb.burst", "1", 1),
    ("AYNE_OMDB_BURST", "omdb.burst", "100", 100),
    ("AYNE_TMDB_MAX_CONCURRENT", "tmdb.max_concurrent", "20", 20),
    ("AYNE_OMDB_MAX_CONCURRENT", "omdb.max_concurrent", "1", 1),
    ("AYNE_OMDB_DAILY_QUOTA", "omdb.daily_quota", "100000", 100_000),
    ("AYNE_OMDB_DAILY_QUOTA", "omdb.daily_quota", "0", 0),
    ("AYNE_DATABASE", "database", "/var/movies.duckdb", Path("/var/movies.duckdb")),
    ("AYNE_REFRESH_LIMIT", "refresh_limit", "0", 0),
    ("AYNE_SENSOR_MIN_BATCH", "sensor_min_batch", "1", 1),
    ("AYNE_SENSOR_MAX_WAIT", "sensor_max_wait", "0.5", timedelta(minutes=30)),
    ("AYNE_RUN_RETENTION_DAYS", "run_retention", "7", timedelta(days=7)),
    ("AYNE_RUN_RETENTION_DAYS", "run_retention", "0", None),
    ("AYNE_CONTACT", "contact", "you@example.org", "you@example.org"),
    ("AYNE_CONTACT", "contact", "https://example.org/you", "https://example.org/you"),
    ("AYNE_BOX_OFFICE", "box_office", "tmdb", FigureChoice(("tmdb",), {})),
    ("AYNE_BOX_OFFICE", "box_office", " TMDB, file,tmdb ", FigureChoice(("tmdb", "file"), {})),
    (
        "AYNE_BOX_OFFICE",
        "box_office",
        "file,tmdb;domestic_gross:omdb; ",
        FigureChoice(("file", "tmdb"), {"domestic_gross": ("omdb",)}),
    ),
    ("AYNE_TMDB_APPEND", "tmdb_append", " watch_providers, Videos,,videos", ("videos", "watch_providers")),
    ("AYNE_CLOCK_OFFSET_DAYS", "clock_offset", "1.5", timedelta(days=1.5)),
    ("AYNE_CLOCK_OFFSET_DAYS", "clock_offset", "-30", timedelta(days=-30)),
]

NUMBERS = [
    "AYNE_TMDB_REQUESTS_PER_SECOND",
    "AYNE_OMDB_REQUESTS_PER_SECOND",
    "AYNE_TMDB_BURST",
    "AYNE_OMDB_BURST",
    "AYNE_TMDB_MAX_CONCURRENT",
    "AYNE_OMDB_MAX_CONCURRENT",
    "AYNE_OMDB_DAILY_QUOTA",
    "AYNE_WIKIDATA_REQUESTS_PER_SECOND",
    "AYNE_WIKIDATA_BURST",
    "AYNE_WIKIDATA_MAX_CONCURRENT",
    "AYNE_WIKIDATA_DAILY_QUOTA",
    "AYNE_REFRESH_LIMIT",
    "AYNE_SENSOR_MIN_BATCH",
    "AYNE_SENSOR_MAX_WAIT",
    "AYNE_RUN_RETENTION_DAYS",
]
AT_LEAST_ONE = [name for name in NUMBERS if name.endswith(("BURST", "MAX_CONCURRENT"))]
WHOLE = [name for name in NUMBERS if not name.endswith(("PER_SECOND", "MAX_WAIT", "RETENTION_DAYS"))]


def at(settings: Settings, place: str) -> Any:
    value: Any = settings
    for name in place.split("."):
        value = getattr(value, name)
    return value.relative_to(Path.cwd()) if value == Path.cwd() / "data/ayne.duckdb" else value


def said_of(variable: str, value: str) -> str:
    """What is said of a wrong value: one line that names the variable."""
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: value})
    said = str(caught.value)
    assert variable in said
    assert "\n" not in said
    assert len(said) < 300
    return said


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for variable in [variable for variable, _, _ in TABLE] + ["AYNE_CLOCK_OFFSET_DAYS", "AYNE_TMDB_DAILY_QUOTA"]:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


# Values


@pytest.mark.parametrize(("variable", "place", "default"), TABLE, ids=[row[0] for row in TABLE])
def test_defaults_are_those_of_the_documentation(variable: str, place: str, default: Any) -> None:
    assert at(load_settings({}), place) == default
    assert at(load_settings({variable: ""}), place) == default
    assert at(load_settings({variable: "  "}), place) == default
    assert at(Settings(), place) == default


@pytest.mark.parametrize(("variable", "place", "value", "expected"), GOOD, ids=[f"{g[0]}={g[2].strip()}" for g in GOOD])
def test_a_variable_sets_its_place_and_no_other(variable: str, place: str, value: str, expected: Any) -> None:
    settings = load_settings({variable: value})
    assert at(settings, place) == expected
    others = [(name, default) for _, name, default in TABLE if name != place]
    assert [at(settings, name) for name, _ in others] == [default for _, default in others]


def test_variables_of_others_are_ignored() -> None:
    assert load_settings({"AYNE_UNKNOWN": "x", "PATH": "/bin", "BURST": "x"}) == Settings()


def test_the_ledger_lies_beside_the_database() -> None:
    assert load_settings({}).ledger == Path.cwd() / "data/ayne.duckdb.ledger.sqlite"
    elsewhere = load_settings({"AYNE_DATABASE": "/var/my.movies.duckdb"})
    assert elsewhere.ledger == Path("/var/my.movies.duckdb.ledger.sqlite")
    assert load_settings({"AYNE_DATABASE": "movies"}).ledger == Path.cwd() / "movies.ledger.sqlite"


def test_the_clock_can_be_turned() -> None:
    turned = load_settings({"AYNE_CLOCK_OFFSET_DAYS": "30"}).now()
    assert abs(turned - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    assert turned.tzinfo is UTC


# Wrong values


@pytest.mark.parametrize(
    "value", ["abc", "-1", "nan", "inf", "-inf", "1e400", "12 34", "0x10", "ten", "1,5", "²", "\n1\n2"]
)
@pytest.mark.parametrize("variable", NUMBERS)
def test_a_number_that_cannot_be_used_is_told_in_one_line(variable: str, value: str) -> None:
    assert "number" in said_of(variable, value)


@pytest.mark.parametrize("variable", AT_LEAST_ONE)
def test_zero_is_too_few_for_a_burst_and_for_connections(variable: str) -> None:
    assert "at least 1" in said_of(variable, "0")


@pytest.mark.parametrize("variable", WHOLE)
def test_a_fraction_is_no_whole_number(variable: str) -> None:
    assert "whole number" in said_of(variable, "1.5")


@pytest.mark.parametrize("value", ["9" * 5000, "1" + "0" * 30])
@pytest.mark.parametrize("variable", WHOLE)
def test_a_huge_number_is_told_in_one_line(variable: str, value: str) -> None:
    said_of(variable, value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "abc", "1e300", "1e9"])
def test_a_clock_that_cannot_be_turned_so_far_is_told_in_one_line(value: str) -> None:
    said_of("AYNE_CLOCK_OFFSET_DAYS", value)


@pytest.mark.parametrize(
    "value",
    [
        "api.themoviedb.org/3",
        "//api.themoviedb.org/3",
        "ftp://api.themoviedb.org",
        "https://",
        "https:///3",
        "localhost:8000",
        "file:///etc/passwd",
        "http://[::1",
        "http://localhost:port/",
        "http://localhost:99999/",
    ],
)
@pytest.mark.parametrize("variable", ["AYNE_TMDB_BASE_URL", "AYNE_OMDB_BASE_URL"])
def test_an_address_that_is_none_is_told_in_one_line(variable: str, value: str) -> None:
    assert "address" in said_of(variable, value)


@pytest.mark.parametrize(
    "value",
    [
        "imdb",
        "file,,box",
        "file;gross:tmdb",
        "file;domestic_gross",
        "file;domestic_gross:x",
        "x" * 500,
        "file;domestic_gross:omdb;domestic_gross:file",
    ],
)
def test_a_choice_of_figures_that_names_nobody_is_told_in_one_line(value: str) -> None:
    said_of("AYNE_BOX_OFFICE", value)


@pytest.mark.parametrize(("value", "meant"), [("vidoes", "videos"), ("videos,watch/providers", "watch_providers")])
def test_a_part_that_tmdb_does_not_append_is_told_with_what_may_be_meant(value: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in said_of("AYNE_TMDB_APPEND", value)
    assert "Did you mean" not in said_of("AYNE_TMDB_APPEND", "x" * 400)


@pytest.mark.parametrize("value", ["me", "me (at) home", "ftp://x.org", "me@example.org\nX-Evil: 1", "@", "x" * 400])
def test_a_contact_that_is_no_address_is_told_in_one_line(value: str) -> None:
    said_of("AYNE_CONTACT", value)


def test_wikidata_is_asked_only_with_a_contact_and_where_its_figures_count() -> None:
    assert load_settings({}).sources == ("tmdb", "omdb")
    contact = {"AYNE_CONTACT": "you@example.org"}
    assert load_settings(contact).sources == ("tmdb", "omdb", "numbers")
    without = load_settings(contact | {"AYNE_BOX_OFFICE": "file,tmdb"})
    assert without.sources == ("tmdb", "omdb")
    assert "AYNE_BOX_OFFICE" in (without.why_no_figures_are_asked or "")
    assert "AYNE_CONTACT" in (load_settings({}).why_no_figures_are_asked or "")


def test_a_wrong_value_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="AYNE_REFRESH_LIMIT is 'many'"):
        load_settings({"AYNE_REFRESH_LIMIT": "many"})


# Keys


def test_keys_do_not_show() -> None:
    settings = load_settings(KEYS)
    for key in KEYS.values():
        assert key not in repr(settings)
        assert key not in str(settings)
        assert key not in f"{settings.tmdb!r} {settings.omdb!r}"
    assert {settings.tmdb_read_token, settings.tmdb_api_key, settings.omdb_api_key} == set(KEYS.values())


def test_an_error_beside_the_keys_does_not_tell_them() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**KEYS, "AYNE_TMDB_BURST": "abc"})
    assert not [key for key in KEYS.values() if key in str(caught.value)]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "TMDB_READ_TOKEN"),
        ({"OMDB_API_KEY": "x"}, "TMDB_READ_TOKEN"),
        ({"TMDB_READ_TOKEN": "x"}, "OMDB_API_KEY"),
        ({"TMDB_API_KEY": "x"}, "OMDB_API_KEY"),
        ({"TMDB_READ_TOKEN": " ", "OMDB_API_KEY": "x"}, "TMDB_API_KEY"),
    ],
)
def test_a_missing_key_is_named_together_with_the_way_to_do_without(given: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(given).require_keys()
    assert missing in str(caught.value)
    assert "`ayne demo`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tmdb", ["TMDB_READ_TOKEN", "TMDB_API_KEY"])
def test_either_of_tmdbs_keys_is_enough(tmdb: str) -> None:
    load_settings({tmdb: "x", "OMDB_API_KEY": "y"}).require_keys()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().refresh_limit = 5  # type: ignore[misc]


# The .env file


def test_a_file_in_the_working_directory_is_read(here: Path) -> None:
    (here / ".env").write_text(
        '# my settings\nTMDB_READ_TOKEN="from the file"\nexport AYNE_REFRESH_LIMIT=7\nOMDB_API_KEY\n'
    )
    settings = load_settings()
    assert (settings.tmdb_read_token, settings.refresh_limit, settings.omdb_api_key) == ("from the file", 7, None)


def test_the_environment_wins_over_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("AYNE_REFRESH_LIMIT=7\nAYNE_TMDB_BURST=8\n")
    monkeypatch.setenv("AYNE_REFRESH_LIMIT", "9")
    settings = load_settings()
    assert (settings.refresh_limit, settings.tmdb.burst) == (9, 8)


def test_a_file_elsewhere_is_not_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("AYNE_REFRESH_LIMIT=7\n")
    below = here / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert load_settings().refresh_limit == 100


def test_without_a_file_there_is_the_environment_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings() == Settings()
    monkeypatch.setenv("OMDB_API_KEY", "feedc0de")
    assert load_settings().omdb_api_key == "feedc0de"


def test_a_given_mapping_is_read_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("AYNE_REFRESH_LIMIT=7\n")
    monkeypatch.setenv("AYNE_TMDB_BURST", "8")
    assert load_settings({}) == Settings()


def test_reading_settings_changes_no_environment(here: Path) -> None:
    import os

    (here / ".env").write_text("AYNE_REFRESH_LIMIT=7\n")
    load_settings()
    assert "AYNE_REFRESH_LIMIT" not in os.environ


def test_a_wrong_value_in_the_file_is_told_like_any_other(here: Path) -> None:
    (here / ".env").write_text("AYNE_TMDB_BURST=lots\n")
    with pytest.raises(SettingsError, match="AYNE_TMDB_BURST is 'lots'"):
        load_settings()


def test_a_file_that_is_no_utf_8_is_told_in_one_line_without_its_keys(here: Path) -> None:
    (here / ".env").write_bytes(b"OMDB_API_KEY=feedc0de\n# Schl\xfcssel\n")
    with pytest.raises(SettingsError, match=r"\.env") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert "feedc0de" not in repr(caught.value)


def test_the_real_id_export_is_not_read_for_the_movies_of_a_stand_in() -> None:
    elsewhere = {"AYNE_TMDB_BASE_URL": "http://127.0.0.1:8765/3"}
    assert load_settings({}).tmdb_export is not None
    assert load_settings({"AYNE_TMDB_BASE_URL": "https://api.themoviedb.org/3/"}).tmdb_export is not None
    assert load_settings(elsewhere).tmdb_export is None
    named = load_settings(elsewhere | {"AYNE_TMDB_EXPORT_URL": "ids/{date}.json.gz"})
    assert named.tmdb_export == "ids/{date}.json.gz"


def test_what_the_settings_say_of_the_strategy_is_what_it_does_without_them() -> None:
    assert Settings().strategy == StrategyChoice()
    assert (StrategyChoice().cutoff, StrategyChoice().freshness_weight) == (CUTOFF_SHARE, POPULARITY_SHARE)


@pytest.mark.parametrize(
    "contact",
    ["me", "me@localhost", "@example.org", "me@example.org, you@example.org", "https://localhost", "ftp://example.org/me",
     "me@example.org)", "(me@example.org)", "m\N{LATIN SMALL LETTER E WITH ACUTE}@example.org", f"{'x' * 300}@a.org"],
)  # fmt: skip
def test_a_contact_that_nobody_could_use_is_refused(contact: str) -> None:
    assert "you@example.org" in said_of("AYNE_CONTACT", contact)


def test_the_deadline_of_answers_is_wikidatas_own_where_it_is_set_for_the_others() -> None:
    settings = load_settings({"AYNE_ANSWER_DEADLINE": "5"})
    assert (settings.omdb.answer_deadline, settings.wikidata.answer_deadline) == (5.0, 75.0)


def test_the_daily_limit_of_the_older_collection_is_understood_where_ours_is_not_set() -> None:
    assert load_settings({"OMDB_DAILY_REQUEST_LIMIT": "500"}).omdb.daily_quota == 500
    both = {"OMDB_DAILY_REQUEST_LIMIT": "500", "AYNE_OMDB_DAILY_QUOTA": "700"}
    assert load_settings(both).omdb.daily_quota == 700
    assert load_settings({"OMDB_API_BASE_URL": "http://www.omdbapi.com"}).omdb.base_url.startswith("https://")


@pytest.mark.parametrize("value", ["many", "1,000", "-1"])
def test_what_is_wrong_is_said_of_the_name_under_which_it_was_set(value: str) -> None:
    assert "AYNE_" not in said_of("OMDB_DAILY_REQUEST_LIMIT", value)
    assert "AYNE_OMDB_DAILY_QUOTA" in said_of("AYNE_OMDB_DAILY_QUOTA", value)
