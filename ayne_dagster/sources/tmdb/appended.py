"""From TMDB's details to what is appended where it is asked for: videos, translations, other titles, who streams.

Rows as columns, by table, as in `entities`: one bad item costs that item alone, and numbers and lengths are bounded.
How they are stored is in `warehouse.appended`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from ayne_dagster.sources.tmdb.entities import Columns, Entities, Reader, code, columns_of, path, short_text
from ayne_dagster.sources.tmdb.models import CountryOffers, MovieDetails, Provider
from ayne_dagster.sources.values import INTEGER_MAX, iso_date, positive_int, text

MOST_VIDEOS = 2_000
MOST_TRANSLATIONS = 500
"""Translations of a movie; TMDB knows about 190 languages, some of them for several countries."""
MOST_TITLES = 1_000
MOST_OFFERS = 10_000
"""Offers of a movie; real ones have below 3,000, in some 100 countries."""
OFFERS = ("flatrate", "free", "ads", "rent", "buy")
"""How a movie can be had: in a subscription, for nothing, with advertisements, for rent, to own."""

_VIDEOS = (
    *("video_id", "name", "type", "site", "site_key", "official", "size", "language", "country", "published_on"),
)
_TRANSLATIONS = ("language", "country", "title", "tagline", "overview", "homepage", "runtime")
_TITLES = ("country", "title", "type")
_WATCH_PROVIDERS = ("provider_id", "country", "offer")
_PROVIDERS = ("provider_id", "name", "logo_path")


def appending(entities: Reader, wanted: Collection[str]) -> Reader:
    """Reads what `entities` does, and of the appended parts those that are wanted, whatever the answer holds."""
    if not wanted:
        return entities

    def read(movie: MovieDetails) -> Entities | None:
        found = dict(entities(movie) or {})
        for name in wanted:
            found |= _READERS[name](movie)
        return found or None

    return read


def _videos(movie: MovieDetails) -> Entities:
    return _told("videos", columns_of(_VIDEOS, _video_rows(movie), MOST_VIDEOS, key=0))


def _translations(movie: MovieDetails) -> Entities:
    rows = _translation_rows(movie)
    return _told("translations", columns_of(_TRANSLATIONS, rows, MOST_TRANSLATIONS, key=slice(0, 2)))


def _alternative_titles(movie: MovieDetails) -> Entities:
    return _told("alternative_titles", columns_of(_TITLES, _title_rows(movie), MOST_TITLES))


def _watch_providers(movie: MovieDetails) -> Entities:
    providers = columns_of(_PROVIDERS, _provider_rows(movie), MOST_OFFERS, key=0)
    known = frozenset(providers.get("provider_id", ()))  # where there is no room for a provider, none for its offers
    offers = columns_of(_WATCH_PROVIDERS, (row for row in _offer_rows(movie) if row[0] in known), MOST_OFFERS)
    return {**_told("watch_providers", offers), **_told("providers", providers)}


def _told(table: str, columns: Columns) -> Entities:
    """A table that something is told of; one with nothing in it is not known, and left out."""
    return {table: columns} if columns else {}


_READERS: dict[str, Callable[[MovieDetails], Entities]] = {
    "videos": _videos,
    "translations": _translations,
    "alternative_titles": _alternative_titles,
    "watch_providers": _watch_providers,
}
"""By table: reads a part."""


def _video_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    for video in (movie.videos and movie.videos.results) or ():
        video_id, site_key = short_text(video.id), short_text(video.key)
        if video_id is not None:
            yield (
                *(video_id, short_text(video.name), short_text(video.type), short_text(video.site), site_key),
                *(video.official, positive_int(video.size, INTEGER_MAX)),
                *(code(video.iso_639_1), code(video.iso_3166_1), iso_date(video.published_at)),
            )


def _translation_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    """Translations that have a text: TMDB lists languages with none, too."""
    for translation in (movie.translations and movie.translations.translations) or ():
        language, country, told = code(translation.iso_639_1), code(translation.iso_3166_1), translation.data
        if language is None or country is None or told is None:
            continue
        overview = None if told.overview is None else text(told.overview)
        texts = (short_text(told.title), short_text(told.tagline), overview, path(told.homepage))
        runtime = positive_int(told.runtime, INTEGER_MAX)
        if any(texts) or runtime:
            yield language, country, *texts, runtime


def _title_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    for other in (movie.alternative_titles and movie.alternative_titles.titles) or ():
        if title := short_text(other.title):
            yield code(other.iso_3166_1), title, short_text(other.type)


def _offers(movie: MovieDetails) -> Iterator[tuple[str, str, Provider]]:
    """Country, way and provider of each offer."""
    countries = (movie.watch_providers and movie.watch_providers.results) or {}
    for name, offers in countries.items():
        country = code(name)
        if country is not None:
            yield from ((country, offer, p) for offer in OFFERS for p in _of(offers, offer) if p.provider_id)


def _of(offers: CountryOffers, offer: str) -> list[Provider]:
    return getattr(offers, offer) or []


def _offer_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    return ((provider.provider_id, country, offer) for country, offer, provider in _offers(movie))


def _provider_rows(movie: MovieDetails) -> Iterator[tuple[Any, ...]]:
    return ((p.provider_id, short_text(p.provider_name), path(p.logo_path)) for _, _, p in _offers(movie))
