"""One movie as the JSON bodies of TMDB and OMDb on a given day. No listings, no HTTP, no calendar of changes.

A body is a function of the movie's number, the day, and the changes up to that day. The shapes follow the
recorded
answers: keys, types, and how unknown values are written.
"""

from __future__ import annotations

import random
from base64 import b64encode
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from ayne_dagster.standin import parts, words
from ayne_dagster.standin.population import NO_DATE, Population, mix

Body = dict[str, Any]
Revisions = dict[str, int]
"""How often each field has changed so far."""

SUB_RESOURCES = ("external_ids", "keywords", "release_dates", "credits", *parts.NAMES)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CERTIFICATIONS = ("G", "PG", "PG-13", "PG-13", "R", "R", "NC-17", "NR")
_RATED = {"NC-17": "NC-17", "NR": "Not Rated"}
_DEPARTMENTS = {
    "Director": "Directing",
    "Screenplay": "Writing",
    "Novel": "Writing",
    "Producer": "Production",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What stays the same about a movie."""

    title: str
    original_title: str
    language: words.Language
    genres: tuple[tuple[int, str], ...]
    text: int
    runtime: int
    budget: int
    revenue: int
    domestic_share: float
    companies: tuple[int, ...]
    cast: tuple[int, ...]
    directors: tuple[int, ...]
    writers: tuple[int, ...]
    producers: tuple[int, ...]
    collection: int | None
    has_homepage: bool
    has_tagline: bool
    backdrop: bool
    certification: str
    vote_average: float
    imdb_rating: int | None
    """Tenths of a point; None for a movie with too few votes."""
    metascore: int | None
    rotten: int | None
    wins: int
    nominations: int


class BodyWriter:
    """Writes the bodies of a population's movies.

    Args:
        population: the movies.
        epoch: the date of day 0.
    """

    def __init__(self, population: Population, epoch: date) -> None:
        self._movies, self._epoch = population, epoch.toordinal()
        self.facts = lru_cache(maxsize=4_096)(self._facts)

    def iso(self, day: int) -> str:
        """A day as TMDB writes it: YYYY-MM-DD, or "" for NO_DATE."""
        return "" if day == NO_DATE else date.fromordinal(self._epoch + day).isoformat()

    def listing_row(self, i: int, day: int) -> Body:
        """The movie as a row of a discover page."""
        revisions = self._revisions(i, "tmdb", day)
        row = self._common(i, day, revisions)
        row["genre_ids"] = [] if self._movies.oddity(i) == "genres_empty" else [g for g, _ in self.facts(i).genres]
        return row

    def details(self, i: int, day: int, append: frozenset[str]) -> Body:
        """The movie's details with the appended sub-resources (unknown names are ignored)."""
        movies, facts, oddity = self._movies, self.facts(i), self._movies.oddity(i)
        revisions = self._revisions(i, "tmdb", day)
        status = movies.status_on(i, day)
        count = revisions.get
        body = self._common(i, day, revisions)
        body["belongs_to_collection"] = _collection(facts)
        body["budget"] = facts.budget + 250_000 * count("budget", 0)
        body["genres"] = [] if oddity == "genres_empty" else [{"id": g, "name": name} for g, name in facts.genres]
        slug = "".join(c if c.isalnum() else "-" for c in facts.title.lower())
        site = count("homepage", 0)
        body["homepage"] = f"https://{slug}.example/{site}" if facts.has_homepage or site else ""
        body["imdb_id"] = self._imdb_on(i, day, oddity)
        body["origin_country"] = [facts.language.country_code]
        body["production_companies"] = [_company(c, facts) for c in facts.companies]
        body["production_countries"] = [{"iso_3166_1": facts.language.country_code, "name": facts.language.country}]
        out = status == "Released"
        body["revenue"] = _raised(facts.revenue, count("revenue", 0)) if out else 0
        body["runtime"] = self._runtime(facts, status, count("runtime", 0), oddity)
        body["spoken_languages"] = [_spoken(facts.language)]
        body["status"] = status
        lines = count("tagline", 0)
        body["tagline"] = words.tagline(facts.text, lines) if facts.has_tagline or lines else ""
        self._make_odd(body, oddity, revisions)
        for name in append:
            if name in SUB_RESOURCES:
                body[name] = self.sub_resource(i, day, name)
        return body

    def sub_resource(self, i: int, day: int, name: str) -> Body:
        """One of SUB_RESOURCES, as it is appended: without the movie's id."""
        facts = self.facts(i)
        if name == "external_ids":
            wikidata = f"Q{self.item_number(i)}" if self.names_item(i) else None
            imdb = self._imdb_on(i, day, None)
            return {
                "imdb_id": imdb,
                "wikidata_id": wikidata,
                "facebook_id": None,
                "instagram_id": None,
                "twitter_id": None,
            }
        if name == "keywords":
            revision = self._revisions(i, "tmdb", day).get("keywords", 0)
            return {"keywords": [{"id": k, "name": word} for k, word in words.keywords(facts.text, revision)]}
        if name == "credits":
            return _credits(facts)
        if name == "release_dates":
            return {"results": self._release_dates(facts, self._movies.release_on(i, day))}
        return self._appended(i, day, name, facts)

    def _appended(self, i: int, day: int, name: str, facts: Facts) -> Body:
        """One of `parts.NAMES`."""
        if name == "videos":
            published = [self._published(i, day, lead) for lead in parts.VIDEO_LEADS]
            return parts.videos(facts.text, facts.title, published)
        if name == "translations":
            return parts.translations(facts.text, self._revisions(i, "tmdb", day).get("overview", 0))
        if name == "alternative_titles":
            return parts.alternative_titles(facts.text)
        return parts.watch_providers(facts.text, day)

    def _published(self, i: int, day: int, lead: int) -> str:
        """The day on which a video came out, so many days before the release; "" where it has not."""
        release = self._movies.release_on(i, day)
        return "" if release == NO_DATE or release - lead > day else self.iso(release - lead)

    def names_item(self, i: int) -> bool:
        """Whether TMDB names an item of Wikidata's for the movie."""
        return self.facts(i).text % 3 != 0

    def item_number(self, i: int) -> int:
        """The number of the item that it names, where it names one."""
        return mix(self._movies.seed, 41, i) % 130_000_000

    def omdb(self, i: int, day: int) -> Body:
        """The movie as OMDb has it; all values are strings."""
        movies, facts, oddity = self._movies, self.facts(i), self._movies.oddity(i)
        revisions = self._revisions(i, "omdb", day)
        release = movies.release_on(i, day)
        out = release == NO_DATE or release <= day
        mistaken = movies.mistaken.get(i)
        body = self._omdb_texts(
            *((facts, release) if mistaken is None else (self.facts(mistaken), movies.release[mistaken])), revisions
        )
        if oddity == "omdb_not_available":
            body.update(dict.fromkeys(("Plot", "Awards", "Rated", "Genre", "Writer", "Runtime"), "N/A"))
            if "plot" in revisions:
                body["Plot"] = words.overview(facts.text, revisions["plot"])
            if "awards" in revisions:
                body["Awards"] = _awards(facts, revisions["awards"])
        bare = oddity == "omdb_not_available"
        ratings = _ratings(facts, revisions, bare) if out else (None, None, None)
        body["Ratings"] = _rating_list(*ratings)
        votes = self._imdb_votes(i, day)
        body["Metascore"] = "N/A" if ratings[2] is None else str(ratings[2])
        body["imdbRating"] = "N/A" if ratings[0] is None else f"{ratings[0] / 10:.1f}"
        body["imdbVotes"] = "N/A" if ratings[0] is None else f"{votes:,}"
        body["imdbID"] = movies.imdb_id(i)
        body["Type"] = "series" if oddity == "omdb_year_range" else "movie"
        body["DVD"] = "N/A"
        gross = _domestic(facts, revisions.get("box_office", 0), oddity, bare) if out else None
        body["BoxOffice"] = gross if gross is not None else "N/A"
        body["Production"] = body["Website"] = "N/A"
        body["Response"] = "True"
        if oddity == "omdb_missing_keys":
            _drop(
                body,
                {"BoxOffice": "box_office", "Metascore": "metascore", "DVD": "", "Production": ""},
                revisions,
            )
        return body

    def export_row(self, i: int, day: int) -> Body:
        """The movie as a line of TMDB's daily ID export."""
        return {
            "adult": False,
            "id": self._movies.tmdb_ids[i],
            "original_title": self.facts(i).original_title,
            "popularity": self._movies.popularity_on(i, day),
            "video": False,
        }

    def imdb(self, i: int, day: int) -> tuple[float, int] | None:
        """IMDb's rating and number of votes, as OMDb's body has them; None with fewer than five, as in IMDb's file."""
        movies = self._movies
        release = movies.release_on(i, day)
        if release != NO_DATE and release > day:
            return None
        bare = movies.oddity(i) == "omdb_not_available"
        rating = _ratings(self.facts(i), self._revisions(i, "omdb", day), bare)[0]
        votes = self._imdb_votes(i, day)
        return None if rating is None or votes < 5 else (rating / 10, votes)

    # Pieces of TMDB's bodies

    def _facts(self, i: int) -> Facts:
        movies = self._movies
        rng = random.Random(mix(movies.seed, 40, i))
        number, uniform = rng.getrandbits, rng.random
        language = words.LANGUAGES[int(uniform() ** 2.2 * len(words.LANGUAGES))]
        title = words.title(number(40))
        known = uniform() < 0.55
        budget = int(10 ** (5.5 + 2.6 * uniform())) // 1000 * 1000 if known else 0
        revenue = int(budget * 10 ** (1.8 * uniform() - 0.7))
        people = max(60, movies.size)
        quality = uniform()
        return Facts(
            title=title,
            original_title=words.foreign_title(number(40), language) if language.syllables else title,
            language=language,
            genres=tuple(dict.fromkeys(rng.choices(words.GENRES, k=1 + number(30) % 3))),
            text=number(48),
            runtime=72 + int(95 * uniform() ** 1.7),
            budget=budget,
            revenue=revenue,
            domestic_share=0.2 + 0.6 * uniform(),
            companies=tuple(number(16) % 168 for _ in range(number(8) % 4)),
            cast=tuple(dict.fromkeys(_person(uniform(), people) for _ in range(5 + number(8) % 8))),
            directors=tuple(dict.fromkeys(_person(uniform(), people) for _ in range(2 if number(3) == 0 else 1))),
            writers=tuple(dict.fromkeys(_person(uniform(), people) for _ in range(1 + number(8) % 3))),
            producers=(_person(uniform(), people),),
            collection=number(20) if uniform() < 0.18 else None,
            has_homepage=uniform() < 0.35,
            has_tagline=uniform() < 0.6,
            backdrop=uniform() < 0.93,
            certification=_CERTIFICATIONS[number(3)],
            vote_average=round(4.2 + 4.0 * quality, 3),
            imdb_rating=35 + int(42 * quality) + number(8) % 7 if movies.appeal[i] >= 8 else None,
            metascore=18 + int(56 * quality) + number(8) % 14 if uniform() < 0.45 else None,
            rotten=8 + int(65 * quality) + number(8) % 16 if uniform() < 0.5 else None,
            wins=int(12 * uniform() ** 6),
            nominations=int(30 * uniform() ** 5),
        )

    def _revisions(self, i: int, source: Any, day: int) -> Revisions:
        return {change.field: change.revision for change in self._movies.changes(i, source, day)}

    def _common(self, i: int, day: int, revisions: Revisions) -> Body:
        """The keys that a listing and the details share."""
        movies, facts, oddity = self._movies, self.facts(i), self._movies.oddity(i)
        count = movies.votes_on(i, day)
        plot = revisions.get("overview", 0)
        overview: str | None = words.overview(facts.text, plot)
        if not plot and oddity == "overview_null":
            overview = None
        elif not plot and oddity == "overview_empty":
            overview = ""
        body: Body = {
            "adult": False,
            "backdrop_path": _image(mix(movies.seed, 42, i)) if facts.backdrop else None,
            "id": movies.tmdb_ids[i],
            "original_language": facts.language.code,
            "original_title": facts.original_title,
            "overview": overview,
            "popularity": movies.popularity_on(i, day),
            "poster_path": _image(mix(movies.seed, 43, i, revisions.get("poster_path", 0))),
            "release_date": self.iso(movies.release_on(i, day)),
            "title": facts.title,
            "video": False,
            "vote_average": round(facts.vote_average + ((i * 13 + day) % 21 - 10) * 0.003, 3) if count else 0,
            "vote_count": count,
        }
        if oddity == "extra_keys":
            body["softcore"] = False
            body["internal_rank"] = {"weekly": i % 100}
        return body

    def _imdb_on(self, i: int, day: int, oddity: str | None) -> str | None:
        if oddity == "imdb_id_empty":
            return ""
        return self._movies.imdb_id(i) if self._movies.late_imdb.get(i, day) <= day else None

    def _runtime(self, facts: Facts, status: str, revision: int, oddity: str | None) -> int | None:
        if not revision and oddity in ("runtime_null", "runtime_zero"):
            return None if oddity == "runtime_null" else 0
        known = revision or status in ("Released", "Post Production")
        return facts.runtime + revision if known else 0

    def _make_odd(self, body: Body, oddity: str | None, revisions: Revisions) -> None:
        if oddity == "no_origin_country":
            del body["origin_country"]
        elif oddity == "missing_keys":
            _drop(body, {"tagline": "tagline", "homepage": "homepage", "belongs_to_collection": ""}, revisions)

    def _release_dates(self, facts: Facts, release: int) -> list[Body]:
        if release == NO_DATE:
            return []
        countries = dict.fromkeys(("US", facts.language.country_code, "GB"))
        out = []
        for k, country in enumerate(countries):
            entries = []
            # The listing's date is the earliest one anywhere: the country of origin has it, others follow.
            first = release if country == facts.language.country_code else release + 7 * (k + 1)
            for kind, day in ((1, first), (3, first + 2), (4, first + 95)):
                if kind != 1 or facts.text % 4 == 0:
                    entries.append(
                        {
                            "certification": facts.certification if country == "US" and kind == 3 else "",
                            "descriptors": [],
                            "iso_639_1": "",
                            "note": "",
                            "release_date": f"{self.iso(day)}T00:00:00.000Z",
                            "type": kind,
                        }
                    )
            out.append({"iso_3166_1": country, "release_dates": entries})
        return out

    # Pieces of OMDb's bodies

    def _imdb_votes(self, i: int, day: int) -> int:
        many = 1_200_000 if self._movies.oddity(i) == "omdb_huge_numbers" else 0
        return self._movies.votes_on(i, day) * 9 // 4 + day % 3 + many

    def _omdb_texts(self, facts: Facts, release: int, revisions: Revisions) -> Body:
        released = date.fromordinal(self._epoch + release) if release != NO_DATE else None
        return {
            "Title": facts.title,
            "Year": str(released.year) if released else "N/A",
            "Rated": _RATED.get(facts.certification, facts.certification),
            "Released": _english_date(released) if released else "N/A",
            "Runtime": f"{facts.runtime} min",
            "Genre": ", ".join("Sci-Fi" if name == "Science Fiction" else name for _, name in facts.genres),
            "Director": ", ".join(map(_name, facts.directors)),
            "Writer": ", ".join(map(_name, facts.writers)),
            "Actors": ", ".join(map(_name, facts.cast[:3])),
            "Plot": words.overview(facts.text, revisions.get("plot", 0)),
            "Language": facts.language.english_name.replace("No Language", "None"),
            "Country": facts.language.country.replace(" of America", ""),
            "Awards": _awards(facts, revisions.get("awards", 0)),
            "Poster": "N/A" if facts.text % 5 == 0 else f"https://images.example/{facts.text:012x}.jpg",
        }


def _person(u: float, people: int) -> int:
    """A person's number: few of them play in many movies."""
    return 1_000 + int(people * u**2.5)


def _image(n: int) -> str:
    return f"/{b64encode(n.to_bytes(8, 'big'), b'xY')[:11].decode()}.jpg"


def _collection(facts: Facts) -> Body | None:
    n = facts.collection
    if n is None:
        return None
    return {
        "id": 10_000 + n,
        "name": f"{words.title(n * 8)} Collection",
        "poster_path": _image(mix(n, 1)),
        "backdrop_path": _image(mix(n, 2)) if n % 5 else None,
    }


def _company(n: int, facts: Facts) -> Body:
    return {
        "id": 300 + n,
        "logo_path": _image(mix(n, 3)) if n % 2 else None,
        "name": words.company_name(n),
        "origin_country": facts.language.country_code if n % 7 else "",
    }


def _spoken(language: words.Language) -> Body:
    return {"english_name": language.english_name, "iso_639_1": language.code, "name": language.name}


def _raised(amount: int, revision: int) -> int:
    """An amount after some revisions: each is larger than the last, and an unknown one becomes known."""
    return amount + revision * (amount // 40 + 125_000)


def _credits(facts: Facts) -> Body:
    cast = [_member(n) | _role(n, k) for k, n in enumerate(facts.cast)]
    crew = [
        _member(n) | {"credit_id": f"{mix(n, 5):024x}", "department": _DEPARTMENTS[job], "job": job}
        for job, people in (
            ("Director", facts.directors),
            ("Screenplay", facts.writers[:2]),
            ("Novel", facts.writers[2:]),
            ("Producer", facts.producers),
        )
        for n in people
    ]
    return {"cast": cast, "crew": crew}


@lru_cache(maxsize=16_384)
def _member(n: int) -> Body:
    name = words.person_name(mix(n, 6))
    return {
        "adult": False,
        "gender": n % 4,
        "id": n,
        "known_for_department": "Acting",
        "name": name,
        "original_name": name,
        "popularity": round(n % 997 / 101, 3),
        "profile_path": _image(mix(n, 7)) if n % 3 else None,
    }


def _name(n: int) -> str:
    return str(_member(n)["name"])


def _role(n: int, order: int) -> Body:
    character = words.FIRST_NAMES[(n + order * 17) % len(words.FIRST_NAMES)]
    return {
        "cast_id": order + 1,
        "character": character,
        "credit_id": f"{n * 64 + order:024x}",
        "order": order,
    }


def _english_date(day: date) -> str:
    return f"{day.day:02d} {_MONTHS[day.month - 1]} {day.year}"


def _awards(facts: Facts, revision: int) -> str:
    wins, nominations = facts.wins + revision // 2, facts.nominations + revision
    if not nominations:
        return "N/A"
    text = f"{nominations} nomination{'s' if nominations > 1 else ''}"
    if wins:
        text = f"{wins} win{'s' if wins > 1 else ''} & {text} total"
    return f"Won 1 {words.AWARD_NAMES[facts.text % 4]}. {text}" if wins > 5 else text


def _zigzag(revision: int, width: int) -> int:
    """0, 1, … width, width - 1, … 0, 1 …: neighbours always differ."""
    k = revision % (2 * width)
    return k if k <= width else 2 * width - k


def _ratings(facts: Facts, revisions: Revisions, bare: bool) -> tuple[int | None, int | None, int | None]:
    """IMDb's rating in tenths, Rotten Tomatoes' per cent, Metascore; each None when unknown."""
    out: list[int | None] = []
    for base, field, default in (
        (facts.imdb_rating, "imdb_rating", 55),
        (facts.rotten, "rotten", 48),
        (facts.metascore, "metascore", 51),
    ):
        revision = revisions.get(field, 0)
        known = revision or (base is not None and not bare)
        out.append((base if base is not None else default) + _zigzag(revision, 10) if known else None)
    return out[0], out[1], out[2]


def _rating_list(imdb: int | None, rotten: int | None, metascore: int | None) -> list[dict[str, str]]:
    out = []
    if imdb is not None:
        out.append({"Source": "Internet Movie Database", "Value": f"{imdb / 10:.1f}/10"})
    if rotten is not None:
        out.append({"Source": "Rotten Tomatoes", "Value": f"{rotten}%"})
    if metascore is not None:
        out.append({"Source": "Metacritic", "Value": f"{metascore}/100"})
    return out


def _domestic(facts: Facts, revision: int, oddity: str | None, bare: bool) -> str | None:
    """US and Canada gross as OMDb writes it; None when unknown."""
    if not revision and (bare or not facts.revenue or facts.text % 3 == 0):
        return None
    gross = _raised(int(facts.revenue * facts.domestic_share), revision)
    if oddity == "omdb_huge_numbers":
        gross += 2**31
    if oddity == "omdb_short_box_office" and not revision:
        return f"${gross / 1e6:.1f}M"
    return f"${gross:,}"


def _drop(body: Body, keys: dict[str, str], revisions: Revisions) -> None:
    """Remove keys, but for those whose field (the value) has changed: a change must show."""
    for key, field in keys.items():
        if field not in revisions:
            body.pop(key, None)
