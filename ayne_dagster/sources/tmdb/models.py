"""The shape of TMDB's answers, as received. What a value means (0 is unknown, …) is in `normalize.py`.

Fields that nothing reads are not declared: TMDB adds keys at will and all unknown ones are ignored. Everything but the
id is optional, since each field has been missing, null or "" at some time.
Reference: https://developer.themoviedb.org/reference/movie-details
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ayne_dagster.sources.json_body import LenientModel

# Strict: without it `true` and "550" would pass as ids, and an id is never guessed.
TMDBId = Annotated[int, Field(strict=True, gt=0, lt=2**63)]
StatedId = TMDBId | None
"""An id without which the rest is still of use: what is none counts as missing."""


SUB_RESOURCES = ("external_ids", "keywords", "release_dates", "credits")
"""What is appended to a movie's details."""
OPTIONAL_PARTS = {
    "videos": "videos",
    "translations": "translations",
    "alternative_titles": "alternative_titles",
    "watch_providers": "watch/providers",
}
"""What can be appended beside it, by our name: TMDB's. An answer without them is whole all the same."""


class Named(LenientModel):
    """A genre or keyword: only its name is kept."""

    name: str | None = None


class Company(LenientModel):
    """A company that produced the movie."""

    id: StatedId = None
    name: str | None = None
    origin_country: str | None = None
    logo_path: str | None = None


class Collection(LenientModel):
    """The series of films that a movie belongs to."""

    id: int | None = None
    name: str | None = None
    poster_path: str | None = None
    backdrop_path: str | None = None


class Country(LenientModel):
    """A production country."""

    iso_3166_1: str | None = None


class Language(LenientModel):
    """A spoken language."""

    iso_639_1: str | None = None


class ExternalIds(LenientModel):
    """Ids of the movie elsewhere: https://developer.themoviedb.org/reference/movie-external-ids ."""

    imdb_id: str | None = None
    wikidata_id: str | None = None


class Keywords(LenientModel):
    """The `keywords` sub-resource."""

    keywords: list[Named] | None = None


class Release(LenientModel):
    """One release in one country. Types: 1 premiere, 2 limited, 3 theatrical, 4 digital, 5 physical, 6 TV."""

    certification: str | None = None
    release_date: str | None = None
    """A timestamp such as 1993-07-08T00:00:00.000Z, unlike the movie's own date."""
    type: int | None = None
    note: str | None = None
    iso_639_1: str | None = None


class CountryReleases(LenientModel):
    """All releases in one country."""

    iso_3166_1: str | None = None
    release_dates: list[Release] | None = None


class ReleaseDates(LenientModel):
    """The `release_dates` sub-resource."""

    results: list[CountryReleases] | None = None


class Credited(LenientModel):
    """A person, and the credit that names them; `gender` is 1 female, 2 male, 3 non-binary, 0 not stated."""

    id: StatedId = None
    credit_id: str | None = None
    name: str | None = None
    gender: int | None = None
    known_for_department: str | None = None
    profile_path: str | None = None


class CastMember(Credited):
    """One actor; `order` is the billing order from 0."""

    order: int | None = None
    character: str | None = None


class CrewMember(Credited):
    """One person in one job."""

    job: str | None = None
    department: str | None = None


class Credits(LenientModel):
    """The `credits` sub-resource."""

    cast: list[CastMember] | None = None
    crew: list[CrewMember] | None = None


class Video(LenientModel):
    """A trailer, teaser or the like; `key` is its id at the site. https://developer.themoviedb.org/reference/movie-videos"""

    id: str | None = None
    iso_639_1: str | None = None
    iso_3166_1: str | None = None
    name: str | None = None
    key: str | None = None
    site: str | None = None
    size: int | None = None
    type: str | None = None
    official: bool | None = None
    published_at: str | None = None
    """A timestamp such as 2016-03-05T02:03:14.000Z."""


class Videos(LenientModel):
    """The `videos` sub-resource: without `include_video_language`, those in English."""

    results: list[Video] | None = None


class TranslatedTexts(LenientModel):
    """The texts of a translation; "" where it has none."""

    title: str | None = None
    overview: str | None = None
    tagline: str | None = None
    homepage: str | None = None
    runtime: int | None = None


class Translation(LenientModel):
    """The texts in the language of a country: https://developer.themoviedb.org/reference/movie-translations"""

    iso_3166_1: str | None = None
    iso_639_1: str | None = None
    data: TranslatedTexts | None = None


class Translations(LenientModel):
    """The `translations` sub-resource."""

    translations: list[Translation] | None = None


class AlternativeTitle(LenientModel):
    """Another title in a country: https://developer.themoviedb.org/reference/movie-alternative-titles"""

    iso_3166_1: str | None = None
    title: str | None = None
    type: str | None = None


class AlternativeTitles(LenientModel):
    """The `alternative_titles` sub-resource."""

    titles: list[AlternativeTitle] | None = None


class Provider(LenientModel):
    """Who streams, rents or sells the movie."""

    provider_id: StatedId = None
    provider_name: str | None = None
    logo_path: str | None = None


class CountryOffers(LenientModel):
    """Who offers the movie in a country, and how: https://developer.themoviedb.org/reference/movie-watch-providers"""

    flatrate: list[Provider] | None = None
    free: list[Provider] | None = None
    ads: list[Provider] | None = None
    rent: list[Provider] | None = None
    buy: list[Provider] | None = None


class WatchProviders(LenientModel):
    """The `watch/providers` sub-resource, by ISO 3166-1 code of the country."""

    results: dict[str, CountryOffers] | None = None


class MovieDetails(LenientModel):
    """`GET /movie/{id}?append_to_response=external_ids,release_dates,keywords,credits`, and `OPTIONAL_PARTS`.

    A sub-resource can be missing from an otherwise good answer: on 2026-09-16 TMDB ignored
    `append_to_response` for hours (https://github.com/Kometa-Team/Kometa/issues/3585).
    """

    id: TMDBId
    imdb_id: str | None = None
    title: str | None = None
    original_title: str | None = None
    original_language: str | None = None
    origin_country: list[str] | None = None
    overview: str | None = None
    tagline: str | None = None
    homepage: str | None = None
    status: str | None = None
    release_date: str | None = None
    runtime: int | None = None
    budget: int | None = None
    revenue: int | None = None
    popularity: float | None = None
    vote_average: float | None = None
    vote_count: int | None = None
    belongs_to_collection: Collection | None = None
    genres: list[Named] | None = None
    production_companies: list[Company] | None = None
    production_countries: list[Country] | None = None
    spoken_languages: list[Language] | None = None
    poster_path: str | None = None
    backdrop_path: str | None = None
    adult: bool | None = None
    video: bool | None = None
    softcore: bool | None = None
    external_ids: ExternalIds | None = None
    keywords: Keywords | None = None
    release_dates: ReleaseDates | None = None
    credits: Credits | None = None
    videos: Videos | None = None
    translations: Translations | None = None
    alternative_titles: AlternativeTitles | None = None
    watch_providers: WatchProviders | None = Field(default=None, alias="watch/providers")

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """The sub-resources that were asked for and did not come, or came in no usable shape."""
        return tuple(name for name in SUB_RESOURCES if getattr(self, name) is None)


class DiscoverItem(LenientModel):
    """One row of a discover page."""

    id: TMDBId
    title: str | None = None
    original_title: str | None = None
    original_language: str | None = None
    release_date: str | None = None
    overview: str | None = None
    genre_ids: list[int] | None = None
    popularity: float | None = None
    vote_average: float | None = None
    vote_count: int | None = None
    poster_path: str | None = None
    backdrop_path: str | None = None
    adult: bool | None = None
    video: bool | None = None


class DiscoverPage(LenientModel):
    """`GET /discover/movie`: at most 20 rows, raw, so that each is validated (and quarantined) by itself.

    Without `results` the body is no page: read as an empty one it would cut the listing. Rows are a page whatever is
    promised beside them; none at all are one only where that is said too.
    """

    results: list[Any]
    total_pages: Annotated[int | None, Field(ge=0)] = None
    """Not always capped at the 500 pages that can be asked for; 1 for an empty result."""
    page: int | None = None
    total_results: Annotated[int | None, Field(ge=0)] = None

    @model_validator(mode="after")
    def _is_a_page(self) -> Self:
        if not self.results and self.total_pages is None:
            raise ValueError("neither rows nor a number of pages")
        return self


class ChangedMovie(LenientModel):
    """One row of the change feed. `adult` is null in some, probably of deleted or hidden movies."""

    id: TMDBId | None = None
    adult: bool | None = None


class ChangesPage(LenientModel):
    """`GET /movie/changes`: at most 100 rows.

    Without `total_pages` it cannot be known whether a day was read as a whole: it is read again by the next run.
    """

    results: list[ChangedMovie]
    total_pages: Annotated[int, Field(ge=0)]
    page: int | None = None
    total_results: int | None = None


class ErrorBody(LenientModel):
    """An error; its `status_code` is TMDB's own number, not HTTP's.

    The numbers: https://developer.themoviedb.org/docs/errors . Until about 2023 rejected parameters came as
    `{"errors": ["…"]}`.
    """

    status_code: int | None = None
    status_message: str | None = None
    errors: list[str] | None = None
