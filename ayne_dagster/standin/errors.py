"""The error answers of the sources: status, code and words. Nothing that decides when they are due."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ayne_dagster.standin.catalogue import dump


class Answer(NamedTuple):
    """An HTTP answer before it is sent."""

    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"
    retry_after: float | None = None
    location: str | None = None
    """Where a redirect leads."""


_TEXT = "text/plain;charset=utf-8"
_TMDB_BY_STATUS = {
    400: (47, "The input is not valid."),
    401: (7, "Invalid API key: You must be granted a valid key."),
    403: (3, "Authentication failed: You do not have permissions to access the service."),
    404: (34, "The resource you requested could not be found."),
    405: (42, "This request method is not supported for this resource."),
    422: (5, "Invalid parameters: Your request parameters are incorrect."),
    429: (25, "Your request count (41) is over the allowed limit of 40."),
    500: (11, "Internal error: Something went wrong, contact TMDb."),
    502: (43, "Couldn't connect to the backend server."),
    503: (9, "Service offline: This service is temporarily offline, try again later."),
    504: (24, "Your request to the backend server timed out. Try again."),
}
_OMDB_BY_STATUS = {
    200: "Something went wrong.",
    401: "Request limit reached!",
    404: "Movie not found!",
    429: "Too many requests.",
}


def tmdb_error(status: int, code: int | None = None, message: str | None = None) -> Answer:
    """TMDB's error with an HTTP status; code and text default to what belongs to the status."""
    usual_code, usual_message = _TMDB_BY_STATUS.get(status, (11, "Internal error: Something went wrong, contact TMDb."))
    body = {
        "success": False,
        "status_code": usual_code if code is None else code,
        "status_message": usual_message if message is None else message,
    }
    return Answer(status, dump(body))


def omdb_error(status: int, message: str | None = None) -> Answer:
    """OMDb's error with an HTTP status; the text defaults to what belongs to the status."""
    text = _OMDB_BY_STATUS.get(status, "Something went wrong.") if message is None else message
    return Answer(status, dump({"Response": "False", "Error": text}))


def wikidata_error(status: int, message: str | None = None, retry_after: float | None = None) -> Answer:
    """What Wikidata's query service says with an HTTP status: pages and traces, never JSON."""
    if status == 429:
        seconds = f"{retry_after:g}" if retry_after is not None else "60"
        return _jetty(429, message or f"Too Many Requests - Please retry in {seconds} seconds.")
    if status in (400, 500):
        named = "MalformedQueryException" if status == 400 else "QueryTimeoutException"
        trace = f"java.util.concurrent.ExecutionException: {named}: {message or 'see the query'}"
        text = f"SPARQL-QUERY: queryStr=SELECT ...\n{trace}\n\tat java.lang.Thread.run(Thread.java:750)\n"
        return Answer(status, text.encode(), _TEXT)
    return html_page(status)


def banned(until: datetime) -> Answer:
    """What it answers to everything, once somebody has been refused often enough."""
    return _jetty(403, f"You have been banned until {until.isoformat()}, please respect throttling.")


def robot_policy(status: int = 403) -> Answer:
    """The line that it has for those who do not say who they are; with 200 it was seen, too."""
    line = "Please set a user-agent and respect our robot policy https://w.wiki/4wJS. See also T400119.\n"
    return Answer(status, line.encode(), _TEXT)


def _jetty(status: int, title: str) -> Answer:
    page = f"<html><head><title>Error {status} {title}</title></head><body><h2>HTTP ERROR {status}</h2></body></html>\n"
    return Answer(status, page.encode(), "text/html;charset=iso-8859-1")


def source_error(source: str, status: int, message: str | None = None, retry_after: float | None = None) -> Answer:
    """The error of a source with an HTTP status."""
    if source == "wikidata":
        return wikidata_error(status, message, retry_after)
    if source == "the_numbers":
        return html_page(status)
    return tmdb_error(status, message=message) if source == "tmdb" else omdb_error(status, message)


def rejected(message: str | None = None) -> Answer:
    """TMDB's error of rejected parameters until about 2023: a list of texts, without a code."""
    return Answer(422, dump({"errors": [message or "page must be less than or equal to 500"]}))


def html_page(status: int) -> Answer:
    """What a gateway in front of the API shows when the API does not answer."""
    head = f"<!DOCTYPE html><html><head><title>{status}</title></head>"
    text = f"{head}<body><h1>Error {status}</h1></body></html>\n"
    return Answer(status, text.encode(), "text/html; charset=UTF-8")


INVALID_PAGE = tmdb_error(400, 22, "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer.")
INVALID_DATE = tmdb_error(400, 23, "Invalid date: Needs to be in the format YYYY-MM-DD.")
SPAN_TOO_LONG = tmdb_error(422, 20, "Invalid date range: Should be a range no longer than 14 days.")
TOO_MANY_APPENDED = tmdb_error(
    400, 27, "Too many append to response objects: The maximum number of remote calls is 20."
)
NOT_FOUND = tmdb_error(404)
UNAUTHORIZED = tmdb_error(401)
OMDB_NO_KEY = omdb_error(401, "No API key provided.")
OMDB_INVALID_KEY = omdb_error(401, "Invalid API key!")
OMDB_LIMIT = omdb_error(401, "Request limit reached!")
OMDB_INCORRECT_ID = omdb_error(200, "Incorrect IMDb ID.")
OMDB_NOT_HELD = omdb_error(200, "Error getting data.")
OMDB_NO_SEARCH = omdb_error(200, "Movie not found!")
