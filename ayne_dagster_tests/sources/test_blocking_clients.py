"""The blocking clients: the async ones' answers, and no thread left behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from ayne_dagster import AsyncOMDBClient, AsyncTMDBClient, OMDBClient, TMDBClient
from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources.blocking import BlockingClient
from ayne_dagster.sources.errors import InvalidCredentials, NotFound
from ayne_dagster.standin.running import StandIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    with StandIn(300, epoch=NOON.date()) as running:
        running.set_now(NOON)
        yield running


@pytest.fixture
def settings(standin: StandIn) -> Settings:
    return Settings(
        tmdb=ApiSettings(standin.tmdb_url, 0.0, 40, 10),
        omdb=ApiSettings(standin.omdb_url, 0.0, 40, 5),
        tmdb_read_token="token",
        omdb_api_key="feedc0de",
    )


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


def some_movie(standin: StandIn) -> dict[str, Any]:
    """A movie that OMDb holds, without oddities."""
    for tmdb_id in standin.catalogue.ids(NOON):
        body = standin.catalogue.details(tmdb_id, NOON)
        if body and standin.catalogue.omdb(body["imdb_id"] or "", NOON) and standin.catalogue.oddity(tmdb_id) is None:
            return body
    raise AssertionError("no such movie")


@pytest.mark.usefixtures("no_thread_is_left")
def test_tmdbs_answers_are_those_of_the_async_client(standin: StandIn, settings: Settings) -> None:
    movie, end = some_movie(standin)["id"], NOON.date()
    start = end - timedelta(days=7)

    async def expected() -> tuple[Any, ...]:
        async with AsyncTMDBClient(settings=settings) as tmdb:
            pages = [page async for page in tmdb.discover_movies(date(2000, 1, 1), end, min_votes=1, max_pages=1)]
            return await tmdb.get_movie_details(movie), pages, await tmdb.get_changed_movie_ids(start, end)

    with TMDBClient(settings=settings) as tmdb:
        details = tmdb.get_movie_details(movie)
        pages = tmdb.discover_movies(date(2000, 1, 1), end, min_votes=1, max_pages=1)
        changed = tmdb.get_changed_movie_ids(start, end)
    assert (details, pages, changed) == asyncio.run(expected())
    assert len(pages) > 20
    assert changed


@pytest.mark.usefixtures("no_thread_is_left")
def test_omdbs_answers_are_those_of_the_async_client(standin: StandIn, settings: Settings) -> None:
    imdb_id = some_movie(standin)["imdb_id"]

    async def expected() -> Any:
        async with AsyncOMDBClient(settings=settings) as omdb:
            return await omdb.get_movie_by_imdb_id(imdb_id)

    with OMDBClient(settings=settings) as omdb:
        assert omdb.get_movie_by_imdb_id(imdb_id) == asyncio.run(expected())


@pytest.mark.usefixtures("no_thread_is_left")
def test_errors_are_those_of_the_async_client_and_the_client_goes_on(standin: StandIn, settings: Settings) -> None:
    with TMDBClient(settings=settings) as tmdb:
        with pytest.raises(NotFound):
            tmdb.get_movie_details(999_999_999)
        with pytest.raises(ValueError, match="14 days"):
            tmdb.get_changed_movie_ids(NOON.date() - timedelta(days=30), NOON.date())
        assert tmdb.get_movie_details(some_movie(standin)["id"]).title


@pytest.mark.usefixtures("no_thread_is_left")
def test_an_error_in_the_block_ends_the_thread_too(settings: Settings) -> None:
    with pytest.raises(KeyError), TMDBClient(settings=settings):
        raise KeyError


@pytest.mark.usefixtures("no_thread_is_left")
def test_a_client_can_be_used_from_code_that_runs_an_event_loop(standin: StandIn, settings: Settings) -> None:
    async def in_a_notebook() -> str | None:
        with TMDBClient(settings=settings) as tmdb:
            return tmdb.get_movie_details(some_movie(standin)["id"]).title

    assert asyncio.run(in_a_notebook()) == some_movie(standin)["title"]


@pytest.mark.usefixtures("no_thread_is_left")
def test_threads_can_share_a_client(standin: StandIn, settings: Settings) -> None:
    movie, titles = some_movie(standin), list[str | None]()
    with TMDBClient(settings=settings) as tmdb:
        threads = [
            threading.Thread(target=lambda: titles.append(tmdb.get_movie_details(movie["id"]).title)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert titles == [movie["title"]] * 8


@pytest.mark.usefixtures("no_thread_is_left")
@pytest.mark.parametrize(("make", "variable"), [(TMDBClient, "TMDB_READ_TOKEN"), (OMDBClient, "OMDB_API_KEY")])
def test_a_client_that_cannot_be_made_leaves_no_thread_behind(make: Callable[..., Any], variable: str) -> None:
    with pytest.raises(InvalidCredentials, match=variable):
        make(settings=Settings())


@pytest.mark.usefixtures("no_thread_is_left")
def test_wrong_arguments_leave_no_thread_behind() -> None:
    with pytest.raises(TypeError):
        TMDBClient(nonsense=True)


@pytest.mark.usefixtures("no_thread_is_left")
def test_close_ends_the_thread_and_closes_the_connections(settings: Settings) -> None:
    class Wire(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    wire = Wire(lambda _: httpx.Response(200, json={"id": 550}))
    before = threading.active_count()
    tmdb = TMDBClient(settings=settings, wire=wire)
    assert threading.active_count() == before + 1
    assert tmdb.get_movie_details(550).id == 550
    tmdb.close()
    assert threading.active_count() == before
    assert wire.closed


@pytest.mark.usefixtures("no_thread_is_left")
def test_closing_twice_is_closing_once(settings: Settings) -> None:
    with TMDBClient(settings=settings) as tmdb:
        tmdb.close()
    tmdb.close()


@pytest.mark.usefixtures("no_thread_is_left")
def test_a_client_whose_connections_cannot_be_closed_ends_its_thread_too() -> None:
    class Stubborn:
        async def aclose(self) -> None:
            raise OSError("will not close")

    class Blocking(BlockingClient[Stubborn]):
        _make = Stubborn

    with pytest.raises(OSError, match="will not close"):
        Blocking().close()


FORGETFUL = """
from ayne_dagster import TMDBClient

client = TMDBClient("token", base_url="http://127.0.0.1:9")
print("done", flush=True)
"""


def test_a_script_that_forgets_to_close_ends_all_the_same() -> None:
    with subprocess.Popen([sys.executable, "-c", FORGETFUL], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            assert process.wait(5) == 0
        finally:
            process.kill()
