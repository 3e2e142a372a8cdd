"""What is printed fits the terminal: its width, its encoding; and what is misspelt is told with what may be meant."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import pytest

from ayne_dagster.cli import ayne
from ayne_dagster.commands import files, output
from ayne_dagster.commands.examples import EXAMPLES
from ayne_dagster.config import Settings, SettingsError, load_settings
from ayne_dagster.refresh.explain import IN_WORDS, counted_in_words
from ayne_dagster.refresh.rules import Reason
from ayne_dagster.runs.batch import REASONS_TAG, WHY_TAG, pick_batch
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.statistics import landmarks, record_stats
from ayne_dagster_tests.support.processes import Ayne
from ayne_dagster_tests.support.samples import details, listed, merge_details, merge_listed

NARROW = 60
LONG_AGO, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def command(tmp_path: Path) -> Ayne:
    """With a movie that was fetched and one that was only listed, on a narrow terminal."""
    found = Ayne(tmp_path, {"COLUMNS": str(NARROW), "TMDB_READ_TOKEN": "demo", "OMDB_API_KEY": "demo"})
    with Database(found.database).connect() as connection:
        merge_listed(connection, listed(550, LONG_AGO), listed(551, LONG_AGO))
        merge_details(connection, details(550, LONG_AGO, title="Fight Club"))
    return found


@pytest.mark.parametrize(
    "words", ["stats", "budget", "due", "explain 550", "tables", "schema movies", "doubts", "purge --dry-run", "doctor"]
)
def test_a_result_fits_a_narrow_terminal(command: Ayne, words: str) -> None:
    told = command.call(*words.split())
    assert told.out.strip()
    # A path or an address is a word, and stays whole, to be copied.
    wide = [line for line in told.out.splitlines() if len(line.rstrip()) > NARROW and "/" not in line]
    assert wide == []


@pytest.mark.parametrize(
    "words",
    ["stats", "budget", "due", "explain 550", "history 550", "box-office unmatched", "doubts", "show 550"],
)
def test_a_command_that_reads_the_database_says_so_while_it_does(
    command: Ayne, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(files, "working", lambda what: nullcontext(told.append(what)))
    assert command.call(*words.split()).code == 0
    assert told == ["Reading the database"]


def test_where_nothing_is_known_of_a_width_lines_stay_whole(command: Ayne) -> None:
    lines = Ayne(command.folder, {}).call("explain", "550").out.splitlines()
    assert max(map(len, lines)) > NARROW


def test_a_table_that_is_too_wide_is_shown_a_row_at_a_time_with_its_headings(command: Ayne) -> None:
    lines = command.call("budget").out.splitlines()
    assert "Source       TMDB" in lines
    assert "Source       OMDb" in lines


def test_each_line_below_a_table_is_broken_by_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(NARROW))
    described = output.table("Source")
    described.add_row("TMDB")
    described.caption = f"The first line.\n{(long := 'words ' * 20)}"
    output.print_result({}, False, lambda _: described)
    below = [line.strip() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert below == ["The first line.", *textwrap.wrap(long, NARROW)]


def test_further_lines_of_a_cell_stand_under_its_first_where_a_row_is_shown_at_a_time(command: Ayne) -> None:
    narrowest = Ayne(command.folder, command.settings | {"COLUMNS": "20"})
    lines = narrowest.call("due", "--limit", "1").out.splitlines()
    reasons = lines[next(number for number, line in enumerate(lines) if line.startswith("Why")) : lines.index("")]
    assert len(reasons) > 2
    assert all(line.startswith(" " * len("Released  ")) for line in reasons[1:])


def test_the_help_of_every_command_fits_a_narrow_terminal_but_for_lines_to_copy() -> None:
    for name, found in {"": ayne, **ayne.commands}.items():
        text = found.get_help(click.Context(found, info_name=name, terminal_width=NARROW))
        kept = {line.strip() for line in EXAMPLES.get(name, ())}
        wide = [line for line in text.splitlines() if len(line) > NARROW and line.strip() not in kept]
        assert not [line for line in wide if name != "completion"], name


def test_signs_that_an_encoding_lacks_are_shown_in_ascii_and_other_characters_as_escapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    output.make_streams_usable()
    print("a → b … – é 電", end="", flush=True)  # noqa: T201 -- what is tested
    assert raw.getvalue() == rb"a -> b ... - \xe9 \u96fb"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("due --source tmbd", "tmdb"),
        ("export x --format parket", "parquet"),
        ("simulate --policy age_tabel", "age_table"),
    ],
)
def test_a_word_that_is_like_one_of_those_that_may_be_is_told_with_it(command: Ayne, words: str, meant: str) -> None:
    told = command.call(*words.split())
    assert told.code == 2
    assert f"Did you mean {meant}?" in told.complaint


def test_a_setting_s_value_that_is_like_one_that_may_be_is_told_with_it_and_another_is_not() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean value_of_refresh\?"):
        load_settings({"AYNE_REFRESH_STRATEGY": "value_of_refrsh"})
    with pytest.raises(SettingsError, match=r"Did you mean wikidata\?"):
        load_settings({"AYNE_BOX_OFFICE": "wikdata"})
    with pytest.raises(SettingsError) as told:
        load_settings({"AYNE_REFRESH_STRATEGY": "zzz"})
    assert "mean" not in str(told.value)


def test_every_reason_has_words_and_those_to_ask_are_counted() -> None:
    assert set(IN_WORDS) == set(Reason)
    counted = counted_in_words([Reason.INDEX, Reason.MANUAL, Reason.INDEX, Reason.FRESH])
    assert counted == "2 likely to have changed, 1 forced by hand"
    assert counted_in_words([]) == "none due"


def test_due_movies_and_a_run_s_tags_say_why_in_words_beside_the_code(command: Ayne) -> None:
    movies = {movie["tmdb_id"]: movie for movie in command.call("due", "--json").json["movies"]}
    assert movies[551]["why"] == "TMDB: never answered for yet; OMDb: has no IMDb id"
    assert movies[551]["reason"] == "tmdb: never_fetched; omdb: no_imdb_id"
    assert "(never_fetched)" in Ayne(command.folder, {"COLUMNS": "200"}).call("due").out
    tags = pick_batch(Database(command.database), LONG_AGO + timedelta(hours=1), {"tmdb": 5, "omdb": 0}).tags()
    assert tags[REASONS_TAG] == "tmdb: 1 never_fetched; omdb: none due"
    assert tags[WHY_TAG] == "TMDB: 1 never answered for yet; OMDb: none due"


def test_stats_tell_the_last_run_the_last_change_and_the_newest_release_that_is_out(
    make_settings: Callable[..., Settings],
) -> None:
    with Database(make_settings().database).connect() as connection:
        assert set(landmarks(connection, NOW).values()) == {None}
        merge_listed(connection, listed(550, LONG_AGO), listed(551, LONG_AGO))
        merge_details(connection, details(550, LONG_AGO, release_date=date(1999, 10, 15), revenue=1))
        merge_details(connection, details(551, LONG_AGO, release_date=date(2027, 5, 1)))
        changed = NOW - timedelta(days=3)
        merge_details(connection, details(550, changed, release_date=date(1999, 10, 15), revenue=2))
        record_stats(connection, NOW - timedelta(days=1))
        record_stats(connection, NOW + timedelta(days=1))
        found = landmarks(connection, NOW)
    assert found["last_run"] == NOW - timedelta(days=1)
    assert found["last_change"] == changed
    assert str(found["newest_release"]) == "1999-10-15"
