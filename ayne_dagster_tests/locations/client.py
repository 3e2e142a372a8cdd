"""Asking the source for one movie."""

from collections.abc import Callable, Iterable
from datetime import datetime

from pydantic import BaseModel

from ayne_dagster.collecting.asking import Fetch, answer_about, with_outcomes
from ayne_dagster.collecting.streams import Now
from ayne_dagster.config import Settings
from ayne_dagster.refresh.outcome import Outcome
from ayne_dagster.sources.errors import NotFound, RequestRejected
from ayne_dagster.sources.json_body import validate_json
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.transport import AsyncClosing, build_client
from ayne_dagster.warehouse.answers import Answer
from ayne_dagster.warehouse.refresh_metadata import DueMovie


class Places(BaseModel):
    """The body of an answer."""

    places: list[str]
    visits: int = 0


class AsyncPlacesClient(AsyncClosing):
    """The source, for asyncio."""

    def __init__(
        self, *, settings: Settings, ledger: RequestLedger, now: Callable[[], datetime], use_reserve: bool = True
    ) -> None:
        self.account = Account("places", settings.apis["places"], ledger, None, now, use_reserve)
        self._http = build_client(self.account)

    async def fetch(self, tmdb_id: int) -> tuple[Places, int]:
        """What is known of a movie, with the number of requests spent."""
        response = await self._http.get(f"{self.account.settings.base_url}/{tmdb_id}", params={})
        requests = response.extensions["requests"]
        if response.status_code != 200:
            error = (NotFound if response.status_code == 404 else RequestRejected)(f"HTTP {response.status_code}")
            error.requests = requests
            raise error
        self.account.answered(tmdb_id)
        return validate_json(Places, response.content), requests

    async def probe(self, known: Iterable[int] = ()) -> None:
        """Ask for a movie that it surely has."""
        await self.fetch(next(iter(known), 0))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def places_fetcher(client: AsyncPlacesClient, now: Now) -> Fetch:
    """Asks for a movie."""

    async def fetch(due: DueMovie) -> Answer:
        found, requests = await client.fetch(due.tmdb_id)
        row = {"tmdb_id": due.tmdb_id, "release_year": due.release_year, **found.model_dump()}
        return answer_about(due, Outcome.FETCHED, now(), row=row, requests=requests)

    return with_outcomes(fetch, now, missing=Outcome.ABSENT)
