"""What TMDB appends to a movie's details on demand: videos, translations, other titles, who streams. All invented, but
for the names of countries and languages.

Each is a function of a number, as in `words`, and of the day where it changes by itself, as offers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ayne_dagster.standin import words
from ayne_dagster.standin.population import mix

Body = dict[str, Any]

NAMES = ("videos", "translations", "alternative_titles", "watch/providers")
OFFERS_LAST_DAYS = 45
"""After so many days a movie is offered by others."""
_COUNTRIES = ("US", "GB", "DE", "FR", "JP")
COUNTRIES: tuple[Body, ...] = (
    *(
        {"iso_3166_1": code, "english_name": name, "native_name": name}
        for code, name in {each.country_code: each.country for each in words.LANGUAGES}.items()
    ),
    {"iso_3166_1": "CZ", "english_name": "Czechia", "native_name": "Czechia"},
)
"""As TMDB's configuration lists them, one of them by a name of its own."""
LANGUAGES: tuple[Body, ...] = tuple(
    {"iso_639_1": code, "english_name": name, "name": ""}
    for code, name in {each.code: each.english_name for each in words.LANGUAGES}.items()
)
_PROVIDERS = ("Lanternflix", "Harbour+", "Reel Cellar", "Meridian TV", "Kinoteka", "Orchard Video", "Magpie Play")
_KINDS = ("Teaser", "Trailer", "Clip", "Featurette")
VIDEO_LEADS = (60, 30, 0, -20)
"""Of each kind of video: the days before the release on which it comes out."""


def videos(n: int, title: str, published: Sequence[str]) -> Body:
    """The videos of a movie.

    Args:
        n: any number.
        title: of the movie.
        published: for each kind of video the day on which it came out; "" for one that has not yet.
    """
    shown = [(kind, on, mix(n, 51, k)) for k, (kind, on) in enumerate(zip(_KINDS, published, strict=True)) if on]
    results = [
        {
            "iso_639_1": "en",
            "iso_3166_1": "US",
            "name": f"{title}: {kind}",
            "key": f"{number % 2**44:011x}",
            "site": "YouTube" if number % 5 else "Vimeo",
            "size": (1080, 720, 2160)[number % 3],
            "type": kind,
            "official": number % 4 != 0,
            "published_at": f"{on}T16:00:09.000Z",
            "id": f"{number % 2**90:024x}",
        }
        for kind, on, number in shown
        if number % 3
    ]
    return {"results": results}


def translations(n: int, revision: int) -> Body:
    """The translations of a movie; some languages are listed without a text."""
    found = []
    for k, language in enumerate(words.LANGUAGES):
        if language.code == "xx" or mix(n, 52, k) % 3 == 0:
            continue
        is_empty = mix(n, 53, k) % 4 == 0
        foreign = words.foreign_title(mix(n, 54, k) % 2**40, language) if language.syllables else ""
        data = {
            "homepage": "",
            "overview": "" if is_empty else words.overview(mix(n, 55, k), revision),
            "runtime": 0,
            "tagline": "",
            "title": "" if is_empty else foreign,
        }
        found.append(
            {
                "iso_3166_1": language.country_code,
                "iso_639_1": language.code,
                "name": language.name,
                "english_name": language.english_name,
                "data": data,
            }
        )
    return {"translations": found}


def alternative_titles(n: int) -> Body:
    """Other titles of a movie; many have none."""
    number = max(0, mix(n, 56) % 6 - 2)
    titles = [
        {
            "iso_3166_1": _COUNTRIES[mix(n, 57, k) % len(_COUNTRIES)],
            "title": words.title(mix(n, 58, k) % 2**40),
            "type": "working title" if mix(n, 59, k) % 5 == 0 else "",
        }
        for k in range(number)
    ]
    return {"titles": titles}


def watch_providers(n: int, day: int) -> Body:
    """Who offers a movie on a day, by country."""
    season = (day + mix(n, 60) % OFFERS_LAST_DAYS) // OFFERS_LAST_DAYS
    results: Body = {}
    for k, country in enumerate(_COUNTRIES):
        if mix(n, 61, k) % 2:
            continue
        offers: Body = {"link": f"https://www.themoviedb.example/movie/watch?locale={country}"}
        for m, offer in enumerate(("flatrate", "rent", "buy")):
            chosen = mix(n, 62, k, m, season) % (2 * len(_PROVIDERS))
            if chosen < len(_PROVIDERS):
                offers[offer] = [_provider(chosen), _provider((chosen + 1) % len(_PROVIDERS))]
        if len(offers) > 1:
            results[country] = offers
    return {"results": results}


def _provider(n: int) -> Body:
    return {
        "logo_path": f"/provider{n}.jpg",
        "provider_id": 500 + n,
        "provider_name": _PROVIDERS[n],
        "display_priority": n,
    }
