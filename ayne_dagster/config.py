"""Every setting: its environment variable, default, unit and check, in one place. Nothing here acts on a setting.

A `.env` file in the working directory is read too; the environment wins over it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from ayne_dagster.errors import SettingsError
from ayne_dagster.settings.apis import (
    NUMBERS_DEFAULTS,
    OMDB_DEFAULTS,
    TMDB_DEFAULTS,
    WIKIDATA_DEFAULTS,
    ApiSettings,
)
from ayne_dagster.settings.clock import Clock, Fast, read_fast
from ayne_dagster.settings.lake import PREFIX, S3, LakePlace, read_lake
from ayne_dagster.settings.places import LEDGER, WORLD, companion, expanded, resolve_database
from ayne_dagster.settings.sources import SOURCES
from ayne_dagster.settings.texts import read_named_text
from ayne_dagster.settings.variables import (
    checked_address,
    checked_contact,
    checked_key,
    checked_place,
    checked_text,
    did_you_mean,
    misspelt,
)

__all__ = [
    "NUMBERS_DEFAULTS",
    "OMDB_DEFAULTS",
    "TMDB_DEFAULTS",
    "WIKIDATA_DEFAULTS",
    "ApiSettings",
    "Settings",
    "SettingsError",
    "load_settings",
    "load_settings_at",
]

MAX_NUMBER = 1e9
"""No setting means anything beyond it; SQL and timers do not take it."""
MAX_OFFSET_DAYS = 36_500.0
MAX_WAIT_HOURS = 24 * 5.0
"""The shortest interval of a refresh strategy: to wait longer would be to skip one."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)\.?(:[1-9][0-9]{0,4})?")


STRATEGIES = ("age_table", "value_of_refresh")
"""The refresh strategies that can be chosen, the default first."""


@dataclass(frozen=True)
class StrategyChoice:
    """A refresh strategy, and what is set of it."""

    name: str = STRATEGIES[0]
    cutoff: float = 0.001
    """Probability of being stale below which `value_of_refresh` leaves a movie alone."""
    freshness_weight: float = 0.8
    """How much of a movie's weight goes by popularity there, from 0 (every movie alike) to 1."""


TMDB_PARTS = ("videos", "translations", "alternative_titles", "watch_providers")
"""What can be asked for beside a movie's details in the same request, under the names of its tables."""
TMDB_EXPORT_URL = "https://files.tmdb.org/p/exports/movie_ids_{date}.json.gz"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OFF = "off"
"""What switches an address off that has a default."""
FORMER_NAMES = {"OMDB_DAILY_REQUEST_LIMIT": "AYNE_OMDB_DAILY_QUOTA"}
"""Variables of the older collection that mean the same as one of ours: understood where ours is not set. Its keys have
the same names; what means something else is not understood (docs/from-the-older-collection.md)."""
API_OF = {source.name: source.api.name for source in SOURCES.values()}
"""By source of the refresh rules: the API that is asked for it."""
APIS = {source.api.name: source.api for source in SOURCES.values()}
"""The APIs that are asked for sources, by name."""
API_TITLES = {name: api.title for name, api in APIS.items()}
_NAMED_APIS = ("tmdb", "omdb", "wikidata")
"""APIs whose settings have a field of their own in `Settings`."""
FIGURE_PROVIDERS = ("file", "the_numbers", "wikidata", "tmdb", "omdb")
"""Who can state a figure of a movie's money. Wikidata is asked; TMDB and OMDb have said it already."""
FIGURES = ("worldwide_gross", "domestic_gross", "opening_weekend", "production_budget")
"""The columns of `movies` that figures stand in."""


@dataclass(frozen=True)
class FigureChoice:
    """Whose figures of movies' money count, and which of them is shown first."""

    providers: tuple[str, ...] = FIGURE_PROVIDERS
    """Those that count, the first that knows a figure is shown."""
    orders: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "domestic_gross": ("file", "the_numbers", "omdb", "wikidata"),
            "production_budget": ("file", "the_numbers", "tmdb", "wikidata"),
        }
    )
    """By figure: another order."""

    def order(self, figure: str) -> tuple[str, ...]:
        """Who comes first for a figure."""
        return self.orders.get(figure, self.providers)


@dataclass(frozen=True)
class Settings:
    """All settings of a process. Keys never show in `repr`."""

    database: Path = Path("data/ayne.duckdb")
    """The DuckDB file; of a lake, what lies on this machine is named after it, and there is no such file."""
    lake: LakePlace | None = None
    """The lake that is the warehouse instead of a file."""
    refresh_limit: int = 100
    """Movies a run and source."""
    tmdb: ApiSettings = TMDB_DEFAULTS
    omdb: ApiSettings = OMDB_DEFAULTS
    wikidata: ApiSettings = WIKIDATA_DEFAULTS
    further_apis: Mapping[str, ApiSettings] = field(
        default_factory=lambda: {name: api.defaults for name, api in APIS.items() if name not in _NAMED_APIS}
    )
    """By name: the APIs that have no field of their own."""
    the_numbers: ApiSettings = NUMBERS_DEFAULTS
    numbers_terms_acknowledged: bool = False
    """Whether a person has said that the terms of The Numbers let them ask for its pages."""
    box_office: FigureChoice = FigureChoice()
    """Whose figures of movies' money count."""
    tmdb_api_key: str | None = field(default=None, repr=False)
    tmdb_read_token: str | None = field(default=None, repr=False)
    omdb_api_key: str | None = field(default=None, repr=False)
    contact: str | None = None
    """Mail or http(s) address that sources may turn to; it goes into the User-Agent of those that ask for one."""
    clock_offset: timedelta = timedelta(0)
    """How far the platform's clock is turned, for demonstrations and tests."""
    fast_clock: Fast | None = None
    """How the platform's clock runs where it is faster than the calendar: in a demonstration, on stand-ins alone."""
    ledger_url: str | None = field(default=None, repr=False)
    """Where the request ledger is, as SQLAlchemy writes it (it may hold a password); None: beside the database."""
    refresh_strategy: str = STRATEGIES[0]
    """Which of `STRATEGIES` decides what is due."""
    refresh_cutoff: float = 0.1
    """`value_of_refresh` leaves alone what is stale with less probability than this (per cent)."""
    freshness_weight: float = StrategyChoice.freshness_weight
    """What fresh means to it: 0, every movie alike; 1, by popularity."""
    entities: bool = True
    """Whether people, credits, companies, series and releases are taken out of TMDB's details."""
    tmdb_append: tuple[str, ...] = ()
    """Which of `TMDB_PARTS` are asked for with each movie's details."""
    tmdb_export_url: str | None = TMDB_EXPORT_URL
    """Address or file of TMDB's daily ID export, `{date}` in it standing for MM_DD_YYYY; None: not read."""
    tmdb_export_min_popularity: float | None = None
    """Movies that only the export has become known from this popularity on; None: none do."""
    imdb_ratings_url: str | None = None
    """Address or file of IMDb's daily ratings, title.ratings.tsv.gz; None: not read (its terms: non-commercial use)."""
    alert_webhook_url: str | None = field(default=None, repr=False)
    """Where alerts are posted (the address is a secret of its own); None: they are only logged."""

    sensor_min_batch: int = 100
    """Movies that are worth a run of the sensor; 0 or 1: any."""
    sensor_max_wait: timedelta = timedelta(hours=6)
    """How long a due movie waits at most until so many are."""
    run_retention: timedelta | None = timedelta(days=30)
    """How long finished runs and their logs are kept; None: for ever."""

    dashboard_url: str | None = None
    """Where people reach the dashboard, which Dagster's UI links; `ayne dev` tells it to what it starts."""
    ui_hosts: tuple[str, ...] = ()
    """Names besides the loopback ones under which the UI is asked, each `name` or `name:port`."""

    dagster_home: Path | None = None
    """Where Dagster keeps runs and logs; None: beside the database."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "database", resolve_database(self.database))
        if self.lake is not None:
            _require_shared_ledger(self.ledger_url)
        if self.dagster_home is not None:
            object.__setattr__(self, "dagster_home", Path(expanded(str(self.dagster_home))).absolute())
        if self.fast_clock is not None and (elsewhere := self._asked_elsewhere):
            raise SettingsError(
                f"AYNE_CLOCK has days pass in minutes, for a demonstration, and {elsewhere} is no stand-in on this "
                "machine: its limits are of real days. Nothing was asked; take AYNE_CLOCK away."
            )

    @property
    def _asked_elsewhere(self) -> str | None:
        """The first of the APIs and files that is not on this machine; None where all are."""
        places = {API_TITLES[api]: limits.base_url for api, limits in self.apis.items() if api != "wikidata"}
        if self.contact is not None:
            places |= {"Wikidata": self.wikidata.base_url}
        if self.numbers_terms_acknowledged:
            places |= {"The Numbers": self.the_numbers.base_url}
        files = {"TMDB's export": self.tmdb_export, "IMDb's file": self.imdb_ratings_url}
        places |= {name: place for name, place in files.items() if place and "://" in place}
        return next((name for name, place in places.items() if urlsplit(place).hostname not in LOOPBACK), None)

    @property
    def strategy(self) -> StrategyChoice:
        """What decides what is due."""
        return StrategyChoice(self.refresh_strategy, self.refresh_cutoff / 100, self.freshness_weight)

    @property
    def apis(self) -> dict[str, ApiSettings]:
        """How to talk to each API, by its name."""
        return {"tmdb": self.tmdb, "omdb": self.omdb, "wikidata": self.wikidata, **self.further_apis}

    def key_of(self, api: str) -> str | None:
        """The key that opens an API; None where there is none."""
        return {"tmdb": self.tmdb_read_token or self.tmdb_api_key, "omdb": self.omdb_api_key}.get(api)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of the refresh rules that are asked."""
        return tuple(source for source in SOURCES if source != "numbers" or not self.why_no_figures_are_asked)

    @property
    def why_no_figures_are_asked(self) -> str | None:
        """Why Wikidata is not asked for figures; None where it is."""
        if "wikidata" not in self.box_office.providers:
            return "AYNE_BOX_OFFICE leaves wikidata out"
        return self.wikidata_off_because

    @property
    def wikidata_off_because(self) -> str | None:
        """Why Wikidata may not be asked; None where it may."""
        if self.contact is None:
            return "AYNE_CONTACT is not set, and Wikidata answers only programs that say whom to reach"
        return None

    @property
    def why_the_numbers_are_not_asked(self) -> str | None:
        """Why no page of The Numbers is asked for; None where they are."""
        if "the_numbers" not in self.box_office.providers:
            return "AYNE_BOX_OFFICE leaves the_numbers out"
        if not self.numbers_terms_acknowledged:
            return "AYNE_NUMBERS_ACKNOWLEDGE_TERMS is not yes, and the terms of The Numbers are for you to read"
        if self.contact is None:
            return "AYNE_CONTACT is not set, and The Numbers is asked only by programs that say whom to reach"
        return None

    @property
    def spendable(self) -> dict[str, int]:
        """By source, requests a day that unattended collections may spend; 0 where no quota is set."""
        return {source: self.apis[API_OF[source]].spendable for source in self.sources}

    @property
    def ledger(self) -> Path:
        """The request ledger's default file, beside the database."""
        return companion(self.database, LEDGER)

    @property
    def tmdb_export(self) -> str | None:
        """Where TMDB's ID export is read, if it is.

        Not at its real address when the API is somewhere else: what TMDB publishes says nothing about the movies of a
        stand-in, and would mark them all as vanished.
        """
        is_elsewhere = self.tmdb.base_url.rstrip("/") != TMDB_DEFAULTS.base_url
        return None if is_elsewhere and self.tmdb_export_url == TMDB_EXPORT_URL else self.tmdb_export_url

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        return Clock(self.clock_offset, self.fast_clock)

    def now(self) -> datetime:
        """The present instant (aware UTC), as the platform's clock shows it."""
        return self.clock.now()

    @property
    def database_name(self) -> str:
        """What a person knows the warehouse by: a path, or where a lake's catalogue is, without password."""
        return self.lake.name if self.lake is not None else str(self.database)

    def require_tmdb_key(self) -> None:
        """Check that there is a key for TMDB, and a database for what it opens.

        Raises:
            SettingsError: there is none, or the database is a demonstration's.
        """
        if not (self.tmdb_read_token or self.tmdb_api_key):
            raise SettingsError(
                "No TMDB key: set TMDB_READ_TOKEN (or TMDB_API_KEY), free at themoviedb.org/settings/api, "
                "in the environment or in .env. `ayne demo` needs no keys."
            )
        if urlsplit(self.tmdb.base_url).hostname not in LOOPBACK and companion(self.database, WORLD).exists():
            raise SettingsError(
                f"{self.database} holds a demonstration's invented movies: nothing real is collected into it. Set "
                "AYNE_DATABASE to another file."
            )

    def require_keys(self) -> None:
        """Check that the keys for a collection are there.

        Raises:
            SettingsError: one is missing.
        """
        self.require_tmdb_key()
        if not self.omdb_api_key:
            raise SettingsError(
                "No OMDb key: set OMDB_API_KEY, free at omdbapi.com/apikey.aspx, in the environment or in .env. "
                "`ayne demo` needs no keys."
            )


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment, and from `.env` in the working directory.

    Args:
        environment: read from this mapping alone instead.

    Raises:
        SettingsError: a value cannot be used.
    """
    if environment is not None:
        return _settings(_Reader(environment))
    from_file = _dotenv(Path(".env"))
    read = _Reader(_with_environment(from_file))
    settings = _settings(read)
    for name, meant in misspelt(from_file.keys() | os.environ.keys(), read.names | FORMER_NAMES.keys()).items():
        _warn(f"{name} is no setting, and is ignored." + (f" Did you mean {meant}?" if meant else ""))
    keys = {"TMDB_API_KEY": settings.tmdb_api_key, "TMDB_READ_TOKEN": settings.tmdb_read_token}
    for name, key in (keys | {"OMDB_API_KEY": settings.omdb_api_key}).items():
        if key and " " in key:
            _warn(f"{name} holds a space, as no key does: if it is not accepted, copy it anew.")
    for source, api in (
        ("OMDB", settings.omdb),
        ("TMDB", settings.tmdb),
        ("WIKIDATA", settings.wikidata),
        ("NUMBERS", settings.the_numbers),
        *((name.upper(), api) for name, api in settings.further_apis.items()),
    ):
        if api.quota_reserve and api.quota_reserve >= api.daily_quota:
            _warn(_idle_reserve(source, api))
    return settings


def load_settings_at(database: str) -> Settings:
    """The settings of the environment and of `.env`, with another place for the warehouse.

    Args:
        database: what `AYNE_DATABASE` would say.

    Raises:
        SettingsError: as `load_settings`; or it is no place.
    """
    found = _with_environment(_dotenv(Path(".env"))) | {"AYNE_DATABASE": database}
    if not database.startswith(PREFIX):
        found.pop("AYNE_LAKE_DATA", None)
    return load_settings(found)


def _with_environment(from_file: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file under those of the environment, in which one set to nothing counts for none."""
    set_outside = {name: value for name, value in os.environ.items() if value.strip() or name not in from_file}
    return {**from_file, **set_outside}


def _settings(read: _Reader) -> Settings:
    database, lake = read.store()
    return Settings(
        database=database,
        lake=lake,
        refresh_limit=read.whole("AYNE_REFRESH_LIMIT", 100),
        tmdb=read.api("TMDB", TMDB_DEFAULTS),
        omdb=read.api("OMDB", OMDB_DEFAULTS),
        wikidata=read.api("WIKIDATA", WIKIDATA_DEFAULTS, deadline="AYNE_WIKIDATA_ANSWER_DEADLINE"),
        further_apis={
            name: read.api(name.upper(), api.defaults) for name, api in APIS.items() if name not in _NAMED_APIS
        },
        the_numbers=read.api("NUMBERS", NUMBERS_DEFAULTS),
        numbers_terms_acknowledged=read.text("AYNE_NUMBERS_ACKNOWLEDGE_TERMS") == "yes",
        box_office=read.figure_choice("AYNE_BOX_OFFICE"),
        tmdb_api_key=read.key("TMDB_API_KEY"),
        tmdb_read_token=read.key("TMDB_READ_TOKEN"),
        omdb_api_key=read.key("OMDB_API_KEY"),
        contact=read.contact("AYNE_CONTACT"),
        clock_offset=timedelta(days=read.number("AYNE_CLOCK_OFFSET_DAYS", 0.0, -MAX_OFFSET_DAYS, MAX_OFFSET_DAYS)),
        fast_clock=read.fast_clock("AYNE_CLOCK"),
        ledger_url=read.text("AYNE_LEDGER_URL"),
        refresh_strategy=read.choice("AYNE_REFRESH_STRATEGY", STRATEGIES),
        refresh_cutoff=read.number("AYNE_REFRESH_CUTOFF", 0.1, maximum=99.0),
        freshness_weight=read.number("AYNE_FRESHNESS_WEIGHT", 0.8, maximum=1.0),
        entities=read.choice("AYNE_ENTITIES", ("on", "off")) == "on",
        tmdb_append=read.names_of("AYNE_TMDB_APPEND", TMDB_PARTS),
        tmdb_export_url=read.place("AYNE_TMDB_EXPORT_URL", TMDB_EXPORT_URL),
        tmdb_export_min_popularity=read.optional_number("AYNE_TMDB_EXPORT_MIN_POPULARITY"),
        imdb_ratings_url=read.place("AYNE_IMDB_RATINGS_URL"),
        alert_webhook_url=read.address("AYNE_ALERT_WEBHOOK_URL"),
        sensor_min_batch=read.whole("AYNE_SENSOR_MIN_BATCH", 100),
        sensor_max_wait=timedelta(hours=read.number("AYNE_SENSOR_MAX_WAIT", 6.0, 0.0, MAX_WAIT_HOURS)),
        run_retention=timedelta(days=days)
        if (days := read.number("AYNE_RUN_RETENTION_DAYS", 30.0, 0.0, MAX_OFFSET_DAYS))
        else None,
        dashboard_url=read.address("AYNE_DASHBOARD_URL"),
        ui_hosts=read.hosts("AYNE_UI_HOSTS"),
        dagster_home=read.path("DAGSTER_HOME"),
    )


class _Reader:
    """Reads and checks values; each error names its variable."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._set_as = {name: former for former, name in FORMER_NAMES.items() if not environment.get(name, "").strip()}
        self.names: set[str] = set()
        """All that were asked for: the settings that there are."""

    def text(self, name: str) -> str | None:
        raw = self._raw(name)
        return raw and checked_text(name, raw)

    def _raw(self, name: str) -> str | None:
        self.names.add(name)
        return self._environment.get(self._set_as.get(name, name), "").strip() or None

    def key(self, name: str) -> str | None:
        raw = self.text(name)
        return raw and checked_key(name, raw)

    def number(self, name: str, default: float, minimum: float = 0.0, maximum: float = MAX_NUMBER) -> float:
        return self._parsed(name, default, float, minimum, maximum, "a number")

    def fast_clock(self, name: str) -> Fast | None:
        """How a clock runs that is faster than the calendar; may be left out."""
        raw = self.text(name)
        try:
            return read_fast(raw) if raw else None
        except ValueError as error:
            raise SettingsError(f"{name} is {_shown(raw or '')}: {error}.") from None

    def store(self) -> tuple[Path, LakePlace | None]:
        """The DuckDB file, or the lake with what its things on this machine are named after."""
        named, data = self.text("AYNE_DATABASE") or "data/ayne.duckdb", self.text("AYNE_LAKE_DATA")
        folder = expanded(self.text("AYNE_STATE_FOLDER") or "data")
        s3 = S3(
            self.address("AYNE_LAKE_ENDPOINT"),
            self.text("AYNE_LAKE_REGION"),
            self.text("AYNE_LAKE_KEY_ID"),
            self.text("AYNE_LAKE_SECRET"),
        )
        if named.startswith(PREFIX):
            lake = read_lake(named, data, s3)
            return lake.beside(Path(folder)), lake
        if data is not None:
            raise SettingsError(
                "AYNE_LAKE_DATA says where the files of a lake are, and AYNE_DATABASE names none: write it as "
                "ducklake:postgres:host=… dbname=…, or take AYNE_LAKE_DATA away."
            )
        return Path(named), None

    def optional_number(self, name: str) -> float | None:
        """A number that may be left out."""
        return self.number(name, 0.0) if self._raw(name) else None

    def whole(self, name: str, default: int, minimum: int = 0) -> int:
        return int(self._parsed(name, default, int, minimum, MAX_NUMBER, "a whole number"))

    def contact(self, name: str) -> str | None:
        """A mail or http(s) address that may be left out."""
        raw = self.text(name)
        return raw and checked_contact(name, raw)

    def api(self, prefix: str, defaults: ApiSettings, deadline: str = "AYNE_ANSWER_DEADLINE") -> ApiSettings:
        """An API's address and limits, each of the setting that is named as it; the deadline may be one for several."""
        address = checked_address(name := f"AYNE_{prefix}_BASE_URL", self.text(name) or defaults.base_url)
        names = {limit: f"AYNE_{prefix}_{limit.upper()}" for limit in ApiSettings.limits()}
        names["answer_deadline"] = deadline
        limits = {
            limit: self._limit(names[limit], getattr(defaults, limit), least)
            for limit, least in ApiSettings.limits().items()
        }
        return defaults.but(base_url=address, **limits)

    def _limit(self, name: str, default: float, least: float) -> float:
        """A whole number where the default is one."""
        if isinstance(default, int):
            return self.whole(name, default, int(least))
        return self.number(name, default, least)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        raw = self.text(name) or choices[0]
        if raw not in choices:
            meant = did_you_mean(raw, choices)
            raise SettingsError(f"{name} is {_shown(raw)}: it must be one of {', '.join(choices)}.{meant}")
        return raw

    def names_of(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Names out of those that are known, separated by commas, each once; none where it is left out."""
        found = tuple(dict.fromkeys(part.strip().lower() for part in (self.text(name) or "").split(",")))
        for part in filter(None, found):
            if part not in known:
                meant = did_you_mean(part, known)
                raise SettingsError(f"{name} names {_shown(part)}: it takes {', '.join(known)}.{meant}")
        return tuple(part for part in known if part in found)

    def figure_choice(self, name: str) -> FigureChoice:
        """Providers in order; after a semicolon each, a figure with an order of its own."""
        raw = self.text(name)
        if raw is None:
            return FigureChoice()
        general, *others = raw.split(";")
        orders = {}
        for part in filter(str.strip, others):
            figure, colon, order = part.partition(":")
            if not colon or figure.strip() not in FIGURES:
                raise SettingsError(
                    f"{name} is {_shown(raw)}: after a semicolon comes one of {', '.join(FIGURES)}, a colon, and its "
                    "order."
                )
            if figure.strip() in orders:
                raise SettingsError(f"{name} is {_shown(raw)}: {figure.strip()} has two orders; leave one out.")
            orders[figure.strip()] = self._providers(name, order)
        return FigureChoice(self._providers(name, general), orders)

    def _providers(self, name: str, listed: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part.strip().lower() for part in listed.split(",") if part.strip()))
        for part in found:
            if part not in FIGURE_PROVIDERS:
                raise SettingsError(
                    f"{name} names {_shown(part)}: who can state a figure are {', '.join(FIGURE_PROVIDERS)}."
                    + did_you_mean(part, FIGURE_PROVIDERS)
                )
        return found

    def place(self, name: str, default: str | None = None) -> str | None:
        """An http(s) address or the path of a file; `off` is None."""
        raw = self.text(name) or default
        if raw is None or raw.lower() == OFF:
            return None
        place = checked_place(name, raw)
        return place if "://" in place else expanded(place)

    def path(self, name: str) -> Path | None:
        """A path that may be left out."""
        raw = self.text(name)
        return Path(raw) if raw else None

    def address(self, name: str) -> str | None:
        """An http(s) address that may be left out."""
        raw = self.text(name)
        return raw and checked_address(name, raw)

    def hosts(self, name: str) -> tuple[str, ...]:
        """Names of hosts, each with or without a port, separated by commas."""
        found = tuple(part.strip().lower() for part in (self.text(name) or "").split(",") if part.strip())
        for part in found:
            if not _HOST.fullmatch(part):
                raise SettingsError(
                    f"{name} is {part!r:.80}: it must be names of hosts as a browser shows them, each with or "
                    "without :port, separated by commas; there are no wildcards."
                )
        return found

    def _parsed(
        self, name: str, default: float, parse: Callable[[str], float], minimum: float, maximum: float, what: str
    ) -> float:
        raw = self._raw(name)
        if raw is None:
            return default
        try:
            value = parse(raw) if raw.isascii() and "_" not in raw else None
        except ValueError:
            value = None
        name = self._set_as.get(name, name)
        if value is None:
            raise SettingsError(f"{name} is {_shown(raw)}: it must be {what}, without unit or thousands separator.")
        if not minimum <= value <= maximum:
            raise SettingsError(
                f"{name} is {_shown(raw)}: it must be {what} of at least {minimum:g} and at most {maximum:g}."
            )
        return value


def _require_shared_ledger(ledger_url: str | None) -> None:
    """Refuse a lake without a ledger on a server: several machines would each count requests for themselves.

    Raises:
        SettingsError: there is none.
    """
    if (ledger_url or "").startswith(("postgresql", "postgres:")):
        return
    raise SettingsError(
        "AYNE_DATABASE names a lake, which several machines may collect into, and AYNE_LEDGER_URL names no Postgres: "
        "each machine would count requests for itself, and two could commit at once. Nothing was asked; set it to "
        "postgresql://user:password@host/database."
    )


def _dotenv(file: Path) -> dict[str, str]:
    """The variables of a `.env` file; none where there is no file.

    Raises:
        SettingsError: it cannot be read.
    """
    if not file.exists():
        return {}
    try:
        # utf-8-sig: the mark that Windows' editors begin a file with would else be part of the first name.
        text = read_named_text(file, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f"{file} cannot be read ({why}): write it as a file of UTF-8 text.") from None
    if unreadable := [binding.original.line for binding in parse_stream(StringIO(text)) if binding.error]:
        _warn(f"{file}: what begins at line {unreadable[0]} cannot be read (an open quotation mark?), and is ignored.")
        logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # it would say so, less clearly
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}


def _idle_reserve(source: str, api: ApiSettings) -> str:
    reserve, quota = f"AYNE_{source}_QUOTA_RESERVE", f"AYNE_{source}_DAILY_QUOTA"
    if not api.daily_quota:
        return f"{reserve} is {api.quota_reserve:,}, but {quota} sets no limit: it is ignored."
    return (
        f"{reserve} is {api.quota_reserve:,} of {quota} {api.daily_quota:,}: collections ask nothing there, unless "
        "--use-reserve is given."
    )


def _warn(text: str) -> None:
    """Tell, once a process, of something that is odd but not wrong: on stderr, unless a program has set up logging."""
    if text not in _warned:
        _warned.add(text)
        _LOG.warning("%s", text)


_warned: set[str] = set()
_LOG = logging.getLogger(__name__)


def _shown(raw: str) -> str:
    """A value as a message quotes it."""
    return repr(raw if len(raw) <= 60 else raw[:60] + "…")
