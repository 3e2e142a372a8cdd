"""The shape of OMDb's answers, and which of them are errors. What a value means is in `normalize.py`.

OMDb reports most errors with HTTP 200 and different ones with the same 401, so that only the text tells what
to do. No HTTP here, and no message quotes what could hold the API key. Reference: https://www.omdbapi.com/
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    RequestRejected,
    SourceError,
    SourceUnavailable,
)
from ayne_dagster.sources.json_body import LenientModel, validate_json
from ayne_dagster.sources.values import omdb_text, quoted

Text = Annotated[str | None, BeforeValidator(omdb_text)]
"""A text as OMDb writes every value, numbers included; "N/A" and what is no text are None."""

MAX_QUOTED_CHARS = 80

_IMDB_ID = re.compile(r"tt[0-9]{1,10}", re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b[0-9a-fA-F]{8}\b")


class Rating(LenientModel):
    """One entry of `Ratings`, such as "Rotten Tomatoes" and "90%"."""

    source: Text = Field(default=None, alias="Source")
    value: Text = Field(default=None, alias="Value")


class OMDbMovie(LenientModel):
    """The answer to `?i=<IMDb id>`; series and old answers lack some keys, BoxOffice among them."""

    response: Text = Field(default=None, alias="Response")
    error: Text = Field(default=None, alias="Error")
    imdb_id: Text = Field(default=None, alias="imdbID")
    title: Text = Field(default=None, alias="Title")
    year: Text = Field(default=None, alias="Year")
    type: Text = Field(default=None, alias="Type")
    rated: Text = Field(default=None, alias="Rated")
    released: Text = Field(default=None, alias="Released")
    runtime: Text = Field(default=None, alias="Runtime")
    genre: Text = Field(default=None, alias="Genre")
    director: Text = Field(default=None, alias="Director")
    writer: Text = Field(default=None, alias="Writer")
    actors: Text = Field(default=None, alias="Actors")
    plot: Text = Field(default=None, alias="Plot")
    language: Text = Field(default=None, alias="Language")
    country: Text = Field(default=None, alias="Country")
    awards: Text = Field(default=None, alias="Awards")
    poster: Text = Field(default=None, alias="Poster")
    ratings: list[Rating] | None = Field(default=None, alias="Ratings")
    metascore: Text = Field(default=None, alias="Metascore")
    imdb_rating: Text = Field(default=None, alias="imdbRating")
    imdb_votes: Text = Field(default=None, alias="imdbVotes")
    box_office: Text = Field(default=None, alias="BoxOffice")
    dvd: Text = Field(default=None, alias="DVD")
    production: Text = Field(default=None, alias="Production")
    website: Text = Field(default=None, alias="Website")


def read_answer(status: int, body: bytes) -> OMDbMovie:
    """The movie that OMDb answered with.

    The text of an error counts for more than its HTTP status: "Invalid API key!" and "Request limit reached!"
    are both 401. Where there is no readable text, the status decides.

    Args:
        status: HTTP status of the answer.
        body: its body, as received.

    Raises:
        NotFound: OMDb has no such id, or cannot build its entry (ask again in weeks).
        InvalidCredentials: no key, or one that OMDb does not accept.
        QuotaExhausted: the key's daily requests are used up.
        SourceUnavailable: OMDb or the CDN before it is down, or slows us down.
        RequestRejected: another 4xx without a text of OMDb's, such as the CDN's 403.
        MalformedAnswer: anything else that is not a movie.
    """
    try:
        movie = validate_json(OMDbMovie, body)
    except MalformedAnswer as error:
        raise _error_of_status(status) or error from None
    if movie.error is not None:
        raise _error_of_text(movie.error) or _error_of_status(status) or _unknown_error(movie.error, body)
    if refusal := _error_of_status(status):
        raise refusal
    if (movie.response or "").lower() == "false":
        raise MalformedAnswer("OMDb reports an error without saying which", body)
    if not _IMDB_ID.fullmatch(movie.imdb_id or ""):
        raise MalformedAnswer("OMDbMovie imdbID: missing or no IMDb id", body)
    return movie


def _error_of_text(error: str) -> SourceError | None:
    """The error that OMDb's words stand for; there is no list of them but the issues of omdbapi/OMDb-API."""
    words = error.lower()
    # An id that is no number: "Conversion from string "011f8539" to type 'Double' is not valid." (issue 239).
    if words.startswith(("incorrect imdb id", "error getting data", "conversion from string")):
        return NotFound(f"OMDb has no such movie: {_quoted(error)}")
    if "not found" in words:
        return NotFound(f"OMDb has no such movie: {_quoted(error)}")
    if "limit reached" in words:
        return QuotaExhausted("OMDb's daily requests for this key are used up")
    if "api key" in words:
        return InvalidCredentials("OMDb does not accept the API key: set OMDB_API_KEY to one activated by OMDb's mail")
    if words.startswith("something went wrong"):
        return SourceUnavailable("OMDb says that something went wrong")
    return None


def _error_of_status(status: int) -> SourceError | None:
    """The error that an HTTP status stands for, whatever the body is: Cloudflare answers in HTML."""
    if status == 401:
        return InvalidCredentials("OMDb refused access (HTTP 401): check OMDB_API_KEY")
    if status == 429 or status >= 500:
        return SourceUnavailable(f"OMDb is unavailable (HTTP {status})")
    if status >= 400 and status != 404:
        return RequestRejected(f"OMDb rejected the request (HTTP {status})")
    return None


def _unknown_error(error: str, body: bytes) -> MalformedAnswer:
    return MalformedAnswer(f"unknown OMDb error: {_quoted(error)}", body)


def _quoted(error: str) -> str:
    """The text in one short line, without anything that looks like an OMDb key (eight hexadecimal digits)."""
    return _KEY_LIKE.sub("…", quoted(error, len(error)))[:MAX_QUOTED_CHARS]
