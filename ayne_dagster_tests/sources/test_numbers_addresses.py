"""Where The Numbers may have a film, when a page is that film's, and what robots.txt lets programs ask for. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.the_numbers.robots import read_robots
from ayne_dagster.sources.the_numbers.slugs import MOST_CANDIDATES, candidate_paths
from ayne_dagster.sources.the_numbers.titles import is_same_title

NAMES = ("ayne_dagster-bot", "ayne_dagster")


@pytest.mark.parametrize(
    ("title", "year", "paths"),
    [
        ("Avatar", 2009, ["Avatar-(2009)", "Avatar", "Avatar-(2008)", "Avatar-(2010)"]),
        ("Titanic", 1997, ["Titanic", "Titanic-(1997)", "Titanic-(1996)", "Titanic-(1998)"]),
        (
            "The Dark Knight",
            2008,
            ["Dark-Knight-The", "Dark-Knight-The-(2008)", "The-Dark-Knight", "The-Dark-Knight-(2008)"],
        ),
        ("a beautiful mind", None, ["Beautiful-Mind-A", "A-Beautiful-Mind"]),
        ("Schindler's List", None, ["Schindlers-List"]),
        ("Mission: Impossible - Fallout", None, ["Mission-Impossible-Fallout"]),
        ("spider-man", None, ["Spider-Man"]),
        ("lord of the flies", None, ["Lord-of-the-Flies"]),
        ("Fast & Furious", None, ["Fast-and-Furious"]),
        ("WALL·E", None, ["WALLE"]),
        ("Face/Off", None, ["Face-Off"]),
        ("Amélie", None, ["Amelie"]),
        ("Dark Knight, The", None, ["Dark-Knight-The", "The-Dark-Knight"]),
        ("The", None, ["The"]),
        ("崖の上のポニョ", 2008, []),
        ("", 2008, []),
        ("../../etc?x#y", None, ["Etcxy"]),
    ],
)
def test_addresses_are_made_of_the_title_s_words(title: str, year: int | None, paths: list[str]) -> None:
    assert candidate_paths(title, year) == tuple(f"/movie/{path}" for path in paths)


@given(st.text(max_size=400), st.none() | st.integers(-5, 30_000))
def test_any_title_has_few_addresses_that_can_be_sent(title: str, year: int | None) -> None:
    paths = candidate_paths(title, year)
    assert len(paths) <= MOST_CANDIDATES
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert path.isascii()
        assert path.startswith("/movie/")
        assert not set(path.removeprefix("/movie/")) & set("/?#%&. ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Dark Knight", "Dark Knight, The"),
        ("Fast &amp; Furious", "fast and furious"),
        ("Amélie", "Amelie"),
        ("AmÃ©lie", "Amélie"),
        ("At Worldâ€™s End", "At World's End"),
        ("WALL-E", "Wall E"),
        ("33⅓", "33 1/3"),
        ("崖の上のポニョ", "崖の上のポニョ"),
    ],
)
def test_one_title_in_two_spellings_is_the_same(one: str, other: str) -> None:
    assert is_same_title(one, other)
    assert is_same_title(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Kill Bill: Vol. 1", "Kill Bill: Vol. 2"), ("Pride and Prejudice", "Bride and Prejudice"), ("", ""), ("…", "!")],
)
def test_titles_that_are_only_alike_or_say_nothing_are_not_the_same(one: str, other: str) -> None:
    assert not is_same_title(one, other)


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_two_titles_can_be_compared_in_either_order(one: str, other: str) -> None:
    assert is_same_title(one, other) == is_same_title(other, one)


@pytest.mark.parametrize(
    ("robots", "allowed"),
    [
        ("", True),
        ("User-agent: *\nDisallow:", True),
        ("User-agent: *\nDisallow: /", False),
        ("user-AGENT : *\r\ndisallow: /movie/  # all of them", False),
        ("User-agent: *\rDisallow: /movie", False),
        ("User-agent: *\nDisallow: movie", False),
        ("User-agent: *\nDisallow: /movies/", True),
        ("User-agent: *\nDisallow: /*", False),
        ("User-agent: *\nDisallow: /*)$", False),
        ("User-agent: *\nDisallow: /*9$", True),
        ("User-agent: *\nDisallow: /mov*(2009", False),
        ("User-agent: *\nDisallow: /movie/Avatar-%282009%29", False),
        ("User-agent: *\nDisallow: /\nAllow: /movie/", True),
        ("User-agent: *\nAllow: /\nDisallow: /movie/", False),
        ("User-agent: *\nAllow: /movie/\nDisallow: /movie/", True),
        ("User-agent: Other\nDisallow: /", True),
        ("User-agent: Other\nUser-agent: *\nDisallow: /", False),
        ("User-agent: ayne_dagster-bot/0.2\nDisallow: /\nUser-agent: *\nDisallow:", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: AYNE_DAGSTER\nDisallow:", True),
        ("User-agent: *\nDisallow: /x\nSitemap: https://x.example\nDisallow: /movie/", False),
        ("\ufeffUser-agent: *\nDisallow: /", False),
        ("Disallow: /", True),
    ],
)
def test_robots_txt_is_read_by_its_standard(robots: str, allowed: bool) -> None:
    assert read_robots(robots.encode(), NAMES).allows("/movie/Avatar-(2009)") is allowed


@pytest.mark.parametrize(
    ("robots", "seconds"),
    [
        ("User-agent: *\nCrawl-delay: 10", 10.0),
        ("User-agent: *\nCrawl-delay: 2.5\nDisallow: /x", 2.5),
        ("User-agent: *\nCrawl-delay: soon", 0.0),
        ("User-agent: *\nCrawl-delay: -1", 0.0),
        ("User-agent: *\nCrawl-delay: inf", 0.0),
        ("User-agent: other\nCrawl-delay: 10", 0.0),
    ],
)
def test_a_crawl_delay_is_read_where_it_is_a_number_of_seconds(robots: str, seconds: float) -> None:
    assert read_robots(robots.encode(), NAMES).crawl_delay == seconds


def test_a_page_in_the_place_of_robots_txt_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        read_robots(b"\n <!DOCTYPE html><html>Disallow: /", NAMES)


@given(
    st.binary(max_size=300) | st.text("*$/ab:\nUser-agent:Disallow", max_size=300).map(str.encode), st.text(max_size=40)
)
def test_any_robots_txt_says_yes_or_no(body: bytes, path: str) -> None:
    try:
        robots = read_robots(body, NAMES)
    except MalformedAnswer:
        return
    assert robots.allows(path) in (True, False)
    assert 0 <= robots.crawl_delay < float("inf")
