"""The key of a title: what spellings of one title share, and titles of two movies do not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ayne_dagster.warehouse.matching.keys import number_tokens, title_key


@pytest.mark.parametrize(
    "spellings",
    [
        ("The Godfather", "Godfather, The", "godfather", "THE GODFATHER", "  The   Godfather "),
        ("A Beautiful Mind", "Beautiful Mind, A", "Beautiful Mind"),
        ("An Education", "Education, An"),
        ("The A-Team", "A-Team, The"),
        ("Rocky II", "Rocky 2", "Rocky Ⅱ"),
        ("Saw VIII", "Saw 8"),
        ("Final Fantasy XIV", "Final Fantasy 14"),
        ("Naked Gun 33⅓: The Final Insult", "Naked Gun 33 1/3: The Final Insult"),
        ("Alien³", "Alien 3"),
        ("Ocean's Eleven", "Ocean’s Eleven", "Oceans Eleven"),
        ("Schindler's List", "Schindlers List", "Schindler`s List", "SCHINDLERʼS LIST"),
        ("Lilo & Stitch", "Lilo and Stitch", "Lilo ＆ Stitch"),
        ("Æon Flux", "Aeon Flux"),
        ("Amélie", "Amelie", "Ame\u0301lie"),
        ("Die Straße", "Die Strasse"),
        ("Łódź", "Lodz"),
        ("WALL·E", "WALL-E"),
        ("Mission: Impossible – Fallout", "Mission Impossible - Fallout"),
        ("千と千尋の神隠し", " 千と千尋の神隠し "),
        ("КИНО", "Кино", "кино"),
        ("Ｆｕｌｌ Width", "Full Width"),
    ],
    ids=lambda spellings: spellings[0],
)
def test_spellings_of_one_title_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({title_key(title) for title in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rocky II", "Rocky III"),
        ("Rocky", "Rocky II"),
        ("The A-Team", "Team"),
        ("The The", "The"),
        ("La La Land", "Land"),
        ("I, Robot", "1, Robot"),
        ("Кино", "Kino"),
        ("他", "她"),
        ("$", "★"),
        ("हिन्दी", "हिन्दू"),
        ("Kill Bill: Vol. 1", "Kill Bill: Vol. 2"),
        ("Pride and Prejudice", "Bride and Prejudice"),
        ("Se7en", "Seven"),
    ],
)
def test_titles_of_two_movies_have_two(one: str, other: str) -> None:
    assert title_key(one) != title_key(other)


def test_what_has_neither_letter_nor_digit_is_its_own_key() -> None:
    assert (title_key("$"), title_key(" … "), title_key("")) == ("$", "…", "")


def test_numbers_are_told_whatever_their_numerals() -> None:
    assert number_tokens(title_key("Apollo 13: Part II, 33⅓")) == ("13", "2", "33", "1", "3")


@given(st.text())
@example("the the the")
@example("A, The, An")
@example("İstanbul ﷺ ㎏ ᄀ'ᅡ")
@example("1⅓⅓")
@example("x, a, the")
def test_the_key_of_a_key_is_the_key(title: str) -> None:
    key = title_key(title)
    assert title_key(key) == key
    assert key == " ".join(key.split())
    assert bool(key) == bool(title.strip()), "only a blank title has none"


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_blanks_case_and_the_way_of_composing_do_not_matter(title: str) -> None:
    assert title_key(f"  {title.upper()} ") == title_key(title)
