"""Files of figures: every format, encoding and layout gives the same rows, and a bad file is refused in one line."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.sources.figure_files import reading, tables, text_tables
from ayne_dagster.sources.figure_files.errors import FigureFileError
from ayne_dagster.sources.figure_files.reading import Figure, FigureFile, read_figures
from ayne_dagster_tests.support.figure_files import (
    BUDGETS,
    Stated,
    budgets_rows,
    films,
    stated,
    table_text,
    write_budgets,
    write_budgets_parquet,
    write_opusdata,
)

ROWS = stated(films(60), vary=False)


def as_stated(found: FigureFile) -> list[tuple[Any, ...]]:
    """Title, year and amounts of each row."""
    return [
        (row.title, row.year, {(f.measure, f.scope): f.amount for f in row.figures if not f.derived})
        for row in found.rows
    ]


def expected(rows: Sequence[Stated]) -> list[tuple[Any, ...]]:
    kinds = {("production_budget", "unspecified"): "budget", ("gross", "domestic"): "domestic",
             ("gross", "worldwide"): "worldwide"}  # fmt: skip
    return [
        (row.title, row.released.year, {kind: Decimal(getattr(row, name)) for kind, name in kinds.items()
                                        if getattr(row, name)})
        for row in rows
    ]  # fmt: skip


def read_text(tmp_path: Path, text: str, name: str = "file.csv", mapping: str | None = None) -> FigureFile:
    (tmp_path / name).write_text(text, "utf-8")
    if mapping is None:
        return read_figures(tmp_path / name)
    (tmp_path / "mapping.toml").write_text(mapping, "utf-8")
    return read_figures(tmp_path / name, tmp_path / "mapping.toml")


@pytest.mark.parametrize("separator", text_tables.SEPARATORS, ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"])
def test_encoding_and_separator_are_found_out(tmp_path: Path, encoding: str, separator: str) -> None:
    found = read_figures(write_budgets(tmp_path / "b.csv", ROWS, encoding, separator))
    assert found.layout == "the_numbers_budgets"
    assert as_stated(found) == expected(ROWS)
    assert not found.refused


@pytest.mark.parametrize("typed", [True, False], ids=["decimals and dates", "texts"])
def test_parquet_tells_the_same_as_csv(tmp_path: Path, typed: bool) -> None:
    assert as_stated(read_figures(write_budgets_parquet(tmp_path / "b.parquet", ROWS, typed=typed))) == expected(ROWS)


def test_a_file_packed_with_gzip_tells_the_same_and_is_the_file_that_lies_there(tmp_path: Path) -> None:
    plain = read_figures(write_budgets(tmp_path / "b.csv", ROWS))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "b.csv").read_bytes()))
    packed = read_figures(tmp_path / "b.csv.gz")
    assert as_stated(packed) == as_stated(plain)
    assert packed.digest != plain.digest


def test_line_ends_a_word_on_the_separator_and_pages_put_together_do_no_harm(tmp_path: Path) -> None:
    text = table_text(BUDGETS, budgets_rows(ROWS), ";")
    pages = "sep=;\r" + text.replace("\r\n", "\r") + "\r\r" + text.splitlines()[0] + "\r"
    found = read_text(tmp_path, pages)
    assert as_stated(found) == expected(ROWS)


def test_a_table_that_a_spreadsheet_has_saved_has_short_years_and_plain_numbers(tmp_path: Path) -> None:
    text = (
        "id,release_date,movie,production_budget,domestic_gross,worldwide_gross\n"
        "95,31-Dec-20,Amber Harbour,150000000,0,0\n"
        "43,19-Dec-97,Bitter Worldâ\x80\x99s End,200000000,659363944,2208208395\n"
    )
    first, second = read_text(tmp_path, text).rows
    assert (first.year, [f.amount for f in first.figures]) == (2020, [150_000_000])
    assert (second.title, second.year) == ("Bitter World’s End", 1997)


def test_columns_that_seem_to_hold_figures_and_are_not_read_are_told(tmp_path: Path) -> None:
    text = "year,imdb,title,budget,domgross,intgross,domgross_2013$\n"
    text += "2013,tt1711425,21 &amp; Over,13000000,25682380,#N/A,5\n"
    found = read_text(tmp_path, text)
    assert found.layout == "bechdel"
    assert [(f.scope, f.amount) for f in found.rows[0].figures] == [
        ("unspecified", 13_000_000),
        ("domestic", 25_682_380),
    ]
    assert found.remarks == ["Not read: 'domgross_2013$'. A mapping can say what they are."]


def test_a_column_that_is_there_twice_is_told_where_it_is_read(tmp_path: Path) -> None:
    found = read_text(tmp_path, "title,year,budget,note,note,budget\nZephyr One,2000,1000000,a,b,2000000\n")
    assert [[f.amount for f in row.figures] for row in found.rows] == [[1_000_000]]
    assert found.remarks == [
        "There more than once, and read where it comes first: 'budget'. Leave the others out, or give them a name of"
        " their own."
    ]


def test_an_extract_of_five_files_has_ids_and_a_worldwide_gross_that_is_worked_out(tmp_path: Path) -> None:
    folder = write_opusdata(tmp_path / "extract", ROWS)
    found = read_figures(folder)
    assert found.layout == "opusdata_extract"
    by_number = {row.number: row for row in found.rows}
    for number, row in enumerate(ROWS, 1):
        read = by_number[number]
        assert read.imdb_id == row.film.imdb_id
        amounts = {(f.measure, f.scope): f for f in read.figures}
        worldwide = amounts.get(("gross", "worldwide"))
        if row.domestic and row.worldwide > row.domestic:
            assert worldwide == Figure("gross", "worldwide", "USD", Decimal(row.worldwide), derived=True)
        else:
            assert worldwide is None, "0 is unknown: nothing follows from one part"
    assert read_figures(folder / "movie_summary.csv").rows == found.rows
    with pytest.raises(FigureFileError, match=r"name movie_summary\.csv"):
        read_figures(folder / "movie_ratings.csv")


def test_an_extract_without_identifiers_and_the_one_file_variant_are_read_too(tmp_path: Path) -> None:
    folder = write_opusdata(tmp_path / "extract", ROWS)
    (folder / "movie_identifiers.csv").unlink()
    found = read_figures(folder)
    assert found.rows
    assert {row.imdb_id for row in found.rows} == {None}
    one = (
        "movie_name,production_year,movie_odid,production_budget,domestic_box_office,international_box_office,rating\n"
        "Amber Harbour,2007,20540100,0,500000,700000,R\n"
    )
    (row,) = read_text(tmp_path, one).rows
    assert (row.title, row.year) == ("Amber Harbour", 2007)
    assert [f.scope for f in row.figures] == ["domestic", "international", "worldwide"]


def test_a_foreign_gross_in_millions_among_others_is_suspect_and_nothing_is_added_to_it(tmp_path: Path) -> None:
    rows = "".join(f"Film {n},BV,{n}00000000.0,{n}91300000,2010\n" for n in range(1, 9))
    text = f'title,studio,domestic_gross,foreign_gross,year\nBig,BV,936700000.0,"1,131.60",2015\n{rows}'
    text += 'Fast,U,353000000.0,"1,163.0",2015\n'
    found = read_text(tmp_path, text)
    assert found.layout == "box_office_mojo_gross"
    big, fast = (row for row in found.rows if row.title in ("Big", "Fast"))
    for row in (big, fast):
        assert [(f.scope, f.suspect is not None) for f in row.figures] == [("domestic", False), ("international", True)]
    assert [f.scope for f in found.rows[1].figures] == ["domestic", "international", "worldwide"]
    text = 'title,studio,domestic_gross,foreign_gross,year\nFast,U,353000000.0,"1,163.0",2015\n'
    (alone,) = read_text(tmp_path, text).rows
    assert [f.scope for f in alone.figures] == ["domestic", "international"], "nor where there are no others"


def test_a_yearly_table_takes_its_year_from_the_name_of_the_file(tmp_path: Path) -> None:
    text = 'Rank,Release Group,Worldwide,Domestic,%,Foreign,%\n1,Amber Harbour,"$900","$500",55%,-,<0.1%\n'
    (row,) = read_text(tmp_path, text, "2019.csv").rows
    assert row.year == 2019
    assert {f.scope: f.amount for f in row.figures} == {"worldwide": 900, "domestic": 500}
    (row,) = read_text(tmp_path, text, "worldwide.csv").rows
    assert row.year is None


def test_a_simple_table_may_have_ids_currency_and_day(tmp_path: Path) -> None:
    text = (
        "TMDB ID,Title,Year,Worldwide Gross,Opening Weekend,Budget,Currency,As of\n"
        "603,Amber,1999,467000000,27000000,63000000,,2024-05-01\n"
        "604,Bitter,2003,1200000,,,EUR,\n605,Crimson,2003,1200000,,,gold,\n"
    )
    first, second, third = read_text(tmp_path, text).rows
    assert (first.tmdb_id, first.as_of) == (603, date(2024, 5, 1))
    assert [(f.measure, f.scope) for f in first.figures] == [
        ("gross", "worldwide"), ("opening_weekend", "domestic"), ("production_budget", "unspecified"),
    ]  # fmt: skip
    assert [f.currency for f in (first.figures[0], second.figures[0], third.figures[0])] == ["USD", "EUR", "XXX"]


MAPPING = """
name = "bechdel"
[columns]
title = "title"
year = "year"
imdb_id = "imdb"
[[figures]]
column = "domgross"
measure = "gross"
scope = "domestic"
[[figures]]
column = "uk"
measure = "gross"
scope = "GB"
currency = "GBP"
unit = 1000000
"""
MAPPED = "year,imdb,title,domgross,uk\n2013,tt1711425,21 &amp; Over,25682380,1.5\n2012,tt1343727,Dredd,#N/A,2 million\n"


def test_a_mapping_says_what_the_columns_are(tmp_path: Path) -> None:
    found = read_text(tmp_path, MAPPED, mapping=MAPPING)
    assert found.layout == "bechdel"
    assert [(row.title, row.imdb_id) for row in found.rows] == [("21 & Over", "tt1711425"), ("Dredd", "tt1343727")]
    assert found.rows[0].figures == (
        Figure("gross", "domestic", "USD", Decimal(25_682_380)),
        Figure("gross", "GB", "GBP", Decimal(1_500_000)),
    )
    assert [f.amount for f in found.rows[1].figures] == [2_000_000], "what is in words is in no other unit"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[columns]", "[columns", "at line 3"),
        ('"year"', '"jahr"', "no column 'jahr'"),
        ('"GB"', '"Britain"', "figures[2].scope"),
        ('scope = "GB"\n', "", "figures[2].scope is missing"),
        ('measure = "gross"\nscope = "GB"', 'measure = "profit"', "figures[2].measure"),
        ("unit = 1000000", "unit = 10", "figures[2].unit"),
        ('"GBP"', '"pounds"', "figures[2].currency"),
        ("unit =", "units =", "is unit meant"),
        ("imdb_id =", "imdb =", "is imdb_id meant"),
        ('title = "title"', "title = 5", "columns.title"),
        ('name = "bechdel"', 'name = "Bechdel; DROP"', "name must be"),
        ('name = "bechdel"', 'encoding = "utf-9"', "encoding must be"),
        ('name = "bechdel"', 'encoding = "zip"', "encoding must be"),
        ('name = "bechdel"', "year = 12", "year must be"),
        ('name = "bechdel"', 'separator = "#"', "separator must be"),
    ],
)
def test_an_error_in_a_mapping_is_told_by_line_or_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in MAPPING
    with pytest.raises(FigureFileError) as refused:
        read_text(tmp_path, MAPPED, mapping=MAPPING.replace(old, new, 1))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_mapping_needs_something_that_tells_the_movie_and_a_figure(tmp_path: Path) -> None:
    with pytest.raises(FigureFileError, match="title, imdb_id or tmdb_id"):
        read_text(tmp_path, MAPPED, mapping=MAPPING.replace('title = "title"', "").replace('imdb_id = "imdb"', ""))
    with pytest.raises(FigureFileError, match=r"\[\[figures\]\]"):
        read_text(tmp_path, MAPPED, mapping=MAPPING.partition("[[figures]]")[0])


def test_cells_and_rows_of_no_use_are_refused_with_the_reason_and_the_rest_is_used(tmp_path: Path) -> None:
    good = "".join(f'{n},"Dec 9, 2022",Film {n},"$1,000,000",$0,"$5,000,000"\n' for n in range(3, 9))
    text = ",".join(BUDGETS) + '\n1,"Dec 9, 2022",Amber,"(1,234)","$5",$9\n2,"Dec 9, 2022",,$1,$2,$3\nx,y\n' + good
    found = read_text(tmp_path, text)
    assert [(refused.row, refused.reason) for refused in found.refused] == [
        (1, "production_budget: '(1,234)' is negative"),
        (2, "has neither title nor id"),
        (3, "has 2 cells for 6 columns"),
    ]
    assert [f.scope for f in found.rows[0].figures] == ["domestic", "worldwide"]
    assert [row.number for row in found.rows] == [1, *range(4, 10)]


def test_rows_that_repeat_each_other_and_rows_without_a_figure_are_counted(tmp_path: Path) -> None:
    rows = [
        *budgets_rows(ROWS),
        *[(7, *row[1:]) for row in budgets_rows(ROWS[:10])],
        (1, "2009", "Empty", "$0", "", "-"),
    ]
    found = read_text(tmp_path, table_text(BUDGETS, rows))
    assert (found.read, found.repeated, found.without_figures) == (71, 10, 1)
    assert [row.number for row in found.rows] == list(range(1, 61))


def test_grosses_that_look_like_millions_as_a_whole_are_remarked(tmp_path: Path) -> None:
    text = "title,year,worldwide_gross\n" + "".join(f"Film {n},2010,{n}.5\n" for n in range(1, 30))
    (remark,) = read_text(tmp_path, text).remarks
    assert "unit" in remark


def _parquet(columns: dict[str, Any]) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


WHOLE = _parquet({"title": ["Amber"] * 500, "year": list(range(500)), "worldwide_gross": list(range(1, 501))})
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "blank": (b"\n \r\n\t", "empty"),
    "zeros": (b"\x00" * 5000, "empty"),
    "binary": (bytes(range(256)) * 20, "no text"),
    "spreadsheet": (b"PK\x03\x04" + b"\x14" * 100, "save it as CSV"),
    "old spreadsheet": (b"\xd0\xcf\x11\xe0" + b"\x00" * 100, "save it as CSV"),
    "pdf": (b"%PDF-1.7 ...", "PDF"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:6edf\nsize 312461\n", "git lfs pull"),
    "sqlite": (b"SQLite format 3\x00....", "SQLite"),
    "duckdb": (b"\x00" * 8 + b"DUCK" + b"\x01" * 50, "DuckDB"),
    "html": (b"<!DOCTYPE html><table><tr><td>a,b</td></tr></table>", "HTML"),
    "json": (b'[{"title": "Amber", "year": 1}]', "JSON"),
    "cut gzip": (gzip.compress(b"a,b\n" * 9999)[:-20], "cut off"),
    "no gzip": (b"\x1f\x8b\x08 no gzip at all", "damaged"),
    "cut parquet": (WHOLE[:-200], "damaged Parquet"),
    "holed parquet": (WHOLE[:40] + b"\xff" * 200 + WHOLE[240:], "damaged Parquet"),
    "no parquet": (b"PAR1" + b"nothing" * 50, "damaged Parquet"),
    "one column": (b"title\nAmber\nBitter\n", "no table"),
    "prose": (b"Dear all, these are the figures\nthat I have found.\n", "layouts that are known"),
    "other columns": (b"a,b,c\n1,2,3\n", "'a', 'b', 'c'"),
    "names alone": (b"title,year,worldwide_gross\n", "no row"),
    "long line": (b"title,year,worldwide_gross\n" + b"x" * 200_000, "a line of 200,000"),
    "open quote": (b'title,year,worldwide_gross\n"Amber,1999,5\n' + b"Bitter,1999,6\n" * 999, "not closed"),
    "no figure": (b"title,year,worldwide_gross\nAmber,1999,n/a\n", "no figure"),
    "words for money": (b"title,year,worldwide_gross\n" + b"Amber,1999,much\n" * 50, "holds no money"),
    "shifted": (b"title,year,worldwide_gross\n" + b"Amber,1999,5,6\n" * 50, "cannot be used"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, told = BAD_FILES[name]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FigureFileError) as refused:
        read_figures(tmp_path / "file")
    assert told in str(refused.value)
    assert str(refused.value).isprintable()
    assert refused.value.exit_code == 2


def test_what_is_no_file_is_refused_without_being_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, told in (
        (tmp_path / "pipe", "no file but"),
        (tmp_path, "movie_summary.csv"),
        (tmp_path / "none", "No such file"),
        (Path("/dev/null"), "no file but"),
    ):
        with pytest.raises(FigureFileError, match=told):
            read_figures(path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_budgets(tmp_path / "b.csv", ROWS)
    parquet = write_budgets_parquet(tmp_path / "b.parquet", ROWS, typed=True)
    monkeypatch.setattr(text_tables, "MOST_ROWS", 10)
    with pytest.raises(FigureFileError, match="more than 10 rows"):
        read_figures(path)
    monkeypatch.setattr("ayne_dagster.sources.figure_files.parquet_tables.MOST_ROWS", 10)
    with pytest.raises(FigureFileError, match="60 rows"):
        read_figures(parquet)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"a" * 2**20))
    monkeypatch.setattr(tables, "MOST_BYTES", 2**11)
    with pytest.raises(FigureFileError, match="unpacks to more"):
        read_figures(tmp_path / "bomb.gz")
    with pytest.raises(FigureFileError, match="larger than"):
        read_figures(path)


@given(
    st.binary(max_size=400),
    st.sampled_from((b"", b"title,year,worldwide_gross\n", b"PAR1", b"\xef\xbb\xbf", b"\xff\xfe")),
)
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(start + content)
    try:
        found = read_figures(path)
    except FigureFileError:
        return
    assert found.read >= len(found.rows)


def test_a_share_of_refused_rows_is_borne_and_more_is_another_file(tmp_path: Path) -> None:
    def rows(bad: int) -> str:
        return "title,year,worldwide_gross\n" + "Amber,1999,5\n" * (100 - bad) + "only this\n" * bad

    assert read_text(tmp_path, rows(40)).read == 100
    with pytest.raises(FigureFileError, match="60 of the 100 rows"):
        read_text(tmp_path, rows(60))
    assert reading.MOST_REFUSED == 0.5
