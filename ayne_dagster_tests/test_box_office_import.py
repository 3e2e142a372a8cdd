"""`ayne box-office` in this process: what a file brings and leaves, what it never changes, its documentation."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest

from ayne_dagster.cli import ayne
from ayne_dagster.sources.figure_files.layouts import KNOWN
from ayne_dagster.sources.figure_files.mapping import ROLES
from ayne_dagster.warehouse.database import Database
from ayne_dagster.warehouse.matching.rules import Rule
from ayne_dagster_tests.support.figure_files import (
    Film,
    Stated,
    fill,
    films,
    stated,
    table_text,
    write_budgets,
    write_budgets_parquet,
    write_opusdata,
)
from ayne_dagster_tests.support.processes import Ayne, Ended
from ayne_dagster_tests.test_documentation import ROOT

PAGE = (ROOT / "docs" / "box-office.md").read_text()
KNOWN_FILMS = films(400, seed=3)
ROWS = stated(KNOWN_FILMS[:200], seed=4)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "movies.duckdb"
    fill(Database(path), KNOWN_FILMS)
    return path


@pytest.fixture
def command(template: Path, tmp_path: Path) -> Iterator[Ayne]:
    shutil.copyfile(template, tmp_path / template.name)
    return Ayne(tmp_path)


def imported(command: Ayne, *arguments: object) -> dict[str, Any]:
    ended = command.call("box-office", "import", *map(str, arguments), "--json")
    assert ended.code == 0, ended.err
    return ended.json


def asked(command: Ayne, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(command.database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def content(command: Ayne) -> dict[str, list[tuple[Any, ...]]]:
    """All that an import can write, but when a file was imported last."""
    return {
        "box_office": asked(command, "SELECT * FROM box_office ORDER BY ALL"),
        "history": asked(command, "SELECT * FROM movie_history ORDER BY ALL"),
        "unmatched": asked(command, "SELECT * FROM box_office_unmatched ORDER BY ALL"),
        "files": asked(command, "SELECT * EXCLUDE (imported_at) FROM box_office_files ORDER BY ALL"),
    }


def write(folder: Path, text: str, name: str = "file.csv") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder / name


def simple(*rows: tuple[object, ...]) -> str:
    return table_text(("title", "year", "worldwide_gross"), rows)


def add(command: Ayne, *new: Film) -> None:
    fill(Database(command.database), new)


def film(tmdb_id: int, title: str, year: int = 2000) -> Film:
    return Film(tmdb_id, title, title, date(year, 6, 1), None)


def test_every_figure_of_a_file_can_be_traced_to_its_row(command: Ayne, tmp_path: Path) -> None:
    path = write_budgets(tmp_path / "budgets.csv", ROWS)
    report = imported(command, path)
    stored = asked(command, "SELECT tmdb_id, measure, scope, amount, source_ref, matched_by, currency FROM box_office")

    assert report["rows"] == len(ROWS)
    assert sum(report["matched"].values()) + report["ambiguous_rows"] + report["unmatched_rows"] == len(ROWS)
    assert sum(report["matched"].values()) >= 0.9 * len(ROWS)
    assert len(stored) == report["figures"]
    for tmdb_id, measure, scope, amount, reference, matched_by, currency in stored:
        digest, _, number = reference.partition(":")
        row: Stated = ROWS[int(number) - 1]
        assert digest == report["digest"]
        assert tmdb_id == row.film.tmdb_id
        stands = {"production_budget": row.budget}.get(measure, row.domestic if scope == "domestic" else row.worldwide)
        assert (amount, currency) == (Decimal(stands), "USD")
        assert matched_by.startswith(("title_", "other_title_"))
    ((name, layout, rows),) = asked(command, "SELECT name, layout, rows FROM box_office_files")
    assert (name, layout, rows) == ("budgets.csv", "the_numbers_budgets", len(ROWS))


def test_all_members_of_a_packed_file_are_read(command: Ayne, tmp_path: Path) -> None:
    text = simple(("Zephyr One", 2000, 5_000_000), ("Zephyr Two", 2001, 6_000_000)).encode()
    add(command, film(900_001, "Zephyr One"), film(900_002, "Zephyr Two", 2001))
    middle = len(text) - 4  # within an amount
    whole = gzip.compress(text[:middle]) + gzip.compress(text[middle:])
    (tmp_path / "packed.csv.gz").write_bytes(whole + bytes(512))
    imported(command, tmp_path / "packed.csv.gz")
    assert asked(command, "SELECT amount FROM box_office ORDER BY 1") == [(5_000_000,), (6_000_000,)]
    for name, content in (("cut", whole[:-10]), ("odd", whole + b"and more")):
        (tmp_path / f"{name}.csv.gz").write_bytes(content)
        assert command.call("box-office", "import", f"{name}.csv.gz").code == 2


def test_the_order_of_the_settings_holds_from_an_import_on(command: Ayne, tmp_path: Path) -> None:
    path = write(tmp_path, simple(("Zephyr One", 2000, 5_000_000)))
    add(command, film(900_001, "Zephyr One"))
    for order in ("file,tmdb", "tmdb,file", "file"):
        command.settings["AYNE_BOX_OFFICE"] = order
        imported(command, path)
        places = "SELECT source FROM box_office_precedence WHERE figure = 'worldwide_gross' ORDER BY place"
        assert list(dict.fromkeys(source for (source,) in asked(command, places))) == order.split(",")


def test_what_was_worked_out_of_two_figures_goes_when_one_of_them_is_another(command: Ayne, tmp_path: Path) -> None:
    add(command, film(900_001, "Zephyr One"))
    heading = "title,year,domestic_gross,foreign_gross\n"
    write(tmp_path, f"{heading}Zephyr One,2000,3000000,4000000\n")
    imported(command, tmp_path / "file.csv")
    known = "SELECT scope, amount FROM box_office WHERE gone_at IS NULL ORDER BY 1"
    assert asked(command, known) == [("domestic", 3_000_000), ("international", 4_000_000), ("worldwide", 7_000_000)]
    write(tmp_path, f"{heading}Zephyr One,2000,9000000,\n")
    report = imported(command, tmp_path / "file.csv")
    assert asked(command, known) == [("domestic", 9_000_000), ("international", 4_000_000)]
    assert [version.split(" of ")[0] for version in report["replaces"]] == ["file.csv"]


def test_a_copy_under_another_name_is_the_same_file(command: Ayne, tmp_path: Path) -> None:
    add(command, film(900_001, "Zephyr One"))
    imported(command, write(tmp_path, simple(("Zephyr One", 2000, 8_000_000)), "first.csv"))
    assert imported(command, write(tmp_path, simple(("Zephyr One", 2000, 8_000_000)), "copy.csv"))["replaces"] == []
    imported(command, write(tmp_path, simple(("Zephyr One", 2000, 5_000_000)), "first.csv"))
    assert asked(command, "SELECT amount FROM box_office WHERE gone_at IS NULL") == [(5_000_000,)]


@pytest.mark.parametrize(
    ("named", "code"),
    [("USD", "USD"), ("usd", "USD"), ("$", "USD"), ("US$", "USD"), ("US Dollars", "USD"), ("€", "EUR"), ("euro", "EUR"),
     ("£", "GBP"), ("Galleons", "XXX")],
)  # fmt: skip
def test_a_currency_is_known_by_code_sign_and_name(command: Ayne, tmp_path: Path, named: str, code: str) -> None:
    add(command, film(900_001, "Zephyr One"))
    text = f"title,year,currency,worldwide_gross\nZephyr One,2000,{named},5000000\n"
    report = imported(command, write(tmp_path, text))
    assert asked(command, "SELECT currency FROM box_office") == [(code,)]
    assert bool(report["remarks"]) == (code == "XXX")


def test_a_figure_that_no_film_can_have_is_kept_and_not_shown(command: Ayne, tmp_path: Path) -> None:
    add(command, film(900_001, "Zephyr One"))
    imported(command, write(tmp_path, simple(("Zephyr One", 2000, 9_999_999_999_999))))
    assert asked(command, "SELECT suspect FROM box_office_figures WHERE source = 'file'") == [
        ("more than 10,000,000,000 US dollars",)
    ]
    assert asked(command, "SELECT worldwide_gross FROM movies WHERE tmdb_id = 900001") == [(None,)]


def test_every_form_of_a_table_brings_the_same_figures(command: Ayne, template: Path, tmp_path: Path) -> None:
    rows = stated(KNOWN_FILMS[:200], vary=False)
    paths = [
        write_budgets(tmp_path / "a.csv", rows),
        write_budgets(tmp_path / "b.csv", rows, "cp1252", ";"),
        write_budgets(tmp_path / "c.csv", rows, "utf-8-sig", "\t"),
        write_budgets_parquet(tmp_path / "d.parquet", rows, typed=True),
        write_budgets_parquet(tmp_path / "e.parquet", rows, typed=False),
    ]
    found = []
    for path in paths:
        shutil.copyfile(template, command.database)
        imported(command, path)
        found.append(asked(command, "SELECT tmdb_id, measure, scope, amount FROM box_office ORDER BY ALL"))
    assert found[0]
    assert all(each == found[0] for each in found)


def test_an_extract_finds_its_movies_by_their_ids_whatever_the_titles(command: Ayne, tmp_path: Path) -> None:
    report = imported(command, write_opusdata(tmp_path / "extract", ROWS))
    with_id = [row for row in ROWS if row.film.imdb_id]
    assert report["matched"]["imdb_id"] == len(with_id)
    derived = asked(command, "SELECT tmdb_id, amount FROM box_office WHERE derived AND matched_by LIKE 'imdb_id%'")
    assert dict(derived) == {
        row.film.tmdb_id: Decimal(row.worldwide) for row in with_id if row.domestic and row.worldwide > row.domestic
    }


def test_the_same_file_again_changes_nothing(command: Ayne, tmp_path: Path) -> None:
    path = write_budgets(tmp_path / "budgets.csv", ROWS)
    first = imported(command, path)
    before = content(command)
    second = imported(command, path)
    assert content(command) == before
    assert first["movies"].keys() == {"inserted"}
    assert second["movies"] == {"unchanged": first["movies"]["inserted"]}


def test_a_dry_run_tells_the_same_and_changes_nothing(command: Ayne, tmp_path: Path) -> None:
    path = write_budgets(tmp_path / "budgets.csv", ROWS)
    before = command.database.read_bytes()
    told = imported(command, path, "--dry-run")
    assert command.database.read_bytes() == before
    done = imported(command, path)
    assert told["dry_run"]
    same = told.keys() - {"dry_run", "movies"}
    assert {key: told[key] for key in same} == {key: done[key] for key in same}


def test_a_later_version_replaces_what_it_states_itself_and_the_change_is_in_the_history(
    command: Ayne, tmp_path: Path
) -> None:
    add(command, film(901, "Zephyr One"), film(902, "Zephyr Two"))
    write(tmp_path, simple(("Zephyr One", 2000, 1_000_000), ("Zephyr Two", 2000, 2_000_000), ("Zephyr Three", 2000, 5)))
    imported(command, "file.csv")
    write(tmp_path, simple(("Zephyr One", 2000, 1_500_000), ("Zephyr Three", 2000, 6)))
    imported(command, "file.csv")

    shown = asked(command, "SELECT tmdb_id, worldwide_gross FROM movies WHERE tmdb_id > 900 ORDER BY ALL")
    assert shown == [(901, Decimal(1_500_000)), (902, Decimal(2_000_000))]
    assert asked(command, "SELECT count(*) FROM box_office WHERE gone_at IS NOT NULL") == [(1,)]
    assert asked(command, "SELECT DISTINCT tmdb_id FROM movie_history") == [(901,)]
    waiting = asked(command, "SELECT title, figures FROM box_office_unmatched")
    assert [(title, json.loads(figures)[0]["amount"]) for title, figures in waiting] == [("Zephyr Three", "6.00")]


def test_two_different_files_both_stay_and_the_newest_day_is_shown(command: Ayne, tmp_path: Path) -> None:
    add(command, film(901, "Zephyr One"))
    write(tmp_path, simple(("Zephyr One", 2000, 3_000_000)), "new.csv")
    write(tmp_path, simple(("Zephyr One", 2000, 5_000_000)), "old.csv")
    imported(command, "new.csv", "--as-of", "2024-05-01")
    before = asked(command, "SELECT * FROM box_office")
    imported(command, "old.csv", "--as-of", "2020-05-01")
    assert set(before) < set(asked(command, "SELECT * FROM box_office")), "what another file states is as it was"
    assert asked(command, "SELECT count(*) FROM box_office_figures WHERE source = 'file' AND gone_at IS NULL") == [(2,)]
    assert asked(command, "SELECT worldwide_gross FROM movies WHERE tmdb_id = 901") == [(Decimal(3_000_000),)]


def test_an_earlier_version_that_comes_later_does_not_replace_a_newer_day(command: Ayne, tmp_path: Path) -> None:
    add(command, film(901, "Zephyr One"))
    write(tmp_path, simple(("Zephyr One", 2000, 3_000_000)))
    imported(command, "file.csv", "--as-of", "2024-05-01")
    write(tmp_path, simple(("Zephyr One", 2000, 2_000_000)))
    imported(command, "file.csv", "--as-of", "2020-05-01")
    assert asked(command, "SELECT worldwide_gross FROM movies WHERE tmdb_id = 901") == [(Decimal(3_000_000),)]


def test_a_row_without_a_movie_waits_and_gets_it_when_it_is_discovered(command: Ayne, tmp_path: Path) -> None:
    write(tmp_path, simple(("Erster Zephyr (Zephyr One)", 2000, 3_000_000)))
    assert imported(command, "file.csv")["unmatched_rows"] == 1
    (row,) = command.call("box-office", "unmatched", "--json").json["rows"]
    assert (row["file"], row["row"], row["title"], row["why"]) == (
        "file.csv",
        1,
        "Erster Zephyr (Zephyr One)",
        "unmatched",
    )
    assert row["figures"][0]["amount"] == "3000000.00"

    add(command, film(901, "Zephyr One"))
    write(tmp_path, simple(("Quite Another", 2000, 7_000_000)), "other.csv")
    assert imported(command, "other.csv")["matched_later"] == 1
    assert asked(command, "SELECT worldwide_gross FROM movies WHERE tmdb_id = 901") == [(Decimal(3_000_000),)]
    assert [r["title"] for r in command.call("box-office", "unmatched", "--json").json["rows"]] == ["Quite Another"]


def test_a_row_that_waits_takes_no_movie_from_another_row_of_its_file(command: Ayne, tmp_path: Path) -> None:
    add(command, film(901, "Zephyr One"))
    write(tmp_path, simple(("Zephyr One", 2000, 3_000_000), ("Zephyr One", 2001, 8_000_000)))
    assert imported(command, "file.csv")["unmatched_rows"] == 1
    write(tmp_path, simple(("Quite Another", 2000, 7_000_000)), "other.csv")
    assert imported(command, "other.csv")["matched_later"] == 0
    assert asked(command, "SELECT amount FROM box_office") == [(Decimal(3_000_000),)]


def test_a_match_that_is_a_tie_by_now_is_given_up_when_its_file_is_imported_again(
    command: Ayne, tmp_path: Path
) -> None:
    add(command, film(901, "Zephyr One"))
    write(tmp_path, simple(("Zephyr One", 2000, 3_000_000)))
    imported(command, "file.csv")
    add(command, film(902, "Zephyr One"))
    assert imported(command, "file.csv")["ambiguous_rows"] == 1
    assert asked(command, "SELECT tmdb_id, gone_at IS NOT NULL FROM box_office") == [(901, True)]
    (row,) = command.call("box-office", "unmatched", "--json").json["rows"]
    assert [movie["tmdb_id"] for movie in row["candidates"]] == [901, 902]


def test_figures_that_differ_by_more_than_a_fifth_from_another_source_are_told_worst_first(
    command: Ayne, tmp_path: Path
) -> None:
    add(command, *(film(900 + n, f"Zephyr {n}00") for n in range(1, 4)))
    with Database(command.database).transaction() as connection:
        connection.execute("UPDATE tmdb_details SET revenue = 1_000_000 WHERE tmdb_id > 900")
    write(
        tmp_path,
        simple(*((f"Zephyr {n}00", 2000, gross) for n, gross in enumerate((1_250_000, 1_300_000, 300_000), 1))),
    )
    for told in (imported(command, "file.csv", "--dry-run"), imported(command, "file.csv")):
        assert (told["compared"], told["disagreeing"]) == (3, 2)
        worst = [
            (item["tmdb_id"], item["amount"], item["source"], item["other_amount"]) for item in told["disagreements"]
        ]
        assert worst == [(903, 300_000, "tmdb", 1_000_000), (902, 1_300_000, "tmdb", 1_000_000)]


def test_a_day_to_come_in_a_file_is_not_believed(command: Ayne, tmp_path: Path) -> None:
    add(command, film(901, "Zephyr One"))
    write(tmp_path, "title,year,worldwide_gross,as_of\nZephyr One,2000,5000000,2034-01-01\n")
    imported(command, "file.csv")
    assert asked(command, "SELECT as_of FROM box_office") == [(None,)]


def test_the_report_for_a_person_names_what_is_to_be_looked_at(command: Ayne, tmp_path: Path) -> None:
    add(command, film(901, "Zephyr One"), film(902, "Zephyr One"), film(903, "Zephyr Three"))
    rows = [("Zephyr One", 2000, 5), ("Zephyr Threes", 2000, 6), ("Zephyr Three", 2000, "(7)"), ("Other", 1960, 8)]
    write(tmp_path, simple(*rows))
    told = command.call("box-office", "import", "file.csv")
    assert told.code == 0
    for words in ("Ambiguous   1", "Unmatched   2", "TMDB 902", "Zephyr Threes", "903", "negative"):
        assert words in told.out
    listed = command.call("box-office", "unmatched")
    assert "Zephyr Threes" in listed.out
    assert "3 rows" in listed.out


def test_titles_that_steer_a_terminal_are_shown_harmless(command: Ayne, tmp_path: Path) -> None:
    write(tmp_path, simple(("[bold]Zephyr\x9b31m\u202e[/bold]", 2000, 5)), "[red]file.csv")
    told = command.call("box-office", "import", "[red]file.csv")
    assert told.code == 0
    assert "[bold]Zephyr" in told.out
    assert not re.search("[\x9b\u202e]", told.out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("import",), "FILE"),
        (("import", "none.csv"), "No such file"),
        (("import", "folder"), "movie_summary.csv"),
        (("import", "empty.csv"), "is empty"),
        (("import", "binary.csv"), "no text"),
        (("import", "cut.csv.gz"), "cut off"),
        (("import", "other.csv"), "docs/box-office.md"),
        (("import", "good.csv", "--mapping", "none.toml"), "none.toml"),
        (("import", "good.csv", "--mapping", "bad.toml"), "bad.toml"),
        (("import", "good.csv", "--as-of", "soon"), "--as-of"),
        (("import", "good.csv", "--as-of", "2099-01-01"), "--as-of"),
        (("unmatched", "all"), "all"),
        (("export",), "export"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_changed(
    command: Ayne, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path, "", "empty.csv")
    write(tmp_path, "a,b\n1,2\n", "other.csv")
    write(tmp_path, simple(("Zephyr One", 2000, 5)), "good.csv")
    write(tmp_path, "[columns\n", "bad.toml")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"title,year\n" * 999)[:-30])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = command.call("box-office", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.complaint
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_of_many_rows_that_found_no_movie_a_terminal_shows_the_first(command: Ayne, tmp_path: Path) -> None:
    imported(command, write(tmp_path, simple(*[(f"Nobody knows {n}", 2000, 5_000_000 + n) for n in range(300)])))
    shown = command.call("box-office", "unmatched").out
    assert "300 rows; the first 200 are shown, --json has all" in " ".join(shown.split())
    assert len(command.call("box-office", "unmatched", "--json").json["rows"]) == 300


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    write(tmp_path, simple(("Zephyr One", 2000, 5)))
    for arguments in (("import", "file.csv"), ("import", "file.csv", "--dry-run"), ("unmatched",)):
        ended = Ayne(tmp_path).call("box-office", *arguments)
        assert ended.code == 2
        assert "no database" in ended.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]


def test_an_import_that_fails_on_its_way_has_changed_nothing(
    command: Ayne, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(command, write_budgets(tmp_path / "budgets.csv", ROWS[:50]))
    before = content(command)

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ayne_dagster.warehouse.figure_files._note_file", failing)
    assert command.call("box-office", "import", str(write_budgets(tmp_path / "more.csv", ROWS))).code == 1
    assert content(command) == before


# the documentation


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_tells_every_command_option_layout_rule_and_role() -> None:
    group = ayne.commands["box-office"]
    assert isinstance(group, click.Group)
    for name, sub in group.commands.items():
        (usage,) = set(re.findall(rf"`ayne box-office {name} ?((?:FILE)? ?\[.*?)`", PAGE.replace("\n", " ")))
        options = {p.opts[0] for p in sub.params if isinstance(p, click.Option)}
        assert set(re.findall(r"--[a-z-]+", usage)) == options
    described = set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE))
    assert described == {p.opts[0] for p in group.commands["import"].params if isinstance(p, click.Option)}
    tables = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))
    assert tables == {*(known.name for known in KNOWN), *(rule.code for rule in Rule)}
    assert f"# {', '.join(ROLES)}" in PAGE


def test_every_example_of_the_page_runs(tmp_path: Path) -> None:
    files = re.findall(r"`(\w+\.\w+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert {name for name, _ in files} == {"figures.csv", "comparison.csv", "comparison.toml"}
    for name, text in files:
        write(tmp_path, text, name)
    command = Ayne(tmp_path)
    known = (film(1, "Amber Harbour", 2009), film(2, "The Quiet Lantern", 2010), film(3, "Bitter Orchard", 2001))
    fill(Database(command.database), (Film(1, "Amber Harbour", "", known[0].released, "tt0000001"), *known[1:]))
    lines = [shlex.split(line, comments=True) for block in fenced("sh") for line in block.splitlines()]
    ended: list[Ended] = [command.call(*words[1:]) for words in lines]
    assert len(ended) == 4
    assert [each.code for each in ended] == [0] * 4
    found = asked(command, "SELECT tmdb_id, worldwide_gross, production_budget FROM movies ORDER BY tmdb_id")
    assert found == [
        (1, Decimal(2_923_706_026), Decimal(237_000_000)),
        (2, None, Decimal(1_200_000)),
        (3, Decimal(974_755_371), None),
    ]
    assert asked(command, "SELECT count(*) FROM box_office WHERE matched_by LIKE 'imdb_id%'") == [(2,)]
    for sql in fenced("sql"):
        assert asked(command, sql)
    for block in fenced("csv"):
        assert list(csv.reader(io.StringIO(block)))
