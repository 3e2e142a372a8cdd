"""What the sources say to a request: paths, parameters, keys, limits. No sockets, no faults, no clock.

Parameters that are not known here are ignored, as at the real APIs; so are discover's filters other than
release date, year and least number of votes.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import random
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from ayne_dagster.standin import errors, parts
from ayne_dagster.standin.bodies import SUB_RESOURCES, Body
from ayne_dagster.standin.catalogue import DEFAULT_SORT, Catalogue, dump
from ayne_dagster.standin.errors import Answer
from ayne_dagster.standin.numbers_pages import MOVIES, ROBOTS
from ayne_dagster.standin.sparql import read_question, write_result

MAX_PAGE = 500
MAX_APPENDED = 20
MAX_SPAN_DAYS = 14
CHANGES_PER_PAGE = 100
_CACHED_BODIES = 2_048
_CACHED_FILES = 4
EXPORTS_KEPT_DAYS = 90
EXPORTS_READY_HOUR = 8
"""UTC; before it the day's ID export is not there."""
EXPORT_PATH = "/p/exports/movie_ids_{date}.json.gz"
"""`{date}` is MM_DD_YYYY."""
IMDB_PATH = "/imdb/title.ratings.tsv.gz"
SPARQL_PATH = "/sparql"
ROBOTS_PATH = "/robots.txt"
LONGEST_BY_GET = 7_000
"""Characters of a query in an address; a longer one is asked by POST."""

_CONFIGURATION = {
    "change_keys": [
        *(
            "adult",
            "alternative_titles",
            "biography",
            "budget",
            "cast",
            "character_names",
            "crew",
            "general",
            "genres",
        ),
        *(
            "homepage",
            "images",
            "imdb_id",
            "languages",
            "name",
            "original_title",
            "overview",
            "plot_keywords",
        ),
        *(
            "production_companies",
            "release_dates",
            "revenue",
            "runtime",
            "status",
            "tagline",
            "title",
            "videos",
        ),
    ],
    "images": {
        "base_url": "http://image.example/t/p/",
        "secure_base_url": "https://image.example/t/p/",
        "backdrop_sizes": ["w300", "w780", "w1280", "original"],
        "logo_sizes": ["w45", "w92", "w154", "w185", "w300", "w500", "original"],
        "poster_sizes": ["w92", "w154", "w185", "w342", "w500", "w780", "original"],
        "profile_sizes": ["w45", "w185", "h632", "original"],
        "still_sizes": ["w92", "w185", "w300", "original"],
    },
}
_WELL_KNOWN = {
    "tt0137523": dump(
        {
            "Title": "Fight Club",
            "Year": "1999",
            "Released": "15 Oct 1999",
            "Ratings": [],
            "imdbID": "tt0137523",
            "Type": "movie",
            "Response": "True",
        }
    )
}
"""A title outside the catalogue that whoever asks whether OMDb works at all may ask for."""
_NO_SUCH_FILE = Answer(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
"""As object stores say of what they do not have to whom may not list it."""
_EXPORT = re.compile(r"/p/exports/movie_ids_(\d\d)_(\d\d)_(\d{4})\.json\.gz")
_MOVIE = re.compile(r"/3/movie/(?:(tt\d{1,12})|(\d{1,18})(?!\d)[^/]*)(?:/([a-z_]+(?:/providers)?))?/?")
_LIBRARY = re.compile(
    r"$|(python-|python/|httpx|aiohttp|curl|wget|okhttp|java|go-http-client|libwww|mozilla)", re.IGNORECASE
)
"""User-Agents of nobody in particular."""
_WITH_CONTACT = re.compile(r"[^()]+\((mailto:)?[^()\s]+(@|://)[^()\s]+\).*")
_ENDPOINTS = {
    "/3/discover/movie": "discover",
    "/3/movie/changes": "changes",
    "/3/movie/latest": "latest",
    "/3/configuration": "configuration",
    "/3/configuration/countries": "countries",
    "/3/configuration/languages": "languages",
}


class Request(NamedTuple):
    """A request to one of the APIs."""

    source: str
    """The API, "tmdb", "omdb", "wikidata" or "the_numbers"; "files" for the files that are published daily."""
    endpoint: str
    """What is asked for: "details", a sub-resource's name, "discover", "changes", …, "omdb" or "unknown"."""
    movie: str | None
    """The movie id that is asked for; the day of an ID export, as YYYY-MM-DD; the end of a page's address."""
    key: str
    """The API key or token; empty when there is none."""
    query: Mapping[str, str]
    """The parameters of the query, and the fields of a form."""
    agent: str = ""
    """The User-Agent."""


def parse(
    path: str, query: Mapping[str, str], authorization: str, *, agent: str = "", method: str = "GET"
) -> Request | None:
    """The request behind a URL path; None when the path belongs to no API and is no daily file.

    Args:
        path: begins with /3/ for TMDB or /movie/ for The Numbers, or is /omdb, /omdb/, /sparql or /robots.txt; or that
            of a daily file.
        query: the query's parameters, and the fields of a form.
        authorization: the header's value, or "".
        agent: the User-Agent, or "".
        method: of HTTP.
    """
    if path == SPARQL_PATH:
        return Request("wikidata", "sparql" if method == "POST" else "sparql_by_get", None, "", query, agent)
    if path.startswith("/3/"):
        scheme, _, token = authorization.partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
        key = key or query.get("api_key", "")
        endpoint = _ENDPOINTS.get(path.rstrip("/"))
        if endpoint is not None:
            return Request("tmdb", endpoint, None, key, query)
        match = _MOVIE.fullmatch(path)
        if match is None:
            return Request("tmdb", "unknown", None, key, query)
        imdb_id, number, part = match.groups()
        return Request("tmdb", part or "details", imdb_id or number, key, query)
    if path in ("/omdb", "/omdb/"):
        return Request("omdb", "omdb", query.get("i"), query.get("apikey", ""), query)
    if path == ROBOTS_PATH:
        return Request("the_numbers", "robots", None, "", query, agent)
    if path.startswith(MOVIES):
        return Request("the_numbers", "page", path.removeprefix(MOVIES), "", query, agent)
    if path == IMDB_PATH:
        return Request("files", "imdb_ratings", None, "", query)
    if match := _EXPORT.fullmatch(path):
        return Request("files", "id_export", "{2}-{0}-{1}".format(*match.groups()), "", query)
    return None


def key_digest(key: str) -> str:
    """The first eight hexadecimal digits of the key's SHA-256: tells keys apart and gives none away."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


class TokenBucket:
    """A limit of `rate` requests a second with bursts of `burst`; a rate of 0 is no limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, max(1, burst)
        self._tokens, self._last = float(self._burst), -math.inf

    def take(self, moment: float) -> float:
        """Take a token; 0 when there was one, else the seconds until there is one.

        Args:
            moment: seconds on a clock that never runs back.
        """
        if self._rate <= 0:
            return 0.0
        if self._last > -math.inf:
            self._tokens = min(float(self._burst), self._tokens + (moment - self._last) * self._rate)
        self._last = moment
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


class Answers:
    """Answers requests from a catalogue.

    Args:
        catalogue: what there is to tell.
        tmdb_requests_per_second: above this rate TMDB answers 429; 0 for no limit.
        tmdb_burst: how many requests may come at once.
        omdb_daily_quota: OMDb's requests a key and day of `now`; 0 for no limit.
        wikidata_most_keys: a query for more keys runs into Wikidata's time limit; 0 for none does.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        tmdb_requests_per_second: float = 0.0,
        tmdb_burst: int = 40,
        omdb_daily_quota: int = 0,
        wikidata_most_keys: int = 0,
    ) -> None:
        self._catalogue = catalogue
        self._bucket = TokenBucket(tmdb_requests_per_second, tmdb_burst)
        self._quota = omdb_daily_quota
        self._most_keys = wikidata_most_keys
        self._shuffle = random.Random(catalogue.seed)
        self._spent: dict[str, tuple[date, int]] = {}
        self._details: OrderedDict[tuple[str, date, str], bytes] = OrderedDict()
        self._files: OrderedDict[tuple[str, date], bytes] = OrderedDict()

    def answer(self, request: Request, now: datetime, moment: float) -> Answer:
        """The answer to a request.

        Args:
            request: the request.
            now: the instant (UTC) whose data is told.
            moment: seconds on a clock that never runs back, for the rate limit.
        """
        if request.source == "files":
            return self._file(request, now)
        if request.source == "wikidata":
            return self._wikidata(request, now)
        if request.source == "the_numbers":
            return self._numbers(request, now)
        return self._omdb(request, now) if request.source == "omdb" else self._tmdb(request, now, moment)

    def neighbour(self, request: Request, now: datetime) -> Request:
        """The same request for another movie, where there is one."""
        movie = request.movie
        if movie is None:
            return request
        if request.source == "the_numbers":
            return request._replace(movie=self._catalogue.numbers_neighbour(movie, now))
        own = self._tmdb_id(movie, now)
        for tmdb_id in self._catalogue.ids(now):
            if tmdb_id == own:
                continue
            if request.source == "tmdb":
                return request._replace(movie=str(tmdb_id))
            imdb_id = self._catalogue.imdb_id_of(tmdb_id)
            if imdb_id not in (None, movie) and self._catalogue.omdb(imdb_id or "", now) is not None:
                return request._replace(movie=imdb_id)
        return request

    def _tmdb(self, request: Request, now: datetime, moment: float) -> Answer:
        wait = self._bucket.take(moment)
        if wait > 0:
            return errors.tmdb_error(429)._replace(retry_after=math.ceil(wait))
        if not request.key or request.key.startswith("invalid"):
            return errors.UNAUTHORIZED
        if request.endpoint == "details":
            return self._tmdb_details(request, now)
        if request.endpoint == "discover":
            return self._tmdb_discover(request.query, now)
        if request.endpoint == "changes":
            return self._tmdb_changes(request.query, now)
        if request.endpoint == "configuration":
            return Answer(200, dump(_CONFIGURATION))
        if request.endpoint in ("countries", "languages"):
            return Answer(200, dump(list(parts.COUNTRIES if request.endpoint == "countries" else parts.LANGUAGES)))
        if request.endpoint == "latest":
            latest = self._catalogue.latest_id(now)
            return _found(None if latest is None else self._catalogue.details(latest, now))
        if request.endpoint in SUB_RESOURCES and request.movie is not None:
            tmdb_id = self._tmdb_id(request.movie, now)
            return _found(None if tmdb_id is None else self._catalogue.sub_resource(tmdb_id, now, request.endpoint))
        return errors.NOT_FOUND

    def _tmdb_id(self, movie: str, now: datetime) -> int | None:
        if movie.isascii() and movie.isdigit():
            return int(movie)
        return self._catalogue.tmdb_id_of(movie, now)

    def _tmdb_details(self, request: Request, now: datetime) -> Answer:
        append, movie = request.query.get("append_to_response", ""), request.movie or ""
        key = (movie, now.date(), append)
        body = self._details.get(key)
        if body is not None:
            self._details.move_to_end(key)
            return Answer(200, body)
        names = append.split(",") if append else []
        if len(names) > MAX_APPENDED:
            return errors.TOO_MANY_APPENDED
        tmdb_id = self._tmdb_id(movie, now)
        found = None if tmdb_id is None else self._catalogue.details(tmdb_id, now, frozenset(names))
        if found is None:
            return errors.NOT_FOUND
        body = self._details[key] = dump(found)
        if len(self._details) > _CACHED_BODIES:
            self._details.popitem(last=False)
        return Answer(200, body)

    def _tmdb_discover(self, query: Mapping[str, str], now: datetime) -> Answer:
        page = _page(query)
        if page is None:
            return errors.INVALID_PAGE
        try:
            start = _date(query.get("primary_release_date.gte") or query.get("release_date.gte"))
            end = _date(query.get("primary_release_date.lte") or query.get("release_date.lte"))
            year = query.get("primary_release_year") or query.get("year")
            if year:
                start = max(start or date.min, date(int(year), 1, 1))
                end = min(end or date.max, date(int(year), 12, 31))
        except ValueError:
            return errors.INVALID_DATE
        votes = query.get("vote_count.gte", "")
        found = self._catalogue.discover(
            now,
            start=start,
            end=end,
            min_votes=int(float(votes)) if re.fullmatch(r"\d+(\.\d*)?", votes) else 0,
            sort_by=query.get("sort_by", DEFAULT_SORT),
            page=page,
        )
        return Answer(200, dump(found))

    def _tmdb_changes(self, query: Mapping[str, str], now: datetime) -> Answer:
        page = _page(query)
        if page is None:
            return errors.INVALID_PAGE
        try:
            start, end = _date(query.get("start_date")), _date(query.get("end_date"))
        except ValueError:
            return errors.INVALID_DATE
        end = end or (now.date() if start is None else min(start + timedelta(days=1), now.date()))
        start = start or end - timedelta(days=1)
        if (end - start).days > MAX_SPAN_DAYS:
            return errors.SPAN_TOO_LONG
        changed = self._catalogue.changed_ids(start, end, now)
        rows = changed[(page - 1) * CHANGES_PER_PAGE : page * CHANGES_PER_PAGE]
        # What has been deleted since is named with a null, as the feed does with what it no longer shows.
        results = [{"id": n, "adult": False if self._catalogue.exists(n, now) else None} for n in rows]
        pages = max(1, -(-len(changed) // CHANGES_PER_PAGE))
        body = {"results": results, "page": page, "total_pages": pages, "total_results": len(changed)}
        return Answer(200, dump(body))

    def _file(self, request: Request, now: datetime) -> Answer:
        """A daily file, gzipped: kept, since it takes a second to make of a large catalogue."""
        today = now.date()
        day = today
        if request.endpoint == "id_export":
            try:
                day = date.fromisoformat(request.movie or "")
            except ValueError:
                return _NO_SUCH_FILE
            newest = today if now.hour >= EXPORTS_READY_HOUR else today - timedelta(days=1)
            if not today - timedelta(days=EXPORTS_KEPT_DAYS) <= day <= newest:
                return _NO_SUCH_FILE
        body = self._files.get((request.endpoint, day))
        if body is None:
            make = self._catalogue.id_export if request.endpoint == "id_export" else self._catalogue.imdb_ratings
            body = self._files[request.endpoint, day] = gzip.compress(make(day), 6, mtime=0)
            if len(self._files) > _CACHED_FILES:
                self._files.popitem(last=False)
        return Answer(200, body, "application/gzip")

    def _wikidata(self, request: Request, now: datetime) -> Answer:
        if _LIBRARY.match(request.agent) or not _WITH_CONTACT.fullmatch(request.agent):
            return errors.robot_policy()
        text = request.query.get("query", "")
        if request.endpoint == "sparql_by_get" and len(text) > LONGEST_BY_GET:
            return errors.html_page(414)
        keys = read_question(text)
        if keys is None:
            return errors.wikidata_error(400, "Encountered an unknown query")
        if 0 < self._most_keys < keys.number:
            return errors.wikidata_error(500)
        found = self._catalogue.items(*keys, now)
        return Answer(200, write_result(found, self._shuffle), "application/sparql-results+json;charset=utf-8")

    def _numbers(self, request: Request, now: datetime) -> Answer:
        """A page, for programs too if they say whom to reach; for others the site has none."""
        if request.endpoint == "robots":
            return Answer(200, ROBOTS, "text/plain")
        if not _WITH_CONTACT.fullmatch(request.agent):
            return errors.html_page(403)
        slug = request.movie or ""
        page = self._catalogue.numbers_page(slug, now)
        if page is not None:
            return Answer(200, page, "text/html; charset=UTF-8")
        target = self._catalogue.numbers_moved_to(slug, now)
        moved = errors.html_page(404 if target is None else 301)
        return moved._replace(location=None if target is None else f"{MOVIES}{target}")

    def _omdb(self, request: Request, now: datetime) -> Answer:
        if not request.key:
            return errors.OMDB_NO_KEY
        if request.key.startswith("invalid"):
            return errors.OMDB_INVALID_KEY
        if not self._spend(key_digest(request.key), now.date()):
            return errors.OMDB_LIMIT
        if request.movie is None and ("s" in request.query or "t" in request.query):
            return errors.OMDB_NO_SEARCH
        if request.movie is None or not re.fullmatch(r"tt\d{7,8}", request.movie):
            return errors.OMDB_INCORRECT_ID
        text = self._catalogue.omdb_text(request.movie, now) or _WELL_KNOWN.get(request.movie)
        return errors.OMDB_NOT_HELD if text is None else Answer(200, text, "application/json; charset=utf-8")

    def _spend(self, key: str, today: date) -> bool:
        """Take one request from the key's quota; False when the day's quota is used up."""
        if self._quota <= 0:
            return True
        day, spent = self._spent.get(key, (today, 0))
        spent = spent if day == today else 0
        if spent >= self._quota:
            return False
        self._spent[key] = (today, spent + 1)
        return True


def empty_page(request: Request) -> Answer:
    """A listing without rows."""
    page = _page(request.query) or 1
    return Answer(200, dump({"page": page, "results": [], "total_pages": 1, "total_results": 0}))


def utc(moment: datetime) -> datetime:
    """The instant in UTC; one without a time zone is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _found(body: Body | None) -> Answer:
    return errors.NOT_FOUND if body is None else Answer(200, dump(body))


def _page(query: Mapping[str, str]) -> int | None:
    """The page that is asked for, 1 by default; None when it is not a number from 1 to MAX_PAGE."""
    text = query.get("page", "1")
    page = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return page if 1 <= page <= MAX_PAGE else None


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text[:10]) if text else None
