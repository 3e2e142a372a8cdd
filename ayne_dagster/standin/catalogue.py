"""The generated catalogue as its users see it: listings, details, changes, OMDb answers. No HTTP.

What a movie looks like is in `bodies`, which movies there are and when they change in `population`.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from threading import Lock
from typing import Any

from ayne_dagster.standin.bodies import Body, BodyWriter
from ayne_dagster.standin.items import Item, ItemWriter
from ayne_dagster.standin.numbers_pages import Figures, PageWriter
from ayne_dagster.standin.population import NO_DATE, Population, Source

PAGE_ROWS = 20
DEFAULT_SORT = "popularity.desc"
_CACHED_ROWS = 4_000_000
_ListingKey = tuple[int, int | None, int | None, int, str]


class Catalogue:
    """Invented movies that appear, change and disappear, as TMDB, OMDb and IMDb would tell of them.

    The same arguments give the same data; another epoch shifts it in time. Data changes at midnight UTC only.
    All instants are taken as UTC; one without a time zone is UTC too. Safe to use from several threads.

    Args:
        size: number of movies over all times, 1 to 1,000,000.
        epoch: the day that the catalogue is laid out around: movies are released from about 105 years before
            it to two years after; changes are known from 30 days before it on, without end; 2 % of the movies
            appear in the two years after it.
        seed: another seed is another catalogue.
        oddities: share (0 to 1) of the movies with values as odd as real answers have them (see `oddity`).

    Raises:
        ValueError: `size` or `oddities` is out of range.
    """

    def __init__(self, size: int, *, epoch: date, seed: int = 1895, oddities: float = 0.02) -> None:
        if not 1 <= size <= 1_000_000:
            raise ValueError(f"size must be 1 to 1,000,000, not {size}")
        if not 0 <= oddities <= 1:
            raise ValueError(f"oddities must be a share from 0 to 1, not {oddities}")
        self.size, self.epoch, self.seed = size, epoch, seed
        self._epoch = epoch.toordinal()
        self._movies = Population(size, seed, oddities)
        self._bodies = BodyWriter(self._movies, epoch)
        self._items = ItemWriter(self._movies, self._bodies)
        self._pages = PageWriter(self._movies, self._bodies)
        movies = self._movies
        # Movies whose date moves stay out of the order by date; each listing looks at them one by one.
        dated = [i for i, day in enumerate(movies.release) if day != NO_DATE and i not in movies.moves]
        dated.sort(key=movies.release.__getitem__)
        self._by_date = array("i", dated)
        self._dates = array("i", (movies.release[i] for i in dated))
        self._undated = [i for i, day in enumerate(movies.release) if day == NO_DATE]
        self._listings: OrderedDict[_ListingKey, array[int]] = OrderedDict()
        self._lock = Lock()

    def discover(
        self,
        now: datetime,
        *,
        start: date | None,
        end: date | None,
        min_votes: int = 0,
        sort_by: str = DEFAULT_SORT,
        page: int = 1,
    ) -> Body:
        """A page of TMDB's discover listing.

        Args:
            now: the instant of the listing.
            start: first primary release date that is listed; None for no bound.
            end: last one that is listed; None for no bound. With either bound, movies without a date are left
                out.
            min_votes: least number of votes.
            sort_by: popularity, vote_count, vote_average, primary_release_date, title, original_title or
                revenue, then `.asc` or `.desc`; anything else means `popularity.desc`, as at TMDB.
            page: 1, 2, …; a page past the end is empty.

        Returns:
            The body: page, results (at most 20), total_pages (not capped, 1 when nothing is found),
            total_results.
        """
        day = self._day(now)
        found = self._listing(day, start, end, min_votes, sort_by)
        rows = found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS] if page >= 1 else found[:0]
        return {
            "page": page,
            "results": [self._bodies.listing_row(i, day) for i in rows],
            "total_pages": max(1, -(-len(found) // PAGE_ROWS)),
            "total_results": len(found),
        }

    def details(self, tmdb_id: int, now: datetime, append: frozenset[str] = frozenset()) -> Body | None:
        """TMDB's details of a movie, with the sub-resources named in `append` (unknown names are ignored).

        Returns:
            The body, or None when the movie does not exist (yet, any more).
        """
        i = self._existing(tmdb_id, now)
        return None if i is None else self._bodies.details(i, self._day(now), append)

    def details_by_imdb_id(self, imdb_id: str, now: datetime, append: frozenset[str] = frozenset()) -> Body | None:
        """The same for an IMDb id; None also when TMDB does not know the id (yet)."""
        tmdb_id = self.tmdb_id_of(imdb_id, now)
        return None if tmdb_id is None else self.details(tmdb_id, now, append)

    def sub_resource(self, tmdb_id: int, now: datetime, name: str) -> Body | None:
        """One sub-resource on its own, with the movie's id; None when there is no such movie."""
        i = self._existing(tmdb_id, now)
        return None if i is None else {"id": tmdb_id, **self._bodies.sub_resource(i, self._day(now), name)}

    def tmdb_id_of(self, imdb_id: str, now: datetime) -> int | None:
        """The TMDB id of the movie that has the IMDb id at TMDB; None when there is none (yet, any more)."""
        i, day = self._movies.index_by_imdb(imdb_id), self._day(now)
        if i is None or not self._movies.exists(i, day) or self._movies.late_imdb.get(i, day) > day:
            return None
        return self._movies.tmdb_ids[i]

    def imdb_id_of(self, tmdb_id: int) -> str | None:
        """The movie's IMDb id at OMDb, whether or not TMDB knows it yet; None when there is none."""
        i = self._movies.index(tmdb_id)
        return None if i is None else self._movies.imdb_id(i)

    def omdb(self, imdb_id: str, now: datetime) -> Body | None:
        """OMDb's answer for an IMDb id: all values are strings, unknown is "N/A".

        Returns:
            The body, or None when OMDb does not hold the title. OMDb does not hold a movie before it is
            created, and keeps those that TMDB deletes.
        """
        i, day = self._movies.index_by_imdb(imdb_id), self._day(now)
        if i is None or self._movies.created.get(i, day) > day or self._movies.oddity(i) == "omdb_not_held":
            return None
        body = self._bodies.omdb(i, day)
        if self._movies.oddity(i) == "omdb_year_range" and body["Year"] != "N/A":
            body["Year"] = f"{body['Year']}–{int(body['Year']) + 4}"
        return body

    def omdb_text(self, imdb_id: str, now: datetime) -> bytes | None:
        """OMDb's answer as it goes over the wire; a few are not valid JSON, as the real ones are.

        Raw control characters and illegal escapes stand within strings, so that lenient parsing recovers the
        body.
        """
        body = self.omdb(imdb_id, now)
        if body is None:
            return None
        text = dump(body)
        i = self._movies.index_by_imdb(imdb_id)
        oddity = None if i is None else self._movies.oddity(i)
        if oddity == "omdb_control_characters":
            return text.replace(b'"Plot":"', b'"Plot":"\x08\x1f\t', 1)
        if oddity == "omdb_illegal_escape":
            return text.replace(b'"Plot":"', b'"Plot":"The\\sfilm: Miliardi\\Millions. ', 1)
        return text

    def changed_ids(self, start: date, end: date, now: datetime) -> list[int]:
        """TMDB ids, ascending, of the movies created or changed (relevantly, at TMDB) from `start` to `end`.

        Both days are included; days after `now` are not. A movie that has been deleted since is still named;
        the deletion itself is no change.
        """
        first, last = start.toordinal() - self._epoch, min(end.toordinal() - self._epoch, self._day(now))
        return [self._movies.tmdb_ids[i] for i in self._movies.changed_in(first, last)]

    def id_export(self, day: date) -> bytes:
        """TMDB's daily ID export: a line of JSON for each movie that exists on the day."""
        k, movies = day.toordinal() - self._epoch, self._movies
        return b"".join(dump(self._bodies.export_row(i, k)) + b"\n" for i in range(self.size) if movies.exists(i, k))

    def imdb_ratings(self, day: date) -> bytes:
        """IMDb's daily ratings file: a heading, then tconst, averageRating and numVotes of each title, by tabs.

        It has what OMDb tells of a title, and also the titles that OMDb does not hold.
        """
        k, movies = day.toordinal() - self._epoch, self._movies
        lines = ["tconst\taverageRating\tnumVotes\n"]
        for i in range(self.size):
            imdb_id = movies.imdb_id(i)
            if imdb_id is None or movies.created.get(i, k) > k:
                continue
            if (found := self._bodies.imdb(i, k)) is not None:
                lines.append(f"{imdb_id}\t{found[0]:.1f}\t{found[1]}\n")
        return "".join(lines).encode()

    def items(
        self, numbers: Iterable[int], imdb_ids: Iterable[str], tmdb_ids: Iterable[int], now: datetime
    ) -> list[tuple[Item, list[str]]]:
        """Wikidata's items for these keys, each once, with the keys that lead to it."""
        day, found = self._day(now), dict[int, tuple[Item, list[str]]]()

        def add(item: Item | None, key: str) -> None:
            if item is not None:
                found.setdefault(item.number, (item, []))[1].append(key)

        for number in numbers:
            add(self._items.by_number(number, day), f"Q{number}")
        for imdb_id in imdb_ids:
            for item in self._items.by_imdb_id(imdb_id, day):
                add(item, imdb_id)
        for tmdb_id in tmdb_ids:
            for item in self._items.by_tmdb_id(tmdb_id, day):
                add(item, str(tmdb_id))
        return list(found.values())

    def numbers_page(self, slug: str, now: datetime) -> bytes | None:
        """The page of The Numbers at an address below /movie/; None where there is none."""
        return self._pages.page(slug, self._day(now))

    def numbers_moved_to(self, slug: str, now: datetime) -> str | None:
        """The address below /movie/ that another one leads to; None where it leads nowhere."""
        return self._pages.moved_to(slug, self._day(now))

    def numbers_neighbour(self, slug: str, now: datetime) -> str:
        """The address below /movie/ of another movie's page, where there is one."""
        return self._pages.neighbour(slug, self._day(now))

    def numbers_slug_of(self, tmdb_id: int, now: datetime) -> str | None:
        """The address below /movie/ of a movie's page; None where it has none."""
        i = self._movies.index(tmdb_id)
        return None if i is None else self._pages.slug_of(i, self._day(now))

    def numbers_figures(self, tmdb_id: int, now: datetime) -> Figures | None:
        """What The Numbers knows of a movie's money, whether or not a page shows it."""
        i = self._existing(tmdb_id, now)
        return None if i is None else self._pages.figures(i, self._day(now))

    def version(self, tmdb_id: int, source: Source, now: datetime) -> int:
        """Number of relevant changes of the movie so far at a source; its creation counts as one at TMDB.

        Two answers differ in more than drifting counters exactly when their versions differ. 0 for an unknown
        id.
        """
        i = self._movies.index(tmdb_id)
        return 0 if i is None else len(self._movies.changes(i, source, self._day(now)))

    def exists(self, tmdb_id: int, now: datetime) -> bool:
        """Whether TMDB has the movie at that instant."""
        return self._existing(tmdb_id, now) is not None

    def ids(self, now: datetime) -> Iterator[int]:
        """TMDB ids, ascending, of all movies that exist at that instant."""
        day, movies = self._day(now), self._movies
        return (tmdb_id for i, tmdb_id in enumerate(movies.tmdb_ids) if movies.exists(i, day))

    def latest_id(self, now: datetime) -> int | None:
        """The largest TMDB id that exists at that instant; None when nothing exists."""
        day, movies = self._day(now), self._movies
        return next((movies.tmdb_ids[i] for i in range(self.size - 1, -1, -1) if movies.exists(i, day)), None)

    def oddity(self, tmdb_id: int) -> str | None:
        """Name of what is odd about the movie (population.TMDB_ODDITIES, OMDB_ODDITIES); None for most."""
        i = self._movies.index(tmdb_id)
        return None if i is None else self._movies.oddity(i)

    def is_mistaken(self, tmdb_id: int) -> bool:
        """Whether the movie's IMDb id at TMDB is another film's: OMDb describes that one under it."""
        i = self._movies.index(tmdb_id)
        return i is not None and i in self._movies.mistaken

    def deleted_on(self, tmdb_id: int) -> date | None:
        """The day from which TMDB no longer has the movie; None for the many that stay."""
        i = self._movies.index(tmdb_id)
        day = None if i is None else self._movies.deleted.get(i)
        return None if day is None else date.fromordinal(self._epoch + day)

    def _day(self, now: datetime) -> int:
        moment = now if now.tzinfo is None else now.astimezone(UTC)
        return moment.toordinal() - self._epoch

    def _existing(self, tmdb_id: int, now: datetime) -> int | None:
        i = self._movies.index(tmdb_id)
        return i if i is not None and self._movies.exists(i, self._day(now)) else None

    def _listing(self, day: int, start: date | None, end: date | None, min_votes: int, sort_by: str) -> array[int]:
        """Numbers of all movies in the listing, in order; kept, since a reader asks for page after page."""
        first = None if start is None else start.toordinal() - self._epoch
        last = None if end is None else end.toordinal() - self._epoch
        key = (day, first, last, min_votes, sort_by)
        with self._lock:
            found = self._listings.get(key)
            if found is None:
                rows = self._matching(day, first, last, min_votes)
                order, reverse = self._order(sort_by, day)
                rows.sort()
                rows.sort(key=order, reverse=reverse)
                found = self._listings[key] = array("i", rows)
                while sum(map(len, self._listings.values())) > _CACHED_ROWS and len(self._listings) > 1:
                    self._listings.popitem(last=False)
            self._listings.move_to_end(key)
            return found

    def _matching(self, day: int, first: int | None, last: int | None, min_votes: int) -> list[int]:
        movies = self._movies
        low = 0 if first is None else bisect_left(self._dates, first)
        high = len(self._dates) if last is None else bisect_right(self._dates, last)
        rows = list(self._by_date[low:high])
        for i in movies.moves:
            release = movies.release_on(i, day)
            if (first is None or release >= first) and (last is None or release <= last):
                rows.append(i)
        if first is None and last is None:
            rows += self._undated
        newcomer = movies.first_newcomer
        gone = {i for i, deleted in movies.deleted.items() if deleted <= day}
        rows = [i for i in rows if i not in gone and (i < newcomer or movies.created[i] <= day)]
        if min_votes > 0:
            # No movie exceeds its appeal by more than its growth: most are sorted out by one comparison.
            least = (min_votes - 3) / (1 + max(day, 0) * 1e-4)
            appeal, votes = movies.appeal, movies.votes_on
            rows = [i for i in rows if appeal[i] >= least and votes(i, day) >= min_votes]
        return rows

    def _order(self, sort_by: str, day: int) -> tuple[Callable[[int], Any], bool]:
        field, _, direction = sort_by.partition(".")
        movies, facts = self._movies, self._bodies.facts
        orders: dict[str, Callable[[int], Any]] = {
            "popularity": lambda i: movies.popularity_on(i, day),
            "vote_count": lambda i: movies.votes_on(i, day),
            "vote_average": lambda i: self._bodies.listing_row(i, day)["vote_average"],
            "primary_release_date": lambda i: movies.release_on(i, day),
            "title": lambda i: facts(i).title,
            "original_title": lambda i: facts(i).original_title,
            "revenue": lambda i: self._bodies.details(i, day, frozenset())["revenue"],
        }
        if field not in orders or direction not in ("asc", "desc"):
            return orders["popularity"], True
        return orders[field], direction == "desc"


def dump(body: Any) -> bytes:
    """JSON as the APIs send it: UTF-8, no spaces."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
