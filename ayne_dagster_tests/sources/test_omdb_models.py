"""OMDb's answers and errors, as received and as rows. The bodies are made up, in the shape of real ones."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceError,
    SourceUnavailable,
)
from ayne_dagster.sources.omdb.models import read_answer
from ayne_dagster.sources.omdb.normalize import is_same_imdb_id, ratings_row
from ayne_dagster.warehouse.schema import OMDB_RATINGS

from .test_json_body import BODIES, ODD_VALUES
from .test_tmdb_models import check_row

MOVIE: dict[str, Any] = {
    "Title": "The Lamp",
    "Year": "1999",
    "Rated": "R",
    "Released": "15 Oct 1999",
    "Runtime": "139 min",
    "Genre": "Drama, Thriller",
    "Director": "Dora Light",
    "Writer": "Nora Dark (novel), Will Pen (screenplay, story)",
    "Actors": "First One, Second Two",
    "Plot": "A lamp is lit.",
    "Language": "English, German",
    "Country": "United States, Germany",
    "Awards": "Won 1 Oscar.",
    "Poster": "https://example.com/lamp.jpg",
    "Ratings": [
        {"Source": "Internet Movie Database", "Value": "8.3/10"},
        {"Source": "Rotten Tomatoes", "Value": "90%"},
        {"Source": "Metacritic", "Value": "80/100"},
    ],
    "Metascore": "81",
    "imdbRating": "8.4",
    "imdbVotes": "2,757,076",
    "imdbID": "tt0200001",
    "Type": "movie",
    "DVD": "06 Jun 2000",
    "BoxOffice": "$389,804,217",
    "Production": "Lamp Films",
    "Website": "N/A",
    "Response": "True",
}


def encoded(body: object) -> bytes:
    return json.dumps(body).encode()


def row_of(body: dict[str, Any]) -> dict[str, object]:
    return ratings_row(read_answer(200, encoded(body)), 4711, "1999")


def test_a_movie_becomes_a_row_with_the_columns_of_the_table() -> None:
    row = row_of(MOVIE)
    check_row(row, OMDB_RATINGS)
    assert row == {
        "tmdb_id": 4711,
        "release_year": "1999",
        "imdb_id": "tt0200001",
        "title": "The Lamp",
        "year": 1999,
        "end_year": None,
        "type": "movie",
        "rated": "R",
        "released": date(1999, 10, 15),
        "runtime": 139,
        "genre": ["Drama", "Thriller"],
        "director": ["Dora Light"],
        "writer": "Nora Dark (novel), Will Pen (screenplay, story)",
        "actors": ["First One", "Second Two"],
        "plot": "A lamp is lit.",
        "language": ["English", "German"],
        "country": ["United States", "Germany"],
        "awards": "Won 1 Oscar.",
        "poster": "https://example.com/lamp.jpg",
        "imdb_rating": 8.4,
        "imdb_votes": 2757076,
        "metascore": 81,
        "rotten_tomatoes_rating": 90,
        "box_office": 389804217,
        "dvd": date(2000, 6, 6),
        "production": "Lamp Films",
        "website": None,
    }


@pytest.mark.parametrize("nothing", ["N/A", "", None, [], {}, "n/a "])
def test_a_movie_of_which_only_the_id_is_known_is_a_row_of_unknowns(nothing: object) -> None:
    row = row_of(dict.fromkeys(MOVIE, nothing) | {"imdbID": "tt0200001", "Response": "True"})
    check_row(row, OMDB_RATINGS)
    assert row == row_of({"imdbID": "tt0200001"})
    assert {name: value for name, value in row.items() if value is not None} == {
        "tmdb_id": 4711,
        "release_year": "1999",
        "imdb_id": "tt0200001",
    }


def test_the_ratings_list_fills_in_for_missing_scores() -> None:
    row = row_of(MOVIE | {"Metascore": "N/A", "imdbRating": "N/A"})
    assert (row["metascore"], row["imdb_rating"]) == (80, 8.3)


@pytest.mark.parametrize("answered", ["tt0200001", "tt200001", "tt000200001", "TT0200001"])
def test_the_imdb_id_is_stored_in_its_usual_form(answered: str) -> None:
    assert row_of(MOVIE | {"imdbID": answered}) == row_of(MOVIE)


def test_a_score_of_0_is_known_but_a_rating_of_0_is_not() -> None:
    ratings = [{"Source": "Rotten Tomatoes", "Value": "0%"}, {"Source": "Metacritic", "Value": "80/100"}]
    row = row_of(MOVIE | {"Ratings": ratings, "Metascore": "0", "imdbRating": "0.0"})
    assert (row["rotten_tomatoes_rating"], row["metascore"], row["imdb_rating"]) == (0, 0, None)


@pytest.mark.parametrize("year", ["2010–2014", "2010–", "2010"])
def test_the_first_year_of_a_series_counts(year: str) -> None:
    assert row_of(MOVIE | {"Year": year})["year"] == 2010


def test_numbers_where_omdb_promises_texts_are_read_too() -> None:
    row = row_of(MOVIE | {"Year": 1999, "imdbRating": 8.4, "imdbVotes": 2757076, "Metascore": 81, "Title": 1917})
    assert row == row_of(MOVIE) | {"title": "1917"}


@pytest.mark.parametrize("title", [r"Miliardi\Millions", 'The "Good" Lamp', "La\x1amp"])
def test_a_movie_in_invalid_json_is_read(title: str) -> None:
    body = json.dumps(MOVIE, separators=(",", ":")).replace('"The Lamp"', f'"{title}"').encode()
    movie = read_answer(200, body)
    assert ratings_row(movie, 4711, "1999") == row_of(MOVIE) | {"title": title.replace("\x1a", "")}


@pytest.mark.parametrize(
    ("status", "text", "raised"),
    [
        (200, "Incorrect IMDb ID.", NotFound),
        (200, "Error getting data.", NotFound),
        (200, "Movie not found!", NotFound),
        (200, "Series or episode not found!", NotFound),
        (404, "Error getting data.", NotFound),
        (401, "Invalid API key!", InvalidCredentials),
        (401, "No API key provided.", InvalidCredentials),
        (401, "Something new.", InvalidCredentials),
        (401, "Request limit reached!", QuotaExhausted),
        (401, "Daily request limit reached!", QuotaExhausted),
        (200, "Request limit reached!", QuotaExhausted),
        (200, "Something went wrong.", SourceUnavailable),
        (503, "Something new.", SourceUnavailable),
        (200, "Something new.", MalformedAnswer),
    ],
)
def test_the_text_of_an_error_says_what_to_do(status: int, text: str, raised: type[SourceError]) -> None:
    with pytest.raises(raised) as caught:
        read_answer(status, encoded({"Response": "False", "Error": text}))
    assert type(caught.value) is raised
    assert "\n" not in str(caught.value)


def test_the_id_that_omdb_could_not_convert_is_not_found_although_its_json_is_invalid() -> None:
    error = """Conversion from string "011f8539" to type 'Double' is not valid."""
    body = b'{"Response":"False","Error":"' + error.encode() + b'"}'
    with pytest.raises(NotFound):
        read_answer(200, body)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (200, MalformedAnswer),
        (404, MalformedAnswer),
        (401, InvalidCredentials),
        (403, RequestRejected),
        (429, SourceUnavailable),
        (503, SourceUnavailable),
        (522, SourceUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>error</html>", b"", b"error code: 1020", b"[]", b"{}"])
def test_without_omdbs_own_words_the_status_says_what_to_do(
    status: int, raised: type[SourceError], body: bytes
) -> None:
    with pytest.raises(raised):
        read_answer(status, body)


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"{}", b'{"Response":"False"}', b'{"Response":"True"}', b'{"imdbID":"nm1"}', b"5"],
)
def test_a_body_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        read_answer(200, body)
    assert caught.value.body == body


@pytest.mark.parametrize("template", ["Bad request apikey={}", "{} went wrong", 'Conversion from string "{}" to'])
def test_no_message_holds_the_key(template: str) -> None:
    for key in ("0123abcd", "DEADBEEF", "12345678"):
        for status in (200, 401, 503):
            with pytest.raises(SourceError) as caught:
                read_answer(status, encoded({"Response": "False", "Error": template.format(key)}))
            assert key not in f"{caught.value!r} {caught.value.__cause__!r}".split("body=")[0]


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("tt0137523", "tt0137523", True),
        ("tt0137523", "tt137523", True),
        ("tt0137523", "tt00137523", True),
        ("tt0137523", " TT0137523", True),
        ("tt0137523", "tt0137524", False),
        ("tt0137523", "tt1375230", False),
        ("tt0137523", "nm0137523", False),
        ("tt0137523", "", False),
        ("tt0137523", None, False),
        ("", "", False),
        ("", None, False),
    ],
)
def test_zero_padding_makes_no_other_imdb_id(asked: str, answered: str | None, same: bool) -> None:
    assert is_same_imdb_id(asked, answered) is same


@settings(deadline=None)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*MOVIE, "Error"), ODD_VALUES)),
    st.sampled_from([200, 200, 200, 401, 404, 503]),
)
def test_any_value_in_any_field_gives_a_storable_row_or_a_source_error(body: dict[str, Any], status: int) -> None:
    for content in (body, body | {"imdbID": "tt0200001", "Response": "True"}, MOVIE | body):
        try:
            movie = read_answer(status, encoded(content))
        except SourceError as error:
            assert len(str(error)) <= 200  # noqa: PT017
        else:
            check_row(ratings_row(movie, 4711, "1999"), OMDB_RATINGS)


@settings(deadline=None)
@given(BODIES, st.integers(100, 599))
def test_any_bytes_and_status_are_a_movie_or_a_source_error(body: bytes, status: int) -> None:
    for attempt in (body, b'{"imdbID":"tt0200001","Title":"' + body + b'","Ratings":[' + body + b"]}"):
        try:
            movie = read_answer(status, attempt)
        except SourceError:
            continue
        check_row(ratings_row(movie, 4711, "1999"), OMDB_RATINGS)
